//! What the host itself answers, before or instead of a guest: the same body as a guest's errors,
//! in the encoding that the caller wants.

use std::borrow::Cow;

use http::StatusCode;
use http::header::{
    ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use larder_wire::{CHALLENGE, CHALLENGE_REJECTED, Encoding, ErrorBody, ErrorType};

use crate::auth::access::Caller;
use crate::net::body::Reply;
use crate::runtime::{CallError, joined};
use crate::storage;

/// Why the host refused a request before a guest was called; for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No token.
    AuthRequired,
    /// A token that is not valid.
    InvalidToken,
    /// A head that is not as HTTP has it, or in a coding that nobody here knows.
    InvalidHead,
    /// A valid token that may not do this.
    Forbidden,
    /// A browser's question for a page whose origin is not allowed.
    Origin,
    /// It waited in vain for its call.
    CallWait,
    /// Too many waited already.
    CallQueue,
    /// As many calls of its mount as that may have ran or waited.
    MountCalls,
    /// Too many calls for health ran.
    HealthCalls,
    /// It waited in vain for room for its body.
    BodyRoom,
    /// There was no room for the memory that its call took; the guest may have begun.
    GuestRoom,
    /// The same after the guest had written.
    LateGuestRoom,
    /// There was no room for its answer, after a guest was called.
    AnswerRoom,
    /// Its body did not arrive in time.
    BodyTimeout,
    /// Its body ended before its end.
    BodyCutShort,
}

impl Reason {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::AuthRequired, "auth-required"),
        (Self::InvalidToken, "invalid-token"),
        (Self::InvalidHead, "invalid-head"),
        (Self::Forbidden, "forbidden"),
        (Self::Origin, "origin"),
        (Self::CallWait, "call-wait"),
        (Self::CallQueue, "call-queue"),
        (Self::MountCalls, "mount-calls"),
        (Self::HealthCalls, "health-calls"),
        (Self::BodyRoom, "body-room"),
        (Self::GuestRoom, "guest-room"),
        (Self::LateGuestRoom, "late-guest-room"),
        (Self::AnswerRoom, "answer-room"),
        (Self::BodyTimeout, "body-timeout"),
        (Self::BodyCutShort, "body-cut-short"),
    ];
}

/// An answer of the host's own.
#[derive(Debug)]
pub struct HostError {
    reason: Option<Reason>,
    status: StatusCode,
    r#type: ErrorType,
    code: &'static str,
    detail: Cow<'static, str>,
}

