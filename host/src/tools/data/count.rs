//! Counts keys and bytes of each namespace anew, while a check meets them, and compares them with what the
//! rows of the namespaces tell. Knows which ids are namespaces'; what else is wrong with a row is `check`'s.

use std::collections::HashMap;

use super::lmdb_file::Faults;
use crate::storage::lmdb::layout::{self, Counts, NamespaceId, StateRow};

/// The ids of namespaces, and what was met of each.
#[derive(Default)]
pub struct Count {
    by_id: HashMap<u32, Counted>,
}

struct Counted {
    /// What the row tells; None in data of a format whose rows tell nothing.
    told: Option<Counts>,
    found: Counts,
    /// Whether the namespace was deleted, and what it had is being removed.
    emptying: bool,
}

impl Count {
    /// Takes the row of a namespace, with what it tells.
    pub fn expect(
        &mut self,
        id: NamespaceId,
        state: Option<StateRow>,
        told: Option<Counts>,
    ) -> Result<(), String> {
        self.insert(id, state, Counted { told, found: Counts::default(), emptying: false })
    }

    /// Takes the row of a namespace that was deleted and is not empty yet.
    pub fn expect_emptying(
        &mut self,
        id: NamespaceId,
        state: Option<StateRow>,
        left: Counts,
    ) -> Result<(), String> {
        let counted = Counted { told: Some(left), found: Counts::default(), emptying: true };
        self.insert(id, state, counted)
    }

    fn insert(
        &mut self,
        NamespaceId(id): NamespaceId,
        state: Option<StateRow>,
        counted: Counted,
    ) -> Result<(), String> {
        if state.is_some_and(|state| id >= state.next_namespace.0) {
            return Err(format!("has id {id}, which was never given"));
        }
        if self.by_id.contains_key(&id) {
            return Err(format!("has id {id}, which another has too"));
        }
        self.by_id.insert(id, counted);
        Ok(())
    }

    /// Whether there is a namespace of this id, or was one that is being emptied.
    pub fn expects(&self, id: NamespaceId) -> bool {
        self.by_id.contains_key(&id.0)
    }

    /// Counts a record, damaged or not. Whether it belongs to a namespace that was deleted.
    pub fn add(&mut self, key: &[u8], stored: &[u8]) -> bool {
        let id = key.first_chunk().map(|id| u32::from_be_bytes(*id));
        let Some(counted) = id.and_then(|id| self.by_id.get_mut(&id)) else { return false };
        counted.found.keys += 1;
        counted.found.bytes += layout::counted_bytes(key, stored);
        counted.emptying
    }

    /// What is left of all namespaces that were deleted.
    pub fn emptying(&self) -> Counts {
        let emptying = self.by_id.values().filter(|counted| counted.emptying);
        emptying.fold(Counts::default(), |sum, counted| Counts {
            keys: sum.keys + counted.found.keys,
            bytes: sum.bytes + counted.found.bytes,
        })
    }

    /// Tells which rows do not tell what is there.
    pub fn compare(&self, faults: &mut Faults) {
        let mut ids: Vec<&u32> = self.by_id.keys().collect();
        ids.sort_unstable();
        for id in ids {
            let Counted { told, found, emptying } = &self.by_id[id];
            if let Some(told) = told.filter(|told| told != found) {
                let deleted = if *emptying { ", which was deleted," } else { "" };
                faults.add(format!(
                    "namespace {id}{deleted} has {} keys and {} bytes, its row tells {} and {}",
                    found.keys, found.bytes, told.keys, told.bytes
                ));
            }
        }
    }
}
