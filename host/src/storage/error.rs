//! What can go wrong in storage, one enum a reader: [`Error`] for callers of operations,
//! [`OpenError`] for whoever starts the server. Knows nothing of HTTP or of guests.

use std::io;
use std::path::PathBuf;

use super::types::{Entry, Quota, Version};

/// Which rule a conditional write broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// The expected version is not the current one.
    VersionMismatch,
    /// `insert` found the key present.
    AlreadyExists,
    /// `update` or a touch found the key absent.
    NotFound,
    /// An add found a value that is no decimal number of 64 bits.
    NotANumber,
    /// The sum of an add is no number of 64 bits.
    Overflow,
    /// The sum of an add is out of its bounds.
    OutOfBounds,
}

/// A conditional write that was refused; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The rule that was broken.
    pub kind: ConflictKind,
    /// The key's version when the write was judged; 0 when absent or expired, or written by an earlier
    /// operation of the same batch.
    pub current: Version,
    /// The newest version of the whole server when the write was judged.
    pub newest: Version,
}

/// Why an operation was not done. Unless said otherwise nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A condition of the write does not hold.
    #[error("conflict: {0:?}")]
    Conflict(Conflict),
    /// The namespace was never configured.
    #[error("the namespace was never configured")]
    NoSuchNamespace,
    /// A key or a namespace's name is empty or too long.
    #[error("a name is 1 to 256 bytes")]
    InvalidName,
    /// The time to live ends after the last instant that can be stored.
    #[error("the expiry is out of range")]
    ExpiryOutOfRange,
    /// The value is larger than allowed.
    #[error("the value is too large")]
    TooLarge,
    /// The quota, the map or the disk is full.
    #[error("there is no room for more data")]
    Full,
    /// The namespace would have more than its quota allows.
    #[error("the namespace has as much as its quota allows")]
    OverQuota(Quota),
    /// There are as many namespaces as there may be.
    #[error("there are as many namespaces as there may be")]
    TooManyNamespaces,
    /// Writes cannot be served; nothing was begun.
    #[error("writes cannot be served: {0}")]
    Unavailable(&'static str),
    /// The write was begun and could not be finished: whether it happened is unknown.
    #[error("whether the write happened is unknown")]
    InDoubt,
    /// A stored record does not match its checksum or its format.
    #[error("a stored record is damaged")]
    Corrupt,
    /// LMDB or the operating system failed.
    #[error("storage failed: {0}")]
    Failed(String),
}

/// What a read of a key found: None when it is absent or expired.
pub type ReadResult<'a> = Result<Option<Entry<'a>>, Error>;

/// A part of a batch, by its place among those of its kind, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A check.
    Check(usize),
    /// An operation.
    Operation(usize),
}

/// Why a batch was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct WriteError {
    /// Which part it went wrong with; None when it is not about one.
    pub part: Option<Part>,
    /// What went wrong.
    pub error: Error,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self { part: None, error }
    }
}

impl From<WriteError> for Error {
    fn from(refused: WriteError) -> Self {
        refused.error
    }
}

/// Why a data directory could not be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("{} is in use by another larder; stop that one first or name another directory with --data", .0.display())]
    InUse(PathBuf),
    /// The directory is open to other users.
    #[error("{} can be read or written by other users (mode {mode:o}, of user {owner}; this is user {user}); \
             run: chmod 700 {}; or name a directory in it with --data, which is made private", path.display(), path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whose it is.
        owner: u32,
        /// Who this process runs as.
        user: u32,
    },
    /// A file or the directory is another user's, and closed to this one.
    #[error("{} is user {owner}'s, and user {user}, as whom this runs, cannot use it; run: chown -R {user} on \
             the data directory, or run this as user {owner}", path.display())]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who this process runs as.
        user: u32,
    },
    /// The directory is on a network file system.
    #[error("{} is on a network file system ({kind}), where LMDB's locks and maps do not hold; name a directory on a disk of this machine with --data", path.display())]
    OnNetwork {
        /// The directory.
        path: PathBuf,
        /// Which file system.
        kind: &'static str,
    },
    /// A restore or an import into the directory was begun and not finished.
    #[error("{} is left from a restore or an import that did not end; run that again, or remove it to begin with no data", .0.display())]
    Unfinished(PathBuf),
    /// The data file is empty, which no store ever leaves it.
    #[error("{} is empty (0 bytes): something has cut it short; restore it from a backup, or remove it and \
             the file `store` beside it to begin with no data", .0.display())]
    Empty(PathBuf),
    /// There was a store, and its data file is gone.
    #[error("{} is missing, though {} tells that there was a store: is a volume not mounted, or was the \
             file moved? Put it back, restore a backup, or remove {} to begin with no data",
            data.display(), mark.display(), mark.display())]
    Missing {
        /// The data file.
        data: PathBuf,
        /// What tells of the store.
        mark: PathBuf,
    },
    /// The file ends before the last page that it must hold.
    #[error("{} is cut short: {found} bytes, {needed} needed; restore it from a backup", path.display())]
    Truncated {
        /// The data file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The least length that it must have.
        needed: u64,
    },
    /// The file was written by a newer larder.
    #[error("{} has storage format {found}, this larder knows up to {known}; use a newer larder", path.display())]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format that is understood.
        known: u32,
    },
    /// The data are of an older format, and could not be taken over into the present one.
    #[error("cannot take {} over from storage format 1: {source}; it is as it was, of format 1: make room \
             on the disk where that is what lacks, or run: larder check", path.display())]
    NotTakenOver {
        /// The data directory.
        path: PathBuf,
        /// LMDB's answer.
        source: heed::Error,
    },
    /// The process may not have the address space that the data are mapped into.
    #[error("cannot map {}: that takes {bytes} bytes of address space, more than this process may have; raise its limit (`ulimit -v`), or give `larder serve` less room with storage_bytes_max", path.display())]
    NoAddressSpace {
        /// The data file or directory.
        path: PathBuf,
        /// How much was asked for.
        bytes: usize,
    },
    /// A row that everything depends on is damaged or missing.
    #[error("{} is damaged ({what}); restore it from a backup", path.display())]
    Damaged {
        /// The data directory.
        path: PathBuf,
        /// Which row.
        what: &'static str,
    },
    /// LMDB refused the file.
    #[error("cannot open the database in {}: {source}", path.display())]
    Lmdb {
        /// The data directory.
        path: PathBuf,
        /// LMDB's answer.
        source: heed::Error,
    },
}
