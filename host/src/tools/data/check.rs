//! Whether a data file is sound: every page in its place, every record and row what its checksum
//! says, and all of them in accord, counts included. Reads without LMDB, so that a damaged file is told
//! and not stumbled over. Changes nothing.

use std::fs::File;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::count::Count;
use super::error::{ToolError, at, failed};
use super::lmdb_file::{Faults, Pages, Row, Tree};
use super::reader::{self, LockState, Reader, existing};
use crate::clock::Millis;
use crate::storage::error::OpenError;
use crate::storage::lmdb::layout::{self, Counts, FORMAT_1, NamespaceRow, Record, StateRow};
use crate::storage::lmdb::trees::EMPTYING;
use crate::storage::{DEFAULT_NAMESPACE, Version};

/// The trees, in an order in which what a row refers to is known before it.
const TREES: [&str; 6] = ["meta", "namespaces", EMPTYING, "main", "expiry", TOKENS];
/// Missing in data that no server has opened since there are tokens.
const TOKENS: &str = "tokens";
/// A server would have to commit twice between two lines of code, so many times in a row.
const TRIES_MAX: u32 = 1000;

/// What was found in a data file.
#[derive(Debug, Default)]
pub struct Findings {
    /// Namespaces.
    pub namespaces: u64,
    /// Entries, expired ones that are not swept yet included.
    pub entries: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Entries of namespaces that were deleted, which nobody can read and which are still to be removed.
    pub emptying: Counts,
    /// The newest version of the server.
    pub version: Version,
    /// The highest instant that the server has seen.
    pub instant: Millis,
    /// What is wrong.
    pub faults: Faults,
}

/// Checks the data directory `dir`, beside a server or without one. Changes nothing in it; only
/// beside a server a reader's slot is taken.
///
/// # Errors
/// Why nothing at all can be read from it.
pub fn check(dir: &Path) -> Result<Findings, ToolError> {
    let path = existing(dir)?;
    loop {
        match reader::lock_state(dir)? {
            LockState::Free(_lock) => return check_file(&path),
            LockState::Taken => return check_served(dir, &path),
            LockState::Missing => {
                let findings = check_file(&path);
                // A server that has begun meanwhile made its lock before it wrote.
                if matches!(reader::lock_state(dir)?, LockState::Missing) {
                    return findings;
                }
            }
        }
    }
}

/// Checks what a server writes, as of one commit, which a reader's slot keeps from being
/// overwritten. The meta page that tells of it is overwritten two commits later: then again.
fn check_served(dir: &Path, path: &Path) -> Result<Findings, ToolError> {
    let mut tries = 0;
    loop {
        let reader = Reader::open(dir)?;
        match Pages::open(open(path)?, Some(reader.txn.id() as u64)) {
            Ok(pages) => return check_pages(pages, path),
            Err(error) if tries == TRIES_MAX => return Err(unreadable(path, &error)),
            Err(_) => tries += 1,
        }
    }
}

/// Checks the data file at `path`, which nobody writes, as of its newest commit.
///
/// # Errors
/// Why nothing at all can be read from it.
pub fn check_file(path: &Path) -> Result<Findings, ToolError> {
    check_opened(open(path)?, path)
}

/// The same for a file that is open; `shown` names it in errors.
pub fn check_opened(file: File, shown: &Path) -> Result<Findings, ToolError> {
    let pages = Pages::open(file, None).map_err(|error| unreadable(shown, &error))?;
    check_pages(pages, shown)
}

fn open(path: &Path) -> Result<File, ToolError> {
    File::open(path).map_err(at(path))
}

fn unreadable(path: &Path, error: &str) -> ToolError {
    failed(format!("{}: {error}", path.display()))
}

fn check_pages(mut pages: Pages, shown: &Path) -> Result<Findings, ToolError> {
    let mut checked = Checked::default();
    let mut trees = Vec::new();
    let catalogue = pages.catalogue();
    let mut faults = Faults::default();
    pages.walk("catalogue", catalogue, &mut faults, &mut |faults, row| match row {
        Row::Tree(name, tree) => trees.push((name.to_vec(), tree)),
        Row::Value(name, _) => {
            faults.add(format!("the catalogue holds {}, which is no tree", name.escape_ascii()));
        }
    });
    for name in TREES {
        let found = trees.iter().find(|(found, _)| found == name.as_bytes());
        let found: Option<Tree> = found.filter(|_| checked.knows(name)).map(|(_, tree)| *tree);
        let Some(tree) = found else {
            if name == TOKENS || !checked.knows(name) {
                continue;
            }
            faults.add(format!("the tree {name} is missing"));
            continue;
        };
        pages.walk(name, tree, &mut faults, &mut |faults, row| match row {
            Row::Value(key, value) => checked.row(name, key, value, faults),
            Row::Tree(key, _) => {
                faults.add(format!("tree {name}: row {} is a tree", key.escape_ascii()));
            }
        });
        // Nothing else can be judged by the rules that are known here.
        if let Some(found) = checked.format.filter(|found| *found > layout::FORMAT) {
            let (path, known) = (shown.to_owned(), layout::FORMAT);
            return Err(OpenError::NewerFormat { path, found, known }.into());
        }
    }
    for (name, tree) in trees {
        if !TREES.iter().any(|known| known.as_bytes() == name && checked.knows(known)) {
            faults.add(format!("there is a tree {}, which nobody made", name.escape_ascii()));
            pages.walk("unknown", tree, &mut faults, &mut |_, _| {});
        }
    }
    pages.check_free(&mut faults);
    checked.conclude(&mut faults);
    let emptying = checked.count.emptying();
    Ok(Findings { faults, emptying, ..checked.findings })
}

