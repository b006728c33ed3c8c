//! Imports: text that an export wrote, into a data directory that holds nothing yet. Values and
//! expiries come as they were; versions are new. Knows batches; the lines are `text`'s.

use std::io::{BufRead, Read};
use std::path::Path;

use heed::RwTxn;
use sha2::{Digest, Sha256};

use super::text::{LINE_BYTES_MAX, Line};
use super::{Findings, Incoming, ToolError, env, failed, jump};
use crate::clock::{Clock, Millis};
use crate::hex;
use crate::storage::env::Database;
use crate::storage::layout::{
    self, EXPIRY_MAX, NAME_BYTES_MAX, NamespaceRow, Record, RecordKey, StateRow,
};
use crate::storage::{DEFAULT_NAMESPACE, NamespaceId, Options, Version};

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
    let mut lines = Lines { from, hash: Sha256::new(), line: Vec::new(), number: 0 };
    lines.next()?;
    let Line::Begin { version, instant } = lines.line()? else {
        return Err(lines.wrong("it is no larder export"));
    };
    clock.raise_to(Millis(instant));
    let version = jump(Version(version))?;
    let incoming = Incoming::begin(dir)?;
    let (database, found) = env::open(&incoming.folder, &Options::default(), clock)?;
    let instant = clock.now();
    let state = StateRow { version, instant, ..found.state };
    let mut filling = Filling { state, namespace: None, namespaces: 0, entries: 0, expired: 0 };
    while fill(&mut lines, &database, &mut filling)? == Batch::Full {}
    drop(database);
    let findings = incoming.publish()?;
    Ok(Imported { findings, expired: filling.expired })
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
    namespace: Option<NamespaceId>,
    namespaces: u64,
    entries: u64,
    expired: u64,
}

/// Reads lines into one transaction.
fn fill(
    lines: &mut Lines<'_>,
    database: &Database,
    filling: &mut Filling,
) -> Result<Batch, ToolError> {
    let broken = |error: heed::Error| failed(format!("cannot write: {error}"));
    let mut txn = database.env.write_txn().map_err(broken)?;
    let mut bytes = 0;
    let batch = loop {
        let before = lines.hash.clone();
        if !lines.next()? {
            return Err(lines.wrong("the last line is missing: the export is not complete"));
        }
        bytes += lines.line.len();
        match lines.line()? {
            Line::End { namespaces, entries, sha256 } => {
                let counted = (filling.namespaces, filling.entries + filling.expired);
                if (namespaces, entries) != counted || *sha256 != hex::encode(&before.finalize()) {
                    return Err(lines.wrong("what was read is not what was exported"));
                }
                if lines.next()? {
                    return Err(lines.wrong("there is something behind the last line"));
                }
                break Batch::Last;
            }
            line => {
                let put = filling.put(database, &mut txn, line);
                put.map_err(broken)?.map_err(|error| lines.wrong(&error))?;
            }
        }
        if bytes > BATCH_BYTES_MAX {
            break Batch::Full;
        }
    };
    database.meta.put(&mut txn, layout::META_STATE, &filling.state.encode()).map_err(broken)?;
    txn.commit().map_err(broken)?;
    Ok(batch)
}

impl Filling {
    /// Stores what a line says: an error of the database, or why the line cannot be stored.
    fn put(
        &mut self,
        database: &Database,
        txn: &mut RwTxn<'_>,
        line: Line<'_>,
    ) -> Result<Result<(), String>, heed::Error> {
        match line {
            Line::Namespace { name, created, updated } => {
                let (created, updated) = (Millis(created), Millis(updated));
                self.put_namespace(database, txn, &name, created, updated)
            }
            Line::Entry { key, value, expiry, .. } => {
                let expiry = expiry.map(Millis);
                let Some(namespace) = self.namespace else {
                    return Ok(Err("an entry comes before its namespace".to_owned()));
                };
                let Some(key) = RecordKey::new(namespace, &key) else {
                    return Ok(Err("a key is 1 to 256 bytes".to_owned()));
                };
                if expiry.is_some_and(|expiry| expiry > EXPIRY_MAX) {
                    return Ok(Err("the expiry is out of range".to_owned()));
                }
                self.put_entry(database, txn, &key, &value, expiry)
            }
            Line::Begin { .. } | Line::End { .. } => Ok(Err("it is out of place".to_owned())),
        }
    }

    fn put_namespace(
        &mut self,
        database: &Database,
        txn: &mut RwTxn<'_>,
        name: &str,
        created: Millis,
        updated: Millis,
    ) -> Result<Result<(), String>, heed::Error> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Ok(Err("a name is 1 to 256 bytes".to_owned()));
        }
        let id = if name == DEFAULT_NAMESPACE {
            layout::DEFAULT_ID
        } else if database.namespaces.get(txn, name.as_bytes())?.is_some() {
            return Ok(Err(format!("the namespace {name} comes twice")));
        } else {
            let NamespaceId(id) = self.state.next_namespace;
            let Some(next) = id.checked_add(1) else {
                return Ok(Err("there are too many namespaces".to_owned()));
            };
            self.state.next_namespace = NamespaceId(next);
            NamespaceId(id)
        };
        let row = NamespaceRow { id, created, updated }.encode(name.as_bytes());
        database.namespaces.put(txn, name.as_bytes(), &row)?;
        self.namespace = Some(id);
        self.namespaces += 1;
        Ok(Ok(()))
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
        self.state.version.0 += 1;
        let record = Record { version: self.state.version, expiry, value };
        let header = record.header(key.as_bytes());
        let stored = [header.as_bytes(), value].concat();
        database.main.put(txn, key.as_bytes(), &stored)?;
        if let Some(expiry) = expiry {
            database.expiry.put(txn, &key.expiry_key(expiry), &[])?;
        }
        self.entries += 1;
        Ok(Ok(()))
    }
}

/// Reads lines, counts them and hashes them.
struct Lines<'a> {
    from: &'a mut dyn BufRead,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    /// Reads the next line and hashes it; false at the end.
    fn next(&mut self) -> Result<bool, ToolError> {
        self.line.clear();
        self.number += 1;
        let mut from = (&mut *self.from).take(LINE_BYTES_MAX);
        let read = from.read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| failed(format!("line {}: {error}", self.number)))?;
        if read > 0 && self.line.last() != Some(&b'\n') {
            return Err(self.wrong("it is cut short, or longer than any line can be"));
        }
        self.hash.update(&self.line);
        Ok(read > 0)
    }

    /// What the line that was read says.
    fn line(&self) -> Result<Line<'_>, ToolError> {
        Line::decode(&self.line).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, what: &str) -> ToolError {
        failed(format!("line {}: {what}; nothing was imported", self.number))
    }
}
