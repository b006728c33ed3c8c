//! Clients that take their time: with a head, a preface, a body, an answer, or with nothing at all.
//! Each tells how long the server bore it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use larder_tests::http2::{self, DATA, END_HEADERS, END_STREAM, HEADERS, PING, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::frames;
use super::server::{CONNECT_TIME_MAX, LARGE_BYTES, LARGE_KEY, Limits, PATIENCE, Server};
use crate::exchange::now;

/// The receive window of clients that do not read.
const WINDOW_BYTES: u32 = 4096;
/// Local addresses, so that ports do not run short.
const SOURCES: usize = 16;
/// So many bytes need not wait for room.
const BODY_BYTES: usize = 60_000;
const BODY: &str = "\"key\":\"";

/// What a client is slow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slow {
    /// It says nothing.
    Silent,
    /// A byte of its head now and then.
    Head,
    /// A byte of HTTP/2's preface now and then.
    Preface,
    /// A byte of its body now and then.
    Body,
    /// It reads a large answer a little now and then.
    Reader,
    /// It does not read its large answer.
    Deaf,
    /// It has been answered and says nothing more.
    Idle,
    /// The same over HTTP/2, before any request.
    Http2Idle,
    /// The same, with pings now and then.
    Http2Pings,
    /// It has no window for its large answer, over HTTP/2.
    Http2Deaf,
    /// It has no window for many large answers.
    Http2DeafToMany,
    /// It sends half of a large body.
    HalfBody,
    /// It sends parts of as many bodies as it may at once, over HTTP/2.
    Http2Bodies,
    /// It begins as many requests as it may at once, with heads that are larger than they look, and ends
    /// none. It has no token.
    Http2Heads,
}

/// How long requests that nobody wants are waited for, before the connection is idle.
const UNWANTED_TIME: Duration = Duration::from_secs(2);
/// Requests of a connection of HTTP/2 at once.
const STREAMS: u32 = 100;
/// Large answers that it asks for who is deaf to many.
const ANSWERS: u32 = 8;
/// What is sent of each of many bodies.
const PART_BYTES: usize = 600;

