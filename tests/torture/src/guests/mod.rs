//! Hostile guests are contained: whatever a guest does, its caller gets the 5xx that is due, in time;
//! the server lives, its memory comes back to what it was, and a well-behaved neighbour's reads and
//! writes stay right all the while.

pub mod beside;
pub mod kind;
pub mod kinds;
pub mod memory;
pub mod neighbour;
pub mod text;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use fastrand::Rng;
use larder_bench::system::Process;
use larder_tests::{Larder, Options, guest_file};
use tempfile::TempDir;

use self::kind::LONG_CALL_MS_MAX;
pub use self::kind::{CALL_MS_MAX, Expected, Kind};
use self::neighbour::Neighbour;
use crate::client::Connection;
use crate::rounds::{Tally, Trial};

/// Calls of each kind in either half of a round of the long form, and in all.
const TIMES: usize = 25;
const GOAL: u64 = 1000;
/// Connections that call hostile guests at once.
const CALLERS: usize = 8;

/// The trial.
pub struct Guests;

impl Trial for Guests {
    fn name(&self) -> &'static str {
        "guests"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("calls of each kind", GOAL)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        contained(seed, TIMES, tally)
    }
}

/// A server with all hostile guests mounted, and the files that they are.
pub struct Stage {
    /// The server.
    pub larder: Larder,
    _components: TempDir,
}

impl Stage {
    /// Starts it. Guests that go on until their deadline have `call_ms_max`; `lines` are added to every
    /// hostile mount, `variables` to the environment.
    ///
    /// # Errors
    /// What is wrong with a component.
    pub fn start(
        call_ms_max: u64,
        lines: &str,
        variables: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let components = tempfile::tempdir().map_err(|error| error.to_string())?;
        let tested = guest_file("larder_test_guest");
        let mut config = String::new();
        let mut mount = |prefix: &str, component: &Path, ms: u64| {
            let _ = write!(
                config,
                "[[mount]]\nprefix = '/{prefix}'\ncomponent = {component:?}\nnamespaces = {{ own = 'write' }}\ncall_ms_max = {ms}\n{lines}\n"
            );
        };
        mount("test", &tested, LONG_CALL_MS_MAX);
        mount("short", &tested, call_ms_max);
        for text in text::ALL {
            let path = components.path().join(text.name).with_extension("wasm");
            fs::write(&path, text.component()?).map_err(|error| error.to_string())?;
            let late = text.expected.is_late();
            mount(text.name, &path, if late { call_ms_max } else { LONG_CALL_MS_MAX });
        }
        let options = Options { variables, ..Options::config(config) };
        Ok(Self { larder: Larder::start_with(options), _components: components })
    }
}

/// One round: each kind is called `times` times, and again as often, in orders that `seed` determines.
/// Memory at the end is judged by what it was between: what the first half has not brought about,
/// the second must not.
///
/// # Errors
/// What was not contained.
pub fn contained(seed: u64, times: usize, tally: &mut Tally) -> Result<(), String> {
    let kinds = kinds::all();
    let mut stage = Stage::start(CALL_MS_MAX, "", Vec::new())?;
    let (address, server) = (stage.larder.address(), Process(stage.larder.id()));
    prepare(address)?;
    let mut rng = Rng::with_seed(seed);
    let neighbour = Neighbour::start(address);
    let called = (|| {
        call_all(address, &kinds, times, &mut rng, tally)?;
        let between = memory::at_rest(server)?;
        tally.add("MiB resident between", between >> 10);
        call_all(address, &kinds, times, &mut rng, tally)?;
        memory::comes_back(server, between, memory::LOOKS_MAX)
    })();
    let rounds = neighbour
        .stop()
        .map_err(|error| format!("the neighbour: {error}; the hostile guests: {called:?}"))?;
    let resident = called?;
    tally.add("neighbour's requests", rounds);
    tally.add("MiB resident at the end", resident >> 10);
    tally.add("calls of each kind", 2 * times as u64);
    tally.add("kinds", kinds.len() as u64);
    if stage.larder.lives() { Ok(()) } else { Err("the server has ended".to_owned()) }
}

/// A large value for those that read it again and again.
fn prepare(address: SocketAddr) -> Result<(), String> {
    let answer = Connection::new(address).post("/test/store-body", &vec![b'b'; 4 << 20]);
    match answer {
        Ok(answer) if answer.body == b"Ok(())" => Ok(()),
        other => Err(format!("the large value was answered {other:?}")),
    }
}

/// Calls each kind so many times, from several connections at once.
///
/// # Errors
/// The answers that were not due.
pub fn call_all(
    address: SocketAddr,
    kinds: &[Kind],
    times: usize,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut calls: Vec<&Kind> = kinds.iter().flat_map(|kind| vec![kind; times]).collect();
    rng.shuffle(&mut calls);
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    let wrong = &wrong;
    let caller = || {
        let mut connection = Connection::new(address);
        while let Some(kind) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = kind.call(&mut connection) {
                wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(error);
            }
        }
    };
    thread::scope(|scope| (0..CALLERS).for_each(|_| drop(scope.spawn(caller))));
    tally.add("hostile calls", calls.len() as u64);
    let wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
    if wrong.is_empty() { Ok(()) } else { Err(Vec::from_iter(wrong.iter().cloned()).join("\n")) }
}
