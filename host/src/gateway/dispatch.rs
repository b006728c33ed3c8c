//! One worker thread's end of the request path: finds who answers a request, and takes it through the checks in
//! their order, from its head to its answer. Alone knows all of their files.

use std::rc::Rc;
use std::sync::Arc;

use http::header::EXPECT;
use http::{Method, Response, Version};
use hyper::body::Incoming;

use super::admin;
use super::calls::Calls;
use super::cors::Cors;
use super::counting::Counting;
use super::errors::HostError;
use super::heads;
use super::http_metrics::RefusedCounts;
use super::memory::{self, Origin};
use super::permits::OwnedPermits;
use super::responses::without_body;
use super::routes::Auth;
use super::shared::Gateway;
use super::thread_table::{CachedTable, ThreadRoute};
use crate::auth::access::Caller;
use crate::metrics::Own;
use crate::net::body::{Arriving, Reply};
use crate::net::handler::Handler;
use crate::net::rooms::Claim;
use crate::runtime::{Head, Request, Taken};

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
    /// Its view of the routes, and its counters of each.
    table: CachedTable,
    /// What pages of other origins may do with the host's own paths.
    host_cors: Option<Cors>,
    /// Its counters of requests that the host refused.
    refused: Arc<Own<RefusedCounts>>,
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
        let table = CachedTable::new(&gateway.routes, &gateway.metrics);
        let host_cors = Cors::new(&gateway.cors_origins);
        let refused = gateway.metrics.refused.of_this_thread();
        Self { gateway, own: Rc::new(ThreadsOwn { calls, table, host_cors, refused }) }
    }
}

impl<C: Calls> Handler for Worker<C> {
    async fn answer(self, request: http::Request<Incoming>, connection: u64) -> Response<Reply> {
        let (parts, incoming) = request.into_parts();
        let judged = heads::judge(parts.version, &parts.headers);
        let http::request::Parts { method, uri, headers, version, .. } = parts;
        let head = Arc::new(Head { method, uri, headers });
        let mut arriving = Arriving::new(incoming);
        let (gateway, path) = (&*self.gateway, head.uri.path());
        let table = self.own.table.take(&gateway.routes, &gateway.metrics);
        let route = table.find(path);
        let cors = route.map_or(&self.own.host_cors, |route| &route.cors).as_ref();
        let counters = route.map_or(&table.host, |route| &route.counters);
        let counting = counters.begin(&gateway.probe.clock, &head.method, path);
        let origin = Origin { connection, is_http2: version == Version::HTTP_2 };
        let preflight = || cors.and_then(|cors| cors.preflight(&head.method, &head.headers));
        let judged = judged.map(|()| preflight());
        let (answered, counting) = match judged {
            Ok(Some(answered)) => (answered, counting),
            // Boxed, so that what waits for its client afterwards is small.
            Ok(None) => {
                Box::pin(self.dispatch(origin, route, &head, &mut arriving, counting)).await
            }
            Err(error) => (Err(error), counting),
        };
        let is_refused = answered.is_err();
        let mut response = answered.unwrap_or_else(|error| {
            self.own.refused.count(error.reason());
            error.into_response(&head.headers)
        });
        counting.end(response.status());
        if let Some(cors) = cors {
            cors.mark(&head.headers, response.headers_mut());
        }
        let is_head = head.method == Method::HEAD;
        let waits = head.headers.contains_key(EXPECT);
        // Memory that the client could make us keep by sending no more.
        drop(head);
        let response = if is_head { without_body(response) } else { response };
        if arriving.is_over() {
            return response;
        }
        let rest = gateway.memory.finish(origin, arriving, is_refused, waits).await;
        response.map(|reply| reply.leaving(rest))
    }
}

impl<C: Calls> Worker<C> {
    /// Has whoever is there answer: a mount's guest, or the host.
    async fn dispatch<'a>(
        &self,
        origin: Origin,
        route: Option<&ThreadRoute>,
        head: &Arc<Head>,
        arriving: &mut Arriving,
        mut counting: Counting<'a>,
    ) -> (Result<Response<Reply>, HostError>, Counting<'a>) {
        let gateway = &*self.gateway;
        let answered = if let Some(route) = route {
            self.call(origin, route, head, arriving, &mut counting).await
        } else {
            admin::answer(gateway, head, (origin, arriving), &mut counting).await
        };
        (answered, counting)
    }

    async fn call(
        &self,
        origin: Origin,
        ThreadRoute { route, party, .. }: &ThreadRoute,
        head: &Arc<Head>,
        arriving: &mut Arriving,
        counting: &mut Counting<'_>,
    ) -> Result<Response<Reply>, HostError> {
        let gateway = &*self.gateway;
        let caller = match route.auth {
            Auth::None => Caller::Anonymous,
            Auth::Required | Auth::Guest => gateway.authenticator.judge(&head.headers),
        };
        let principal = caller.principal().cloned();
        if route.auth == Auth::Required && principal.is_none() {
            return Err(HostError::unauthorized(&caller));
        }
        let is_open = route.auth == Auth::None;
        let parties = || memory::parties(origin, party.clone(), principal.as_deref(), is_open);
        let mut claim = Claim::new(&gateway.memory.bodies, &parties, origin.waiting_bytes());
        let most = (principal.is_some() || is_open, gateway.body_bytes_max);
        let body = gateway.memory.receive(head, arriving, most, &mut claim).await?;
        counting.arrive();
        let is_health = route.is_health(head.uri.path());
        let (permits, waited) = gateway.permits.acquire(&route.permits, is_health).await?;
        counting.begin_call(waited);
        let request = Request { head: Arc::clone(head), caller, body };
        let take = move || -> Taken {
            let room = claim.into_owned();
            Box::new(OwnedPermits::new(&gateway.permits, &route.permits, permits, room))
        };
        let answered = self.own.calls.call(&route.guest, request, take).await;
        counting.end_call(&answered);
        let answer = answered.map_err(|error| {
            route.failures.log(&route.guest, &error, gateway.probe.clock.monotonic());
            HostError::of_call(&error)
        })?;
        gateway.memory.reply(answer, origin.is_http2, &parties)
    }
}
