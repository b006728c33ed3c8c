//! The trees of an environment by their names, and the format, which is judged before anything else is
//! read, whoever reads. What the rows mean is `layout`'s.

use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, WithTls};

use super::database::Tree;
use super::error::{damaged, unopened};
use super::layout::{self, FORMAT_1};
use crate::storage::error::OpenError;

/// Room for trees by name; there are six.
pub const TREES_MAX: u32 = 8;
/// The tree that a store of format 1 lacks: [`super::database::Database::emptying`].
pub const EMPTYING: &str = "emptying";

/// The trees of an environment. What each holds is told at [`super::database::Database`].
pub struct Trees {
    /// Records.
    pub main: Tree,
    /// The index of expiries.
    pub expiry: Tree,
    /// Namespaces.
    pub namespaces: Tree,
    /// The format row and the state row.
    pub meta: Tree,
    /// Tokens.
    pub tokens: Tree,
    /// What is left of namespaces that were deleted; None in format 1.
    pub emptying: Option<Tree>,
}

/// Judges the format before anything else is read: None where there is no format row.
///
/// # Errors
/// The format is newer than what this program knows, or was never written.
pub fn format(dir: &Path, env: &Env<WithTls>) -> Result<Option<u32>, OpenError> {
    let failed = unopened(dir);
    let txn = env.read_txn().map_err(&failed)?;
    let open = env.open_databases_and_commit(txn, |opener, txn| {
        let meta = opener.open_database::<Bytes, Bytes>(txn, Some("meta"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(meta))
    });
    let Some(meta) = open.map_err(&failed)?.unwrap_commit() else { return Ok(None) };
    let txn = env.read_txn().map_err(&failed)?;
    let Some(stored) = meta.get(&txn, layout::META_FORMAT).map_err(&failed)? else {
        return Ok(None);
    };
    match layout::decode_format(stored) {
        Ok(FORMAT_1) => Ok(Some(FORMAT_1)),
        Ok(layout::FORMAT) => Ok(Some(layout::FORMAT)),
        Ok(found) if found > layout::FORMAT => {
            let path = dir.to_owned();
            Err(OpenError::NewerFormat { path, found, known: layout::FORMAT })
        }
        _ => Err(damaged(dir, "the format row")),
    }
}

/// Opens the trees, and makes those that were not thought of when a store of this format was made.
///
/// # Errors
/// LMDB's.
pub fn create(env: &Env<WithTls>, format: Option<u32>) -> Result<Trees, heed::Error> {
    let made = env.create_databases_and_commit(env.write_txn()?, |opener, txn| {
        let mut tree = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
        let (main, expiry, namespaces) = (tree("main")?, tree("expiry")?, tree("namespaces")?);
        let (meta, tokens) = (tree("meta")?, tree("tokens")?);
        let counts = format != Some(FORMAT_1);
        let emptying = counts.then(|| tree(EMPTYING)).transpose()?;
        let trees = (main, expiry, namespaces, meta, tokens, emptying);
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(trees))
    })?;
    let (main, expiry, namespaces, meta, tokens, emptying) = made.unwrap_commit();
    Ok(Trees { main, expiry, namespaces, meta, tokens, emptying })
}
