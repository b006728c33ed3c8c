//! The ledger: every namespace with its quotas and counts, as the writer has it in memory, and the changes
//! that a transaction makes to it. Only the writer's thread has one. Knows rows; knows nothing of what an
//! operation means.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use heed::RwTxn;

use super::database::Database;
use super::layout::{self, Counts, NamespaceId, NamespaceRow};

/// A namespace and its name.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// What is stored of it.
    pub row: NamespaceRow,
}

/// The namespaces as of the newest commit.
#[derive(Default)]
pub struct Ledger {
    by_id: HashMap<NamespaceId, Named>,
    by_name: HashMap<Arc<str>, NamespaceId>,
    /// Those that were deleted and are not empty yet, with what is left.
    emptying: BTreeMap<NamespaceId, Counts>,
}

impl Ledger {
    /// The namespaces that a store was opened with.
    pub fn new(
        namespaces: impl IntoIterator<Item = (String, NamespaceRow)>,
        emptying: impl IntoIterator<Item = (NamespaceId, Counts)>,
    ) -> Self {
        let mut ledger = Self { emptying: emptying.into_iter().collect(), ..Self::default() };
        for (name, row) in namespaces {
            ledger.put(Named { name: name.into(), row });
        }
        ledger
    }

    fn put(&mut self, named: Named) {
        self.by_name.insert(Arc::clone(&named.name), named.row.id);
        self.by_id.insert(named.row.id, named);
    }
}

/// What a transaction makes of a namespace.
enum Change {
    Put(Named),
    Delete(Named),
}

/// The ledger with the changes of a transaction that is not committed yet.
pub struct Revision<'a> {
    ledger: &'a Ledger,
    changes: Changes,
}

/// The changes of a transaction.
#[derive(Default)]
pub struct Changes {
    namespaces: HashMap<NamespaceId, Change>,
    /// What is left to be removed; None when that is nothing.
    emptying: HashMap<NamespaceId, Option<Counts>>,
}

impl<'a> Revision<'a> {
    /// No changes yet.
    pub fn new(ledger: &'a Ledger) -> Self {
        Self { ledger, changes: Changes::default() }
    }

    /// The changes.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    /// A namespace by its id.
    pub fn by_id(&self, id: NamespaceId) -> Option<&Named> {
        match self.changes.namespaces.get(&id) {
            Some(Change::Put(named)) => Some(named),
            Some(Change::Delete(_)) => None,
            None => self.ledger.by_id.get(&id),
        }
    }

    /// A namespace by its name.
    pub fn by_name(&self, name: &str) -> Option<&Named> {
        let known = self.ledger.by_name.get(name).and_then(|id| self.by_id(*id));
        known.or_else(|| {
            self.changes.namespaces.values().find_map(|change| match change {
                Change::Put(named) if *named.name == *name => Some(named),
                _ => None,
            })
        })
    }

    /// How many namespaces there are.
    pub fn len(&self) -> u64 {
        let changes = self.changes.namespaces.iter();
        let (mut made, mut gone) = (0, 0);
        for (id, change) in changes {
            match (change, self.ledger.by_id.contains_key(id)) {
                (Change::Put(_), false) => made += 1,
                (Change::Delete(_), true) => gone += 1,
                _ => {}
            }
        }
        self.ledger.by_id.len() as u64 + made - gone
    }

    /// Makes a namespace, or changes it.
    pub fn put(&mut self, named: Named) {
        self.changes.namespaces.insert(named.row.id, Change::Put(named));
    }

    /// Deletes a namespace. What it has is to be removed.
    pub fn delete(&mut self, named: Named) {
        let NamespaceRow { id, counts, .. } = named.row;
        if counts != Counts::default() {
            self.changes.emptying.insert(id, Some(counts));
        }
        self.changes.namespaces.insert(id, Change::Delete(named));
    }

    /// The first namespace that was deleted and is not empty yet.
    pub fn first_emptying(&self) -> Option<NamespaceId> {
        let mut known = self.ledger.emptying.keys();
        // They are in order: those that were emptied in this transaction are all that is passed over.
        let left = known.find(|id| !matches!(self.changes.emptying.get(id), Some(None)));
        let new = self.changes.emptying.iter().filter(|(_, left)| left.is_some());
        left.into_iter().chain(new.map(|(id, _)| id)).min().copied()
    }

    /// A record of a namespace is removed that counts so many bytes.
    pub fn count_out(&mut self, id: NamespaceId, bytes: u64) {
        if let Some(named) = self.by_id(id) {
            let mut named = named.clone();
            named.row.counts = without(named.row.counts, bytes);
            self.put(named);
        } else if let Some(left) = self.left(id) {
            self.changes.emptying.insert(id, Some(without(left, bytes)));
        }
    }

    /// What is left to be removed of a namespace that was deleted.
    fn left(&self, id: NamespaceId) -> Option<Counts> {
        match self.changes.emptying.get(&id) {
            Some(left) => *left,
            None => self.ledger.emptying.get(&id).copied(),
        }
    }

    /// Nothing of a namespace that was deleted is left.
    pub fn emptied(&mut self, id: NamespaceId) {
        self.changes.emptying.insert(id, None);
    }
}

