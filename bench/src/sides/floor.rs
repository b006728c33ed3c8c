//! The side that answers a constant: what hyper, the connections and the workers cost by
//! themselves. Its constant has the size of a get's answer.

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use larder::http::body::{Received, Reply, receive};
use larder::workers::Handler;
use larder_api::endpoint::get;
use larder_wire::Encoding;

const BODY_BYTES_MAX: u64 = 8 << 20;

/// Reads the body and answers its constant.
#[derive(Clone)]
pub struct Floor {
    answer: Bytes,
}

impl Floor {
    /// Answers what a get of so many bytes would.
    pub fn new(value_bytes: usize) -> Self {
        let value = vec![b'v'; value_bytes];
        let answer = get::encode(None, 1 << 20, Some(&value), Encoding::MessagePack);
        Self { answer: answer.into() }
    }
}

impl Handler for Floor {
    async fn answer(self, request: http::Request<Incoming>) -> Response<Reply> {
        receive_all(request).await;
        let mut response = Response::new(Reply::new(vec![self.answer]));
        let content_type = HeaderValue::from_static(Encoding::MessagePack.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// The request's body, received as the server does it.
pub async fn receive_all(request: http::Request<Incoming>) -> Option<Bytes> {
    match receive(request.into_body(), BODY_BYTES_MAX, false).await {
        Ok(Received::Complete(bytes)) => Some(bytes),
        _ => None,
    }
}
