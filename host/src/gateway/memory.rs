//! Memory of requests and answers: receives bodies into one room, and has large answers take room in another.
//! Owns which parties a request's memory is charged to; how a room is shared out is `net/rooms`', how bytes
//! arrive `net/body`'s.

use std::sync::Arc;
use std::time::Duration;

use http::header::{EXPECT, HeaderName, HeaderValue};

use super::errors::{HostError, Reason};
use super::limits::HttpLimits;
use super::responses::has_content;
use crate::auth::access::Principal;
use crate::net::body::{Arriving, Received, Reply};
use crate::net::connection::SMALL_ANSWER_BYTES;
use crate::net::rooms::{Claim, Parties, Party, Room};
use crate::runtime::{Body, Head, Response};

/// What a header takes besides its text.
const HEADER_BYTES: usize = 128;
/// What a request takes besides while it waits for its client, over HTTP/2, where a connection has many at
/// a time.
const STREAM_BYTES: u64 = 12 << 10;
/// What its stream takes when it has been answered and its body goes on.
const REST_BYTES: u64 = 8 << 10;
/// Answers up to this size take no room over HTTP/2.
const SMALL_STREAM_ANSWER_BYTES: u64 = 4 << 10;
/// What a room has beside its size for heads, so that a body of that size fits.
const HEADS_BYTES: u64 = 128 << 10;

/// Where a request comes from.
#[derive(Clone, Copy)]
pub struct Origin {
    /// The number of its connection.
    pub connection: u64,
    /// Whether that may have many at a time.
    pub is_http2: bool,
}

impl Origin {
    /// What a request takes besides its head and body while it waits for its client.
    pub fn waiting_bytes(self) -> u64 {
        if self.is_http2 { STREAM_BYTES } else { 0 }
    }

    fn strangers(self) -> Parties {
        [Some(Party::Connection(self.connection)), None, Some(Party::Strangers)]
    }
}

/// The parties of a request to a mount. The mount is one only where not all are the program's own.
pub fn parties(
    origin: Origin,
    mount: Option<Party>,
    caller: Option<&Principal>,
    is_open: bool,
) -> Parties {
    let caller = match caller {
        Some(caller) => Some(Party::Principal(Arc::clone(&caller.name))),
        None if is_open => None,
        None => Some(Party::Strangers),
    };
    [Some(Party::Connection(origin.connection)), mount, caller]
}

/// The rooms of all requests.
pub struct RequestMemory {
    /// For requests: heads and bodies.
    pub bodies: Arc<Room>,
    /// For large answers.
    pub answers: Arc<Room>,
    body_time_max: Duration,
}

impl RequestMemory {
    /// Empty rooms.
    #[must_use]
    pub fn new(limits: &HttpLimits) -> Self {
        let room = |bytes: u64| Arc::new(Room::new(bytes, limits.call_wait_max));
        Self {
            bodies: room(limits.bodies_bytes_max as u64 + HEADS_BYTES),
            answers: room(limits.answers_bytes_max as u64),
            body_time_max: limits.body_time_max,
        }
    }

    /// Receives a request's body, if the caller may send one, into room that head and body share.
    pub async fn receive(
        &self,
        head: &Head,
        arriving: &mut Arriving,
        (may_send, limit): (bool, u64),
        claim: &mut Claim<'_>,
    ) -> Result<Body, HostError> {
        let no_room = || HostError::overloaded(Reason::BodyRoom);
        claim.grow_to(head_bytes(head)).await.map_err(|_| no_room())?;
        if !may_send {
            arriving.discard_little(head.headers.contains_key(EXPECT), claim).await;
            return Ok(Body::Unread);
        }
        match arriving.receive((limit, self.body_time_max), claim).await {
            Err(_) => Err(HostError::body_cut_short()),
            Ok(Received::Complete(bytes)) => Ok(Body::Complete(bytes)),
            Ok(Received::TooLarge) => Ok(Body::TooLarge(limit)),
            Ok(Received::NoRoom) => Err(no_room()),
            Ok(Received::TooSlow) => Err(HostError::body_too_slow()),
        }
    }

    /// What a guest answered, in room of its own when it is large. Nothing waits for that room: what
    /// waited would be held all the same, and clients that do not read could hold up everybody.
    pub fn reply(
        &self,
        mut answer: Response,
        is_http2: bool,
        parties: &dyn Fn() -> Parties,
    ) -> Result<http::Response<Reply>, HostError> {
        // Given back when there is room of its own.
        let _charges = std::mem::take(&mut answer.body.charges);
        let response = reply(answer);
        let bytes = response.body().bytes_left();
        if bytes <= if is_http2 { SMALL_STREAM_ANSWER_BYTES } else { SMALL_ANSWER_BYTES } {
            return Ok(response);
        }
        match self.answers.take(bytes, parties()) {
            Ok(room) => Ok(response.map(|reply| reply.in_room(room))),
            Err(_) => Err(HostError::no_answer_room()),
        }
    }

    /// Waits for the end of a body that nobody wants, if it is small and there is room to wait in; what is
    /// left of it when the answer goes out. A refusal does not wait over HTTP/2, where nothing of the
    /// connection depends on it.
    pub async fn finish(
        &self,
        origin: Origin,
        mut arriving: Arriving,
        is_refused: bool,
        waits: bool,
    ) -> Option<Arriving> {
        let strangers = || origin.strangers();
        if !is_refused || !origin.is_http2 {
            let mut claim = Claim::new(&self.bodies, &strangers, origin.waiting_bytes());
            arriving.discard_little(waits, &mut claim).await;
        }
        let rest = arriving.rest()?;
        if !origin.is_http2 {
            return Some(rest);
        }
        // Without room the stream is reset when it has been answered.
        Some(rest.with_share(self.bodies.take(REST_BYTES, strangers()).ok()?))
    }
}

/// The memory that a head takes.
fn head_bytes(head: &Head) -> u64 {
    let text = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let headers: usize = head.headers.iter().map(text).sum();
    (head.uri.path().len() + headers + HEADER_BYTES * head.headers.len()) as u64
}

fn reply(answer: Response) -> http::Response<Reply> {
    let body = if has_content(answer.status) { answer.body.parts } else { Vec::new() };
    let mut response = http::Response::new(Reply::new(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
