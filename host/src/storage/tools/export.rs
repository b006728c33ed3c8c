//! Exports: everything of one commit as text, streamed. Knows how to read a data directory, beside a
//! server or without one; the lines are `text`'s.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::text::Line;
use super::{Reader, ToolError, Trees, failed};
use crate::hex;
use crate::storage::layout::{self, NamespaceRow, Record, StateRow};

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
/// are left out and told, or end it unless `skip_damaged`.
///
/// # Errors
/// What could not be read or written.
pub fn export(dir: &Path, to: &mut dyn Write, skip_damaged: bool) -> Result<Exported, ToolError> {
    let reader = Reader::open(dir)?;
    let txn = reader.txn()?;
    let unreadable = |error: heed::Error| reader.unreadable(&error);
    let damaged = |what: &str| {
        failed(format!("{}: {what} is damaged; run: larder check", reader.path.display()))
    };
    let mut out = Lines { to, hash: Sha256::new() };
    let Trees { main, namespaces: names, meta } = &reader.trees;
    let state = meta.get(&txn, layout::META_STATE).map_err(unreadable)?;
    let state = state.and_then(|state| StateRow::decode(state).ok());
    let state = state.ok_or_else(|| damaged("the state row"))?;
    out.write(&Line::Begin { version: state.version.0, instant: state.instant.0 })?;
    let mut namespaces = BTreeMap::new();
    for row in names.iter(&txn).map_err(unreadable)? {
        let (name, stored) = row.map_err(unreadable)?;
        let row = NamespaceRow::decode(name, stored).map_err(|_| damaged("a namespace's row"))?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("a namespace's name"))?;
        namespaces.insert(row.id.0, (name, row));
    }
    let mut exported = Exported { namespaces: namespaces.len() as u64, ..Exported::default() };
    for (id, (name, row)) in namespaces {
        let (created, updated) = (row.created.0, row.updated.0);
        out.write(&Line::Namespace { name: name.into(), created, updated })?;
        for record in main.prefix_iter(&txn, &id.to_be_bytes()).map_err(unreadable)? {
            let (stored_key, stored) = record.map_err(unreadable)?;
            let key = &stored_key[size_of_val(&id)..];
            let Ok(record) = Record::decode(stored_key, stored) else {
                let shown = format!("namespace {name}, key {}", key.escape_ascii());
                if !skip_damaged {
                    return Err(damaged(&format!("{shown}: its record")));
                }
                exported.damaged.push(shown);
                continue;
            };
            let expiry = record.expiry.map(|expiry| expiry.0);
            let (value, version) = (record.value.into(), record.version.0);
            out.write(&Line::Entry { key: key.into(), value, version, expiry })?;
            exported.entries += 1;
        }
    }
    out.end(&exported)?;
    Ok(exported)
}

/// Writes lines and hashes what was written.
struct Lines<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
}

impl Lines<'_> {
    fn write(&mut self, line: &Line<'_>) -> Result<(), ToolError> {
        let line = line.encode();
        self.hash.update(&line);
        self.to.write_all(&line).map_err(unwritten)
    }

    fn end(mut self, exported: &Exported) -> Result<(), ToolError> {
        let sha256 = hex::encode(&std::mem::take(&mut self.hash).finalize());
        let Exported { namespaces, entries, .. } = *exported;
        self.write(&Line::End { namespaces, entries, sha256: sha256.into() })?;
        self.to.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> ToolError {
    failed(format!("cannot write the export: {error}"))
}
