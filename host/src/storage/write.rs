//! What the store can be asked to write. Each type exists only valid, so that an engine judges nothing
//! but the data. Knows no engine.

use std::num::NonZeroU64;

use bytes::Bytes;

use super::error::Error;
use super::lmdb::layout::RecordKey;
use super::types::{EXPIRY_MAX, NAME_BYTES_MAX, Version};
use crate::clock::Millis;

/// A namespace's name: 1 to 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceName(String);

impl NamespaceName {
    /// Takes a name of 1 to 256 bytes, else [`Error::InvalidName`].
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::InvalidName);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

/// One change. A list of them is applied whole or not at all.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Writes a key, replacing value, version and expiry together.
    Set {
        /// The record's key.
        key: RecordKey,
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
        /// The record's key.
        key: RecordKey,
        /// The version that the key must have.
        expected: Option<Version>,
    },
    /// Makes a namespace, or moves the `updated` of one that exists.
    Configure(NamespaceName),
    /// Writes the row of a token, or removes it. What it says is not storage's.
    Token {
        /// The token's id: 1 to 256 bytes.
        id: String,
        /// The row's content.
        content: Option<Bytes>,
    },
}

impl Operation {
    /// Bytes of memory that the operation holds while it waits, roughly.
    pub fn weight(&self) -> usize {
        let value = if let Operation::Set { value, .. } = self { value.len() } else { 0 };
        size_of::<Self>() + value
    }
}
