//! What a guest asks to be changed, and what became of it, as its handles stand for them. Knows neither
//! `wit/` nor what a guest may do.

use std::sync::Arc;

use bytes::Bytes;

use super::guest_memory::Charge;
use crate::storage::{Behavior, Outcome};

/// Changes of one namespace, in their order, as they were asked for: nothing of them is judged yet.
pub struct Changes {
    /// The namespace's name.
    pub namespace: String,
    /// The changes.
    pub list: Vec<Change>,
    /// What large values are charged by until they are queued.
    pub charges: Vec<Arc<Charge>>,
}

/// One change.
pub enum Change {
    /// Writes a key.
    Set(String, Bytes, SetOptions),
    /// Deletes a key, if it has this version.
    Delete(String, Option<u64>),
    /// Makes the namespace, or says that it was looked after.
    Configure,
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
