//! One connection: serves it, lets it rest when it has nothing to do, and ends it when it is idle or
//! slow for too long, or when the server shuts down. Owns the limits of a connection; what is
//! answered is the handler's.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::body::Reply;
use super::socket::Socket;
use super::stream::{Opened, Running, Traffic};
use crate::tls::Tls;
use crate::workers::Handler;

const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 16 << 10;
/// What HTTP/2 writes between two looks without answering anything: pings and their like.
const CHATTER_BYTES: u64 = 256;
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
const STREAMS_MAX: u32 = 256;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const RESETS_MAX: usize = 64;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection is looked at. One that was idle from one look to the next gives back the
/// memory that serving it takes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

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
    tls: Option<&Tls>,
    handler: H,
    limits: ConnectionLimits,
    shutdown: watch::Receiver<bool>,
) {
    let traffic = Rc::default();
    let opening = async { Opened::detect(Socket::open(stream, tls).await?, &traffic).await };
    let io = tokio::select! {
        io = timeout(limits.header_time_max, Box::pin(opening)) => io,
        () = stopped(shutdown.clone()) => return,
    };
    let Ok(Ok(mut io)) = io else {
        return;
    };
    if io.is_http2 {
        Box::pin(serve_http2(io, handler, limits, shutdown)).await;
        return;
    }
    let idle_time_left = limits.idle_time_max.saturating_sub(LOOK_INTERVAL);
    // Boxed, so that a connection that rests holds no more than its socket.
    while let Some(resting) =
        Box::pin(serve_http1(io, handler.clone(), limits, shutdown.clone())).await
    {
        io = resting;
        if !io.first.is_empty() {
            continue;
        }
        tracing::debug!("a connection rests");
        tokio::select! {
            readable = timeout(idle_time_left, io.stream.tcp().readable()) => {
                if !matches!(readable, Ok(Ok(()))) {
                    tracing::debug!("an idle connection is closed");
                    return;
                }
            }
            () = stopped(shutdown.clone()) => return,
        }
    }
}

/// Serves HTTP/1 until the connection ends, or gives it back when it has nothing to do.
async fn serve_http1<H: Handler>(
    io: Opened,
    handler: H,
    limits: ConnectionLimits,
    shutdown: watch::Receiver<bool>,
) -> Option<Opened> {
    let traffic = Rc::clone(&io.traffic);
    let traffic_seen = Rc::clone(&traffic);
    let watch = Watch { limits, traffic: traffic_seen, is_http2: false, may_rest: true };
    let service = service_fn(move |request| run(&traffic, handler.clone(), request));
    let connection = http1_builder().serve_connection(TokioIo::new(io), service);
    let connection = Box::pin(connection);
    let idle = drive(connection, |connection| connection.graceful_shutdown(), watch, shutdown);
    let parts = Pin::into_inner(idle.await?).into_parts();
    let stream = parts.io.into_inner().stream;
    let traffic = Rc::<Traffic>::default();
    traffic.read_bytes.set(parts.read_buf.len() as u64);
    Some(Opened { stream, first: parts.read_buf, traffic, is_http2: false, lingering: None })
}

/// Serves HTTP/2 until the connection ends.
async fn serve_http2<H: Handler>(
    io: Opened,
    handler: H,
    limits: ConnectionLimits,
    shutdown: watch::Receiver<bool>,
) {
    let traffic = Rc::clone(&io.traffic);
    let traffic_seen = Rc::clone(&traffic);
    let watch = Watch { limits, traffic: traffic_seen, is_http2: true, may_rest: false };
    let service = service_fn(move |request| run(&traffic, handler.clone(), request));
    let connection = Box::pin(http2_builder().serve_connection(TokioIo::new(io), service));
    drive(connection, |connection| connection.graceful_shutdown(), watch, shutdown).await;
}

/// Has one request answered, and counted while it is.
fn run<H: Handler>(
    traffic: &Rc<Traffic>,
    handler: H,
    request: http::Request<Incoming>,
) -> impl Future<Output = Result<http::Response<Reply>, Infallible>> + use<H> {
    let running = Running::begin(traffic);
    let answer = handler.answer(request);
    async move {
        let response = answer.await;
        drop(running);
        Ok(response)
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

/// Runs hyper's half of a connection to its end, under the watch, or gives it back when it has
/// nothing to do.
async fn drive<C, E>(
    mut connection: Pin<Box<C>>,
    shut_down: impl Fn(Pin<&mut C>),
    mut watch: Watch,
    shutdown: watch::Receiver<bool>,
) -> Option<Pin<Box<C>>>
where
    C: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
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
                return None;
            }
            () = &mut stopping, if !draining => {
                draining = true;
                watch.may_rest = false;
                shut_down(connection.as_mut());
            }
            expired = watch.expired() => match expired {
                Expired::Resting => return Some(connection),
                Expired::Idle if !draining => {
                    draining = true;
                    watch.may_rest = false;
                    shut_down(connection.as_mut());
                }
                Expired::Idle | Expired::SlowHead => {
                    tracing::debug!(?expired, "a connection is closed");
                    return None;
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

#[derive(Debug)]
enum Expired {
    /// Idle for a while, and nothing is on its way in either direction.
    Resting,
    /// Idle for too long.
    Idle,
    /// A head takes too long to arrive.
    SlowHead,
}

/// Looks at a connection now and then, and tells when it has taken too long.
struct Watch {
    limits: ConnectionLimits,
    traffic: Rc<Traffic>,
    is_http2: bool,
    may_rest: bool,
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
            // HTTP/2 frames other than requests arrive at any time: idleness is all that counts.
            if self.traffic.is_partial() && !self.is_http2 {
                let since = *head_since.get_or_insert(now);
                if now - since >= self.limits.header_time_max {
                    return Expired::SlowHead;
                }
            } else if now - idle_since >= self.limits.idle_time_max {
                return Expired::Idle;
            } else if self.may_rest && !self.traffic.is_stuck.get() {
                return Expired::Resting;
            }
        }
    }
}
