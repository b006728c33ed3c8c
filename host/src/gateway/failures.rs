//! Why calls failed, in the log. A guest that fails again and again, as strangers can make it, has a few
//! lines a second, and one that tells how many more there were. Costs calls that go well nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::runtime::{CallError, Guest};

/// Lines for the failures of one guest that begin in one second.
const LINES_MAX: u64 = 10;
/// How long failures are counted before the log says how many there were.
const COUNT_TIME: Duration = Duration::from_secs(1);
/// Where the second stands that lines are counted in, above their count.
const SECOND_SHIFT: u32 = 32;

/// The failures of one guest, over all workers.
#[derive(Debug, Default)]
pub struct Failures {
    /// The second at hand, and the failures that began in it.
    counted: AtomicU64,
    /// Failures that the log does not mention, yet.
    unlogged: AtomicU64,
}

/// What becomes of a failure.
#[derive(Debug, PartialEq, Eq)]
enum Logged {
    /// A line of its own.
    Line,
    /// It is counted.
    Counted,
    /// It is counted, as the first one of this second.
    CountedFirst,
}

impl Failures {
    fn take(&self, now: Duration) -> Logged {
        let second = now.as_secs() << SECOND_SHIFT;
        let count = |counted: u64| {
            // A thread that looked at the clock before another counts with that one's second.
            Some(if counted >= second { counted + 1 } else { second + 1 })
        };
        let before = self.counted.fetch_update(Ordering::AcqRel, Ordering::Acquire, count);
        let before = before.unwrap_or_default();
        let before = if before >= second { before & ((1 << SECOND_SHIFT) - 1) } else { 0 };
        if before < LINES_MAX {
            return Logged::Line;
        }
        self.unlogged.fetch_add(1, Ordering::AcqRel);
        if before == LINES_MAX { Logged::CountedFirst } else { Logged::Counted }
    }

    /// Logs why a call failed at `now`, or that it is one of many. For a worker's thread.
    pub fn log(self: &Arc<Self>, guest: &Arc<Guest>, error: &CallError, now: Duration) {
        match self.take(now) {
            Logged::Line => tracing::error!(guest = guest.name(), %error, "a call failed"),
            Logged::Counted => {}
            Logged::CountedFirst => {
                let rest = Unlogged { failures: Arc::clone(self), guest: Arc::clone(guest) };
                spawn_local(async move {
                    sleep(COUNT_TIME).await;
                    drop(rest);
                });
            }
        }
    }
}

/// Logs when it is dropped, as at a shutdown too, how many more failures there were.
struct Unlogged {
    failures: Arc<Failures>,
    guest: Arc<Guest>,
}

impl Drop for Unlogged {
    fn drop(&mut self) {
        let calls = self.failures.unlogged.swap(0, Ordering::AcqRel);
        tracing::error!(
            guest = self.guest.name(),
            calls,
            "more calls failed, too many to tell of each"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_of_a_second_have_lines_and_the_rest_are_counted() {
        let failures = Failures::default();
        let second = Duration::from_secs(7);
        for _ in 0..LINES_MAX {
            assert_eq!(failures.take(second), Logged::Line);
        }
        assert_eq!(failures.take(second), Logged::CountedFirst);
        assert_eq!(failures.take(second + Duration::from_millis(999)), Logged::Counted);
        // Seen by a thread that is late.
        assert_eq!(failures.take(second - Duration::from_secs(1)), Logged::Counted);
        assert_eq!(failures.unlogged.load(Ordering::Acquire), 3);
        assert_eq!(failures.take(second + Duration::from_secs(1)), Logged::Line);
    }
}
