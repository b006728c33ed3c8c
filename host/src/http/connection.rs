//! One connection: tells HTTP/1 from HTTP/2 by its first bytes, serves it, and ends it when it is
//! idle or slow for too long, or when the server shuts down. Owns the limits of a connection;
//! what is answered is the handler's.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::workers::Handler;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Read at first, to tell the protocol.
const FIRST_BYTES: usize = 2 << 10;
/// What HTTP/2 writes between two looks without answering anything: pings and their like.
const CHATTER_BYTES: u64 = 256;
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
const STREAMS_MAX: u32 = 256;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const RESETS_MAX: usize = 64;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// For a request's head, from its first byte, and for the first bytes of all.
    pub header_time_max: Duration,
    /// Without a request, or without progress of an answer.
    pub idle_time_max: Duration,
}

/// Serves a connection until it ends, or until `shutdown` turns true and what runs is finished.
pub async fn serve<H: Handler>(
    stream: TcpStream,
    handler: H,
    limits: ConnectionLimits,
    shutdown: watch::Receiver<bool>,
) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let traffic = Rc::new(Traffic::default());
    let io = tokio::select! {
        io = timeout(limits.header_time_max, Opened::detect(stream, &traffic)) => io,
        () = stopped(shutdown.clone()) => return,
    };
    let Ok(Ok(io)) = io else {
        return;
    };
    let is_http2 = io.is_http2;
    let service = {
        let traffic = Rc::clone(&traffic);
        service_fn(move |request| {
            let running = Running::begin(&traffic);
            let answer = handler.clone().answer(request);
            async move {
                let response = answer.await;
                drop(running);
                Ok::<_, Infallible>(response)
            }
        })
    };
    let watch = Watch { limits, traffic, is_http2 };
    if is_http2 {
        let connection = http2_builder().serve_connection(TokioIo::new(io), service);
        drive(connection, |connection| connection.graceful_shutdown(), watch, shutdown).await;
    } else {
        let connection = http1_builder().serve_connection(TokioIo::new(io), service);
        drive(connection, |connection| connection.graceful_shutdown(), watch, shutdown).await;
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The watch below tells a slow head from an idle connection; hyper's timer does not.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .max_header_size(HEADER_BYTES_MAX);
    builder
}

fn http2_builder() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(16 << 10)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Runs hyper's half of a connection to its end, under the watch.
async fn drive<C, E>(
    connection: C,
    shut_down: impl Fn(Pin<&mut C>),
    mut watch: Watch,
    shutdown: watch::Receiver<bool>,
) where
    C: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    let mut connection = pin!(connection);
    let mut stopping = pin!(stopped(shutdown));
    let mut draining = false;
    loop {
        // In this order: nearly every wake-up is the connection's.
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = &mut stopping, if !draining => {
                draining = true;
                shut_down(connection.as_mut());
            }
            expired = watch.expired() => match expired {
                Expired::Idle if !draining => {
                    draining = true;
                    shut_down(connection.as_mut());
                }
                Expired::Idle | Expired::SlowHead => {
                    tracing::debug!(?expired, "a connection is closed");
                    return;
                }
            }
        }
    }
}

async fn stopped(mut shutdown: watch::Receiver<bool>) {
    // A sender that is gone means the same as a shutdown.
    let _ = shutdown.wait_for(|stopped| *stopped).await;
}

/// Spawns hyper's HTTP/2 tasks on the worker's own thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What a connection has done so far.
#[derive(Default)]
struct Traffic {
    read_bytes: Cell<u64>,
    written_bytes: Cell<u64>,
    running: Cell<u32>,
    /// Bytes that had been read when the last request was answered.
    answered_at_bytes: Cell<u64>,
}

/// A request that is being answered.
struct Running(Rc<Traffic>);

impl Running {
    fn begin(traffic: &Rc<Traffic>) -> Self {
        traffic.running.set(traffic.running.get() + 1);
        Self(Rc::clone(traffic))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.answered_at_bytes.set(self.0.read_bytes.get());
    }
}

#[derive(Debug)]
enum Expired {
    Idle,
    SlowHead,
}

/// Looks at a connection now and then, and tells when it has taken too long.
struct Watch {
    limits: ConnectionLimits,
    traffic: Rc<Traffic>,
    is_http2: bool,
}

impl Watch {
    /// Returns when the connection has expired.
    async fn expired(&mut self) -> Expired {
        let mut idle_since = Instant::now();
        let mut head_since = None;
        let mut written = self.traffic.written_bytes.get();
        loop {
            tokio::time::sleep(LOOK_INTERVAL.min(self.limits.header_time_max)).await;
            let now = Instant::now();
            let before = std::mem::replace(&mut written, self.traffic.written_bytes.get());
            let chatter = if self.is_http2 { CHATTER_BYTES } else { 0 };
            if self.traffic.running.get() > 0 || written - before > chatter {
                idle_since = now;
                head_since = None;
                continue;
            }
            let partial = self.traffic.read_bytes.get() > self.traffic.answered_at_bytes.get();
            // HTTP/2 frames other than requests arrive at any time: idleness is all that counts.
            if partial && !self.is_http2 {
                let since = *head_since.get_or_insert(now);
                if now - since >= self.limits.header_time_max {
                    return Expired::SlowHead;
                }
            } else if now - idle_since >= self.limits.idle_time_max {
                return Expired::Idle;
            }
        }
    }
}

/// A connection whose protocol is known, with the bytes that told it put back before the rest.
struct Opened {
    stream: TcpStream,
    first: Bytes,
    traffic: Rc<Traffic>,
    is_http2: bool,
}

impl Opened {
    async fn detect(mut stream: TcpStream, traffic: &Rc<Traffic>) -> io::Result<Self> {
        let mut first = BytesMut::with_capacity(FIRST_BYTES);
        let is_http2 = loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = first.len().min(PREFACE.len());
            if first[..length] != PREFACE[..length] {
                break false;
            }
            if length == PREFACE.len() {
                break true;
            }
        };
        traffic.read_bytes.set(first.len() as u64);
        Ok(Self { stream, first: first.freeze(), traffic: Rc::clone(traffic), is_http2 })
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..length]);
            self.first.advance(length);
            if self.first.is_empty() {
                // Gives the memory back, which an idle connection has no use for.
                self.first = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.traffic.read_bytes.set(self.traffic.read_bytes.get() + read as u64);
        polled
    }
}

impl Opened {
    fn count(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = &polled {
            self.traffic.written_bytes.set(self.traffic.written_bytes.get() + *written as u64);
        }
        polled
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.count(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
