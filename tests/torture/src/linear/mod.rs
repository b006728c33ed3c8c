//! Histories are linearizable: threads do everything the API can to a few keys at once, over kills and
//! with answers that nobody waits for, on a driven clock; then each key's history is judged by
//! itself, and the versions of all of them together.

pub mod checker;
pub mod history;
pub mod search;
pub mod versions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use fastrand::Rng;

use self::checker::Event;
use self::versions::Drawn;
use crate::driven::Driven;
use crate::lies::{Liar, Lie};
use crate::op::{Behavior, Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};

const THREADS: usize = 8;
/// Phases of a round; the server is killed at the end of each but the last.
const PHASES: usize = 3;
const OPS_A_PHASE: u64 = 700;
/// Keys that are in use at once.
const KEYS: usize = 5;
/// A key is left for a new one after so many operations.
const OPS_A_KEY: usize = 90;
const TTL_MS_MAX: u64 = 400;

/// The trial.
pub struct Linear {
    program: PathBuf,
    bed: Mutex<Option<Driven>>,
    /// Where histories are written for other checkers.
    histories: Option<PathBuf>,
    /// How answers are falsified.
    lie: Option<Lie>,
}

impl Linear {
    /// `program` is `larder-torture`, which runs the servers.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), bed: Mutex::new(None), histories: None, lie: None }
    }

    /// Writes every history into `dir` too, before it is judged.
    #[must_use]
    pub fn recording(self, dir: Option<&Path>) -> Self {
        Self { histories: dir.map(Path::to_owned), ..self }
    }

    /// Falsifies answers on their way into the histories, so that somebody may show to find that.
    #[must_use]
    pub fn lying(self, lie: Option<Lie>) -> Self {
        Self { lie, ..self }
    }

    /// A round whose answers pass through `lie` on their way into the history.
    ///
    /// # Errors
    /// The history that no order explains.
    pub fn judge<S: Store>(
        &self,
        seed: u64,
        tally: &mut Tally,
        lie: &(dyn Fn(Http, Rng) -> S + Sync),
    ) -> Result<(), String> {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        let driven = match bed.take() {
            Some(driven) => driven,
            None => Driven::start(&self.program).map_err(|error| error.to_string())?,
        };
        let recorder = Recorder::new(seed, driven);
        let mut rng = Rng::with_seed(seed);
        for phase in 0..PHASES {
            recorder.phase(&mut rng, lie)?;
            if phase + 1 < PHASES {
                recorder.restart()?;
                tally.add("kills", 1);
            }
        }
        let (histories, driven) = recorder.finish();
        *bed = Some(driven);
        drop(bed);
        tally.add("operations", histories.values().map(|history| history.len() as u64).sum());
        if let Some(dir) = &self.histories {
            let written =
                histories.iter().try_for_each(|(key, events)| history::write(dir, key, events));
            written.map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        check_versions(histories.values().flatten())?;
        histories.iter().try_for_each(|(key, history)| {
            checker::check(history).map_err(|error| format!("{key}: {error}"))
        })
    }
}

impl Trial for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("operations", 1_000_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let Some(lie) = self.lie else { return self.judge(seed, tally, &|http, _| http) };
        let memory = Arc::default();
        self.judge(seed, tally, &|http, rng| Liar::new(http, lie, &memory, rng))
    }
}

/// Versions are unique, and rise over all keys.
fn check_versions<'a>(events: impl Iterator<Item = &'a Event>) -> Result<(), String> {
    let (mut drawn, mut told) = (Vec::new(), Vec::new());
    for event in events {
        let Event { begun, ended, .. } = *event;
        match event.outcome {
            Outcome::Written(version) => drawn.push(Drawn { begun, ended, version }),
            Outcome::Conflict(newest) => told.push((begun, newest)),
            _ => {}
        }
    }
    versions::check(&drawn, &told)
}

/// Records what threads do to a server.
struct Recorder {
    name: String,
    /// Operations hold it for reading: the clock stands still while any of them runs.
    server: RwLock<(Driven, u64)>,
    order: AtomicU64,
    values: AtomicU64,
    histories: Mutex<HashMap<String, Vec<Event>>>,
    keys: Mutex<Vec<(String, usize)>>,
}

impl Recorder {
    fn new(seed: u64, mut driven: Driven) -> Self {
        let now = driven.look().map_or(0, |(now, _, _)| now);
        let keys = (0..KEYS).map(|key| (format!("h{seed}/{key}"), 0)).collect();
        Self {
            name: format!("h{seed}"),
            server: RwLock::new((driven, now)),
            order: AtomicU64::new(1),
            values: AtomicU64::new(1),
            histories: Mutex::default(),
            keys: Mutex::new(keys),
        }
    }

