//! What a commit of LMDB costs, and what of it: the second sync, pages that lie apart, and pages that the
//! page cache holds in large pieces. Beside it a commit log as one would stand before LMDB, with
//! nothing behind it: a ceiling. Uses LMDB itself and no side, because the store keeps its promises and
//! has no switch for this.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions};

use super::bench::Bench;
use super::log::{Log, RECORD_BYTES};
use super::rounds;
use crate::clock::now_ns;
use crate::failure::Failure;
use crate::load::keys;
use crate::report::results::{Finding, Spread};
use crate::sides::fill;

const KEYS: u32 = 100_000;
const MAP_BYTES: usize = 4 << 30;
/// What the file is laid out for before it is filled: more than it grows to.
const LAID_BYTES: u64 = 256 << 20;
const FILL_LIST: usize = 2000;
/// Sets in one commit.
const GROUPS: [usize; 3] = [16, 64, 256];

/// How a group is made durable.
#[derive(Clone, Copy)]
enum Way {
    /// Random keys in LMDB as the store uses it.
    Usual,
    /// The same without the sync of the page that tells which tree is the newest.
    OneSync,
    /// LMDB as the store uses it, with keys that lie side by side.
    Neighbours,
    /// Random keys in a file that was filled without being laid out before.
    Pieces,
    /// Appended to a log that has its room already, and synced once.
    Log,
}

const WAYS: [Way; 5] = [Way::Usual, Way::OneSync, Way::Neighbours, Way::Pieces, Way::Log];

struct Bed {
    laid: Store,
    pieces: Store,
    log: Log,
    random: fastrand::Rng,
}

/// LMDB with all keys in it.
struct Store {
    env: Env,
    tree: heed::Database<'static, Bytes, Bytes>,
}

impl Store {
    fn make(dir: &Path, is_laid: bool) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let env = open(dir)?;
        let txn = env.write_txn()?;
        let made = env.create_databases_and_commit(txn, |opener, txn| {
            let tree = opener.create_database::<Bytes, Bytes>(txn, None)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tree))
        })?;
        let tree = made.unwrap_commit();
        if is_laid {
            OpenOptions::new().write(true).open(dir.join("data.mdb"))?.set_len(LAID_BYTES)?;
            fill::read_once(dir)?;
        }
        let store = Self { env, tree };
        let numbers: Vec<u32> = (0..KEYS).collect();
        for list in numbers.chunks(FILL_LIST) {
            store.put(list.iter().copied())?;
        }
        Ok(store)
    }

    fn put(&self, numbers: impl Iterator<Item = u32>) -> Result<(), Failure> {
        let mut txn = self.env.write_txn()?;
        for number in numbers {
            self.tree.put(&mut txn, &keys::name(number), &[b'v'; RECORD_BYTES])?;
        }
        Ok(txn.commit()?)
    }
}

impl Bed {
    fn make(bench: &Bench) -> Result<Self, Failure> {
        let dir = bench.stores().join("commit");
        let log = Log::make(&dir)?;
        let laid = Store::make(&dir.join("laid"), true)?;
        let pieces = Store::make(&dir.join("pieces"), false)?;
        Ok(Self { laid, pieces, log, random: fastrand::Rng::with_seed(1) })
    }

    fn commit(&mut self, way: Way, sets: usize) -> Result<(), Failure> {
        match way {
            Way::Usual | Way::OneSync | Way::Pieces => {
                let numbers: Vec<u32> = (0..sets).map(|_| self.random.u32(0..KEYS)).collect();
                let store = if matches!(way, Way::Pieces) { &self.pieces } else { &self.laid };
                store.put(numbers.into_iter())
            }
            Way::Neighbours => {
                let first = self.random.u32(0..KEYS - sets as u32);
                self.laid.put(first..first + sets as u32)
            }
            Way::Log => self.log.append(sets),
        }
    }

    /// Sets a second, in commits of so many.
    fn measure(&mut self, way: Way, sets: usize, time: Duration) -> Result<f64, Failure> {
        sync_once(&self.laid.env, matches!(way, Way::OneSync))?;
        let begin = now_ns();
        let mut done = 0;
        while u128::from(now_ns() - begin) < time.as_nanos() {
            self.commit(way, sets)?;
            done += sets;
        }
        Ok(done as f64 * 1e9 / (now_ns() - begin) as f64)
    }
}

#[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
fn open(dir: &Path) -> Result<Env, Failure> {
    // SAFETY: the folder is the bench's own, and opened once.
    Ok(unsafe { EnvOpenOptions::new().map_size(MAP_BYTES).open(dir) }?)
}

#[expect(unsafe_code, reason = "LMDB's flags take promises away")]
fn sync_once(env: &Env, once: bool) -> Result<(), Failure> {
    let mode = if once { heed::FlagSetMode::Enable } else { heed::FlagSetMode::Disable };
    // SAFETY: no transaction is open, and nobody counts on this data.
    Ok(unsafe { env.set_flags(EnvFlags::NO_META_SYNC, mode) }?)
}

/// Compares the ways at each size of a group.
pub fn commit(bench: &mut Bench) -> Result<(), Failure> {
    let mut bed = Bed::make(bench)?;
    println!("\ncommits of 1 KiB sets to {KEYS} keys, by one thread");
    for sets in GROUPS {
        let mut rates = WAYS.map(|_| Vec::new());
        for round in 0..bench.plan.rounds {
            for at in rounds::order(round, WAYS.len()) {
                rates[at].push(bed.measure(WAYS[at], sets, bench.plan.time)?);
            }
        }
        bench.find(Finding {
            name: format!("commits of {sets}, LMDB as it is"),
            unit: " sets/s".to_owned(),
            spread: Spread::of(rates[0].iter().copied()),
            goal: None,
        });
        for (name, at) in [
            ("without the second sync", 1),
            ("keys side by side", 2),
            ("a file held in large pieces", 3),
            ("a log", 4),
        ] {
            let ratio = rates[at].iter().zip(&rates[0]).map(|(over, under)| over / under);
            let name = format!("commits of {sets}, {name} : LMDB as it is");
            bench.find(Finding::ratio(name, Spread::of(ratio), None));
        }
    }
    Ok(())
}
