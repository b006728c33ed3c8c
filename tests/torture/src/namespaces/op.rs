//! The operations of a namespace as trials use them, and what came of each. Knows neither how they travel nor
//! what should come of them.

pub use crate::op::{Behavior, Entry};

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a key.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// How long it lives.
        ttl_ms: Option<u64>,
        /// What must be there.
        behavior: Behavior,
        /// The version that must be there.
        expected: Option<u64>,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: String,
        /// The version that must be there.
        expected: Option<u64>,
    },
    /// Gives a key another expiry.
    Touch {
        /// The key.
        key: String,
        /// How long it lives from now on.
        ttl_ms: Option<u64>,
        /// The version that must be there.
        expected: Option<u64>,
    },
    /// Adds to a number.
    Add {
        /// The key.
        key: String,
        /// What is added.
        delta: i64,
        /// What an absent key counts as.
        initial: i64,
        /// The most that the sum may be.
        max: Option<i64>,
        /// How long a key lives that this makes.
        ttl_ms: Option<u64>,
        /// The version that must be there.
        expected: Option<u64>,
    },
}

impl Change {
    /// Its key, and the version that it demands.
    #[must_use]
    pub fn condition(&self) -> (&str, Option<u64>) {
        match self {
            Self::Set { key, expected, .. }
            | Self::Delete { key, expected }
            | Self::Touch { key, expected, .. }
            | Self::Add { key, expected, .. } => (key, *expected),
        }
    }
}

/// Which entries are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What their keys begin with.
    pub prefix: String,
    /// Only beyond this key.
    pub after: Option<String>,
    /// Most of them.
    pub limit: usize,
    /// From the last to the first.
    pub reverse: bool,
    /// Whether values are wanted.
    pub values: bool,
}

/// What becomes of a quota: nothing, or it is another one, or none.
pub type QuotaChange = Option<Option<u64>>;

/// An operation on a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads a key.
    Get(String),
    /// Reads a page.
    List(Listing),
    /// Reads several keys.
    GetMany(Vec<String>),
    /// Changes one key.
    One(Change),
    /// Changes several, all or none.
    Batch {
        /// Versions that keys must have before it.
        checks: Vec<(String, u64)>,
        /// The changes, in their order.
        changes: Vec<Change>,
    },
    /// Asks what the namespace takes.
    Usage,
    /// Makes the namespace, and changes its quotas.
    Configure {
        /// Of keys.
        keys_max: QuotaChange,
        /// Of bytes.
        bytes_max: QuotaChange,
    },
    /// Deletes the namespace.
    DeleteNamespace,
}

impl Op {
    /// Whether it may change something.
    #[must_use]
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Get(_) | Self::List(_) | Self::GetMany(_) | Self::Usage)
    }

    /// The checks and changes, of an operation that changes keys.
    #[must_use]
    pub fn parts(&self) -> Option<Parts<'_>> {
        match self {
            Self::One(change) => Some((&[], std::slice::from_ref(change))),
            Self::Batch { checks, changes } => Some((checks, changes)),
            _ => None,
        }
    }
}

/// An entry of a page; the value is there when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Option<String>,
    /// The version that wrote it.
    pub version: u64,
    /// When it expires.
    pub expiry: Option<u64>,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A set or a touch wrote this version.
    Written(u64),
    /// An add made this sum with this version.
    Added(i64, u64),
    /// A delete found something, or nothing.
    Deleted(bool),
}

/// The part of a batch that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A check, by its number.
    Check(usize),
    /// A change, by its number.
    Change(usize),
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another version is there.
    Version,
    /// A key is there.
    Exists,
    /// No key is there.
    NotFound,
    /// The value is no number.
    NotANumber,
    /// The sum is not one of 64 bits.
    Overflow,
    /// The sum is not within its bounds.
    OutOfBounds,
}

/// A quota of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Of keys.
    Keys,
    /// Of bytes.
    Bytes,
}

/// What a namespace takes, and may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// The most keys.
    pub keys_max: Option<u64>,
    /// The most bytes.
    pub bytes_max: Option<u64>,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A get was answered.
    Got(Option<Entry>),
    /// A page.
    Page {
        /// Its entries.
        rows: Vec<Row>,
        /// Where it goes on.
        after: Option<String>,
        /// The newest version of its instant.
        newest: u64,
    },
    /// What several keys hold.
    Many {
        /// By the keys.
        entries: Vec<Option<Entry>>,
        /// The newest version of the instant.
        newest: u64,
    },
    /// Changes were done.
    Done {
        /// What each did.
        results: Vec<Changed>,
        /// The newest version that they drew, or that there was.
        newest: u64,
    },
    /// What the namespace takes.
    Used(Usage),
    /// The namespace was configured, with this version.
    Configured(u64),
    /// The namespace was deleted with this version; or was not there, and this was the newest version.
    NamespaceDeleted(bool, u64),
    /// A condition did not hold, and nothing was done.
    Conflict {
        /// Whose condition.
        part: Part,
        /// Which condition.
        fault: Fault,
        /// The newest version of the server then.
        newest: u64,
    },
    /// A quota would be exceeded, and nothing was done.
    Full(Quota),
    /// There is no such namespace.
    NoNamespace,
    /// Whether it happened is not known.
    Unknown(String),
    /// Any other answer.
    Wrong(String),
}

/// Something that carries out operations on namespaces.
pub trait Store {
    /// Carries one out on the namespace of this name.
    fn call(&mut self, namespace: &str, op: &Op) -> Outcome;
}

/// Checks, as keys and versions, and changes.
pub type Parts<'a> = (&'a [(String, u64)], &'a [Change]);
