//! One connection: serves it, lets it rest when it has nothing to do, and ends it when it is idle or
//! slow for too long, or when the server shuts down. Owns the limits of a connection; what is
//! answered is the handler's.

use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::activity::{Activity, Running};
use super::body::{Arriving, Reply};
use super::closed::Closed;
use super::handler::Handler;
use super::socket::Socket;
use super::stream::Opened;
use super::tls::Tls;

const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 16 << 10;
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Streams that a client has reset before they were looked at.
const RESETS_MAX: usize = 64;
/// Streams that h2 resets by itself, in a connection's life: for a fault of the client's, or because frames
/// still come for what was reset long ago. Each fault takes work; a refused body is read on so that honest
/// clients come nowhere near.
const FAULTS_MAX: usize = 128;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection is looked at. One that was idle from one look to the next gives back the
/// memory that serving it takes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// What a connection that was idle for too long has to hear of its end and to go.
const GOODBYE_TIME: Duration = Duration::from_millis(250);
/// Answers up to this size need not be watched where a connection has one at a time.
pub const SMALL_ANSWER_BYTES: u64 = 16 << 10;

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// For a request's head, from its first byte, and for the first bytes of all.
    pub header_time_max: Duration,
    /// Without a request.
    pub idle_time_max: Duration,
    /// For an answer, until the client has taken all of it.
    pub answer_time_max: Duration,
    /// Requests at once, over HTTP/2.
    pub streams_max: u32,
}