    fn tick(&self) -> u64 {
        self.order.fetch_add(1, Ordering::SeqCst)
    }

    fn finish(self) -> (HashMap<String, Vec<Event>>, Driven) {
        let histories = self.histories.into_inner().unwrap_or_else(PoisonError::into_inner);
        (histories, self.server.into_inner().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Kills the server and starts it again. What was under way can have no effect any more.
    fn restart(&self) -> Result<(), String> {
        let mut server = self.server.write().unwrap_or_else(PoisonError::into_inner);
        server.0.kill();
        let ended = self.tick();
        for history in self.histories.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            for event in history {
                event.ended.get_or_insert(ended);
            }
        }
        server.0.start_again().map_err(|error| error.to_string())
    }

    /// Has all threads do their part. The last operations of some are on their way when it ends.
    fn phase<S: Store>(
        &self,
        rng: &mut Rng,
        lie: &(dyn Fn(Http, Rng) -> S + Sync),
    ) -> Result<(), String> {
        let address = {
            let server = self.server.read().unwrap_or_else(PoisonError::into_inner);
            server.0.address()
        };
        let left = AtomicU64::new(OPS_A_PHASE);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (mut rng, left) = (rng.fork(), &left);
                    scope.spawn(move || {
                        let mut store = lie(Http::new(address), rng.fork());
                        let mut abandoning = Http::new(address);
                        while left
                            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                                left.checked_sub(1)
                            })
                            .is_ok()
                        {
                            self.step(&mut store, &mut abandoning, &mut rng)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
            })
        })
    }

    /// One operation, or a turn of the clock.
    fn step(
        &self,
        store: &mut dyn Store,
        abandoning: &mut Http,
        rng: &mut Rng,
    ) -> Result<(), String> {
        if rng.u8(..40) == 0 {
            let mut server = self.server.write().unwrap_or_else(PoisonError::into_inner);
            let ms = rng.u64(..TTL_MS_MAX / 2);
            server.1 += ms;
            return server.0.advance(ms).map_err(|error| error.to_string());
        }
        let key = self.key(rng);
        let op = self.draw(&key, rng);
        let server = self.server.read().unwrap_or_else(PoisonError::into_inner);
        let begun = self.tick();
        let outcome = if rng.u8(..100) == 0 && op != Op::Get {
            abandoning.abandon(&key, &op);
            Outcome::Unknown("nobody waited".to_owned())
        } else {
            store.call(&key, &op)
        };
        let unknown = matches!(outcome, Outcome::Unknown(_));
        let ended = (!unknown).then(|| self.tick());
        let now = server.1;
        drop(server);
        if let Outcome::Refused(..) | Outcome::Truncated(_) = outcome {
            return Err(format!("{key}: {op:?} was answered {outcome:?}"));
        }
        let event = Event { op, outcome, begun, ended, now };
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        histories.entry(key).or_default().push(event);
        Ok(())
    }

    /// One of the keys in use.
    fn key(&self, rng: &mut Rng) -> String {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let place = rng.usize(..keys.len());
        if keys[place].1 == OPS_A_KEY {
            keys[place] =
                (format!("{}/{}", self.name, self.values.fetch_add(1, Ordering::AcqRel)), 0);
        }
        keys[place].1 += 1;
        keys[place].0.clone()
    }

    /// Anything that the API can do. Versions to expect are those that were seen last.
    fn draw(&self, key: &str, rng: &mut Rng) -> Op {
        let kind = rng.u8(..10);
        if kind < 4 {
            return Op::Get;
        }
        let expected = (rng.u8(..3) == 0).then(|| self.seen(key)).filter(|_| kind != 4);
        if kind < 6 {
            return Op::Delete { expected };
        }
        let value = format!("v{}", self.values.fetch_add(1, Ordering::AcqRel));
        let behavior = [Behavior::Upsert, Behavior::Insert, Behavior::Update][rng.usize(..3)];
        let ttl_ms = (rng.u8(..3) == 0).then(|| rng.u64(1..TTL_MS_MAX));
        Op::Set { value, ttl_ms, behavior, expected }
    }

    fn seen(&self, key: &str) -> u64 {
        let histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = histories.get(key).into_iter().flatten().rev();
        newest
            .filter_map(|event| match &event.outcome {
                Outcome::Written(version) => Some(*version),
                Outcome::Got(Some(entry)) => Some(entry.version),
                Outcome::Got(None) | Outcome::Deleted(_) => Some(0),
                _ => None,
            })
            .next()
            .unwrap_or(0)
    }
}
