//! Hostile guests are contained: whatever a guest does, its caller gets the 5xx that is due, in time;
//! the server lives, its memory comes back to what it was, and a well-behaved neighbour's reads and
//! writes stay right all the while.

pub mod beside;
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
use std::time::{Duration, Instant};

use fastrand::Rng;
use larder_bench::system::Process;
use larder_tests::{Larder, Options, guest_file};
use tempfile::TempDir;

use self::neighbour::Neighbour;
use crate::client::{Answer, Connection};
use crate::rounds::{Tally, Trial};

/// Calls of each kind in either half of a round of the long form, and in all.
const TIMES: usize = 25;
const GOAL: u64 = 1000;
/// Connections that call hostile guests at once.
const CALLERS: usize = 8;
/// The time of calls that go on until it ends, that of others, and how late an end may be told on a
/// busy machine.
pub const CALL_MS_MAX: u64 = 300;
const LONG_CALL_MS_MAX: u64 = 10_000;
const LATE_MAX: Duration = Duration::from_secs(5);

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

/// What the caller of a hostile guest must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 500 `internal-error`.
    Internal,
    /// 504 `timeout`.
    Timeout,
    /// One of these.
    Fails,
    /// 200, and this in the body.
    Says(&'static str),
}

/// A kind of hostile guest.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Names it.
    pub name: String,
    /// How it is asked for.
    pub path: String,
    /// What must come of it.
    pub expected: Expected,
}

impl Kind {
    /// Calls it once.
    ///
    /// # Errors
    /// What its caller was told instead of what was due, or that it took too long.
    pub fn call(&self, connection: &mut Connection) -> Result<(), String> {
        let begun = now();
        let answer = connection.send("GET", &self.path, b"");
        let answer = answer.map_err(|lost| format!("{}: no answer: {lost:?}", self.name))?;
        let ms = if self.expected.is_late() { CALL_MS_MAX } else { LONG_CALL_MS_MAX };
        let (took, most) = (begun.elapsed(), Duration::from_millis(ms) + LATE_MAX);
        if !self.expected.is(&answer) {
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
            return Err(format!(
                "{}: {:?} was due, not {} {body}",
                self.name, self.expected, answer.status
            ));
        }
        if took > most {
            return Err(format!("{}: the answer took {took:?}, at most {most:?}", self.name));
        }
        Ok(())
    }
}

impl Expected {
    /// Whether it may come of a call that goes on until its deadline.
    #[must_use]
    pub fn is_late(self) -> bool {
        matches!(self, Self::Timeout | Self::Fails)
    }

    fn is(self, answer: &Answer) -> bool {
        let says = |text: &str| String::from_utf8_lossy(&answer.body).contains(text);
        let internal = answer.status == 500 && says("\"code\":\"internal-error\"");
        let timeout = answer.status == 504 && says("\"code\":\"timeout\"");
        match self {
            Self::Internal => internal,
            Self::Timeout => timeout,
            Self::Fails => internal || timeout,
            Self::Says(text) => answer.status == 200 && says(text),
        }
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

#[expect(clippy::disallowed_methods, reason = "deadlines are judged from outside")]
fn now() -> Instant {
    Instant::now()
}