impl HostError {
    /// No principal where one is required.
    pub fn unauthorized(caller: &Caller) -> Self {
        let (reason, code, detail) = match caller {
            Caller::Rejected => (Reason::InvalidToken, "invalid-token", "The token is not valid."),
            _ => {
                let detail = "Send a token: `authorization: Bearer TOKEN`.";
                (Reason::AuthRequired, "auth-required", detail)
            }
        };
        let (status, r#type) = (StatusCode::UNAUTHORIZED, ErrorType::OperationError);
        Self { reason: Some(reason), status, r#type, code, detail: detail.into() }
    }

    /// A head that no request may have.
    pub fn invalid_head(detail: &'static str) -> Self {
        let error = Self::input(StatusCode::BAD_REQUEST, "invalid-head", detail);
        Self { reason: Some(Reason::InvalidHead), ..error }
    }

    /// A body in a transfer coding that is not understood.
    pub fn unknown_coding() -> Self {
        let detail = "The only transfer coding that is understood is `chunked`.";
        let error = Self::server(StatusCode::NOT_IMPLEMENTED, "not-implemented", detail);
        Self { reason: Some(Reason::InvalidHead), ..error }
    }

    /// A principal that may not do what only an administrator may.
    pub fn not_admin() -> Self {
        let detail = "This takes a token whose role is `admin`.";
        let error = Self::operation(StatusCode::FORBIDDEN, "forbidden", detail);
        Self { reason: Some(Reason::Forbidden), ..error }
    }

    /// A page that may not make the request that its browser asks about.
    pub fn origin_not_allowed() -> Self {
        let detail = "Pages of this origin may not use this path; whoever runs the server can list the \
                      origin in `cors_origins`.";
        let error = Self::operation(StatusCode::FORBIDDEN, "forbidden", detail);
        Self { reason: Some(Reason::Origin), ..error }
    }

    /// A body that is not JSON where only JSON is understood.
    pub fn not_json() -> Self {
        let detail = "`content-type` must be application/json.";
        Self::input(StatusCode::BAD_REQUEST, "invalid-content-type", detail)
    }

    /// More headers than there may be.
    pub fn too_many_headers(most: usize) -> Self {
        let detail = format!("The request has more than {most} headers.");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::input(status, "headers-too-large", detail)
    }

    /// A body over its limit.
    pub fn body_too_large(limit: u64) -> Self {
        let detail = format!("The body is larger than {limit} bytes.");
        Self::input(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", detail)
    }

    /// A body that says what cannot be.
    pub fn invalid(why: String) -> Self {
        Self::input(StatusCode::UNPROCESSABLE_ENTITY, "invalid-data", why)
    }

    /// Something that is not there.
    pub fn not_found(what: String) -> Self {
        Self::operation(StatusCode::NOT_FOUND, "not-found", what)
    }

    /// What the caller is told of an operation of the host's own that storage did not do.
    pub fn of_storage(error: &storage::Error) -> Self {
        match error {
            storage::Error::Full => {
                Self::server(StatusCode::INSUFFICIENT_STORAGE, "storage-full", error.to_string())
            }
            storage::Error::Unavailable(_) => {
                Self::server(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
            }
            error => {
                tracing::error!(%error, "an operation of the host's own failed in storage");
                Self::internal()
            }
        }
    }

    /// Why the request was refused; None when a guest was called and failed.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Too many calls run or wait.
    pub fn overloaded(reason: Reason) -> Self {
        let detail = "The server is busy; try again.";
        let error = Self::server(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { reason: Some(reason), ..error }
    }

    /// Clients that are slow to read hold all the room that there is for large answers.
    pub fn no_answer_room() -> Self {
        let detail = "There is no room for so large an answer now; what the request did is done.";
        let error = Self::server(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { reason: Some(Reason::AnswerRoom), ..error }
    }

    /// All calls together use what they may of memory. One that has written already must not be made
    /// again for the asking.
    fn no_guest_room(has_written: bool) -> Self {
        let (reason, detail) = if has_written {
            let detail =
                "There is no room for the handler's memory now; what it wrote before stays.";
            (Reason::LateGuestRoom, detail)
        } else {
            let detail =
                "There is no room for the handler's memory now, and it wrote nothing; try again.";
            (Reason::GuestRoom, detail)
        };
        let error = Self::server(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { reason: Some(reason), ..error }
    }

    /// What the caller is told of a call that failed.
    pub fn of_call(error: &CallError) -> Self {
        match error {
            CallError::Deadline => Self::deadline(),
            CallError::NoRoom { has_written } => Self::no_guest_room(*has_written),
            CallError::Limit(_) | CallError::Trap(_) | CallError::Invalid(_) => Self::internal(),
        }
    }

    /// The guest missed its deadline.
    fn deadline() -> Self {
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
        let (reason, detail) = (Some(Reason::BodyTimeout), "The body took too long to arrive.");
        Self { reason, status, r#type, code: "timeout", detail: detail.into() }
    }

    /// The body ended before its end, or is not framed as HTTP says.
    pub fn body_cut_short() -> Self {
        let detail = "The body could not be read to its end.";
        let error = Self::input(StatusCode::BAD_REQUEST, "invalid-encoding", detail);
        Self { reason: Some(Reason::BodyCutShort), ..error }
    }

    fn server(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { reason: None, status, r#type: ErrorType::ServerError, code, detail: detail.into() }
    }

    fn input(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { r#type: ErrorType::InvalidInput, ..Self::server(status, code, detail) }
    }

    fn operation(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { r#type: ErrorType::OperationError, ..Self::server(status, code, detail) }
    }

    /// The header that tells a caller how to do better: with a token, or at another time. Who was
    /// refused only the answer must not do again what is done.
    fn advice(&self) -> Option<(HeaderName, &'static str)> {
        match (self.status, self.reason) {
            (StatusCode::UNAUTHORIZED, Some(Reason::InvalidToken)) => {
                Some((WWW_AUTHENTICATE, CHALLENGE_REJECTED))
            }
            (StatusCode::UNAUTHORIZED, _) => Some((WWW_AUTHENTICATE, CHALLENGE)),
            (StatusCode::SERVICE_UNAVAILABLE, Some(Reason::AnswerRoom | Reason::LateGuestRoom)) => {
                None
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => Some((RETRY_AFTER, "1")),
            _ => None,
        }
    }

    /// The response, encoded as the request's headers prefer.
    pub fn into_response(self, headers: &HeaderMap) -> http::Response<Reply> {
        let accept = joined(headers, &ACCEPT);
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let encoding = Encoding::of_answer(accept.as_deref(), content_type);
        let advice = self.advice();
        let Self { status, r#type, code, detail, .. } = self;
        let body = ErrorBody { r#type, code, detail: &detail, location: None }.encode(encoding);
        let mut response = http::Response::new(Reply::new(vec![body.into()]));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
        if let Some((name, value)) = advice {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
