//! On which stack a call runs. Fixed before it begins, by what is known then, and the same until it ends.
//! Knows neither instances nor `wit/`.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use larder_wire::Encoding;

use super::request::{Body, Request};
use crate::runtime::blob::INLINE_BYTES_MAX;

/// Where a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// On the thread's own stack, to its end, without ever giving way: for short calls that never wait.
    Direct,
    /// On a stack of its own: it may wait, and gives way to the thread's other tasks while it computes.
    Fiber,
}

/// The lane of a call. Only a guest that is `trusted` not to wait, the program's own, runs directly, and
/// only what cannot take long: JSON may, where a value has megabytes, in the request or in the answer;
/// and a large body is not looked at before it is read.
pub fn lane(trusted: bool, request: &Request) -> Lane {
    let short = |body: &Body| match body {
        Body::Complete(bytes) => bytes.len() <= INLINE_BYTES_MAX,
        Body::TooLarge(_) | Body::Unread => true,
    };
    if trusted && short(&request.body) && is_message_pack(&request.head.headers) {
        Lane::Direct
    } else {
        Lane::Fiber
    }
}

/// Whether a request is MessagePack, and so will its answer be. Looks for the plain names alone: who writes
/// them in another way loses some hundred nanoseconds.
fn is_message_pack(headers: &HeaderMap) -> bool {
    let plain = Encoding::MessagePack.content_type();
    headers.get(CONTENT_TYPE).is_some_and(|value| value == plain)
        && headers.get_all(ACCEPT).iter().all(|value| value == plain)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::auth::access::Caller;
    use crate::runtime::call::request::Head;

    const JSON: &str = "application/json";
    const MESSAGE_PACK: &str = "application/msgpack";

    fn request(headers: &[(http::HeaderName, &'static str)], bytes: usize) -> Request {
        let value = |(name, value): &(http::HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        let headers = headers.iter().map(value).collect();
        let head = Head { method: http::Method::POST, uri: "/".parse().unwrap(), headers };
        let body = Body::Complete(Bytes::from(vec![0; bytes]));
        Request { head: Arc::new(head), caller: Caller::Anonymous, body }
    }

    #[test]
    fn small_message_pack_of_a_trusted_guest_runs_directly_and_nothing_else() {
        let (plain, json) = ((CONTENT_TYPE, MESSAGE_PACK), (CONTENT_TYPE, JSON));
        let large = INLINE_BYTES_MAX + 1;
        for (headers, bytes, direct) in [
            (vec![plain.clone()], INLINE_BYTES_MAX, Lane::Direct),
            (vec![plain.clone()], large, Lane::Fiber),
            (vec![plain.clone(), (ACCEPT, MESSAGE_PACK)], 10, Lane::Direct),
            (vec![plain.clone(), (ACCEPT, JSON)], 10, Lane::Fiber),
            (vec![plain, (ACCEPT, MESSAGE_PACK), (ACCEPT, JSON)], 10, Lane::Fiber),
            (vec![json.clone()], 10, Lane::Fiber),
            (vec![json, (ACCEPT, MESSAGE_PACK)], 10, Lane::Fiber),
            (vec![], 0, Lane::Fiber),
        ] {
            let request = request(&headers, bytes);
            assert_eq!(lane(true, &request), direct, "{headers:?} {bytes}");
            assert_eq!(lane(false, &request), Lane::Fiber, "{headers:?} {bytes}");
        }
    }
}
