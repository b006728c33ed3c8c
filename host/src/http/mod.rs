//! Between hyper and the guests: from a request on the wire to a call, and from an answer or its
//! failure back to the wire. Owns the order of checks before a guest is asked; knows no route of
//! any API.

pub mod body;
mod calls;
pub mod connection;
mod failures;
mod frames;
mod meter;
mod operator;
mod page;
mod place;
mod refusal;
mod socket;
pub mod stream;
mod tokens;
pub mod traffic;
mod turn;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HeaderValue};
use http::{Method, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::body::{Received, Reply};
pub use self::calls::Calls;
use self::connection::SMALL_ANSWER_BYTES;
use self::failures::Failures;
use self::meter::{Counting, GuestNames, Meter};
pub use self::operator::{Exposure, Operator};
use self::place::{Kept, Place};
use self::refusal::{Reason, Refusal};
use crate::auth::Authenticator;
use crate::config::{HOST_PATHS, is_under};
use crate::deadline::within;
use crate::metrics::{Own, PerThread};
use crate::runtime::{Answer, Body, CallError, Caller, Guest, Head, Request};
use crate::workers::Handler;

/// How a mount wants callers to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The host lets only principals through, and answers 401 itself.
    Required,
    /// The guest is told who calls and answers for itself; bodies are read for principals only.
    Guest,
    /// Everybody is anonymous, tokens are not looked at.
    None,
}

/// A guest on its path.
pub struct Route {
    /// `/`, or a path without a slash at its end.
    pub prefix: String,
    /// How callers are judged.
    pub auth: Auth,
    /// Paths that are served under overload too.
    pub health: Vec<String>,
    /// Paths that are counted apart.
    pub operations: Vec<String>,
    /// Calls that may run or wait at once, if that is less than all of the server's.
    pub calls: Option<Semaphore>,
    /// Who answers.
    pub guest: Arc<Guest>,
}

impl Route {
    fn holds(&self, path: &str) -> bool {
        self.prefix == "/" || is_under(path, &self.prefix)
    }
}

/// Limits of the request path.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Calls that run at once.
    pub calls_max: usize,
    /// Requests that may wait for one of them.
    pub calls_waiting_max: usize,
    /// How long they may wait.
    pub call_wait_max: Duration,
    /// Longest body, in bytes.
    pub body_bytes_max: u64,
    /// Bytes of large bodies that are held at once, over all requests.
    pub bodies_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_time_max: Duration,
    /// Bytes of large answers that clients have not taken yet, over all of them.
    pub answers_bytes_max: usize,
}

/// Calls for health are few and short, and must not wait behind others.
pub const HEALTH_CALLS_MAX: usize = 16;
/// Bodies up to this size are not counted against `bodies_bytes_max`.
const SMALL_BODY_BYTES: u64 = 64 << 10;
/// What permits for bytes count.
const UNIT_BYTES: u64 = 1 << 10;

/// What all workers share.
pub struct Gate {
    /// Mounts, longest prefix first.
    routes: Vec<Route>,
    authenticator: Authenticator,
    limits: HttpLimits,
    calls: Semaphore,
    calls_waiting: AtomicUsize,
    health: Semaphore,
    bodies: Semaphore,
    answers: Arc<Semaphore>,
    operator: Operator,
    /// What requests are counted under: one a route, in the same order, and one for the host.
    names: Vec<GuestNames>,
    /// Failures of each route's guest, in the same order.
    failures: Vec<Arc<Failures>>,
    meters: PerThread<Meter>,
}

