//! What a batch will do to the trees once all of it is known to hold: a list of plans, in which later
//! operations find what earlier ones will leave. Knows keys and records; judges nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use super::layout::RecordKey;
use crate::clock::Millis;
use crate::storage::types::Version;

/// What one operation will do.
pub enum Plan<'a> {
    /// Writes a record.
    Put(Put<'a>),
    /// Removes one.
    Remove {
        /// Its key.
        key: RecordKey,
        /// The expiry under which it is indexed.
        indexed: Option<Millis>,
    },
    /// Nothing of a key.
    Nothing,
}

/// A record to be written.
pub struct Put<'a> {
    /// Its key.
    pub key: RecordKey,
    /// Its version.
    pub version: Version,
    /// When it expires.
    pub expiry: Option<Millis>,
    /// Its value.
    pub value: Cow<'a, [u8]>,
    /// The expiry under which what it replaces is indexed.
    pub replaced: Option<Millis>,
}

/// The plans of a batch, in the order of its operations.
#[derive(Default)]
pub struct Plans<'a> {
    list: Vec<Plan<'a>>,
    /// The newest plan of each key, when there are several plans.
    by_key: HashMap<Vec<u8>, usize>,
}

impl<'a> Plans<'a> {
    /// None yet, of so many operations.
    pub fn for_operations(count: usize) -> Self {
        Self { list: Vec::with_capacity(count), by_key: HashMap::new() }
    }

    /// Adds the next operation's plan, which `more` follow.
    pub fn push(&mut self, plan: Plan<'a>, more: bool) {
        let key = match &plan {
            Plan::Put(Put { key, .. }) | Plan::Remove { key, .. } => Some(key),
            Plan::Nothing => None,
        };
        if let Some(key) = key.filter(|_| more || !self.by_key.is_empty()) {
            self.by_key.insert(key.as_bytes().to_vec(), self.list.len());
        }
        self.list.push(plan);
    }

    /// The newest plan of a key.
    pub fn of(&self, key: &RecordKey) -> Option<&Plan<'a>> {
        self.by_key.get(key.as_bytes()).and_then(|at| self.list.get(*at))
    }
}

impl<'a> IntoIterator for Plans<'a> {
    type Item = Plan<'a>;
    type IntoIter = std::vec::IntoIter<Plan<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
