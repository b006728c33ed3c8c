//! Responses of the host's own that are no errors, and what HTTP says of a response's content. Knows no path.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::net::body::Reply;

/// Text for people and scripts.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// A response without content.
pub fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::new(Vec::new()));
    *response.status_mut() = status;
    response
}

/// A response that is made anew each time.
pub fn content(status: StatusCode, content_type: &'static str, body: String) -> Response<Reply> {
    let mut response = Response::new(Reply::new(vec![body.into()]));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a method that the path does not have, with those that it has.
pub fn method_not_allowed(allowed: &'static str) -> Response<Reply> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The answer to HEAD: every header of the answer to GET, and no body.
pub fn without_body(response: Response<Reply>) -> Response<Reply> {
    let (mut parts, body) = response.into_parts();
    if has_content(parts.status) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.bytes_left()));
    }
    Response::from_parts(parts, Reply::new(Vec::new()))
}

/// Whether answers of this status have content. HTTP/2 has no way to send what does not belong there.
pub fn has_content(status: StatusCode) -> bool {
    let without = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    !without.contains(&status)
}
