//! The only reader of time. Owns the rule that "now" never falls; knows nothing of what is timed.
//!
//! [`Clock::now`] follows the wall clock forwards. When the wall clock steps back it goes on from
//! the highest instant seen, at the pace of the monotonic clock, so that durations stay true and
//! nothing that expired comes back. [`Clock::raise_to`] makes an instant that was read from disk
//! count as seen.

#![expect(
    clippy::disallowed_methods,
    reason = "this module is the one place that may read the clocks"
)]

pub(crate) mod timeout;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// An instant in whole milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Reads time. Cloning shares the highest instant seen.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    /// `now` minus the monotonic clock, in microseconds; only ever raised.
    offset_us: AtomicI64,
}

#[derive(Debug)]
enum Source {
    System { start: Instant },
    Driven(DrivenClock),
}

impl Clock {
    /// The system's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::from_source(Source::System { start: Instant::now() })
    }

    /// A clock that moves only when `driver` says so.
    #[must_use]
    pub fn driven(driver: &DrivenClock) -> Self {
        Self::from_source(Source::Driven(driver.clone()))
    }

    fn from_source(source: Source) -> Self {
        let shared = Shared { source, offset_us: AtomicI64::new(i64::MIN) };
        Self { shared: Arc::new(shared) }
    }

    /// The present instant. Never less than any instant returned before.
    #[must_use]
    pub fn now(&self) -> Millis {
        let (wall_us, monotonic_us) = self.shared.source.read();
        let offset = self.raise_offset(wall_us.saturating_sub(monotonic_us));
        let now_us = monotonic_us.saturating_add(offset);
        Millis(u64::try_from(now_us / 1000).unwrap_or(0))
    }

    /// Makes `instant` count as seen: `now` is not below it from here on.
    pub fn raise_to(&self, instant: Millis) {
        let (_, monotonic_us) = self.shared.source.read();
        let instant_us = i64::try_from(instant.0.saturating_mul(1000)).unwrap_or(i64::MAX);
        self.raise_offset(instant_us.saturating_sub(monotonic_us));
    }

    /// How far [`Clock::now`] is ahead of the wall clock: zero unless that was set back, or was ahead
    /// once.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        let (wall_us, monotonic_us) = self.shared.source.read();
        let offset = self.shared.offset_us.load(Ordering::Acquire);
        let ahead_us = monotonic_us.saturating_add(offset).saturating_sub(wall_us);
        Duration::from_micros(u64::try_from(ahead_us).unwrap_or(0))
    }

    /// Time since the clock was made; for deadlines, waiting times and what is measured.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &self.shared.source {
            Source::System { start } => start.elapsed(),
            Source::Driven(driver) => Duration::from_millis(driver.monotonic_ms()),
        }
    }

    fn raise_offset(&self, offset_us: i64) -> i64 {
        // Most reads find the offset unchanged: a plain load keeps the cache line shared.
        let seen = self.shared.offset_us.load(Ordering::Acquire);
        if offset_us <= seen {
            return seen;
        }
        self.shared.offset_us.fetch_max(offset_us, Ordering::AcqRel).max(offset_us)
    }
}

impl Source {
    /// The wall clock and the monotonic clock, both in microseconds.
    fn read(&self) -> (i64, i64) {
        match self {
            Source::System { start } => {
                // In this order: a thread that is stopped between the two makes the wall clock
                // look slow, which is ignored, and not fast, which would be remembered.
                let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let monotonic = micros(start.elapsed());
                (wall.map(micros).unwrap_or(0), monotonic)
            }
            Source::Driven(driver) => driver.read(),
        }
    }
}

/// Processor time that the calling thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Drives a [`Clock`] by hand: what tests turn instead of waiting.
#[derive(Clone, Debug)]
pub struct DrivenClock {
    wall_ms: Arc<AtomicU64>,
    monotonic_ms: Arc<AtomicU64>,
}

impl DrivenClock {
    /// A clock that stands at `wall`.
    #[must_use]
    pub fn at(wall: Millis) -> Self {
        Self { wall_ms: Arc::new(AtomicU64::new(wall.0)), monotonic_ms: Arc::default() }
    }

    /// Lets time pass: both clocks move on by `ms`.
    pub fn advance(&self, ms: u64) {
        self.wall_ms.fetch_add(ms, Ordering::AcqRel);
        self.monotonic_ms.fetch_add(ms, Ordering::AcqRel);
    }

    /// Sets the wall clock alone, forwards or back, as an administrator or NTP does.
    pub fn step_wall_to(&self, wall: Millis) {
        self.wall_ms.store(wall.0, Ordering::Release);
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::Acquire)
    }

    fn read(&self) -> (i64, i64) {
        let us = |ms: &AtomicU64| {
            i64::try_from(ms.load(Ordering::Acquire).saturating_mul(1000)).unwrap_or(i64::MAX)
        };
        (us(&self.wall_ms), us(&self.monotonic_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_follows_the_wall_clock_forwards() {
        let driver = DrivenClock::at(Millis(1_000));
        let clock = Clock::driven(&driver);
        assert_eq!(clock.now(), Millis(1_000));
        driver.advance(5);
        assert_eq!(clock.now(), Millis(1_005));
        driver.step_wall_to(Millis(9_000));
        assert_eq!(clock.now(), Millis(9_000));
    }

    #[test]
    fn now_goes_on_from_the_highest_instant_when_the_wall_clock_steps_back() {
        let driver = DrivenClock::at(Millis(10_000));
        let clock = Clock::driven(&driver);
        assert_eq!(clock.now(), Millis(10_000));
        driver.step_wall_to(Millis(1));
        assert_eq!(clock.now(), Millis(10_000));
        driver.advance(250);
        assert_eq!(clock.now(), Millis(10_250));
    }

    #[test]
    fn how_far_time_is_ahead_of_the_wall_clock_is_told() {
        let driver = DrivenClock::at(Millis(10_000));
        let clock = Clock::driven(&driver);
        assert_eq!(clock.ahead(), Duration::ZERO);
        clock.raise_to(Millis(50_000));
        assert_eq!(clock.ahead(), Duration::from_secs(40));
        driver.advance(1_000);
        assert_eq!(clock.ahead(), Duration::from_secs(40));
        driver.step_wall_to(Millis(60_000));
        assert_eq!((clock.now(), clock.ahead()), (Millis(60_000), Duration::ZERO));
    }

    #[test]
    fn an_instant_from_disk_counts_as_seen() {
        let driver = DrivenClock::at(Millis(10_000));
        let clock = Clock::driven(&driver);
        clock.raise_to(Millis(50_000));
        assert_eq!(clock.now(), Millis(50_000));
        clock.raise_to(Millis(20_000));
        driver.advance(1);
        assert_eq!(clock.now(), Millis(50_001));
    }

    #[test]
    fn now_stays_with_the_wall_clock_however_threads_are_stopped() {
        let clock = Clock::system();
        let busy: Vec<_> = (0..8)
            .map(|_| {
                let clock = clock.clone();
                std::thread::spawn(move || {
                    for _ in 0..1_000_000 {
                        std::hint::black_box(clock.now());
                    }
                })
            })
            .collect();
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        let wall = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        // The least of many: between two readings this thread may be stopped too.
        let ahead = (0..1000).map(|_| clock.now().0.saturating_sub(wall().as_millis() as u64));
        assert!(ahead.min().unwrap() <= 2);
    }

    #[test]
    fn the_system_clock_is_in_this_century() {
        assert!(Clock::system().now() > Millis(1_700_000_000_000));
    }
}
