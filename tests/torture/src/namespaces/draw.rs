//! Draws operations on a namespace of few keys: everything that the API can do, with conditions that hold often
//! and not always. Knows what was seen last; knows nothing of what should come of an operation.

use std::collections::HashMap;

use fastrand::Rng;

use super::op::{Behavior, Change, Changed, Listing, Op, Outcome};

/// Keys of a namespace, in two folders.
pub const KEYS: [&str; 5] = ["a/1", "a/2", "b/1", "b/2", "c"];
/// Most changes of a batch.
const CHANGES_MAX: usize = 4;
/// Bytes that a namespace takes in the middle, about.
const BYTES: u64 = 30;
/// Longest time to live.
pub const TTL_MS_MAX: u64 = 400;

/// The versions that keys had when somebody saw them last.
#[derive(Clone, Debug, Default)]
pub struct Seen(HashMap<String, u64>);

impl Seen {
    /// Takes over what an answer tells.
    pub fn learn(&mut self, op: &Op, outcome: &Outcome) {
        match (op, outcome) {
            (Op::Get(key), Outcome::Got(entry)) => {
                self.0.insert(key.clone(), entry.as_ref().map_or(0, |entry| entry.version));
            }
            (_, Outcome::Page { rows, .. }) => {
                self.0.extend(rows.iter().map(|row| (row.key.clone(), row.version)));
            }
            (_, Outcome::Done { results, .. }) => {
                let changes = op.parts().map_or(&[][..], |(_, changes)| changes);
                for (change, result) in changes.iter().zip(results) {
                    let version = match result {
                        Changed::Written(version) | Changed::Added(_, version) => *version,
                        Changed::Deleted(_) => 0,
                    };
                    self.0.insert(change.condition().0.to_owned(), version);
                }
            }
            (Op::DeleteNamespace, Outcome::NamespaceDeleted(..)) => self.0.clear(),
            _ => {}
        }
    }

    fn version(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or(0)
    }
}

/// An operation. `unique` is a number that no other one gets.
#[must_use]
pub fn op(rng: &mut Rng, seen: &Seen, unique: u64) -> Op {
    match rng.u8(..40) {
        0..4 => Op::Get(key(rng)),
        4..10 => Op::List(listing(rng)),
        10..14 => Op::GetMany((0..rng.usize(1..6)).map(|_| key(rng)).collect()),
        14..16 => Op::Usage,
        16..19 => configure(rng),
        19 if rng.bool() => Op::DeleteNamespace,
        19..30 => Op::One(change(rng, seen, unique, 0)),
        _ => {
            let checks = (0..rng.usize(..3)).map(|_| check(rng, seen)).collect();
            let count = rng.usize(1..=CHANGES_MAX);
            let changes = (0..count).map(|at| change(rng, seen, unique, at)).collect();
            Op::Batch { checks, changes }
        }
    }
}

fn key(rng: &mut Rng) -> String {
    KEYS[rng.usize(..KEYS.len())].to_owned()
}

fn check(rng: &mut Rng, seen: &Seen) -> (String, u64) {
    let key = key(rng);
    let version = seen.version(&key);
    (key, version)
}

fn listing(rng: &mut Rng) -> Listing {
    let prefix = ["", "", "a/", "b/", "c", "x"][rng.usize(..6)].to_owned();
    let after = (rng.u8(..4) == 0).then(|| key(rng));
    let limit = [1, 2, 3, 100][rng.usize(..4)];
    Listing { prefix, after, limit, reverse: rng.bool(), values: rng.bool() }
}

fn configure(rng: &mut Rng) -> Op {
    let mut quota = |middle: u64| match rng.u8(..4) {
        0 => None,
        1 => Some(None),
        _ => Some(Some(middle + rng.u64(..middle))),
    };
    Op::Configure { keys_max: quota(KEYS.len() as u64 / 2), bytes_max: quota(BYTES) }
}

fn change(rng: &mut Rng, seen: &Seen, unique: u64, at: usize) -> Change {
    let key = key(rng);
    let expected = (rng.u8(..5) == 0).then(|| seen.version(&key));
    let ttl_ms = (rng.u8(..4) == 0).then(|| rng.u64(1..TTL_MS_MAX));
    match rng.u8(..9) {
        0..2 => Change::Delete { key, expected },
        2 => Change::Touch { key, ttl_ms, expected },
        3..6 => {
            let number = [1, -1, 2, -70_000, i64::MAX, i64::MIN];
            let pick = |rng: &mut Rng| number[rng.usize(..number.len()).min(rng.usize(..20))];
            let (delta, initial) = (pick(rng), pick(rng));
            let max = (rng.u8(..4) == 0).then(|| rng.i64(..5));
            Change::Add { key, delta, initial, max, ttl_ms, expected }
        }
        _ => {
            // Numbers here and there, so that adds find some.
            let value = match rng.u8(..4) {
                0 => format!("{}{at}", unique + 1),
                _ => format!("v{unique}.{at}"),
            };
            let behavior = match rng.u8(..5) {
                0 => Behavior::Insert,
                1 => Behavior::Update,
                _ => Behavior::Upsert,
            };
            Change::Set { key, value, ttl_ms, behavior, expected }
        }
    }
}
