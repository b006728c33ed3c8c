//! Imports: text that an export wrote, into a data directory that holds nothing yet. Values and
//! expiries come as they were; versions are new. Knows batches; the lines are `lines`'s.

use std::io::BufRead;
use std::path::Path;

use heed::RwTxn;
use rustix::process::{Resource, getrlimit};

use super::check::Findings;
use super::error::ToolError;
use super::incoming::{Incoming, jump};
use super::lines::{Item, Reader};
use crate::clock::{Clock, Millis};
use crate::storage::lmdb::database::Database;
use crate::storage::lmdb::layout::{
    self, Counts, NamespaceId, NamespaceRow, Record, RecordKey, StateRow,
};
use crate::storage::{DEFAULT_NAMESPACE, NAMESPACES_MAX, Options, VERSION_LIMIT, Version};

/// Bytes of lines in one transaction: bounds its dirty pages.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// What the store holds now.
    pub findings: Findings,
    /// Entries that had expired already and were left out.
    pub expired: u64,
}

/// Reads text from `from` into `dir`. What is not whole, or does not match its checksum, leaves
/// nothing behind that a server would serve.
///
/// # Errors
/// The line that is wrong and why, or what could not be written.
pub fn import(from: &mut dyn BufRead, dir: &Path, clock: &Clock) -> Result<Imported, ToolError> {
    let mut lines = Reader::new(from)?;
    let (version, instant) = lines.begin();
    clock.raise_to(instant);
    let version = jump(version).map_err(|error| lines.wrong(&error.to_string()))?;
    let incoming = Incoming::begin(dir)?;
    let (database, found) = incoming.open(&options(), clock)?;
    let instant = clock.now();
    let state = StateRow { version, instant, ..found.state };
    let mut filling = Filling { state, filled: None, default: false, namespaces: 1, expired: 0 };
    let broken = |error: heed::Error| incoming.unwritten(error);
    while fill(&mut lines, &database, &mut filling, &broken)? == Batch::Full {}
    drop(database);
    let findings = incoming.publish()?;
    Ok(Imported { findings, expired: filling.expired })
}

/// A map as a server takes, or as large as this process may have.
fn options() -> Options {
    let bytes_max = getrlimit(Resource::As).current.map(|limit| limit / 2);
    Options { bytes_max, ..Options::default() }
}

/// Whether a batch ended because it was full, or with the last line.
#[derive(PartialEq, Eq)]
enum Batch {
    Full,
    Last,
}

/// How far an import has come.
struct Filling {
    state: StateRow,
    /// The namespace that entries belong to now, by its name, with what has come of it so far.
    filled: Option<(String, NamespaceRow)>,
    /// Whether the namespace that is there from the start has come.
    default: bool,
    /// How many there are.
    namespaces: u64,
    expired: u64,
}

/// Reads lines into one transaction.
fn fill(
    lines: &mut Reader<'_>,
    database: &Database,
    filling: &mut Filling,
    broken: &dyn Fn(heed::Error) -> ToolError,
) -> Result<Batch, ToolError> {
    let mut txn = database.env.write_txn().map_err(broken)?;
    let mut bytes = 0;
    let batch = loop {
        let Some(item) = lines.next_item()? else {
            break Batch::Last;
        };
        let put = filling.put(database, &mut txn, item);
        put.map_err(broken)?.map_err(|error| lines.wrong(&error))?;
        bytes += lines.line_bytes();
        if bytes > BATCH_BYTES_MAX {
            break Batch::Full;
        }
    };
    filling.put_counts(database, &mut txn).map_err(broken)?;
    database.meta.put(&mut txn, layout::META_STATE, &filling.state.encode()).map_err(broken)?;
    txn.commit().map_err(broken)?;
    Ok(batch)
}

impl Filling {
    /// Stores an item: an error of the database, or why the item cannot be stored.
    fn put(
        &mut self,
        database: &Database,
        txn: &mut RwTxn<'_>,
        item: Item<'_>,
    ) -> Result<Result<(), String>, heed::Error> {
        match item {
            Item::Namespace { name, created, updated, quotas } => {
                // Its id and counts are found below.
                let (id, counts) = (layout::DEFAULT_ID, Counts::default());
                let row = NamespaceRow { id, created, updated, quotas, counts };
                self.put_namespace(database, txn, &name, row)
            }
            Item::Entry { key, value, expiry, .. } => {
                let filled = self.filled.as_ref().map(|(_, row)| row.id);
                let key = filled.and_then(|namespace| RecordKey::new(namespace, &key));
                match key {
                    Some(key) => self.put_entry(database, txn, &key, &value, expiry),
                    None => Ok(Err("it has no valid key, or no namespace".to_owned())),
                }
            }
        }
    }

    fn put_namespace(
        &mut self,
        database: &Database,
        txn: &mut RwTxn<'_>,
        name: &str,
        mut row: NamespaceRow,
    ) -> Result<Result<(), String>, heed::Error> {
        self.put_counts(database, txn)?;
        let is_default = name == DEFAULT_NAMESPACE;
        let twice = match is_default {
            true => self.default,
            false => database.namespaces.get(txn, name.as_bytes())?.is_some(),
        };
        if twice {
            return Ok(Err(format!("the namespace {name} comes twice")));
        }
        if is_default {
            self.default = true;
        } else {
            let NamespaceId(id) = self.state.next_namespace;
            let Some(next) = id.checked_add(1).filter(|_| self.namespaces < NAMESPACES_MAX) else {
                return Ok(Err(format!("there are more than {NAMESPACES_MAX} namespaces")));
            };
            self.namespaces += 1;
            self.state.next_namespace = NamespaceId(next);
            row.id = NamespaceId(id);
        }
        database.namespaces.put(txn, name.as_bytes(), &row.encode(name.as_bytes()))?;
        self.filled = Some((name.to_owned(), row));
        Ok(Ok(()))
    }

    /// Writes what has come of the namespace that is filled.
    fn put_counts(&self, database: &Database, txn: &mut RwTxn<'_>) -> Result<(), heed::Error> {
        let Some((name, row)) = &self.filled else { return Ok(()) };
        database.namespaces.put(txn, name.as_bytes(), &row.encode(name.as_bytes()))
    }

    fn put_entry(
        &mut self,
        database: &Database,
        txn: &mut RwTxn<'_>,
        key: &RecordKey,
        value: &[u8],
        expiry: Option<Millis>,
    ) -> Result<Result<(), String>, heed::Error> {
        if expiry.is_some_and(|expiry| expiry <= self.state.instant) {
            self.expired += 1;
            return Ok(Ok(()));
        }
        if database.main.get(txn, key.as_bytes())?.is_some() {
            return Ok(Err("the key comes twice".to_owned()));
        }
        let version = self.state.version.0 + 1;
        if version >= VERSION_LIMIT {
            return Ok(Err("no version is left for it".to_owned()));
        }
        self.state.version = Version(version);
        let record = Record { version: self.state.version, expiry, value };
        let header = record.header(key.as_bytes());
        let stored = [header.as_bytes(), value].concat();
        if let Some((_, row)) = &mut self.filled {
            row.counts.keys += 1;
            row.counts.bytes += layout::counted_bytes(key.as_bytes(), &stored);
        }
        database.main.put(txn, key.as_bytes(), &stored)?;
        if let Some(expiry) = expiry {
            database.expiry.put(txn, &key.expiry_key(expiry), &[])?;
        }
        Ok(Ok(()))
    }
}
