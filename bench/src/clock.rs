//! Time as the bench measures it: nanoseconds of the monotonic clock, the processor's time of this
//! process, and the date for the record. Knows nothing of what is measured.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;

const NS: u64 = 1_000_000_000;

/// Nanoseconds of the monotonic clock, the one that timers count from.
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Processor time that this process has used, in microseconds.
pub fn own_cpu_us() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime)) / 1000
}

/// Seconds since the epoch.
pub fn epoch_s() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime)) / NS
}

/// An instant of the monotonic clock in the form that timers take.
pub fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / NS).cast_signed(), tv_nsec: (ns % NS).cast_signed() }
}

/// Sleeps until an instant of the monotonic clock, to Tokio's millisecond.
pub async fn sleep_until(ns: u64) {
    let left = Duration::from_nanos(ns.saturating_sub(now_ns()));
    tokio::time::sleep_until(Instant::now() + left).await;
}

/// A date as `2026-01-31 23:59 UTC`.
pub fn date(epoch_s: u64) -> String {
    let (days, second) = (epoch_s / 86_400, epoch_s % 86_400);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec.cast_unsigned() * NS + time.tv_nsec.cast_unsigned()
}

/// Year, month and day of a count of days since the epoch.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    loop {
        let length = 365 + u64::from(leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil_ones() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_868_740), "2000-02-29 23:59 UTC");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59 UTC");
    }

    #[test]
    fn an_instant_is_split_into_seconds_and_the_rest() {
        let time = timespec(5 * NS + 7);
        assert_eq!((time.tv_sec, time.tv_nsec), (5, 7));
    }
}
