//! Requests of many connections on one thread: a connection that does not block, and what it was
//! answered, with the times. Knows HTTP/1.1 as far as larder speaks it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larder_tests::TOKEN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it says when to come back.
    pub retry_after: bool,
    /// The body.
    pub body: Vec<u8>,
    /// From the first byte that was sent to the last that came.
    pub took: Duration,
}

/// A connection that is kept.
pub struct Exchange {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Exchange {
    /// Connects.
    ///
    /// # Errors
    /// When the system does not let it.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the answer does not come whole.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        let begun = now();
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            let found = self.buffer.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END);
            if let Some(end) = found {
                break String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            }
        };
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start_matches(": "))
        };
        let invalid = || io::Error::other(format!("an answer that is none: {head:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(invalid)?;
        let length = field("content-length").map_or(Ok(0), str::parse);
        let length: usize = length.map_err(|_| invalid())?;
        let whole = head.len() + HEAD_END.len() + length;
        while self.buffer.len() < whole {
            self.read().await?;
        }
        let body = self.buffer[whole - length..].to_vec();
        let retry_after = field("retry-after").is_some();
        Ok(Answer { status, retry_after, body, took: begun.elapsed() })
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A request with the admin token and a body in JSON.
#[must_use]
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The time, as clients see it.
#[expect(clippy::disallowed_methods, reason = "what clients wait is measured outside of servers")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The value that a share of `quantile` does not exceed; zero of none.
#[must_use]
pub fn at_quantile(times: &mut [Duration], quantile: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in the list"
    )]
    let place = (last as f64 * quantile).ceil() as usize;
    times.get(place).copied().unwrap_or_default()
}
