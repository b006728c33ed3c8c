//! Storage alone: the group commit fed by threads that each submit a set, wait for it and submit
//! the next. No HTTP, no codecs; what the disk and the store can do.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use larder::storage::{self, DEFAULT_NAMESPACE, Storage};

use super::fill::{self, Filling};
use crate::clock::{now_ns, own_cpu_us};
use crate::load::keys::Choice;
use crate::load::latency::{Done, Figure, Tally};

const WARM_UP_NS: u64 = 250_000_000;

/// What all threads share.
struct Shared<'a> {
    storage: &'a Storage,
    value: Bytes,
    keys: u32,
    begin_ns: u64,
    end_ns: u64,
    tally: Mutex<Tally>,
}

/// One measurement with so many threads.
pub fn measure(
    storage: &Storage,
    filling: &Filling,
    threads: usize,
    time: Duration,
) -> Result<Figure, Box<dyn Error>> {
    let begin_ns = now_ns() + WARM_UP_NS;
    let shared = Shared {
        storage,
        value: Bytes::from(vec![b'v'; filling.value_bytes]),
        keys: filling.keys,
        begin_ns,
        end_ns: begin_ns + time.as_nanos() as u64,
        tally: Mutex::new(Tally::new()?),
    };
    let (cpu_us, done) = thread::scope(|scope| {
        let shared = &shared;
        let submit = |number| scope.spawn(move || drive(shared, number));
        let running: Vec<_> = (0..threads as u64).map(submit).collect();
        thread::sleep(Duration::from_nanos(begin_ns.saturating_sub(now_ns())));
        let before = own_cpu_us();
        thread::sleep(Duration::from_nanos(shared.end_ns.saturating_sub(now_ns())));
        let cpu_us = own_cpu_us() - before;
        let done: Vec<_> = running.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (cpu_us, done)
    });
    for result in done {
        result.map_err(|_| "a thread that submits has panicked")??;
    }
    let tally = shared.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let successes = tally.successes().max(1) as f64;
    let figure = tally.figure(time.as_secs_f64());
    Ok(Figure { cpu_us_per_request: cpu_us as f64 / successes, ..figure })
}

fn drive(shared: &Shared<'_>, number: u64) -> Result<(), storage::Error> {
    let mut choice = Choice::random(number, shared.keys);
    let mut asked = now_ns();
    while asked < shared.end_ns {
        let set = fill::set(choice.draw(), &shared.value)?;
        shared.storage.submit(DEFAULT_NAMESPACE, vec![set])?.wait()?;
        let now = now_ns();
        if (shared.begin_ns..shared.end_ns).contains(&now) {
            let mut tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(now - asked, Done::Success);
        }
        asked = now;
    }
    Ok(())
}
