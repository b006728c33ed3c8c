//! What a guest asks to be changed, and what became of it, as its handles stand for them. Knows neither
//! `wit/` nor what a guest may do.

use std::sync::Arc;

use bytes::Bytes;

use super::guest_memory::Charge;
use crate::storage::{Behavior, Outcome, QuotaChanges};

/// Changes of one namespace, in their order, as they were asked for: nothing of them is judged yet.
pub struct Changes {
    /// The namespace's name.
    pub namespace: String,
    /// What must hold before any of them: keys and their versions.
    pub checks: Vec<(String, u64)>,
    /// The changes.
    pub list: Vec<Change>,
    /// What large values are charged by until they are queued.
    pub charges: Vec<Arc<Charge>>,
}

impl Changes {
    /// None yet, of the namespace of this name.
    #[must_use]
    pub fn new(namespace: String) -> Self {
        Self { namespace, checks: Vec::new(), list: Vec::with_capacity(1), charges: Vec::new() }
    }
}

/// One change.
pub enum Change {
    /// Writes a key.
    Set(String, Bytes, SetOptions),
    /// Deletes a key, if it has this version.
    Delete(String, Option<u64>),
    /// Gives a key another time to live, or none, if it has this version.
    Touch(String, Option<u64>, Option<u64>),
    /// Adds to a number.
    Add(String, i64, AddOptions),
    /// Makes the namespace, or says that it was looked after; and sets quotas.
    Configure(QuotaChanges),
    /// Deletes the namespace.
    DeleteNamespace,
}

/// Conditions and lifetime of an add.
#[derive(Clone, Copy, Debug)]
pub struct AddOptions {
    /// What an absent key counts as.
    pub initial: i64,
    /// The least that the sum may be.
    pub min: Option<i64>,
    /// The most that the sum may be.
    pub max: Option<i64>,
    /// Time to live of a key that is made, in milliseconds.
    pub ttl: Option<u64>,
    /// The version that the key must have.
    pub version: Option<u64>,
}

/// Conditions and lifetime of a set.
#[derive(Clone, Copy, Debug)]
pub struct SetOptions {
    /// What must be there.
    pub behavior: Behavior,
    /// The version that the key must have.
    pub version: Option<u64>,
    /// Time to live, in milliseconds.
    pub ttl: Option<u64>,
}

/// What changes did, in their order.
pub struct Outcomes(pub Vec<Outcome>);
