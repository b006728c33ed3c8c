//! Why connections were closed, for counting: what the server would not bear any longer, and what broke.
//! One that its client ended in order, or that a shutdown ended, is not among them. Knows no request.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its TLS handshake failed, or the client left in the midst of it.
    TlsHandshake,
    /// A head of HTTP/1 that is none.
    MalformedHead,
    /// A head of HTTP/1 that is larger than heads may be.
    LargeHead,
    /// Its first bytes or a head took too long.
    SlowHead,
    /// Its client took too long to take an answer.
    SlowReader,
    /// It was idle for too long.
    Idle,
    /// Too many frames of HTTP/2 that ask for nothing.
    Flood,
    /// Either side found the other to break a rule or a limit of HTTP/2.
    Http2Error,
    /// It was idle, and made room for another.
    Evicted,
    /// It failed, or its client left before it had all that was under way.
    Broken,
}

impl Closed {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::TlsHandshake, "tls-handshake"),
        (Self::MalformedHead, "malformed-head"),
        (Self::LargeHead, "large-head"),
        (Self::SlowHead, "slow-head"),
        (Self::SlowReader, "slow-reader"),
        (Self::Idle, "idle"),
        (Self::Flood, "flood"),
        (Self::Http2Error, "http2-error"),
        (Self::Evicted, "evicted"),
        (Self::Broken, "broken"),
    ];

    /// What hyper ended a connection with.
    pub fn of(error: &hyper::Error, is_http2: bool) -> Self {
        let failed = || error.source().is_some_and(|source| source.is::<io::Error>());
        if error.is_parse_too_large() {
            Self::LargeHead
        } else if error.is_parse() {
            Self::MalformedHead
        } else if is_http2 && !error.is_timeout() && !failed() {
            Self::Http2Error
        } else {
            Self::Broken
        }
    }
}

/// Closed connections by reason, over all threads. Those that end well are not counted, so that only
/// the others pay for it.
#[derive(Debug, Default)]
pub struct ClosedCounts([AtomicU64; Closed::ALL.len()]);

impl ClosedCounts {
    /// Counts one more.
    pub fn count(&self, closed: Closed) {
        self.0[closed as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self, closed: Closed) -> u64 {
        self.0[closed as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_name_and_a_place_of_its_own() {
        let counts = ClosedCounts::default();
        for (number, (closed, name)) in Closed::ALL.into_iter().enumerate() {
            assert_eq!((closed as usize, counts.get(closed)), (number, 0), "{name}");
            counts.count(closed);
            assert_eq!(counts.get(closed), 1, "{name}");
        }
    }
}
