//! A guest's share of one worker thread's time, where its mount has a cap: an account that fills
//! at the allowed pace and that calls draw on while they run. Who finds it overdrawn waits, in the
//! order of arrival. Knows nothing of instances; guests without a cap have no account.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;

/// What an account holds at most: it evens out that timers are late by a millisecond or two.
const SAVED_MAX: Duration = Duration::from_millis(5);
/// A share that is no cap.
pub const PERCENT_ALL: u32 = 100;

/// The share of one guest on one thread.
pub struct Share {
    account: Cell<Account>,
    /// Held by the first of those that wait, and by the one that runs.
    turn: Semaphore,
    clock: Clock,
}

impl Share {
    /// An account that fills with `percent` of the time; None when that is all of it.
    pub fn new(percent: u32, clock: &Clock) -> Option<Self> {
        let capped = percent < PERCENT_ALL;
        capped.then(|| Self {
            account: Cell::new(Account::new(percent, clock.monotonic())),
            turn: Semaphore::new(1),
            clock: clock.clone(),
        })
    }

    /// Runs `future`, and lets it go on only while the account is not overdrawn.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            // Kept until it gives way: of many that wait one runs before the account is looked at again.
            let turn = self.turn().await;
            let polled = poll_fn(|context| {
                let began = self.clock.monotonic();
                let polled = future.as_mut().poll(context);
                self.account.set(self.account.get().after(began, self.clock.monotonic()));
                Poll::Ready(polled)
            });
            let polled = polled.await;
            drop(turn);
            match polled {
                Poll::Ready(output) => return output,
                Poll::Pending => woken().await,
            }
        }
    }

    /// Waits until it may be gone on, which no other may then.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        let turn = self.turn.acquire().await.ok();
        while let Some(wait) = self.account.get().even_in(self.clock.monotonic()) {
            tokio::time::sleep(wait).await;
        }
        turn
    }
}

/// Ready when the task is woken, by what it has polled before.
async fn woken() {
    let mut was_asked = false;
    poll_fn(
        |_| if std::mem::replace(&mut was_asked, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Time that is left to use, or owed when it is negative, at an instant.
#[derive(Clone, Copy, Debug)]
struct Account {
    percent: i64,
    left_ns: i64,
    at: Duration,
}

impl Account {
    fn new(percent: u32, now: Duration) -> Self {
        Self { percent: percent.into(), left_ns: nanos(SAVED_MAX), at: now }
    }

    /// The account after a run.
    fn after(self, began: Duration, ended: Duration) -> Self {
        // What it holds at most counts before the run, or a long one would be forgiven in part.
        let before = self.filled(began);
        let used = nanos(ended.saturating_sub(began));
        let after = Self { left_ns: before.left_ns - used, ..before };
        after.filled(ended)
    }

    fn filled(self, now: Duration) -> Self {
        let passed = nanos(now.saturating_sub(self.at));
        let left_ns = self.left_ns.saturating_add(passed.saturating_mul(self.percent) / 100);
        Self { left_ns: left_ns.min(nanos(SAVED_MAX)), at: now, ..self }
    }

    /// How long it stays overdrawn; None when it is not.
    fn even_in(self, now: Duration) -> Option<Duration> {
        let owed = -self.filled(now).left_ns;
        let ns = u64::try_from(owed.saturating_mul(100) / self.percent).unwrap_or(0);
        (owed > 0).then(|| Duration::from_nanos(ns))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The part of `rounds` that was used when each run takes `run` and each wait is late by `late`.
    fn used(percent: u32, run: Duration, late: Duration) -> f64 {
        let (mut now, mut running) = (Duration::ZERO, Duration::ZERO);
        let mut account = Account::new(percent, now);
        while now < 10_000 * MS {
            if let Some(wait) = account.even_in(now) {
                now += wait + late;
            }
            account = account.after(now, now + run);
            (now, running) = (now + run, running + run);
        }
        running.as_secs_f64() / now.as_secs_f64()
    }

    #[test]
    fn a_guest_that_always_runs_gets_its_percentage_though_timers_are_late() {
        for percent in [1, 10, 25, 50, 90] {
            for (run, late) in [(MS / 4, MS / 10), (MS / 4, MS), (2 * MS, MS), (50 * MS, MS)] {
                let (share, allowed) = (used(percent, run, late), f64::from(percent) / 100.0);
                // What lateness costs beyond what can be saved is lost, never gained.
                assert!(share < allowed + 0.01, "{percent} %, {run:?}: {share}");
                assert!(share > 0.8 * allowed, "{percent} %, {run:?}: {share}");
            }
        }
    }

    #[test]
    fn what_is_saved_while_a_guest_rests_is_little() {
        let account = Account::new(50, Duration::ZERO);
        let hour = Duration::from_secs(3600);
        let account = account.after(hour, hour + 15 * MS);
        // 5 saved, 15 used, 7.5 of them earned meanwhile.
        assert_eq!(account.even_in(hour + 15 * MS), Some(5 * MS));
        assert_eq!(account.even_in(hour + 20 * MS), None);
    }

    #[tokio::test]
    async fn who_waits_runs_in_turn_and_all_come_to_their_end() {
        let share = Share::new(50, &Clock::system()).unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let call = |name: usize| {
            let (share, order) = (&share, &order);
            share.run(async move {
                for _ in 0..5 {
                    std::thread::sleep(6 * MS);
                    order.borrow_mut().push(name);
                    tokio::task::yield_now().await;
                }
            })
        };
        tokio::join!(call(0), call(1), call(2));
        let order = order.into_inner();
        assert_eq!(order.len(), 15);
        assert!(order.windows(2).all(|two| two[0] != two[1]), "{order:?}");
    }

    #[test]
    fn all_of_the_time_needs_no_account() {
        assert!(Share::new(100, &Clock::system()).is_none());
    }
}