impl Slow {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Silent,
        Self::Head,
        Self::Preface,
        Self::Body,
        Self::Reader,
        Self::Deaf,
        Self::Idle,
        Self::Http2Idle,
        Self::Http2Pings,
        Self::Http2Deaf,
        Self::Http2DeafToMany,
        Self::HalfBody,
        Self::Http2Bodies,
        Self::Http2Heads,
    ];

    /// How many of them have as many streams as they may.
    pub const OF_MANY_STREAMS: usize = 3;
    /// Those that are slow and ask for little.
    pub const MEEK: &'static [Self] = Self::ALL.split_at(10).0;

    /// After how long the server is to close.
    #[must_use]
    pub fn limit(self, limits: &Limits) -> Duration {
        match self {
            Self::Silent | Self::Head | Self::Preface => limits.header,
            Self::Body | Self::HalfBody => limits.body,
            // The bodies are refused, then their rests are waited for, then nothing is under way.
            Self::Http2Bodies => limits.body + UNWANTED_TIME + limits.idle,
            Self::Http2Heads => UNWANTED_TIME + limits.idle,
            Self::Reader | Self::Deaf | Self::Http2Deaf | Self::Http2DeafToMany => limits.answer,
            Self::Idle | Self::Http2Idle | Self::Http2Pings => limits.idle,
        }
    }

    /// What it says at first.
    fn opening(self, token: &str) -> Vec<u8> {
        let post = |path: &str, length: usize| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {token}\r\naccept: application/msgpack\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            )
        };
        let get = format!("{{\"key\":\"{LARGE_KEY}\"}}");
        match self {
            Self::Silent => Vec::new(),
            Self::Head => b"G".to_vec(),
            Self::Preface => b"P".to_vec(),
            Self::Body => post("/api/v1.kv.set", BODY_BYTES).into_bytes(),
            Self::Reader | Self::Deaf => (post("/api/v1.kv.get", get.len()) + &get).into_bytes(),
            Self::Idle => b"GET /livez HTTP/1.1\r\nhost: larder\r\n\r\n".to_vec(),
            Self::Http2Idle | Self::Http2Pings => http2::opening(65_535),
            Self::HalfBody => {
                let half = [b'v'; LARGE_BYTES / 2];
                [post("/api/v1.kv.set", LARGE_BYTES).as_bytes(), &half].concat()
            }
            Self::Http2Deaf => {
                many(0, 1, |stream| ask(stream, "/api/v1.kv.get", get.as_bytes(), token))
            }
            Self::Http2DeafToMany => {
                many(0, ANSWERS, |stream| ask(stream, "/api/v1.kv.get", get.as_bytes(), token))
            }
            Self::Http2Bodies => many(65_535, STREAMS, |stream| {
                let head = frames::head(0x83, "/api/v1.kv.set", token);
                let head = frame(HEADERS, END_HEADERS, stream, &head);
                [head, frame(DATA, 0, stream, &[b'v'; PART_BYTES])].concat()
            }),
            Self::Http2Heads => many(65_535, STREAMS, |stream| {
                frame(HEADERS, END_HEADERS, stream, &frames::references("/livez", 90))
            }),
        }
    }

    /// What it says now and then, for the `turn`th time.
    fn drip(self, turn: usize) -> Vec<u8> {
        let byte = |text: &[u8]| vec![text[(turn + 1) % text.len()]];
        match self {
            Self::Head => byte(b"GET /livez HTTP/1.1\r\nx-slow: sloooooooooooooooow"),
            // But for the last one.
            Self::Preface if turn + 2 < http2::PREFACE.len() => byte(http2::PREFACE),
            Self::Body => byte(BODY.as_bytes()),
            Self::Http2Pings => frame(PING, 0, 0, b"pingpong"),
            _ => Vec::new(),
        }
    }

    fn is_reader(self) -> bool {
        matches!(self, Self::Reader | Self::Deaf)
    }

    /// Plays until the server closes, or until patience is over beyond the limit, and says what it was
    /// slow with, and when that was, counted from when the limit began.
    ///
    /// # Errors
    /// When it cannot even begin.
    pub async fn play(
        self,
        server: &Server,
        number: usize,
        limits: &Limits,
    ) -> io::Result<(Self, Duration)> {
        let mut stream = connect(server.address, number, self.is_reader()).await?;
        stream.write_all(&self.opening(&server.token)).await?;
        if self == Self::Idle || self.is_reader() {
            let mut status = [0; 12];
            stream.read_exact(&mut status).await?;
            if self.is_reader() && &status != b"HTTP/1.1 200" {
                // There is no room for one more such answer: nothing to be slow with but what follows.
                return Ok((Self::Idle, Self::Idle.go_on(stream, server, limits).await));
            }
        }
        Ok((self, self.go_on(stream, server, limits).await))
    }

    async fn go_on(self, mut stream: TcpStream, server: &Server, limits: &Limits) -> Duration {
        let begun = now();
        let ended = async {
            for turn in 0.. {
                // A client that does not read is told of nothing but a reset.
                let ended = async {
                    match self.is_reader() {
                        true => drop(stream.ready(Interest::ERROR).await),
                        false => drained(&mut stream).await,
                    }
                };
                if timeout(server.drip, ended).await.is_ok() {
                    return;
                }
                let sent = match self {
                    Self::Reader => stream.try_read(&mut [0; 64]).map(drop),
                    _ => stream.write_all(&self.drip(turn)).await,
                };
                let blocked = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
                if sent.is_err_and(|error| !blocked(&error)) {
                    return;
                }
            }
        };
        let _ = timeout(self.limit(limits) + limits.grace + PATIENCE, ended).await;
        begun.elapsed()
    }
}

/// The frames of so many requests at once, on a connection with a window of so many bytes for each answer.
fn many(window: u32, count: u32, request: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let requests = (0..count).map(|number| request(2 * number + 1));
    [http2::opening(window)].into_iter().chain(requests).flatten().collect()
}

/// A whole request.
fn ask(stream: u32, path: &str, body: &[u8], token: &str) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, &frames::head(0x83, path, token));
    [head, frame(DATA, END_STREAM, stream, body)].concat()
}

/// Reads and forgets until there is nothing more to come.
async fn drained(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}

/// A connection from one of several local addresses, with a small window for those that are slow to
/// read.
///
/// # Errors
/// When the system does not let it.
pub async fn connect(address: SocketAddr, number: usize, small: bool) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if small {
        socket.set_recv_buffer_size(WINDOW_BYTES)?;
    }
    let last = u8::try_from(2 + number % SOURCES).unwrap_or(2);
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let connected = timeout(CONNECT_TIME_MAX, socket.connect(address)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    // Nothing of it stays behind, so that ports come back at once.
    stream.set_zero_linger()?;
    Ok(stream)
}

/// A pause of up to a second, other for each client.
pub async fn rest(number: usize) {
    sleep(Duration::from_millis((number * 7919 % 1000) as u64)).await;
}
