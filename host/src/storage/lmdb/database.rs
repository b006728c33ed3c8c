//! The open LMDB environment and its trees: what reads and the writer share. Knows which trees there
//! are; how they are opened is `env`'s, and what their bytes mean is `layout`'s.

use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

use heed::types::Bytes;
use heed::{DatabaseStat, Env, RoTxn, WithTls};

use super::reader_table::ReaderTable;
use super::readers::{Reader, Readers};
use crate::storage::types::SystemTable;

/// A tree of bytes by bytes.
pub type Tree = heed::Database<'static, Bytes, Bytes>;

/// The open environment and its databases. Clones share them.
#[derive(Clone)]
pub struct Database {
    /// The environment.
    pub env: Env<WithTls>,
    /// Records by namespace id and key.
    pub main: Tree,
    /// One empty row by expiry, namespace id and key, for each record that expires.
    pub expiry: Tree,
    /// Namespaces by name.
    pub namespaces: Tree,
    /// What is left of namespaces that were deleted, by id.
    pub emptying: Tree,
    /// The format row and the state row.
    pub meta: Tree,
    /// Which threads of this process read now.
    pub readers: Arc<Readers>,
    /// Tokens by id.
    pub tokens: Tree,
    /// Which other processes read now. Closed after the environment, as it must be.
    pub reader_table: Arc<ReaderTable>,
    /// Locked while the environment is open: one process a data directory.
    pub(super) _lock: Arc<File>,
}

impl Database {
    /// Begins a read transaction. A thread has one at a time.
    pub fn read(&self) -> Result<Reading<'_>, heed::Error> {
        let txn = match self.env.read_txn() {
            // Slots of processes that died may be what is missing.
            Err(heed::Error::Mdb(heed::MdbError::ReadersFull)) => {
                self.env.clear_stale_readers()?;
                self.env.read_txn()?
            }
            other => other?,
        };
        let _reader = self.readers.enter(txn.id() as u64);
        Ok(Reading { txn, _reader })
    }

    /// The tree that a table of the host's own is.
    pub fn system_tree(&self, table: SystemTable) -> Tree {
        match table {
            SystemTable::Tokens => self.tokens,
        }
    }

    /// Bytes of the pages that hold data, as of the newest commit.
    pub fn used_bytes(&self) -> Result<u64, heed::Error> {
        let txn = self.read()?;
        self.used_bytes_in(&txn)
    }

    /// The same as of a transaction.
    pub fn used_bytes_in(&self, txn: &RoTxn<'_, WithTls>) -> Result<u64, heed::Error> {
        let Self { main, expiry, namespaces, emptying, meta, tokens, .. } = self;
        let trees = [main, expiry, namespaces, emptying, meta, tokens];
        trees.iter().try_fold(0, |used, tree| Ok(used + page_bytes(&tree.stat(txn)?)))
    }
}

/// Bytes of the pages that a tree takes.
pub fn page_bytes(stat: &DatabaseStat) -> u64 {
    let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
    pages as u64 * u64::from(stat.page_size)
}

/// A read transaction, counted while it is open.
pub struct Reading<'a> {
    // Declared before what counts it: the transaction ends first.
    txn: RoTxn<'a, WithTls>,
    _reader: Reader<'a>,
}

impl<'a> Deref for Reading<'a> {
    type Target = RoTxn<'a, WithTls>;

    fn deref(&self) -> &Self::Target {
        &self.txn
    }
}
