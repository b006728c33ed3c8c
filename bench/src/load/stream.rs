//! What callers ask, how, and how fast. Knows nothing of how that is done.

use larder_wire::Encoding;
use serde::{Deserialize, Serialize};

/// Entries of a page.
pub const PAGE_KEYS: u32 = 100;
/// Sets of a batch.
pub const BATCH_KEYS: usize = 100;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Read a key.
    Get,
    /// Write a key, durably.
    Set,
    /// One or the other.
    Half,
    /// Read a key and write it if it is still the same.
    Cas,
    /// Read the page behind a key, with values.
    List,
    /// Write many keys, all or none.
    Batch,
    /// Add 1 to a number.
    Add,
    /// Read a key through the plain face.
    Plain,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, a request at a time on each connection.
    Http1,
    /// HTTP/2 with so many streams at a time on each connection.
    Http2 {
        /// At a time.
        streams: usize,
    },
    /// Redis' own.
    Redis,
    /// etcd's gRPC, a stream at a time.
    Etcd,
}

/// How fast it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as answers come.
    Closed,
    /// So many a second.
    Rate(f64),
}

/// Callers that all do the same.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What they ask.
    pub work: Work,
    /// How.
    pub protocol: Protocol,
    /// How fast.
    pub pace: Pace,
    /// Form of bodies.
    pub encoding: Encoding,
    /// Connections at once.
    pub connections: usize,
    /// Keys to choose from.
    pub keys: u32,
    /// Size of each value.
    pub value_bytes: usize,
}

impl Stream {
    /// Callers in the closed loop over HTTP/1.1 in MessagePack, with 100,000 keys of 1 KiB.
    pub fn new(work: Work, connections: usize) -> Self {
        Self {
            work,
            protocol: Protocol::Http1,
            pace: Pace::Closed,
            encoding: Encoding::MessagePack,
            connections,
            keys: 100_000,
            value_bytes: 1 << 10,
        }
    }

    /// Whether the load can ask so: what is more than gets and sets of the API is asked over HTTP/1.1
    /// in MessagePack alone.
    pub fn can_be_asked(&self) -> bool {
        let usual = (self.protocol, self.encoding) == (Protocol::Http1, Encoding::MessagePack);
        usual || matches!(self.work, Work::Get | Work::Set | Work::Half | Work::Cas)
    }

    /// Keys to choose from for a request: of pages, those that a whole page follows.
    pub fn choices(&self) -> u32 {
        let behind = if self.work == Work::List { PAGE_KEYS } else { 0 };
        self.keys.saturating_sub(behind).max(1)
    }

    /// Callers at a time.
    pub fn callers(&self) -> usize {
        match self.protocol {
            Protocol::Http2 { streams } => self.connections * streams,
            _ => self.connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_chosen_among_keys_that_another_hundred_follow() {
        let choices = |work, keys| Stream { keys, ..Stream::new(work, 1) }.choices();
        assert_eq!((choices(Work::Get, 1000), choices(Work::List, 1000)), (1000, 900));
        assert_eq!(choices(Work::List, 101), 1);
    }

    #[test]
    fn pages_are_asked_for_in_one_way_alone() {
        let list = Stream::new(Work::List, 1);
        let json = |work| Stream { encoding: Encoding::Json, ..Stream::new(work, 1) };
        assert!(list.can_be_asked() && json(Work::Get).can_be_asked());
        assert!(!json(Work::List).can_be_asked());
        let http2 = Stream { protocol: Protocol::Http2 { streams: 1 }, ..list };
        assert!(!http2.can_be_asked());
    }
}