/// Counts without one key. They never fall below nothing, should a damaged record have changed its length.
fn without(counts: Counts, bytes: u64) -> Counts {
    Counts { keys: counts.keys.saturating_sub(1), bytes: counts.bytes.saturating_sub(bytes) }
}

impl Changes {
    /// Writes the rows of what was changed.
    pub fn write(&self, database: &Database, txn: &mut RwTxn<'_>) -> Result<(), heed::Error> {
        // A name may go from one namespace to another.
        for change in self.namespaces.values() {
            if let Change::Delete(named) = change {
                database.namespaces.delete(txn, named.name.as_bytes())?;
            }
        }
        for change in self.namespaces.values() {
            if let Change::Put(named) = change {
                let name = named.name.as_bytes();
                database.namespaces.put(txn, name, &named.row.encode(name))?;
            }
        }
        for (id, left) in &self.emptying {
            let key = layout::emptying_key(*id);
            match left {
                Some(left) => {
                    database.emptying.put(txn, &key, &layout::encode_emptying(&key, *left))?;
                }
                None => drop(database.emptying.delete(txn, &key)?),
            }
        }
        Ok(())
    }

    /// Takes the changes over, once they are committed, and returns what others must learn of it: by name what
    /// became of namespaces that were made, changed beyond their counts, or deleted (None).
    pub fn publish_to(self, ledger: &mut Ledger) -> Vec<(Arc<str>, Option<NamespaceRow>)> {
        let mut told = Vec::new();
        let mut puts = Vec::new();
        for (id, change) in self.namespaces {
            match change {
                Change::Delete(named) => {
                    ledger.by_id.remove(&id);
                    ledger.by_name.remove(&named.name);
                    told.push((named.name, None));
                }
                Change::Put(named) => puts.push(named),
            }
        }
        for named in puts {
            let before = ledger.by_id.get(&named.row.id).map(|before| before.row);
            let counted = before.map(|before| NamespaceRow { counts: named.row.counts, ..before });
            if counted != Some(named.row) {
                told.push((Arc::clone(&named.name), Some(named.row)));
            }
            ledger.put(named);
        }
        for (id, left) in self.emptying {
            match left {
                Some(left) => drop(ledger.emptying.insert(id, left)),
                None => drop(ledger.emptying.remove(&id)),
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;
    use crate::storage::types::Quotas;

    fn row(id: u32, keys: u64) -> NamespaceRow {
        let counts = Counts { keys, bytes: 10 * keys };
        let (created, updated, quotas) = (Millis(1), Millis(1), Quotas::default());
        NamespaceRow { id: NamespaceId(id), created, updated, quotas, counts }
    }

    fn ledger() -> Ledger {
        Ledger::new([("a".to_owned(), row(1, 3)), ("b".to_owned(), row(2, 0))], [])
    }

    #[test]
    fn a_name_that_is_deleted_and_made_again_is_another_namespace() {
        let mut ledger = ledger();
        let mut revision = Revision::new(&ledger);
        let old = revision.by_name("a").cloned().expect("a");
        revision.delete(old);
        assert!(revision.by_name("a").is_none() && revision.by_id(NamespaceId(1)).is_none());
        assert_eq!((revision.len(), revision.first_emptying()), (1, Some(NamespaceId(1))));
        revision.put(Named { name: "a".into(), row: row(7, 0) });
        assert_eq!(revision.by_name("a").map(|named| named.row.id), Some(NamespaceId(7)));
        assert_eq!(revision.len(), 2);
        let told = revision.into_changes().publish_to(&mut ledger);
        assert_eq!(told.last().map(|(_, row)| row.map(|row| row.id)), Some(Some(NamespaceId(7))));
        let revision = Revision::new(&ledger);
        assert_eq!(revision.by_name("a").map(|named| named.row.id), Some(NamespaceId(7)));
        assert_eq!(revision.first_emptying(), Some(NamespaceId(1)));
    }

    #[test]
    fn what_is_counted_out_belongs_to_a_namespace_or_to_what_is_left_of_one() {
        let mut ledger = ledger();
        let mut revision = Revision::new(&ledger);
        revision.count_out(NamespaceId(1), 10);
        let left = Counts { keys: 2, bytes: 20 };
        assert_eq!(revision.by_id(NamespaceId(1)).map(|named| named.row.counts), Some(left));
        assert!(
            revision.into_changes().publish_to(&mut ledger).is_empty(),
            "counts alone are not told"
        );
        let mut revision = Revision::new(&ledger);
        let named = revision.by_name("a").cloned().expect("a");
        revision.delete(named);
        revision.count_out(NamespaceId(1), 10);
        revision.into_changes().publish_to(&mut ledger);
        assert_eq!(ledger.emptying.get(&NamespaceId(1)), Some(&Counts { keys: 1, bytes: 10 }));
        let mut revision = Revision::new(&ledger);
        revision.emptied(NamespaceId(1));
        assert_eq!(revision.first_emptying(), None);
        revision.into_changes().publish_to(&mut ledger);
        assert!(ledger.emptying.is_empty());
    }

    #[test]
    fn an_empty_namespace_leaves_nothing_to_be_emptied() {
        let ledger = ledger();
        let mut revision = Revision::new(&ledger);
        let named = revision.by_name("b").cloned().expect("b");
        revision.delete(named);
        assert_eq!(revision.first_emptying(), None);
    }
}
