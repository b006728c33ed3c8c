//! Faults that are planted between a server and the threads that use its namespaces, so that the trials can
//! show that they would see them. Each lie is what a broken server would do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::op::{Behavior, Change, Changed, Listing, Op, Outcome, Store, Usage};

/// How long a torn read is torn.
const TORN: Duration = Duration::from_millis(3);

/// How a server could be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// A page is made of two snapshots.
    PageTorn,
    /// Several keys are read at two instants.
    ManyTorn,
    /// Of a batch the first half is done, and all of it acknowledged.
    BatchHalved,
    /// Checks are judged after the changes.
    CheckLate,
    /// An add is acknowledged and not done.
    AddLost,
    /// A count is off by one.
    CountDrifts,
    /// What was written before a namespace was deleted is in the one that is made after it.
    SuccessorInherits,
    /// A touch loses the value.
    TouchLoses,
    /// A write beyond a quota is done.
    QuotaExceeded,
}

impl Lie {
    /// All of them.
    pub const ALL: [Lie; 9] = [
        Lie::PageTorn,
        Lie::ManyTorn,
        Lie::BatchHalved,
        Lie::CheckLate,
        Lie::AddLost,
        Lie::CountDrifts,
        Lie::SuccessorInherits,
        Lie::TouchLoses,
        Lie::QuotaExceeded,
    ];
}

/// By namespace, the set that was acknowledged last: what liars have seen.
#[derive(Default)]
pub struct Memory(HashMap<String, Change>);

/// A store that lies now and then.
pub struct Liar<S> {
    inner: S,
    lie: Lie,
    memory: Arc<Mutex<Memory>>,
    rng: Rng,
}

impl<S: Store> Liar<S> {
    /// Lies about `inner` with what all liars that share `memory` have seen.
    #[must_use]
    pub fn new(inner: S, lie: Lie, memory: &Arc<Mutex<Memory>>, rng: Rng) -> Self {
        Self { inner, lie, memory: Arc::clone(memory), rng }
    }

    fn lie(&mut self, name: &str, op: &Op) -> Option<Outcome> {
        match (self.lie, op) {
            (Lie::PageTorn, Op::List(listing)) => self.torn_page(name, listing),
            (Lie::ManyTorn, Op::GetMany(keys)) => self.torn_many(name, keys),
            (Lie::BatchHalved, Op::Batch { checks, changes }) => self.halved(name, checks, changes),
            (Lie::CheckLate, Op::Batch { checks, changes }) => {
                // A check that fails before a change of its key may hold after it.
                let is_changed =
                    |key: &String| changes.iter().any(|change| change.condition().0 == key);
                let checks = checks.iter().filter(|(key, _)| !is_changed(key)).cloned().collect();
                Some(self.inner.call(name, &Op::Batch { checks, changes: changes.clone() }))
            }
            (Lie::AddLost, Op::One(Change::Add { key, delta, .. })) => {
                let newest = self.newest(name)?;
                let found = match self.inner.call(name, &Op::Get(key.clone())) {
                    Outcome::Got(Some(entry)) => entry.value.parse::<i64>().ok()?,
                    _ => return None,
                };
                let sum = found.checked_add(*delta)?;
                let results = vec![Changed::Added(sum, newest + 1)];
                Some(Outcome::Done { results, newest: newest + 1 })
            }
            (Lie::CountDrifts, Op::Usage) => match self.inner.call(name, op) {
                Outcome::Used(usage) => {
                    Some(Outcome::Used(Usage { keys: usage.keys + 1, ..usage }))
                }
                other => Some(other),
            },
            (Lie::SuccessorInherits, Op::Configure { .. }) => {
                let outcome = self.inner.call(name, op);
                let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                let change = memory.0.get(name).cloned();
                drop(memory);
                if let Some(change) = change {
                    self.inner.call(name, &Op::One(change));
                }
                Some(outcome)
            }
            (Lie::TouchLoses, Op::One(Change::Touch { key, ttl_ms, expected })) => {
                let (key, ttl_ms, expected) = (key.clone(), *ttl_ms, *expected);
                let (value, behavior) = (String::new(), Behavior::Update);
                let set = Change::Set { key, value, ttl_ms, behavior, expected };
                Some(self.inner.call(name, &Op::One(set)))
            }
            (Lie::QuotaExceeded, Op::One(_) | Op::Batch { .. }) => self.exceeding(name, op),
            _ => None,
        }
    }

