//! The part of one thread's processor time that a guest gets: its calls take turns, so that it is one among
//! the thread's guests however many calls it has; and where its mount has a cap there is a token bucket of
//! time, which fills at the allowed pace and which calls draw on while they run. Calls that find it overdrawn
//! wait, in the order of their arrival. Knows nothing of instances.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::clock::Clock;

/// What a bucket holds at most: it evens out that timers are late by a millisecond or two.
const BUCKET_MAX: Duration = Duration::from_millis(5);
/// A quota that is no cap.
pub const PERCENT_ALL: u32 = 100;

/// The quota of one guest on one thread.
pub struct CpuQuota {
    /// None without a cap.
    bucket: Option<Cell<TokenBucket>>,
    /// Held by the first of those that wait, and by the one that runs.
    turn: Semaphore,
    /// How many wait for their turn.
    waiting: Cell<usize>,
    clock: Clock,
}

impl CpuQuota {
    /// A quota of `percent` of the time; None when that is all of it and calls need not take turns.
    pub fn new(percent: u32, in_turn: bool, clock: &Clock) -> Option<Self> {
        let capped = percent < PERCENT_ALL;
        let bucket = || Cell::new(TokenBucket::new(percent, clock.monotonic()));
        (capped || in_turn).then(|| Self {
            bucket: capped.then(bucket),
            turn: Semaphore::new(1),
            waiting: Cell::new(0),
            clock: clock.clone(),
        })
    }

    /// Runs `future`, and lets it go on only in its turn, while the bucket is not overdrawn.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let alarm = Arc::new(RunWaker::default());
        let waker = Waker::from(Arc::clone(&alarm));
        loop {
            let turn = self.turn().await;
            let polled = self.poll(future.as_mut(), &mut Context::from_waker(&waker));
            if polled.is_pending() || self.waiting.get() > 0 {
                // The turn is kept meanwhile: other guests come before this one's other calls.
                tokio::task::yield_now().await;
            }
            drop(turn);
            match polled {
                Poll::Ready(output) => return output,
                Poll::Pending => alarm.0.notified().await,
            }
        }
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(bucket) = &self.bucket else { return future.poll(context) };
        let began = self.clock.monotonic();
        let polled = future.poll(context);
        bucket.set(bucket.get().after(began, self.clock.monotonic()));
        polled
    }

    /// Waits until it may be gone on, which no other may then.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = match self.turn.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_) => {
                let _waiting = Waiting::one_more(&self.waiting);
                // Nobody closes it.
                self.turn.acquire().await.ok()
            }
        };
        if let Some(bucket) = &self.bucket {
            while let Some(wait) = bucket.get().even_in(self.clock.monotonic()) {
                tokio::time::sleep(wait).await;
            }
        }
        turn
    }
}

/// Rings when a call may go on, and is still heard by one that looks later.
#[derive(Default)]
struct RunWaker(Notify);

impl Wake for RunWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Counts one that waits, also when it is given up.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Time that is left to use, or owed when it is negative, at an instant.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    percent: i64,
    left_ns: i64,
    at: Duration,
}

impl TokenBucket {
    fn new(percent: u32, now: Duration) -> Self {
        Self { percent: percent.into(), left_ns: nanos(BUCKET_MAX), at: now }
    }

    /// The bucket after a run.
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
        Self { left_ns: left_ns.min(nanos(BUCKET_MAX)), at: now, ..self }
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
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The part of `rounds` that was used when each run takes `run` and each wait is late by `late`.
    fn used(percent: u32, run: Duration, late: Duration) -> f64 {
        let (mut now, mut running) = (Duration::ZERO, Duration::ZERO);
        let mut bucket = TokenBucket::new(percent, now);
        while now < 10_000 * MS {
            if let Some(wait) = bucket.even_in(now) {
                now += wait + late;
            }
            bucket = bucket.after(now, now + run);
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
        let bucket = TokenBucket::new(50, Duration::ZERO);
        let hour = Duration::from_secs(3600);
        let bucket = bucket.after(hour, hour + 15 * MS);
        // 5 saved, 15 used, 7.5 of them earned meanwhile.
        assert_eq!(bucket.even_in(hour + 15 * MS), Some(5 * MS));
        assert_eq!(bucket.even_in(hour + 20 * MS), None);
    }

    #[tokio::test]
    async fn who_waits_runs_in_turn_and_all_come_to_their_end() {
        for percent in [50, PERCENT_ALL] {
            three_take_turns(percent).await;
        }
    }

    async fn three_take_turns(percent: u32) {
        let share = CpuQuota::new(percent, true, &Clock::system()).unwrap();
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

    #[tokio::test]
    async fn a_guest_with_many_calls_is_one_among_others() {
        let [many, one] =
            [(); 2].map(|()| CpuQuota::new(PERCENT_ALL, true, &Clock::system()).unwrap());
        let (many, others_ran) = (Rc::new(many), Rc::new(Cell::new(0)));
        let local = LocalSet::new();
        for _ in 0..100 {
            let (many, ran) = (Rc::clone(&many), Rc::clone(&others_ran));
            local.spawn_local(async move {
                let endless = async {
                    loop {
                        ran.set(ran.get() + 1);
                        tokio::task::yield_now().await;
                    }
                };
                many.run(endless).await
            });
        }
        let ten = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        local.run_until(one.run(ten)).await;
        assert!(others_ran.get() <= 30, "{} turns beside 10", others_ran.get());
    }

    #[test]
    fn all_of_the_time_needs_no_account() {
        assert!(CpuQuota::new(100, false, &Clock::system()).is_none());
    }
}
