//! The open loop: operations are due at a rate, whatever the server does, and their latency counts
//! from the instant they were due. A server that falls behind cannot hide it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::caller::Caller;
use super::latency::Tally;
use super::window::Window;
use crate::clock::{now_ns, timespec};

/// The pace's grain. Tokio's own timers have one of a millisecond.
const TICK_NS: u64 = 100_000;
/// How long after the window what was due in it may still be answered.
const PATIENCE_NS: u64 = 3_000_000_000;
/// Counts of what is due and what is done may differ by so much.
const BEHIND_MAX: f64 = 0.01;

/// Arrivals at random instants of a steady rate, the same in every run.
pub struct Arrivals {
    rng: Rng,
    ns_between: f64,
    next_ns: f64,
}

impl Arrivals {
    /// So many a second, from instant 0.
    pub fn new(per_s: f64, seed: u64) -> Self {
        let mut arrivals =
            Self { rng: Rng::with_seed(seed), ns_between: 1e9 / per_s, next_ns: 0.0 };
        arrivals.next_ns = arrivals.gap();
        arrivals
    }

    /// How many came by `ns` that were not counted before.
    pub fn until(&mut self, ns: u64) -> u64 {
        let mut count = 0;
        while self.next_ns <= ns as f64 {
            self.next_ns += self.gap();
            count += 1;
        }
        count
    }

    /// The time to the next, as a Poisson process has it.
    fn gap(&mut self) -> f64 {
        -(1.0 - self.rng.f64()).ln() * self.ns_between
    }
}

/// What is due and not yet begun, shared by the pace and its callers.
#[derive(Default)]
pub struct Due {
    waiting: Mutex<VecDeque<u64>>,
    arrived: Notify,
    counts: Mutex<Counts>,
}

/// How many operations the window had.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    due: u64,
    answered: u64,
    over: bool,
}

impl Due {
    /// Operations that were due in the window, and whether the answers in it were too few.
    pub fn outcome(&self) -> (u64, bool) {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let least = counts.due as f64 * (1.0 - BEHIND_MAX);
        (counts.due, (counts.answered as f64) < least)
    }

    fn pop(&self) -> Option<u64> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn push(&self, instant: u64, count: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..count {
            waiting.push_back(instant);
            self.arrived.notify_one();
        }
    }

    fn counts<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs one caller: takes what is due, oldest first, until the pace is over.
pub async fn drive(
    mut caller: Caller,
    window: Window,
    tally: Arc<Mutex<Tally>>,
    due: Arc<Due>,
) -> io::Result<()> {
    loop {
        let Some(instant) = due.pop() else {
            if due.counts(|counts| counts.over) {
                return Ok(());
            }
            due.arrived.notified().await;
            continue;
        };
        let done = caller.turn().await?;
        let now = now_ns();
        if window.holds(instant) {
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(now - instant, done);
        }
        due.counts(|counts| counts.answered += u64::from(window.holds(now)));
        if now > window.end_ns + PATIENCE_NS {
            return Err(io::Error::other("the server is far behind the rate of requests"));
        }
    }
}

/// Tells the callers what is due, tick by tick, until the window is over.
pub async fn pace(per_s: f64, seed: u64, window: Window, due: Arc<Due>) -> io::Result<()> {
    let start = now_ns();
    let timer = timer(start + TICK_NS)?;
    let mut arrivals = Arrivals::new(per_s, seed);
    let mut ticked = 0;
    while start + ticked * TICK_NS < window.end_ns {
        for _ in 0..ticks(&timer).await? {
            ticked += 1;
            let instant = start + ticked * TICK_NS;
            let count = arrivals.until(ticked * TICK_NS);
            if count > 0 && instant < window.end_ns {
                due.push(instant, count);
                due.counts(|counts| counts.due += count * u64::from(window.holds(instant)));
            }
        }
    }
    due.counts(|counts| counts.over = true);
    // All callers share this thread, so none is between its look and its wait.
    due.arrived.notify_waiters();
    Ok(())
}

#[expect(deprecated, reason = "sound for an OwnedFd, and what replaces it is unsafe")]
fn timer(first_ns: u64) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let times = Itimerspec { it_interval: timespec(TICK_NS), it_value: timespec(first_ns) };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times)?;
    AsyncFd::new(timer)
}

/// Waits for the next tick; more than one have passed when the thread was busy.
async fn ticks(timer: &AsyncFd<OwnedFd>) -> io::Result<u64> {
    loop {
        let mut ready = timer.readable().await?;
        let mut count = [0; 8];
        let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?));
        if let Ok(read) = read {
            read?;
            return Ok(u64::from_ne_bytes(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_and_repeat() {
        for per_s in [100.0, 20_000.0, 1_000_000.0] {
            let counts = |seed| {
                let mut arrivals = Arrivals::new(per_s, seed);
                (1..=100_000).map(|tick| arrivals.until(tick * TICK_NS)).collect::<Vec<u64>>()
            };
            let (one, other) = (counts(1), counts(2));
            assert_eq!(one, counts(1));
            assert_ne!(one, other);
            let total = one.iter().sum::<u64>() as f64;
            let expected = per_s * 10.0;
            assert!((total - expected).abs() < 5.0 * expected.sqrt(), "{per_s}: {total}");
        }
    }

    #[test]
    fn arrivals_spread_as_a_poisson_process_does() {
        let mut arrivals = Arrivals::new(10_000.0, 7);
        let counts: Vec<u64> = (1..=100_000).map(|tick| arrivals.until(tick * TICK_NS)).collect();
        let none = counts.iter().filter(|count| **count == 0).count() as f64 / 100_000.0;
        assert!((none - (-1.0f64).exp()).abs() < 0.01, "{none}");
    }

    #[test]
    fn behind_is_more_than_one_in_a_hundred() {
        let due = Due::default();
        due.counts(|counts| *counts = Counts { due: 1000, answered: 990, over: true });
        assert_eq!(due.outcome(), (1000, false));
        due.counts(|counts| counts.answered = 989);
        assert_eq!(due.outcome(), (1000, true));
    }
}