    fn newest(&mut self, name: &str) -> Option<u64> {
        match self.inner.call(name, &Op::GetMany(vec!["c".to_owned()])) {
            Outcome::Many { newest, .. } => Some(newest),
            _ => None,
        }
    }

    fn torn_page(&mut self, name: &str, listing: &Listing) -> Option<Outcome> {
        let op = Op::List(Listing { limit: 100, ..listing.clone() });
        let Outcome::Page { rows: mut first, newest, .. } = self.inner.call(name, &op) else {
            return None;
        };
        thread::sleep(TORN);
        let Outcome::Page { rows: second, .. } = self.inner.call(name, &op) else { return None };
        // From some key on as it is now.
        first.truncate(first.len() / 2);
        let last = first.last().map(|row| row.key.clone());
        let is_rest = |key: &String| match &last {
            Some(last) if listing.reverse => key < last,
            Some(last) => key > last,
            None => true,
        };
        first.extend(second.into_iter().filter(|row| is_rest(&row.key)));
        let after = (first.len() > listing.limit).then(|| first[listing.limit - 1].key.clone());
        first.truncate(listing.limit);
        Some(Outcome::Page { rows: first, after, newest })
    }

    fn torn_many(&mut self, name: &str, keys: &[String]) -> Option<Outcome> {
        let op = Op::GetMany(keys.to_vec());
        let Outcome::Many { entries: mut first, newest } = self.inner.call(name, &op) else {
            return None;
        };
        thread::sleep(TORN);
        let Outcome::Many { entries: second, .. } = self.inner.call(name, &op) else { return None };
        let half = keys.len() / 2;
        first.truncate(half);
        first.extend_from_slice(second.get(half..)?);
        Some(Outcome::Many { entries: first, newest })
    }

    fn halved(
        &mut self,
        name: &str,
        checks: &[(String, u64)],
        changes: &[Change],
    ) -> Option<Outcome> {
        let half = changes[..changes.len().div_ceil(2)].to_vec();
        let op = Op::Batch { checks: checks.to_vec(), changes: half };
        let Outcome::Done { mut results, mut newest } = self.inner.call(name, &op) else {
            return None;
        };
        for change in &changes[results.len()..] {
            results.push(match change {
                Change::Delete { .. } => Changed::Deleted(true),
                Change::Add { delta, .. } => Changed::Added(*delta, newest + 1),
                Change::Set { .. } | Change::Touch { .. } => Changed::Written(newest + 1),
            });
            newest += 1;
        }
        Some(Outcome::Done { results, newest })
    }

    fn exceeding(&mut self, name: &str, op: &Op) -> Option<Outcome> {
        let Outcome::Full(_) = self.inner.call(name, op) else { return None };
        let Outcome::Used(Usage { keys_max, bytes_max, .. }) = self.inner.call(name, &Op::Usage)
        else {
            return None;
        };
        let lifted = Op::Configure { keys_max: Some(None), bytes_max: Some(None) };
        self.inner.call(name, &lifted);
        let outcome = self.inner.call(name, op);
        let again = Op::Configure { keys_max: Some(keys_max), bytes_max: Some(bytes_max) };
        self.inner.call(name, &again);
        Some(outcome)
    }

    fn remember(&self, name: &str, op: &Op, outcome: &Outcome) {
        if let (Op::One(set @ Change::Set { expected: None, .. }), Outcome::Done { .. }) =
            (op, outcome)
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.0.insert(name.to_owned(), set.clone());
        }
    }
}

impl<S: Store> Store for Liar<S> {
    fn call(&mut self, namespace: &str, op: &Op) -> Outcome {
        let lied = if self.rng.u8(..4) == 0 { self.lie(namespace, op) } else { None };
        lied.unwrap_or_else(|| {
            let outcome = self.inner.call(namespace, op);
            self.remember(namespace, op, &outcome);
            outcome
        })
    }
}
