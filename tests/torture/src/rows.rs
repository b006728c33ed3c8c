//! Rows of a data file, changed by hand where nobody serves it. Knows LMDB; knows nothing of what rows mean.

use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, EnvOpenOptions, RwTxn};

/// A tree of bytes by bytes.
pub type Tree = heed::Database<'static, Bytes, Bytes>;

/// Room for the map.
const MAP_BYTES: usize = 4 << 30;
/// Trees that a store may have.
const TREES_MAX: u32 = 8;

/// Changes a tree of the data directory `data` in one transaction.
///
/// # Errors
/// LMDB's.
#[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
pub fn change(
    data: &Path,
    tree: &str,
    change: impl FnOnce(Tree, &mut RwTxn<'_>) -> Result<(), heed::Error>,
) -> Result<(), heed::Error> {
    let mut open = EnvOpenOptions::new();
    open.map_size(MAP_BYTES).max_dbs(TREES_MAX);
    // SAFETY: it is a directory of a trial's own, which nobody else has open meanwhile.
    let env = unsafe { open.open(data)? };
    let opened = env.open_databases_and_commit(env.read_txn()?, |opener, txn| {
        let tree = opener.open_database::<Bytes, Bytes>(txn, Some(tree))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tree))
    })?;
    let tree = opened.unwrap_commit().ok_or(heed::Error::Mdb(heed::MdbError::NotFound))?;
    let mut txn = env.write_txn()?;
    change(tree, &mut txn)?;
    txn.commit()
}
