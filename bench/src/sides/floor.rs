//! The side that answers a constant: what hyper, the connections and the workers cost by
//! themselves. Its constant has the size of a get's answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use larder::net::body::{Arriving, Reply};
use larder::net::handler::Handler;
use larder::net::rooms::{Claim, Party, Room};
use larder_api::endpoint::get;
use larder_wire::Encoding;

const BODY_BYTES_MAX: u64 = 8 << 20;
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
const BODIES_BYTES_MAX: u64 = 512 << 20;

/// Reads the body and answers its constant.
#[derive(Clone)]
pub struct Floor {
    answer: Bytes,
    room: Arc<Room>,
}

impl Floor {
    /// Answers what a get of so many bytes would.
    pub fn new(value_bytes: usize) -> Self {
        let value = vec![b'v'; value_bytes];
        let answer = get::encode(None, 1 << 20, Some(&value), Encoding::MessagePack);
        let room = Arc::new(Room::new(BODIES_BYTES_MAX, Duration::ZERO));
        Self { answer: answer.into(), room }
    }
}

impl Handler for Floor {
    async fn answer(self, request: http::Request<Incoming>, connection: u64) -> Response<Reply> {
        receive(request, &self.room, connection).await;
        let mut response = Response::new(Reply::new(vec![self.answer]));
        let content_type = HeaderValue::from_static(Encoding::MessagePack.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// Receives a request's body as the server does it, and forgets it.
async fn receive(request: http::Request<Incoming>, room: &Arc<Room>, connection: u64) {
    let parties = || [Some(Party::Connection(connection)), None, None];
    let mut claim = Claim::new(room, &parties, 0);
    // Whatever is wrong with it, the constant is answered.
    let _ = Arriving::new(request.into_body())
        .receive((BODY_BYTES_MAX, BODY_TIME_MAX), &mut claim)
        .await;
}
