//! Times to live are exact and cheap: many keys that expire at once, on a driven clock that jumps by
//! seconds, days and years, and back, also over restarts.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::driven::Driven;
use crate::op::{Behavior, Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};

/// Writes that are on their way at once, each on a connection of its own.
const WRITERS: usize = 32;
/// All expired entries are gone from the file after so long.
const SWEEP_TIME_MAX: Duration = Duration::from_secs(60);
/// Judges what a get of a key has found.
type Judge = dyn Fn(&str, Option<&str>) -> Result<(), String>;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The trial, with so many keys a round.
pub struct Expiry {
    program: PathBuf,
    keys: u64,
}

impl Expiry {
    /// `program` is `larder-torture`, which runs the server.
    #[must_use]
    pub fn new(program: &Path, keys: u64) -> Self {
        Self { program: program.to_owned(), keys }
    }

    /// A round on answers that pass through `lie`.
    ///
    /// # Errors
    /// An expired value that was served, or that was not swept in time.
    pub fn judge<S: Store + Send>(
        &self,
        seed: u64,
        tally: &mut Tally,
        lie: &(dyn Fn(Http) -> S + Sync),
    ) -> Result<(), String> {
        let io = |error: std::io::Error| error.to_string();
        let mut rng = Rng::with_seed(seed);
        let mut driven = Driven::start(&self.program).map_err(io)?;
        let ttl_ms = [1000, 30 * DAY_MS, 5 * 365 * DAY_MS][rng.usize(..3)];
        let (begun, _, _) = driven.look().map_err(io)?;
        let address = driven.address();
        self.on_all(&|| lie(Http::new(address)), &|store, key| {
            let set = Op::Set {
                value: key.to_owned(),
                ttl_ms: Some(ttl_ms),
                behavior: Behavior::Upsert,
                expected: None,
            };
            match store.call(key, &set) {
                Outcome::Written(_) => Ok(()),
                other => Err(format!("{key}: the set was answered {other:?}")),
            }
        })?;
        tally.add("keys", self.keys);
        // The last millisecond in which they are there.
        driven.advance(ttl_ms - 1).map_err(io)?;
        let there = |address| {
            let store = move || lie(Http::new(address));
            self.on_some(&store, seed, &|key, found| match found {
                Some(value) if value == key => Ok(()),
                other => Err(format!("{key} holds {other:?} a millisecond before its end")),
            })
        };
        there(driven.address())?;
        // Back and over a restart: the clock does not fall, and nothing goes before its time.
        driven.step_wall_to(begun).map_err(io)?;
        there(driven.address())?;
        driven.advance(1).map_err(io)?;
        let gone = |address| {
            let store = move || lie(Http::new(address));
            self.on_some(&store, seed, &|key, found| match found {
                None => Ok(()),
                Some(_) => Err(format!("{key} is there after its end")),
            })
        };
        gone(driven.address())?;
        let took = swept(&mut driven)?;
        tally.add("milliseconds to sweep", u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        // A clock that stands years earlier after a crash brings nothing back.
        driven.kill();
        driven.start_again().map_err(io)?;
        gone(driven.address())
    }

    /// Has writers go through all keys, each through a part of them.
    fn on_all<S: Store + Send>(
        &self,
        store: &(dyn Fn() -> S + Sync),
        visit: &(dyn Fn(&mut S, &str) -> Result<(), String> + Sync),
    ) -> Result<(), String> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS as u64)
                .map(|first| {
                    scope.spawn(move || {
                        let mut store = store();
                        (first..self.keys)
                            .step_by(WRITERS)
                            .try_for_each(|number| visit(&mut store, &format!("ttl/{number}")))
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
            })
        })
    }

    /// Reads up to a thousand of the keys, drawn by chance.
    fn on_some<S: Store>(
        &self,
        store: &dyn Fn() -> S,
        seed: u64,
        judge: &Judge,
    ) -> Result<(), String> {
        let mut rng = Rng::with_seed(seed);
        let mut store = store();
        for _ in 0..self.keys.min(1000) {
            let key = format!("ttl/{}", rng.u64(..self.keys));
            match store.call(&key, &Op::Get) {
                Outcome::Got(entry) => judge(&key, entry.as_ref().map(|entry| &*entry.value))?,
                other => return Err(format!("{key}: the get was answered {other:?}")),
            }
        }
        Ok(())
    }
}

impl Trial for Expiry {
    fn name(&self) -> &'static str {
        "ttl"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("keys", 10_000_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        self.judge(seed, tally, &|http| http)
    }
}

/// Waits until neither records nor rows of the index are left.
fn swept(driven: &mut Driven) -> Result<Duration, String> {
    let begun = now();
    loop {
        let (_, records, rows) = driven.look().map_err(|error| error.to_string())?;
        if (records, rows) == (0, 0) {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > SWEEP_TIME_MAX {
            return Err(format!("{records} records and {rows} rows are left after a minute"));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline of the sweep is judged from outside")]
fn now() -> Instant {
    Instant::now()
}
