//! The load: connections that each send a request, read the answer and send the next, from one
//! thread. Speaks just enough HTTP/1.1 to cost little itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

/// The admin token of every side.
pub const TOKEN: &str = "bench-token";
/// Size of every value.
pub const VALUE_BYTES: usize = 1024;
/// Time before the measurement, for connections and caches.
const WARM_UP: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Read a key.
    Get,
    /// Write a key, durably.
    Set,
}

/// One measurement.
pub struct Load {
    /// Who is asked.
    pub address: SocketAddr,
    /// What is asked.
    pub work: Work,
    /// Connections at once.
    pub connections: usize,
    /// Keys to choose from.
    pub keys: usize,
    /// How long to measure.
    pub time: Duration,
}

impl Load {
    /// Requests a second.
    pub fn run(&self) -> io::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let begin = Instant::now() + WARM_UP;
            let end = begin + self.time;
            let mut running = JoinSet::new();
            for number in 0..self.connections {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                let choice = Choice { state: number as u64 * 0x9E37_79B9 + 1, keys: self.keys };
                running.spawn_local(drive(stream, self.work, choice, begin, end));
            }
            let mut answered = 0;
            while let Some(done) = running.join_next().await {
                answered += done.map_err(io::Error::other)??;
            }
            Ok(answered as f64 / self.time.as_secs_f64())
        })
    }
}

/// A cheap random sequence of keys, the same in every run.
struct Choice {
    state: u64,
    keys: usize,
}

impl Choice {
    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % self.keys as u64).unwrap_or(0)
    }
}

/// The name of a key; every name has the same length.
pub fn key(number: usize) -> String {
    format!("key-{number:08}")
}

async fn drive(
    mut stream: TcpStream,
    work: Work,
    mut choice: Choice,
    begin: Instant,
    end: Instant,
) -> io::Result<u64> {
    let mut buffer = Vec::with_capacity(8 << 10);
    let mut answered = 0;
    loop {
        let request = request(work, &key(choice.next()));
        stream.write_all(&request).await?;
        read_answer(&mut stream, &mut buffer).await?;
        let now = Instant::now();
        if now >= end {
            return Ok(answered);
        }
        answered += u64::from(now >= begin);
    }
}

fn request(work: Work, key: &str) -> Vec<u8> {
    let mut body = vec![0x81 + u8::from(matches!(work, Work::Set)), 0xa3];
    body.extend_from_slice(b"key");
    body.push(0xa0 | key.len() as u8);
    body.extend_from_slice(key.as_bytes());
    let path = match work {
        Work::Get => "get",
        Work::Set => {
            body.extend_from_slice(b"\xa5value\xc5");
            body.extend_from_slice(&(VALUE_BYTES as u16).to_be_bytes());
            body.resize(body.len() + VALUE_BYTES, b'v');
            "set"
        }
    };
    let mut request = format!(
        "POST /api/v1.kv.{path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\naccept: application/msgpack\r\ncontent-type: application/msgpack\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    request
}

/// Reads one answer with a content-length; anything but 200 is an error.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..head]);
        if !text.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(text.into_owned()));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while buffer.len() < head + 4 + length {
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(());
    }
}
