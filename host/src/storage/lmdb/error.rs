//! What LMDB's errors mean to the store.

use std::io;
use std::path::Path;

use crate::storage::error::{Error, OpenError};

impl From<heed::Error> for Error {
    fn from(error: heed::Error) -> Self {
        if is_full(&error) { Error::Full } else { Error::Failed(error.to_string()) }
    }
}

/// Whether the map, the disk or the file may hold no more: what LMDB recovers from when something is deleted.
pub fn is_full(error: &heed::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error {
        heed::Error::Mdb(heed::MdbError::MapFull) => true,
        heed::Error::Io(error) => {
            matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
        }
        _ => false,
    }
}

/// LMDB's errors while the store in `dir` is opened.
pub fn unopened(dir: &Path) -> impl Fn(heed::Error) -> OpenError {
    let path = dir.to_owned();
    move |source| OpenError::Lmdb { path: path.clone(), source }
}

/// What of the store in `dir` is damaged or missing, on which everything depends.
pub fn damaged(dir: &Path, what: &'static str) -> OpenError {
    OpenError::Damaged { path: dir.to_owned(), what }
}
