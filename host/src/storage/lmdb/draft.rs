//! The draft of a commit: what a transaction has changed so far beside its trees, and why a batch is not
//! part of it. Knows neither operations nor the queue.

use super::layout::StateRow;
use super::ledger::{Ledger, Revision};
use super::preallocate::Growth;
use crate::storage::error::{Error, WriteError};
use crate::storage::types::{VERSION_LIMIT, Version};

/// Mean size from which on values are written in pieces rather than in pages.
const PIECE_BYTES: usize = 64 << 10;

/// Why a batch was not applied.
pub enum Failure {
    /// It was refused; the transaction is as it was before it.
    Refused(WriteError),
    /// The transaction is broken and must be given up.
    Broken(heed::Error),
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Failure::Broken(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error.into())
    }
}

/// Changes of a transaction that has not been committed yet.
pub struct Draft<'a> {
    /// The counters, as they will stand after the commit.
    pub state: StateRow,
    /// Namespaces made, changed, deleted or counted.
    pub ledger: Revision<'a>,
    /// Whether anything was changed at all.
    pub dirty: bool,
    /// Batches that were applied.
    pub batches: u64,
    /// Values that were put.
    puts: usize,
    /// The bytes of all of them.
    put_bytes: usize,
    /// Records that were removed.
    removed: usize,
}

impl<'a> Draft<'a> {
    /// Starts from what is committed.
    pub fn new(state: StateRow, ledger: &'a Ledger) -> Self {
        let ledger = Revision::new(ledger);
        Self { state, ledger, dirty: false, batches: 0, puts: 0, put_bytes: 0, removed: 0 }
    }

    /// Counts a value that is put.
    pub fn count_put(&mut self, bytes: usize) {
        self.puts += 1;
        self.put_bytes += bytes;
    }

    /// Counts a record that is removed.
    pub fn count_removed(&mut self) {
        self.removed += 1;
    }

    /// Records that were changed.
    pub fn records(&self) -> usize {
        self.puts + self.removed
    }

    /// The bytes of all values that were put.
    pub fn put_bytes(&self) -> usize {
        self.put_bytes
    }

    /// What the file grew for, if it did.
    pub fn growth(&self) -> Growth {
        let mean = self.put_bytes / self.puts.max(1);
        if mean < PIECE_BYTES { Growth::Pages } else { Growth::Pieces }
    }

    /// The next version.
    pub fn draw_version(&mut self) -> Result<Version, Failure> {
        let next = self.state.version.0 + 1;
        if next >= VERSION_LIMIT {
            return Err(Error::Unavailable("the version counter is used up").into());
        }
        self.state.version = Version(next);
        Ok(self.state.version)
    }
}
