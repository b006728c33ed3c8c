//! The namespace table in memory: what reads and grants consult without a transaction. The writer
//! publishes to it after each commit, before it answers; nobody else changes it.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::layout::NamespaceRow;

/// All namespaces by name.
pub struct Namespaces {
    by_name: RwLock<HashMap<String, NamespaceRow>>,
}

impl Namespaces {
    /// Starts with what the database holds.
    pub fn new(found: Vec<(String, NamespaceRow)>) -> Self {
        Self { by_name: RwLock::new(found.into_iter().collect()) }
    }

    /// Looks one up.
    pub fn get(&self, name: &str) -> Option<NamespaceRow> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes over what a commit changed.
    pub fn publish(&self, changed: impl IntoIterator<Item = (String, NamespaceRow)>) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).extend(changed);
    }
}