impl Gate {
    /// Puts the routes in order and opens the permits.
    pub fn new(
        mut routes: Vec<Route>,
        authenticator: Authenticator,
        limits: HttpLimits,
        operator: Operator,
    ) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        let names = GuestNames::all(&routes, &operator::PATHS);
        let failures = routes.iter().map(|_| Arc::default()).collect();
        Self {
            routes,
            authenticator,
            calls: Semaphore::new(limits.calls_max),
            calls_waiting: AtomicUsize::new(0),
            health: Semaphore::new(HEALTH_CALLS_MAX),
            bodies: room(limits.bodies_bytes_max),
            answers: Arc::new(room(limits.answers_bytes_max)),
            limits,
            operator,
            names,
            failures,
            meters: PerThread::default(),
        }
    }

    /// The place of the mount that a path belongs to; the one after the last when there is none.
    fn place(&self, path: &str) -> usize {
        // `OPTIONS *` and `CONNECT host:port` have no path that a guest could know.
        if !path.starts_with('/') || HOST_PATHS.iter().any(|own| is_under(path, own)) {
            return self.routes.len();
        }
        let holds = |route: &Route| route.holds(path);
        self.routes.iter().position(holds).unwrap_or(self.routes.len())
    }

    /// Permits for a call, at once or within the time that a request may wait, and whether it did.
    async fn permit<'a>(
        &'a self,
        route: &'a Route,
        health: bool,
    ) -> Result<(Place<'a>, bool), Refusal> {
        if health {
            let permit = self.health.try_acquire();
            let overloaded = |_| Refusal::overloaded(Reason::HealthCalls);
            return Ok((Place { call: permit.map_err(overloaded)?, own: None }, false));
        }
        // Before the server's: beyond its own a mount's calls take no place that others could have.
        let own = route.calls.as_ref().map(Semaphore::try_acquire).transpose();
        let own = own.map_err(|_| Refusal::overloaded(Reason::MountCalls))?;
        if let Ok(call) = self.calls.try_acquire() {
            return Ok((Place { call, own }, false));
        }
        if self.calls_waiting.fetch_add(1, Ordering::AcqRel) >= self.limits.calls_waiting_max {
            self.calls_waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::overloaded(Reason::CallQueue));
        }
        let _waiting = Waiting(&self.calls_waiting);
        match within(self.limits.call_wait_max, self.calls.acquire()).await {
            Some(Ok(call)) => Ok((Place { call, own }, true)),
            _ => Err(Refusal::overloaded(Reason::CallWait)),
        }
    }

    /// Room for a large body.
    async fn body_room(&self, bytes: u64) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
        if bytes <= SMALL_BODY_BYTES {
            return Ok(None);
        }
        match within(self.limits.call_wait_max, self.bodies.acquire_many(units(bytes))).await {
            Some(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Refusal::overloaded(Reason::BodyRoom)),
        }
    }

    /// What a guest answered, in room of its own when it is large. Nothing waits for that room: what
    /// waited would be held all the same, and clients that do not read could hold up everybody.
    fn reply(&self, answer: Answer) -> Result<http::Response<Reply>, Refusal> {
        let response = reply(answer);
        let bytes = response.body().bytes_left();
        if bytes <= SMALL_ANSWER_BYTES {
            return Ok(response);
        }
        match Arc::clone(&self.answers).try_acquire_many_owned(units(bytes)) {
            Ok(room) => Ok(response.map(|reply| reply.in_room(room))),
            Err(_) => Err(Refusal::no_answer_room()),
        }
    }
}

/// Permits for so many bytes: enough for one that takes all of them.
fn room(bytes: usize) -> Semaphore {
    let units =
        usize::try_from((bytes as u64).div_ceil(UNIT_BYTES)).unwrap_or(Semaphore::MAX_PERMITS);
    Semaphore::new(units.min(Semaphore::MAX_PERMITS))
}

/// The permits that so many bytes take.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Counts a waiting request down, also when it is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One worker thread's end of the request path.
pub struct Worker<C> {
    /// What is shared with the other workers.
    gate: Arc<Gate>,
    /// What is this thread's alone.
    own: Rc<ThreadsOwn<C>>,
}

struct ThreadsOwn<C> {
    /// Its instances.
    calls: C,
    /// What it counts.
    meter: Arc<Own<Meter>>,
}

impl<C> Clone for Worker<C> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), own: Rc::clone(&self.own) }
    }
}

impl<C> Worker<C> {
    /// A thread's end, with instances of its own.
    #[must_use]
    pub fn new(gate: Arc<Gate>, calls: C) -> Self {
        let meter = gate.meters.join(Meter::new(&gate.names));
        Self { gate, own: Rc::new(ThreadsOwn { calls, meter }) }
    }
}

