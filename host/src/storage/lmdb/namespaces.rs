//! The namespaces as reads and grants consult them, without a transaction. The writer publishes to it after
//! each commit, before it answers; nobody else changes it. What it counts is not here.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::layout::{NamespaceId, NamespaceRow};
use crate::storage::types::Namespace;

/// What is known of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its id.
    pub id: NamespaceId,
    /// What others see of it.
    pub namespace: Namespace,
}

#[derive(Default)]
struct Table {
    by_name: HashMap<Arc<str>, Known>,
    /// The same names in their order.
    names: BTreeSet<Arc<str>>,
}

/// All namespaces by name.
#[derive(Default)]
pub struct Namespaces {
    table: RwLock<Table>,
}

impl Namespaces {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks one up.
    pub fn get(&self, name: &str) -> Option<Known> {
        self.read().by_name.get(name).copied()
    }

    /// The first name after `after` that begins with `prefix`, in the order of bytes.
    pub fn next(&self, prefix: &str, after: Option<&str>) -> Option<(Arc<str>, Namespace)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let table = self.read();
        let name = table.names.range::<str, _>((from, Bound::Unbounded)).next()?;
        let known = table.by_name.get(name).filter(|_| name.starts_with(prefix))?;
        Some((Arc::clone(name), known.namespace))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.read().names.len()
    }

    /// Takes over what a commit changed; None is one that was deleted.
    pub fn publish(&self, changed: impl IntoIterator<Item = (Arc<str>, Option<NamespaceRow>)>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for (name, row) in changed {
            if let Some(NamespaceRow { id, created, updated, .. }) = row {
                table.names.insert(Arc::clone(&name));
                let namespace = Namespace { created, updated };
                table.by_name.insert(name, Known { id, namespace });
            } else {
                table.names.remove(&name);
                table.by_name.remove(&name);
            }
        }
    }
}
