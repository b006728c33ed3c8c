//! What the store can be asked to write. Each type exists only valid, so that an engine judges nothing
//! but the data. Knows no engine.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::error::Error;
use super::types::{EXPIRY_MAX, NAME_BYTES_MAX, Version};
use crate::clock::Millis;

/// Refuses what cannot be a namespace's name or a key: both are 1 to 256 bytes.
pub fn check_name(name: &[u8]) -> Result<(), Error> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits { Ok(()) } else { Err(Error::InvalidName) }
}

/// A key of 1 to 256 bytes. It is kept in place, so that a write allocates nothing for it.
#[derive(Clone, Copy)]
pub struct Key {
    bytes: [u8; NAME_BYTES_MAX],
    length: u16,
}

impl Key {
    /// Takes a key of 1 to 256 bytes, else [`Error::InvalidName`].
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        check_name(key)?;
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..key.len()].copy_from_slice(key);
        Ok(Self { bytes, length: u16::try_from(key.len()).map_err(|_| Error::InvalidName)? })
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.as_bytes().escape_ascii())
    }
}

/// How long an entry is to live, in milliseconds; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(NonZeroU64);

impl Ttl {
    /// Takes a whole number of milliseconds from 1, else [`Error::ExpiryOutOfRange`].
    pub fn new(ms: u64) -> Result<Self, Error> {
        NonZeroU64::new(ms).map(Self).ok_or(Error::ExpiryOutOfRange)
    }

    /// The expiry of an entry written at `now`, if it can be stored.
    pub fn expiry(self, now: Millis) -> Result<Millis, Error> {
        let expiry = now.0.checked_add(self.0.get()).map(Millis);
        expiry.filter(|expiry| *expiry <= EXPIRY_MAX).ok_or(Error::ExpiryOutOfRange)
    }
}

/// What a set expects to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behavior {
    /// Anything.
    #[default]
    Upsert,
    /// No key.
    Insert,
    /// A key.
    Update,
}

/// One change of a namespace.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Writes a key, replacing value, version and expiry together.
    Set {
        /// The key.
        key: Key,
        /// The new value.
        value: Bytes,
        /// The version that the key must have; judged before `behavior`.
        expected: Option<Version>,
        /// What must be there.
        behavior: Behavior,
        /// How long the entry lives; for ever without.
        ttl: Option<Ttl>,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: Key,
        /// The version that the key must have.
        expected: Option<Version>,
    },
    /// Writes a key anew as it is, with another expiry.
    Touch {
        /// The key, which must be there.
        key: Key,
        /// The version that it must have.
        expected: Option<Version>,
        /// How long the entry lives from now on; for ever without.
        ttl: Option<Ttl>,
    },
    /// Adds to a number, which is kept as decimal text.
    Add {
        /// The key.
        key: Key,
        /// What is added.
        delta: i64,
        /// What an absent key counts as.
        initial: i64,
        /// What the sum must be within.
        bounds: RangeInclusive<i64>,
        /// The version that the key must have.
        expected: Option<Version>,
        /// How long an entry lives that this makes; one that is there keeps its expiry.
        ttl: Option<Ttl>,
    },
    /// Makes the namespace, or moves the `updated` of one that exists. Where it does not exist, this is
    /// the first of its list.
    Configure(QuotaChanges),
    /// Deletes the namespace, and all that is in it in the background. Alone in its list.
    DeleteNamespace,
}

/// What becomes of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is none any more.
    Lift,
    /// It is so many, below 2^53.
    Limit(u64),
}

impl QuotaChange {
    /// What the change makes of a quota.
    #[must_use]
    pub fn of(self, before: Option<u64>) -> Option<u64> {
        match self {
            Self::Keep => before,
            Self::Lift => None,
            Self::Limit(most) => Some(most),
        }
    }
}

/// What becomes of a namespace's quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaChanges {
    /// Of keys.
    pub keys: QuotaChange,
    /// Of bytes.
    pub bytes: QuotaChange,
}

/// A version that a key must have, 0 for absent, before anything of a batch is done.
#[derive(Clone, Debug)]
pub struct Check {
    /// The key.
    pub key: Key,
    /// The version.
    pub version: Version,
}

/// Operations of one namespace that are done in order, whole or not at all, if all checks hold.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The checks, all of which are judged before any operation.
    pub checks: Vec<Check>,
    /// The operations.
    pub operations: Vec<Operation>,
}

impl From<Vec<Operation>> for Batch {
    fn from(operations: Vec<Operation>) -> Self {
        Self { checks: Vec::new(), operations }
    }
}

impl Batch {
    /// Bytes of memory that it holds while it waits, roughly.
    pub fn weight(&self) -> usize {
        let operations = self.operations.iter().map(Operation::weight).sum::<usize>();
        size_of::<Check>() * self.checks.len() + operations
    }
}

impl Operation {
    /// Bytes of memory that the operation holds while it waits, roughly.
    fn weight(&self) -> usize {
        let value = if let Operation::Set { value, .. } = self { value.len() } else { 0 };
        size_of::<Self>() + value
    }
}
