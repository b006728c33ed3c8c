//! What callers ask, how, and how fast. Knows nothing of how that is done.

use larder_wire::Encoding;
use serde::{Deserialize, Serialize};

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

    /// Callers at a time.
    pub fn callers(&self) -> usize {
        match self.protocol {
            Protocol::Http2 { streams } => self.connections * streams,
            _ => self.connections,
        }
    }
}
