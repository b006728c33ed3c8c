//! The vocabulary of the store, which its face, its engine and its callers share: limits, versions,
//! namespaces, entries, lists and outcomes. What a write may ask for is `write`'s. Knows no engine.

use std::fmt;

use crate::clock::Millis;

/// The namespace that exists from the start.
pub const DEFAULT_NAMESPACE: &str = "default";
/// Namespaces that there may be: all of them are in memory.
pub const NAMESPACES_MAX: u64 = 100_000;
/// Longest key and longest namespace name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest value that a server can be told to take, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
/// The last instant that can be stored as an expiry: the end of the year 9999.
pub const EXPIRY_MAX: Millis = Millis(253_402_207_200_999);
/// Versions stay below this, so that a double holds them exactly.
pub const VERSION_LIMIT: u64 = 1 << 53;

/// Quotas stay below this, for the same reason.
pub const QUOTA_LIMIT: u64 = 1 << 53;

/// A version: rises over all writes of the server, never used twice, 0 for "absent".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// What an absent or expired key has.
    pub const ABSENT: Version = Version(0);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A namespace, as those who use it see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// When it was first configured.
    pub created: Millis,
    /// When it was last configured.
    pub updated: Millis,
}

/// The most that a namespace may have. None: as much as the store has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Keys, expired ones that are not removed yet included.
    pub keys_max: Option<u64>,
    /// Bytes of keys and values.
    pub bytes_max: Option<u64>,
}

/// A quota of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// [`Quotas::keys_max`].
    Keys,
    /// [`Quotas::bytes_max`].
    Bytes,
}

/// What a namespace has and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Keys, expired ones that are not removed yet included.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// The most of each.
    pub quotas: Quotas,
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What a set or a touch wrote.
    Set {
        /// The version.
        version: Version,
        /// Whether the key was there before.
        existed: bool,
    },
    /// What an add made.
    Added {
        /// The sum.
        sum: i64,
        /// The version that has it.
        version: Version,
    },
    /// What a delete found.
    Deleted {
        /// Whether there was a key, or a namespace, to delete.
        existed: bool,
        /// The version drawn for the deletion, or the newest of all when there was none.
        version: Version,
    },
    /// A namespace after `configure`.
    Configured {
        /// The namespace.
        namespace: Namespace,
        /// The version drawn for the change.
        version: Version,
    },
    /// Whether a row of the host's own was there before it was written or removed.
    SystemRow {
        /// It was.
        existed: bool,
    },
}

/// What a key holds, borrowed from the database for the length of a closure.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The value's bytes.
    pub value: &'a [u8],
    /// The version that wrote them.
    pub version: Version,
    /// When the entry expires.
    pub expiry: Option<Millis>,
}

/// Which entries are listed, and in what order: by the bytes of their keys.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Those whose keys begin with one of these, which are sorted, and none of which begins with another.
    pub prefixes: &'a [&'a str],
    /// Those beyond this key.
    pub after: Option<&'a [u8]>,
    /// From the last to the first.
    pub reverse: bool,
    /// Whether values are wanted: without, of large records only the head is read.
    pub values: bool,
    /// How many rows are looked at, at most.
    pub rows_max: usize,
}

/// An entry of a list. The record is None where it is damaged; without values, the value is empty.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What it holds.
    pub entry: Option<Entry<'a>>,
}

/// Where a part of a list ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEnd {
    /// The key that was looked at last, when there may be more.
    pub after: Option<Vec<u8>>,
    /// The newest version of all at the instant that the part tells of.
    pub newest: Version,
}

/// A table of rows that the store keeps for the host itself. What they say is not the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemTable {
    /// Tokens.
    Tokens,
}

/// The rows of such a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SystemRows {
    /// By id, what each row says; None where that is damaged.
    pub rows: Vec<(String, Option<Vec<u8>>)>,
    /// Ids that are damaged themselves, escaped.
    pub damaged_ids: Vec<String>,
}

/// Expired means absent, from the expiry's very millisecond on.
pub fn is_expired(expiry: Option<Millis>, now: Millis) -> bool {
    expiry.is_some_and(|expiry| now >= expiry)
}
