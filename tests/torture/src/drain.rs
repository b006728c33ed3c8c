//! SIGTERM at any moment under load loses nothing: every acknowledged write is there afterwards, every
//! answer that began comes to its end, and the process exits 0 within its deadline.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use larder_tests::{Larder, Options};
use rustix::process::Signal;

use crate::client::{Connection, Lost};
use crate::op::Http;
use crate::rounds::{Tally, Trial};
use crate::writers::Crew;

const WRITERS: usize = 8;
const KEYS: usize = 4;
/// Connections that read a large value again and again, and as many that write one.
const LARGE: usize = 2;
/// Connections that have nothing to do.
const IDLE: usize = 10;
const LARGE_BYTES: usize = 1 << 20;
const WRITING_MS_MAX: u64 = 80;
const DRAIN_MS_MAX: u64 = 5000;
/// What the process may take beyond the drain: to sync and to end.
const ENDING: Duration = Duration::from_secs(2);

/// The trial.
pub struct Drain;

impl Trial for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("shutdowns", 1000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        shut_down(seed, Signal::TERM, tally)
    }
}

/// Starts a server, loads it and sends it `signal` at some moment.
///
/// # Errors
/// What was lost or cut short, or that the process did not end well and in time.
pub fn shut_down(seed: u64, signal: Signal, tally: &mut Tally) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let drain = DRAIN_MS_MAX.to_string();
    let mut larder = Larder::start_with(Options::flags(&["--drain-ms-max", &drain]));
    let address = larder.address();
    put_large(address)?;
    let idle: Vec<_> = (0..IDLE).map(|_| connected(address)).collect::<Result<_, _>>()?;
    let mut crew = Crew::new("d", WRITERS, KEYS, &mut rng);
    let over = AtomicBool::new(false);
    let writing = Duration::from_micros(rng.u64(..WRITING_MS_MAX * 1000));
    let (status, took) = thread::scope(|scope| {
        let large: Vec<_> = (0..2 * LARGE)
            .map(|number| {
                let over = &over;
                scope.spawn(move || large(address, number % 2 == 0, over))
            })
            .collect();
        let ended = crew.write(
            || Http::new(address),
            tally,
            || {
                thread::sleep(writing);
                let begun = now();
                larder.signal(signal);
                let status = larder.wait();
                (status, begun.elapsed())
            },
        );
        over.store(true, Ordering::Release);
        for thread in large {
            let answers = thread.join().map_err(|_| "a thread panicked".to_owned())??;
            tally.add("large answers", answers);
        }
        ended
    })?;
    drop(idle);
    tally.add("shutdowns", 1);
    judge_end(status, took)?;
    larder.start_again();
    crew.verify(&mut Http::new(larder.address()))
}

fn judge_end(status: ExitStatus, took: Duration) -> Result<(), String> {
    if status.code() != Some(0) {
        return Err(format!("the process ended with {status}"));
    }
    if took > Duration::from_millis(DRAIN_MS_MAX) + ENDING {
        return Err(format!("the shutdown took {took:?}"));
    }
    Ok(())
}

fn connected(address: SocketAddr) -> Result<Connection, String> {
    let mut connection = Connection::new(address);
    let answer = connection.send("GET", "/api/v1.health.ping", b"");
    answer.map(|_| connection).map_err(|lost| format!("a ping: {lost:?}"))
}

fn large_value() -> Vec<u8> {
    format!(r#"{{"key":"large","value":"{}"}}"#, "l".repeat(LARGE_BYTES)).into_bytes()
}

fn put_large(address: SocketAddr) -> Result<(), String> {
    match Connection::new(address).post("/api/v1.kv.set", &large_value()) {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("the large value: {other:?}")),
    }
}

/// Reads or writes the large value until the server is gone; counts whole answers.
fn large(address: SocketAddr, reads: bool, over: &AtomicBool) -> Result<u64, String> {
    let mut connection = Connection::new(address);
    let value = large_value();
    let mut answers = 0;
    while !over.load(Ordering::Acquire) {
        let sent = if reads {
            connection.post("/api/v1.kv.get", br#"{"key":"large"}"#)
        } else {
            connection.post("/api/v1.kv.set", &value)
        };
        match sent {
            Ok(answer) if answer.status == 200 => answers += 1,
            Ok(answer) => return Err(format!("a large value was answered {}", answer.status)),
            Err(Lost::Silent(_)) => break,
            Err(Lost::Truncated(what)) => return Err(format!("an answer was cut short {what}")),
        }
    }
    Ok(answers)
}

#[expect(clippy::disallowed_methods, reason = "a deadline of the process is judged from outside")]
fn now() -> Instant {
    Instant::now()
}
