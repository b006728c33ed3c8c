//! On which stack a call runs. Fixed before it begins, by what is known then, and the same until it ends.
//! Knows neither instances nor `wit/`.

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use larder_wire::Encoding;

use super::request::{Body, Head, Request};
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
/// a large body is not looked at before it is read; and who asks for a list gets one.
pub fn lane(trusted: bool, request: &Request) -> Lane {
    let short = |body: &Body| match body {
        Body::Complete(bytes) => bytes.len() <= INLINE_BYTES_MAX,
        Body::TooLarge(_) | Body::Unread => true,
    };
    let head = &request.head;
    if trusted && short(&request.body) && (is_of_one_thing(head) || is_message_pack(&head.headers))
    {
        Lane::Direct
    } else {
        Lane::Fiber
    }
}

/// Whether a request is for one thing as it is, in bytes that need no encoding: by its method, and a path that
/// neither ends as a folder's does nor has a query behind it, as lists have.
fn is_of_one_thing(Head { method, uri, .. }: &Head) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
        && uri.query().is_none()
        && !uri.path().ends_with('/')
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
    use http::{HeaderValue, Uri};

    use super::*;
    use crate::auth::access::Caller;
    use crate::runtime::call::request::Head;

    const JSON: &str = "application/json";
    const MESSAGE_PACK: &str = "application/msgpack";

    fn posted(headers: &[(http::HeaderName, &'static str)], bytes: usize) -> Request {
        let value = |(name, value): &(http::HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        let headers = headers.iter().map(value).collect();
        request(Method::POST, "/a", headers, bytes)
    }

    fn request(method: Method, uri: &'static str, headers: HeaderMap, bytes: usize) -> Request {
        let head = Head { method, uri: Uri::from_static(uri), headers };
        let body = Body::Complete(Bytes::from(vec![0; bytes]));
        Request { head: Arc::new(head), caller: Caller::Anonymous, body }
    }

    #[test]
    fn a_small_request_for_one_thing_runs_directly_and_one_for_a_list_does_not() {
        for (method, uri, bytes, direct) in [
            (Method::GET, "/n/k", 0, Lane::Direct),
            (Method::HEAD, "/n/k", 0, Lane::Direct),
            (Method::PUT, "/n/k", INLINE_BYTES_MAX, Lane::Direct),
            (Method::PUT, "/n/k", INLINE_BYTES_MAX + 1, Lane::Fiber),
            (Method::DELETE, "/n/k", 0, Lane::Direct),
            (Method::POST, "/n/k", 0, Lane::Fiber),
            (Method::OPTIONS, "/n/k", 0, Lane::Fiber),
            (Method::PATCH, "/n/k", 0, Lane::Fiber),
            (Method::GET, "/n/", 0, Lane::Fiber),
            (Method::GET, "/n/k?", 0, Lane::Fiber),
            (Method::GET, "/n/k?prefix=a", 0, Lane::Fiber),
        ] {
            let told = format!("{method} {uri} {bytes}");
            let request = request(method, uri, HeaderMap::new(), bytes);
            assert_eq!(lane(true, &request), direct, "{told}");
            assert_eq!(lane(false, &request), Lane::Fiber, "{told}");
        }
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
            let request = posted(&headers, bytes);
            assert_eq!(lane(true, &request), direct, "{headers:?} {bytes}");
            assert_eq!(lane(false, &request), Lane::Fiber, "{headers:?} {bytes}");
        }
    }
}