/// What the rows so far have told.
#[derive(Default)]
struct Checked {
    findings: Findings,
    state: Option<StateRow>,
    format: Option<u32>,
    count: Count,
    default_found: bool,
    /// Sums over the rows that the expiry index must have, and those that it has: equal when they
    /// are the same, in whatever order they come.
    expiring: (u64, u64),
    indexed: (u64, u64),
}

impl Checked {
    /// Whether data of this format have a tree of this name.
    fn knows(&self, name: &str) -> bool {
        name != EMPTYING || self.format != Some(FORMAT_1)
    }

    fn row(&mut self, tree: &str, key: &[u8], value: &[u8], faults: &mut Faults) {
        let ok = match tree {
            "meta" => self.meta(key, value),
            "namespaces" => self.namespace(key, value),
            EMPTYING => self.emptying(key, value),
            "main" => self.record(key, value),
            "tokens" => layout::decode_system_row(key, value)
                .map(|_| ())
                .map_err(|_| "is damaged".to_owned()),
            _ => self.index(key, value),
        };
        if let Err(fault) = ok {
            faults.add(format!("tree {tree}: row {} {fault}", key.escape_ascii()));
        }
    }

    fn meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let damaged = |_| "is damaged".to_owned();
        match key {
            layout::META_FORMAT => {
                let format = layout::decode_format(value).map_err(damaged)?;
                if format < FORMAT_1 {
                    return Err(format!("tells format {format}, which never was"));
                }
                self.format = Some(format);
            }
            layout::META_STATE => {
                let state = StateRow::decode(value).map_err(damaged)?;
                self.findings.version = state.version;
                self.findings.instant = state.instant;
                self.state = Some(state);
            }
            _ => return Err("should not be there".to_owned()),
        }
        Ok(())
    }

    fn namespace(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let format = self.format.unwrap_or(layout::FORMAT);
        let row = NamespaceRow::decode_of(format, name, value).map_err(|_| "is damaged")?;
        self.findings.namespaces += 1;
        if name == DEFAULT_NAMESPACE.as_bytes() {
            self.default_found = row.id == layout::DEFAULT_ID;
        }
        self.count.expect(row.id, self.state, (format != FORMAT_1).then_some(row.counts))
    }

    fn emptying(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let id = layout::decode_emptying_key(key).map_err(|_| "is damaged")?;
        let left = layout::decode_emptying(key, value).map_err(|_| "is damaged")?;
        self.count.expect_emptying(id, self.state, left)
    }

    fn record(&mut self, key: &[u8], stored: &[u8]) -> Result<(), String> {
        let emptying = self.count.add(key, stored);
        if !emptying {
            self.findings.entries += 1;
        }
        let record_key = layout::decode_record_key(key).map_err(|_| "has no valid key")?;
        let record = Record::decode(key, stored)
            .map_err(|_| "does not match its checksum; its value is lost")?;
        if !emptying {
            self.findings.value_bytes += record.value.len() as u64;
        }
        if let Some(expiry) = record.expiry {
            add(&mut self.expiring, &record_key.expiry_key(expiry));
        }
        if !self.count.expects(record_key.namespace()) {
            return Err(format!(
                "belongs to namespace {}, which is not there",
                record_key.namespace().0
            ));
        }
        if self.state.is_some_and(|state| record.version > state.version) {
            return Err(format!("has version {}, which was never given", record.version));
        }
        Ok(())
    }

    fn index(&mut self, row: &[u8], value: &[u8]) -> Result<(), String> {
        layout::decode_expiry_key(row).map_err(|_| "is malformed")?;
        add(&mut self.indexed, row);
        if value.is_empty() { Ok(()) } else { Err("has a value".to_owned()) }
    }

    /// What can be said only after all rows.
    fn conclude(&self, faults: &mut Faults) {
        if self.format.is_none() {
            faults.add("the format row is missing or unknown");
        }
        if self.state.is_none() {
            faults.add("the state row is missing or damaged");
        }
        if !self.default_found {
            faults.add("the namespace `default` is missing");
        }
        if self.expiring != self.indexed {
            let (records, rows) = (self.expiring.0, self.indexed.0);
            faults.add(format!(
                "the expiry index does not fit the records: {records} expire, {rows} are indexed"
            ));
        }
        self.count.compare(faults);
    }
}

/// Adds a row to a sum that does not depend on the order.
fn add((count, sum): &mut (u64, u64), row: &[u8]) {
    *count += 1;
    *sum = sum.wrapping_add(xxh3_64(row));
}
