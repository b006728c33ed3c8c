//! What the host itself answers, before or instead of a guest: the same body as a guest's errors,
//! in the encoding that the caller wants.

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use larder_wire::{Encoding, ErrorBody, ErrorType};

use super::body::Reply;
use crate::runtime::{Caller, joined};

/// An answer of the host's own.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    r#type: ErrorType,
    code: &'static str,
    detail: &'static str,
}

impl Refusal {
    /// No principal where one is required.
    pub fn unauthorized(caller: &Caller) -> Self {
        let (code, detail) = match caller {
            Caller::Rejected => ("invalid-token", "The token is not valid."),
            _ => ("auth-required", "Send a token: `authorization: Bearer TOKEN`."),
        };
        let r#type = ErrorType::OperationError;
        Self { status: StatusCode::UNAUTHORIZED, r#type, code, detail }
    }

    /// Too many calls run or wait.
    pub fn overloaded() -> Self {
        let detail = "The server is busy; try again.";
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// The guest missed its deadline.
    pub fn deadline() -> Self {
        let detail = "The handler took too long; whether it had an effect is unknown.";
        Self::server(StatusCode::GATEWAY_TIMEOUT, "timeout", detail)
    }

    /// The guest failed in any other way.
    pub fn internal() -> Self {
        let detail = "The handler failed; the server's log tells why.";
        Self::server(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", detail)
    }

    /// The body did not arrive in time.
    pub fn body_too_slow() -> Self {
        let (status, r#type) = (StatusCode::REQUEST_TIMEOUT, ErrorType::OperationError);
        Self { status, r#type, code: "timeout", detail: "The body took too long to arrive." }
    }

    /// The body ended before its end, or is not framed as HTTP says.
    pub fn body_cut_short() -> Self {
        let detail = "The body could not be read to its end.";
        Self::input(StatusCode::BAD_REQUEST, "invalid-encoding", detail)
    }

    fn server(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, r#type: ErrorType::ServerError, code, detail }
    }

    fn input(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, r#type: ErrorType::InvalidInput, code, detail }
    }

    /// The response, encoded as the request's headers prefer.
    pub fn into_response(self, headers: &HeaderMap) -> http::Response<Reply> {
        let accept = joined(headers, &ACCEPT);
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let encoding = Encoding::of_answer(accept.as_deref(), content_type);
        let Self { status, r#type, code, detail } = self;
        let body = ErrorBody { r#type, code, detail, location: None }.encode(encoding);
        let mut response = http::Response::new(Reply::new(vec![body.into()]));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