/// Serves a connection until it ends, or until `shutdown` turns true and what runs is finished.
pub async fn serve<H: Handler>(
    stream: TcpStream,
    tls: Option<&Tls>,
    handler: H,
    limits: ConnectionLimits,
    shutdown: watch::Receiver<bool>,
    activity: Rc<Activity>,
) {
    let opening = async {
        let socket = Socket::open(stream, tls).await.map_err(|error| {
            tracing::debug!(%error, "a TLS handshake failed");
            activity.close_for(Closed::TlsHandshake);
            error
        })?;
        Opened::detect(socket, &activity).await
    };
    let io = tokio::select! {
        io = timeout(limits.header_time_max, Box::pin(opening)) => io,
        () = stopped(shutdown.clone()) => return,
    };
    let mut io = match io {
        Ok(Ok(io)) => io,
        // A client that says nothing and leaves may do so.
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => return,
        Ok(Err(_)) => return activity.close_for(Closed::Broken),
        Err(_) => return activity.close_for(Closed::SlowHead),
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
                    return activity.close_for(Closed::Idle);
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
    let activity = Rc::clone(&io.activity);
    let activity_seen = Rc::clone(&activity);
    let watch = Watch { limits, activity: activity_seen, is_http2: false, may_rest: true };
    let service = service_fn(move |request| run(&activity, false, handler.clone(), request));
    let connection = http1_builder().serve_connection(TokioIo::new(io), service);
    let connection = Box::pin(connection);
    let idle = drive(connection, |connection| connection.graceful_shutdown(), watch, shutdown);
    let parts = Pin::into_inner(idle.await?).into_parts();
    Some(parts.io.into_inner().rested(parts.read_buf))
}

/// Serves HTTP/2 until the connection ends.
async fn serve_http2<H: Handler>(
    io: Opened,
    handler: H,
    limits: ConnectionLimits,
    shutdown: watch::Receiver<bool>,
) {
    let activity = Rc::clone(&io.activity);
    let activity_seen = Rc::clone(&activity);
    let watch = Watch { limits, activity: activity_seen, is_http2: true, may_rest: false };
    let service = service_fn(move |request| run(&activity, true, handler.clone(), request));
    let connection =
        Box::pin(http2_builder(limits.streams_max).serve_connection(TokioIo::new(io), service));
    drive(connection, |connection| connection.graceful_shutdown(), watch, shutdown).await;
}

/// Has one request answered, and counted while it is. Over HTTP/2 many answers can wait for the
/// client at a time, so that small ones are watched too.
fn run<H: Handler>(
    activity: &Rc<Activity>,
    is_http2: bool,
    handler: H,
    request: http::Request<Incoming>,
) -> impl Future<Output = Result<http::Response<Reply>, Infallible>> + use<H> {
    let running = Running::begin(activity);
    let activity = Rc::clone(activity);
    let answer = handler.answer(request, activity.number);
    async move {
        let mut response = answer.await;
        if let Some(rest) = response.body_mut().take_rest() {
            leave(rest, &activity, is_http2, response.headers_mut());
        }
        running.answered();
        let bytes = response.body().bytes_left();
        let watched = bytes > SMALL_ANSWER_BYTES || is_http2 && bytes > 0;
        Ok(if watched { response.map(|reply| reply.watched(&activity)) } else { response })
    }
}

/// Lets an answer go out before the request's body has ended. Over HTTP/1 that ends the connection, once
/// the client has sent no more for a while.
fn leave(rest: Arriving, activity: &Rc<Activity>, is_http2: bool, headers: &mut HeaderMap) {
    if is_http2 {
        let activity = Rc::clone(activity);
        tokio::task::spawn_local(rest.read_on(move || activity.may_reset()));
    } else {
        activity.is_left.set(true);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who sends no more may still wait for the answer.
        .half_close(true)
        // The watch below tells a slow head from an idle connection; hyper's timer does not.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .max_header_size(HEADER_BYTES_MAX);
    builder
}

fn http2_builder(streams_max: u32) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(FAULTS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Runs hyper's half of a connection to its end, under the watch, or gives it back when it has
/// nothing to do.
async fn drive<C>(
    mut connection: Pin<Box<C>>,
    shut_down: impl Fn(Pin<&mut C>),
    mut watch: Watch,
    shutdown: watch::Receiver<bool>,
) -> Option<Pin<Box<C>>>
where
    C: Future<Output = Result<(), hyper::Error>>,
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
                    watch.activity.close_for(Closed::of(&error, watch.is_http2));
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
                // It is polled again, and asks the socket.
                Expired::Answering => watch.activity.is_asked.set(true),
                Expired::Idle if !draining => {
                    draining = true;
                    watch.activity.close_for(Closed::Idle);
                    watch.may_rest = false;
                    watch.limits.idle_time_max = GOODBYE_TIME;
                    shut_down(connection.as_mut());
                }
                Expired::Idle | Expired::SlowHead | Expired::SlowReader => {
                    tracing::debug!(?expired, "a connection is closed");
                    watch.activity.close_for(match expired {
                        Expired::SlowHead => Closed::SlowHead,
                        Expired::SlowReader => Closed::SlowReader,
                        _ => Closed::Idle,
                    });
                    watch.activity.is_cut.set(!watch.activity.is_idle());
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
    /// An answer is long in coming: its client may have gone away.
    Answering,
    /// Idle for a while, and nothing is on its way in either direction.
    Resting,
    /// Idle for too long.
    Idle,
    /// A head takes too long to arrive.
    SlowHead,
    /// The client takes too long for an answer.
    SlowReader,
}

/// Looks at a connection now and then, and tells when it has taken too long.
struct Watch {
    limits: ConnectionLimits,
    activity: Rc<Activity>,
    is_http2: bool,
    may_rest: bool,
}

impl Watch {
    /// Returns when the connection has expired. What counts as progress is that requests are
    /// answered and answers taken; bytes that a client can have sent to it without asking for anything,
    /// as HTTP/2's pings, do not.
    async fn expired(&mut self) -> Expired {
        let ConnectionLimits { header_time_max, idle_time_max, answer_time_max, .. } = self.limits;
        let mut idle_since = Instant::now();
        // What has arrived before is the beginning of a head.
        let is_head = self.activity.is_partial() && !self.is_http2;
        let mut head_since = is_head.then_some(idle_since);
        let mut answered = self.activity.answered.get();
        let mut next_end = idle_since + if is_head { header_time_max } else { idle_time_max };
        loop {
            let look = Instant::now() + LOOK_INTERVAL.min(header_time_max);
            tokio::time::sleep_until(look.min(next_end)).await;
            let now = Instant::now();
            let sending_since = self.activity.sending_since();
            if sending_since.is_some_and(|since| now - since >= answer_time_max) {
                return Expired::SlowReader;
            }
            let answered_before = std::mem::replace(&mut answered, self.activity.answered.get());
            let is_running = self.activity.running.get() > 0;
            if is_running && !self.is_http2 && answered == answered_before {
                return Expired::Answering;
            }
            let is_busy = is_running || sending_since.is_some();
            if is_busy || answered != answered_before {
                (idle_since, head_since) = (now, None);
                next_end =
                    sending_since.map_or(now + idle_time_max, |since| since + answer_time_max);
                continue;
            }
            // HTTP/2 frames other than requests arrive at any time: idleness is all that counts.
            if self.activity.is_partial() && !self.is_http2 {
                let since = *head_since.get_or_insert(now);
                next_end = since + header_time_max;
                if now >= next_end {
                    return Expired::SlowHead;
                }
                continue;
            }
            next_end = idle_since + idle_time_max;
            if now >= next_end {
                return Expired::Idle;
            }
            if self.may_rest && !self.activity.is_stuck.get() {
                return Expired::Resting;
            }
        }
    }
}
