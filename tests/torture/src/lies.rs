//! Faults that are planted between a server and its clients, so that trials can show that they would
//! see them. Each lie is what a broken server would do; a trial that lets one pass proves nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

use crate::op::{Behavior, Entry, Op, Outcome, Store};

/// How a server could be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// A get is answered with what an earlier one found.
    StaleRead,
    /// A set is acknowledged and not done.
    SetLost,
    /// A delete is acknowledged and not done.
    DeleteLost,
    /// The version that a write demands is not looked at.
    VersionIgnored,
    /// An insert overwrites.
    InsertOverwrites,
    /// An update creates.
    UpdateCreates,
    /// What was deleted comes back.
    Resurrected,
    /// What has a time to live stays for ever.
    TtlDropped,
    /// What has a time to live goes before its time.
    TtlShortened,
    /// A write that is refused is done all the same.
    ConflictApplied,
    /// A write is done again, later.
    AppliedAgain,
    /// A get is answered with another key's entry.
    WrongKey,
    /// A set is answered with a version that was given out before.
    VersionReused,
    /// A get is answered with another version's value.
    ValueMixed,
}

impl Lie {
    /// All of them.
    pub const ALL: [Lie; 14] = [
        Lie::StaleRead,
        Lie::SetLost,
        Lie::DeleteLost,
        Lie::VersionIgnored,
        Lie::InsertOverwrites,
        Lie::UpdateCreates,
        Lie::Resurrected,
        Lie::TtlDropped,
        Lie::TtlShortened,
        Lie::ConflictApplied,
        Lie::AppliedAgain,
        Lie::WrongKey,
        Lie::VersionReused,
        Lie::ValueMixed,
    ];
}

/// What liars have seen.
#[derive(Default)]
pub struct Memory {
    read: HashMap<String, Vec<Option<Entry>>>,
    deleted: HashMap<String, String>,
    version: u64,
}

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

    fn lie(&mut self, key: &str, op: &Op) -> Option<Outcome> {
        match (self.lie, op) {
            (Lie::StaleRead, Op::Get) => {
                let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.read.get(key)?.first().cloned().map(Outcome::Got)
            }
            (Lie::WrongKey, Op::Get) => {
                let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                let other = memory.read.iter().find(|(other, _)| *other != key)?;
                other
                    .1
                    .iter()
                    .rev()
                    .flatten()
                    .next()
                    .cloned()
                    .map(|entry| Outcome::Got(Some(entry)))
            }
            (Lie::ValueMixed, Op::Get) => match self.inner.call(key, op) {
                Outcome::Got(Some(entry)) => {
                    Some(Outcome::Got(Some(Entry { version: entry.version + 1, ..entry })))
                }
                other => Some(other),
            },
            (Lie::SetLost, Op::Set { .. }) => {
                let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                Some(Outcome::Written(memory.version + 1))
            }
            (Lie::DeleteLost, Op::Delete { expected: None }) => {
                let found = self.inner.call(key, &Op::Get);
                Some(Outcome::Deleted(matches!(found, Outcome::Got(Some(_)))))
            }
            (Lie::VersionReused, Op::Set { .. }) => match self.inner.call(key, op) {
                Outcome::Written(version) => Some(Outcome::Written(version.saturating_sub(1))),
                other => Some(other),
            },
            (Lie::AppliedAgain, Op::Set { expected: None, behavior: Behavior::Upsert, .. }) => {
                let first = self.inner.call(key, op);
                self.inner.call(key, op);
                Some(first)
            }
            (Lie::Resurrected, Op::Delete { .. }) => {
                let outcome = self.inner.call(key, op);
                let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                let value = memory.deleted.get(key).cloned();
                drop(memory);
                if let (Outcome::Deleted(true), Some(value)) = (&outcome, value) {
                    self.inner.call(key, &Op::set(value));
                }
                Some(outcome)
            }
            (Lie::ConflictApplied, Op::Set { value, .. }) => {
                let outcome = self.inner.call(key, op);
                if matches!(outcome, Outcome::Conflict(_)) {
                    self.inner.call(key, &Op::set(value.clone()));
                }
                Some(outcome)
            }
            _ => self.twist(op).map(|op| self.inner.call(key, &op)),
        }
    }

    /// The operation that is done instead.
    fn twist(&self, op: &Op) -> Option<Op> {
        let mut op = op.clone();
        match (self.lie, &mut op) {
            (Lie::VersionIgnored, Op::Set { expected, .. } | Op::Delete { expected }) => {
                expected.take()?;
            }
            (Lie::InsertOverwrites, Op::Set { behavior: behavior @ Behavior::Insert, .. })
            | (Lie::UpdateCreates, Op::Set { behavior: behavior @ Behavior::Update, .. }) => {
                *behavior = Behavior::Upsert;
            }
            (Lie::TtlDropped, Op::Set { ttl_ms, .. }) => drop(ttl_ms.take()?),
            (Lie::TtlShortened, Op::Set { ttl_ms: Some(ttl_ms), .. }) => *ttl_ms = *ttl_ms / 2 + 1,
            _ => return None,
        }
        Some(op)
    }

    fn remember(&self, key: &str, op: &Op, outcome: &Outcome) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match (op, outcome) {
            (Op::Get, Outcome::Got(entry)) => {
                memory.read.entry(key.to_owned()).or_default().push(entry.clone());
            }
            (Op::Set { value, .. }, Outcome::Written(version)) => {
                memory.version = memory.version.max(*version);
                memory.deleted.insert(key.to_owned(), value.clone());
            }
            _ => {}
        }
    }
}

impl<S: Store> Store for Liar<S> {
    fn call(&mut self, key: &str, op: &Op) -> Outcome {
        let lied = if self.rng.u8(..8) == 0 { self.lie(key, op) } else { None };
        lied.unwrap_or_else(|| {
            let outcome = self.inner.call(key, op);
            self.remember(key, op, &outcome);
            outcome
        })
    }
}
