//! Between hyper and the guests: from a request on the wire to a call, and from an answer or its
//! failure back to the wire. Owns the order of checks before a guest is asked; knows no route of
//! any API.

mod admin;
mod calls;
mod counters;
mod errors;
mod exposition;
mod failures;
mod heads;
mod intake;
mod paths;
mod permits;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HeaderValue};
use http::{Method, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

pub use self::admin::health::{Exposure, Probe};
pub use self::calls::Calls;
use self::counters::{Counting, GuestNames, Meter};
use self::errors::{HostError, Reason};
use self::failures::Failures;
use self::intake::{Origin, has_content};
pub use self::paths::{HOST_PATHS, is_under};
use self::permits::{Kept, Place};
use crate::auth::Authenticator;
use crate::auth::access::Caller;
use crate::clock::timeout::within;
use crate::metrics::{Own, PerThread};
use crate::net::body::{Arriving, Reply};
use crate::net::handler::Handler;
use crate::net::rooms::{Claim, Room};
use crate::runtime::{CallError, Guest, Head, Request};

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
    /// Calls that may run at once on those paths.
    pub health_calls: Semaphore,
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

/// Calls for health of a mount are few and short, and must not wait behind others.
pub const HEALTH_CALLS_MAX: usize = 16;
/// What a room has beside its size for heads, so that a body of that size fits.
const HEADS_BYTES: u64 = 128 << 10;

/// What all workers share.
pub struct Gateway {
    /// Mounts, longest prefix first.
    routes: Vec<Route>,
    authenticator: Authenticator,
    limits: HttpLimits,
    calls: Semaphore,
    calls_waiting: AtomicUsize,
    bodies: Arc<Room>,
    answers: Arc<Room>,
    probe: Probe,
    /// What requests are counted under: one a route, in the same order, and one for the host.
    names: Vec<GuestNames>,
    /// Failures of each route's guest, in the same order.
    failures: Vec<Arc<Failures>>,
    meters: PerThread<Meter>,
}

impl Gateway {
    /// Puts the routes in order and opens the permits.
    pub fn new(
        mut routes: Vec<Route>,
        authenticator: Authenticator,
        limits: HttpLimits,
        probe: Probe,
    ) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        let names = GuestNames::all(&routes, &admin::health::PATHS);
        let failures = routes.iter().map(|_| Arc::default()).collect();
        let room = |bytes: u64| Arc::new(Room::new(bytes, limits.call_wait_max));
        Self {
            routes,
            authenticator,
            calls: Semaphore::new(limits.calls_max),
            calls_waiting: AtomicUsize::new(0),
            bodies: room(limits.bodies_bytes_max as u64 + HEADS_BYTES),
            answers: room(limits.answers_bytes_max as u64),
            limits,
            probe,
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
    ) -> Result<(Place<'a>, bool), HostError> {
        if health {
            // Of the mount's own: a guest that hangs on its paths takes none of another's.
            let permit = route.health_calls.try_acquire();
            let overloaded = |_| HostError::overloaded(Reason::HealthCalls);
            return Ok((Place { call: permit.map_err(overloaded)?, own: None }, false));
        }
        // Before the server's: beyond its own a mount's calls take no place that others could have.
        let own = route.calls.as_ref().map(Semaphore::try_acquire).transpose();
        let own = own.map_err(|_| HostError::overloaded(Reason::MountCalls))?;
        if let Ok(call) = self.calls.try_acquire() {
            return Ok((Place { call, own }, false));
        }
        if self.calls_waiting.fetch_add(1, Ordering::AcqRel) >= self.limits.calls_waiting_max {
            self.calls_waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(HostError::overloaded(Reason::CallQueue));
        }
        let _waiting = Waiting(&self.calls_waiting);
        match within(self.limits.call_wait_max, self.calls.acquire()).await {
            Some(Ok(call)) => Ok((Place { call, own }, true)),
            _ => Err(HostError::overloaded(Reason::CallWait)),
        }
    }
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
    gateway: Arc<Gateway>,
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
        Self { gateway: Arc::clone(&self.gateway), own: Rc::clone(&self.own) }
    }
}

impl<C> Worker<C> {
    /// A thread's end, with instances of its own.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, calls: C) -> Self {
        let meter = gateway.meters.join(Meter::new(&gateway.names));
        Self { gateway, own: Rc::new(ThreadsOwn { calls, meter }) }
    }
}

