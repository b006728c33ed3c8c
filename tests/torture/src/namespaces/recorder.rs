//! Records what threads do to the namespaces of a server with a driven clock, over kills. Knows when operations
//! begin and end; judges nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;

use fastrand::Rng;

use super::checker::Event;
use super::draw::{self, Seen, TTL_MS_MAX};
use super::http::Http;
use super::op::{Op, Outcome, Store};
use crate::driven::Driven;

const THREADS: usize = 8;
const OPS_A_PHASE: u64 = 700;
/// Namespaces that are in use at once.
const SPACES: usize = 3;
/// A namespace is left for a new one after so many operations.
const OPS_A_SPACE: usize = 110;

/// What was done to each namespace.
pub type Histories = HashMap<String, Vec<Event>>;

/// A namespace in use.
struct Space {
    name: String,
    operations: usize,
    seen: Seen,
}

/// Records what threads do to a server.
pub struct Recorder {
    name: String,
    /// Operations hold it for reading: the clock stands still while any of them runs.
    server: RwLock<(Driven, u64)>,
    order: AtomicU64,
    unique: AtomicU64,
    histories: Mutex<Histories>,
    spaces: Mutex<Vec<Space>>,
}

impl Recorder {
    /// Records on a server whose namespaces of other seeds are left alone.
    #[must_use]
    pub fn new(seed: u64, mut driven: Driven) -> Self {
        let now = driven.look().map_or(0, |(now, _, _)| now);
        let name = format!("n{seed}");
        Self {
            spaces: Mutex::new((0..SPACES).map(|at| space(&name, at as u64)).collect()),
            name,
            server: RwLock::new((driven, now)),
            order: AtomicU64::new(1),
            unique: AtomicU64::new(SPACES as u64),
            histories: Mutex::default(),
        }
    }

    /// The histories, and the server.
    #[must_use]
    pub fn finish(self) -> (Histories, Driven) {
        let histories = self.histories.into_inner().unwrap_or_else(PoisonError::into_inner);
        (histories, self.server.into_inner().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Kills the server and starts it again. What was under way can have no effect any more.
    ///
    /// # Errors
    /// Why it does not come up.
    pub fn restart(&self) -> Result<(), String> {
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

    /// Has all threads do their part.
    ///
    /// # Errors
    /// An answer that nothing explains.
    pub fn phase<S: Store>(
        &self,
        rng: &mut Rng,
        lie: &(dyn Fn(Http, Rng) -> S + Sync),
    ) -> Result<(), String> {
        let address = self.server.read().unwrap_or_else(PoisonError::into_inner).0.address();
        let left = AtomicU64::new(OPS_A_PHASE);
        let takes_one = || {
            left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
                .is_ok()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (mut rng, takes_one) = (rng.fork(), &takes_one);
                    scope.spawn(move || {
                        let mut store = lie(Http::new(address), rng.fork());
                        let mut abandoning = Http::new(address);
                        while takes_one() {
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
        let (name, op) = self.draw(rng);
        let server = self.server.read().unwrap_or_else(PoisonError::into_inner);
        let begun = self.tick();
        let outcome = if rng.u8(..100) == 0 && op.writes() {
            abandoning.abandon(&name, &op);
            Outcome::Unknown("nobody waited".to_owned())
        } else {
            store.call(&name, &op)
        };
        let unknown = matches!(outcome, Outcome::Unknown(_));
        let ended = (!unknown).then(|| self.tick());
        let now = server.1;
        drop(server);
        if let Outcome::Wrong(_) = outcome {
            return Err(format!("{name}: {op:?} was answered {outcome:?}"));
        }
        self.learn(&name, &op, &outcome);
        let event = Event { op, outcome, begun, ended, now };
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        histories.entry(name).or_default().push(event);
        Ok(())
    }

    /// An operation on one of the namespaces in use. A new one is made first.
    fn draw(&self, rng: &mut Rng) -> (String, Op) {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let place = rng.usize(..spaces.len());
        let unique = self.unique.fetch_add(1, Ordering::AcqRel);
        if spaces[place].operations == OPS_A_SPACE {
            spaces[place] = space(&self.name, unique);
        }
        let space = &mut spaces[place];
        space.operations += 1;
        let op = if space.operations == 1 {
            Op::Configure { keys_max: None, bytes_max: None }
        } else {
            draw::op(rng, &space.seen, unique)
        };
        (space.name.clone(), op)
    }

    fn learn(&self, name: &str, op: &Op, outcome: &Outcome) {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = spaces.iter_mut().find(|space| space.name == name) {
            space.seen.learn(op, outcome);
        }
    }

    fn tick(&self) -> u64 {
        self.order.fetch_add(1, Ordering::SeqCst)
    }
}

fn space(seed: &str, unique: u64) -> Space {
    Space { name: format!("{seed}/{unique}"), operations: 0, seen: Seen::default() }
}
