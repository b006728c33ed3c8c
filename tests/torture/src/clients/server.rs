//! A server under attack, as its clients know it, and what all of them count on. Knows no rude client.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::Connection;

/// What slow readers ask for.
pub const LARGE_KEY: &str = "large";
/// Its size.
pub const LARGE_BYTES: usize = 1 << 20;
/// What closing may take beyond each limit.
pub const GRACE: Duration = Duration::from_secs(1);
/// A connection that is not closed so long after it should have been never is.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// For a connection to open.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// A server under attack, as its clients know it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its admin token.
    pub token: String,
    /// The pause between two bytes of a slow client.
    pub drip: Duration,
}

/// The limits that are to hold: those that the server was started with, unless something is planted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `header_ms_max`.
    pub header: Duration,
    /// `body_ms_max`.
    pub body: Duration,
    /// `answer_ms_max`.
    pub answer: Duration,
    /// `idle_ms_max`.
    pub idle: Duration,
    /// What closing may take beyond them.
    pub grace: Duration,
    /// `answers_bytes_max`, in KiB.
    pub answers_kib: u64,
    /// `bodies_bytes_max`, and the quarter beside it, in KiB.
    pub bodies_kib: u64,
}

/// Writes what slow readers ask for.
pub fn put_large(server: &Server) -> Result<(), String> {
    let value = "l".repeat(LARGE_BYTES);
    let mut connection = Connection::new(server.address);
    connection.set_token(&server.token);
    let set = format!(r#"{{"key":"{LARGE_KEY}","value":"{value}"}}"#);
    match connection.post("/api/v1.kv.set", set.as_bytes()) {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("the large value: {other:?}")),
    }
}