impl<C: Calls> Handler for Worker<C> {
    async fn answer(
        self,
        request: http::Request<Incoming>,
        connection: u64,
    ) -> http::Response<Reply> {
        let (parts, incoming) = request.into_parts();
        let judged = heads::judge(parts.version, &parts.headers);
        let http::request::Parts { method, uri, headers, version, .. } = parts;
        let head = Arc::new(Head { method, uri, headers });
        let mut arriving = Arriving::new(incoming);
        let (gateway, meter, path) = (&*self.gateway, &self.own.meter, head.uri.path());
        let place = gateway.place(path);
        let names = (place, &gateway.names[place]);
        let counting = meter.begin(&gateway.probe.clock, names, &head.method, path);
        let origin = Origin { connection, is_http2: version == Version::HTTP_2 };
        let (answered, counting) = match judged {
            // Boxed, so that what waits for its client afterwards is small.
            Ok(()) => Box::pin(self.dispatch(origin, place, &head, &mut arriving, counting)).await,
            Err(error) => (Err(error), counting),
        };
        let is_refused = answered.is_err();
        let response = answered.unwrap_or_else(|error| {
            meter.refused(error.reason());
            error.into_response(&head.headers)
        });
        counting.end(response.status());
        let is_head = head.method == Method::HEAD;
        let waits = head.headers.contains_key(EXPECT);
        // Memory that the client could make us keep by sending no more.
        drop(head);
        let response = if is_head { without_body(response) } else { response };
        if arriving.is_over() {
            return response;
        }
        let rest = gateway.finish(origin, arriving, is_refused, waits).await;
        response.map(|reply| reply.leaving(rest))
    }
}

impl<C: Calls> Worker<C> {
    /// Has whoever is there answer: a mount's guest, or the host.
    async fn dispatch<'a>(
        &self,
        origin: Origin,
        place: usize,
        head: &Arc<Head>,
        arriving: &mut Arriving,
        mut counting: Counting<'a>,
    ) -> (Result<http::Response<Reply>, HostError>, Counting<'a>) {
        let gateway = &*self.gateway;
        let answered = if place < gateway.routes.len() {
            self.call(origin, place, head, arriving, &mut counting).await
        } else if let Some(id) = admin::tokens::id_of(head.uri.path()) {
            admin::tokens::answer(gateway, head, id, (origin, arriving), &mut counting).await
        } else {
            counting.arrive();
            admin::health::answer(gateway, head).await
        };
        (answered, counting)
    }

    async fn call(
        &self,
        origin: Origin,
        place: usize,
        head: &Arc<Head>,
        arriving: &mut Arriving,
        counting: &mut Counting<'_>,
    ) -> Result<http::Response<Reply>, HostError> {
        let (gateway, route) = (&*self.gateway, &self.gateway.routes[place]);
        let caller = match route.auth {
            Auth::None => Caller::Anonymous,
            Auth::Required | Auth::Guest => gateway.authenticator.judge(&head.headers),
        };
        let principal = caller.principal().cloned();
        if route.auth == Auth::Required && principal.is_none() {
            return Err(HostError::unauthorized(&caller));
        }
        let parties = || gateway.parties(origin, place, principal.as_deref());
        let mut claim = Claim::new(&gateway.bodies, &parties, origin.waiting_bytes());
        let may_send = principal.is_some() || route.auth == Auth::None;
        let most = (may_send, gateway.limits.body_bytes_max);
        let body = gateway.receive(head, arriving, most, &mut claim).await?;
        counting.arrive();
        let health = route.health.iter().any(|path| path == head.uri.path());
        let (held, waited) = gateway.permit(route, health).await?;
        counting.begin_call(waited);
        let request = Request { head: Arc::clone(head), caller, body };
        let (calls, guest) = (&self.own.calls, &route.guest);
        let answered = if guest.is_aside() {
            let held = Kept::new(&self.gateway, place, health, held, claim.keep());
            calls.call_aside(guest, request, Box::new(held)).await
        } else {
            let answered = calls.call(guest, request).await;
            drop((held, claim));
            answered
        };
        counting.end_call(&answered);
        let answer = answered.map_err(|error| {
            gateway.failures[place].tell(guest, &error, gateway.probe.clock.monotonic());
            failed(&error)
        })?;
        gateway.reply(answer, origin.is_http2, &parties)
    }
}

/// What the caller is told of a call that failed.
fn failed(error: &CallError) -> HostError {
    match error {
        CallError::Deadline => HostError::deadline(),
        CallError::NoRoom { has_written } => HostError::no_guest_room(*has_written),
        CallError::Limit(_) | CallError::Trap(_) | CallError::Invalid(_) => HostError::internal(),
    }
}

fn empty(status: StatusCode) -> http::Response<Reply> {
    let mut response = http::Response::new(Reply::new(Vec::new()));
    *response.status_mut() = status;
    response
}

/// The answer to HEAD: every header of the answer to GET, and no body.
fn without_body(response: http::Response<Reply>) -> http::Response<Reply> {
    let (mut parts, body) = response.into_parts();
    if has_content(parts.status) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.bytes_left()));
    }
    http::Response::from_parts(parts, Reply::new(Vec::new()))
}