impl<C: Calls> Handler for Worker<C> {
    async fn answer(self, request: http::Request<Incoming>) -> http::Response<Reply> {
        let (http::request::Parts { method, uri, headers, .. }, incoming) = request.into_parts();
        let head = Arc::new(Head { method, uri, headers });
        let (gate, meter, path) = (&*self.gate, &self.own.meter, head.uri.path());
        let place = gate.place(path);
        let names = (place, &gate.names[place]);
        let mut counting = meter.begin(&gate.operator.clock, names, &head.method, path);
        let answered = match gate.routes.get(place) {
            Some(_) => {
                let answered = self.call(place, Arc::clone(&head), incoming, &mut counting).await;
                answered.and_then(|answer| gate.reply(answer))
            }
            None => match tokens::id_of(path) {
                Some(id) => tokens::answer(gate, &head, id, incoming, &mut counting).await,
                None => {
                    body::discard_little(incoming).await;
                    counting.arrive();
                    operator::answer(gate, &head).await
                }
            },
        };
        let response = answered.unwrap_or_else(|refusal| {
            meter.refused(refusal.reason());
            refusal.into_response(&head.headers)
        });
        counting.end(response.status());
        if head.method == Method::HEAD { without_body(response) } else { response }
    }
}

impl<C: Calls> Worker<C> {
    async fn call(
        &self,
        place: usize,
        head: Arc<Head>,
        incoming: Incoming,
        counting: &mut Counting<'_>,
    ) -> Result<Answer, Refusal> {
        let (gate, route) = (&*self.gate, &self.gate.routes[place]);
        let caller = match route.auth {
            Auth::None => Caller::Anonymous,
            Auth::Required | Auth::Guest => gate.authenticator.judge(&head.headers),
        };
        let principal = matches!(caller, Caller::Principal(_));
        if route.auth == Auth::Required && !principal {
            body::discard_little(incoming).await;
            return Err(Refusal::unauthorized(&caller));
        }
        let (body, room) = if principal || route.auth == Auth::None {
            self.receive(incoming, head.headers.contains_key(EXPECT)).await?
        } else {
            body::discard_little(incoming).await;
            (Body::Unread, None)
        };
        counting.arrive();
        let health = route.health.iter().any(|path| path == head.uri.path());
        let (held, waited) = gate.permit(route, health).await?;
        counting.begin_call(waited);
        let request = Request { head, caller, body };
        let (calls, guest) = (&self.own.calls, &route.guest);
        let answered = if guest.is_aside() {
            let held = Kept::new(&self.gate, place, health, held, room);
            calls.call_aside(guest, request, Box::new(held)).await
        } else {
            calls.call(guest, request).await
        };
        counting.end_call(&answered);
        answered.map_err(|error| {
            gate.failures[place].tell(guest, &error, gate.operator.clock.monotonic());
            failed(&error)
        })
    }

    async fn receive(
        &self,
        incoming: Incoming,
        continues: bool,
    ) -> Result<(Body, Option<SemaphorePermit<'_>>), Refusal> {
        let limits = &self.gate.limits;
        let room =
            self.gate.body_room(body::expected_bytes(&incoming, limits.body_bytes_max)).await?;
        let receiving = body::receive(incoming, limits.body_bytes_max, continues);
        match within(limits.body_time_max, receiving).await {
            None => Err(Refusal::body_too_slow()),
            Some(Err(_)) => Err(Refusal::body_cut_short()),
            Some(Ok(Received::Complete(bytes))) => Ok((Body::Complete(bytes), room)),
            Some(Ok(Received::TooLarge(rest))) => {
                body::discard_refused(rest).await;
                Ok((Body::TooLarge(limits.body_bytes_max), room))
            }
        }
    }
}

/// What the caller is told of a call that failed.
fn failed(error: &CallError) -> Refusal {
    match error {
        CallError::Deadline => Refusal::deadline(),
        CallError::Limit(_) | CallError::Trap(_) | CallError::Invalid(_) => Refusal::internal(),
    }
}

fn reply(answer: Answer) -> http::Response<Reply> {
    let mut response = http::Response::new(Reply::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn empty(status: StatusCode) -> http::Response<Reply> {
    let mut response = http::Response::new(Reply::new(Vec::new()));
    *response.status_mut() = status;
    response
}

/// The answer to HEAD: every header of the answer to GET, and no body.
fn without_body(response: http::Response<Reply>) -> http::Response<Reply> {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.bytes_left()));
    http::Response::from_parts(parts, Reply::new(Vec::new()))
}
