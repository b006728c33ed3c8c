//! Exports: everything of one commit as text, streamed. Knows how to read a data directory, beside a
//! server or without one; the lines are `lines`'s.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::error::{ToolError, failed};
use super::lines::{Item, Writer};
use super::reader::{Reader, Trees};
use crate::storage::lmdb::layout::{self, NamespaceRow, Record, StateRow};

/// What was exported.
#[derive(Debug, Default)]
pub struct Exported {
    /// Namespaces.
    pub namespaces: u64,
    /// Entries.
    pub entries: u64,
    /// Records that were left out because they are damaged, as namespace and key.
    pub damaged: Vec<String>,
}

/// Writes the data directory `dir` to `to` as text, beside a server or without one. Damaged records
/// are left out and told, or end it unless `skip_damaged`. What is left of namespaces that were deleted
/// is not there for anybody, and not exported.
///
/// # Errors
/// What could not be read or written.
pub fn export(dir: &Path, to: &mut dyn Write, skip_damaged: bool) -> Result<Exported, ToolError> {
    let reader = Reader::open(dir)?;
    let txn = &reader.txn;
    let unreadable = |error: heed::Error| reader.unreadable(&error);
    let damaged = |what: &str| {
        failed(format!("{}: {what} is damaged; run: larder check", reader.path.display()))
    };
    let Trees { main, namespaces: names, meta, .. } = &reader.trees;
    let state = meta.get(txn, layout::META_STATE).map_err(unreadable)?;
    let state = state.and_then(|state| StateRow::decode(state).ok());
    let state = state.ok_or_else(|| damaged("the state row"))?;
    let mut out = Writer::new(to, state.version, state.instant)?;
    let mut namespaces = BTreeMap::new();
    for row in names.iter(txn).map_err(unreadable)? {
        let (name, stored) = row.map_err(unreadable)?;
        let row = NamespaceRow::decode_of(reader.format, name, stored);
        let row = row.map_err(|_| damaged("a namespace's row"))?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("a namespace's name"))?;
        namespaces.insert(row.id.0, (name, row));
    }
    let mut damaged_records = Vec::new();
    for (id, (name, row)) in namespaces {
        let NamespaceRow { created, updated, quotas, .. } = row;
        out.item(Item::Namespace { name: name.into(), created, updated, quotas })?;
        for record in main.prefix_iter(txn, &id.to_be_bytes()).map_err(unreadable)? {
            let (stored_key, stored) = record.map_err(unreadable)?;
            let key = &stored_key[size_of_val(&id)..];
            let Ok(record) = Record::decode(stored_key, stored) else {
                let shown = format!("namespace {name}, key {}", key.escape_ascii());
                if !skip_damaged {
                    return Err(damaged(&format!("{shown}: its record")));
                }
                damaged_records.push(shown);
                continue;
            };
            let Record { version, expiry, value } = record;
            out.item(Item::Entry { key: key.into(), value: value.into(), version, expiry })?;
        }
    }
    let (namespaces, entries) = out.end()?;
    Ok(Exported { namespaces, entries, damaged: damaged_records })
}
