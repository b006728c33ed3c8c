//! What a load counts: latencies, successes and conflicts within the measured window, and the
//! figure that comes of them. Knows no protocol.

use std::io;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart, a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// What one operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Success,
    /// Somebody else wrote the version that it expected.
    Conflict,
}

/// Counts of one stream of operations.
pub struct Tally {
    latencies: Histogram<u64>,
    conflicts: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> io::Result<Self> {
        let latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS);
        Ok(Self { latencies: latencies.map_err(io::Error::other)?, conflicts: 0 })
    }

    /// Counts one operation that took `ns`.
    pub fn add(&mut self, ns: u64, done: Done) {
        match done {
            Done::Success => self.latencies.saturating_record(ns),
            Done::Conflict => self.conflicts += 1,
        }
    }

    /// Successes so far.
    pub fn successes(&self) -> u64 {
        self.latencies.len()
    }

    /// The figure of a window of so many seconds.
    pub fn figure(&self, seconds: f64) -> Figure {
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Figure {
            requests_per_s: self.latencies.len() as f64 / seconds,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            conflicts_per_s: self.conflicts as f64 / seconds,
            ..Figure::default()
        }
    }
}

/// What one turn of a side came to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Figure {
    /// Successes a second.
    pub requests_per_s: f64,
    /// Median latency, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 were as quick.
    pub p99_us: f64,
    /// 999 of 1000 were as quick.
    pub p999_us: f64,
    /// Conflicts a second.
    pub conflicts_per_s: f64,
    /// Processor time of the server for each success, in microseconds.
    pub cpu_us_per_request: f64,
    /// Share of a core that the client's thread used; near 1 the client is what limits.
    pub client_core: f64,
    /// Memory of the server at the end, in KiB.
    pub rss_kib: u64,
    /// The most that it ever was.
    pub rss_peak_kib: u64,
    /// Operations that were due a second, in an open loop.
    pub offered_per_s: Option<f64>,
    /// The server, or the client, was more than 1 % behind what was due.
    pub behind: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_successes_alone() {
        let mut tally = Tally::new().expect("a tally");
        for ms in 1..=1000 {
            tally.add(ms * 1_000_000, Done::Success);
        }
        tally.add(1, Done::Conflict);
        let figure = tally.figure(2.0);
        let close = |value: f64, ms: f64| (value / 1000.0 - ms).abs() < ms / 500.0;
        assert!(close(figure.p50_us, 500.0) && close(figure.p99_us, 990.0));
        assert!(close(figure.p999_us, 999.0));
        assert_eq!((figure.requests_per_s, figure.conflicts_per_s), (500.0, 0.5));
    }
}
