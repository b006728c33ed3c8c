//! The errors that the API answers with: status, code and sentence, and how an error of the storage becomes
//! one of them. One constructor for each kind. Knows no endpoint.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use core::ops::Deref;

use larder_wire::{CHALLENGE, CHALLENGE_REJECTED, Encoding, ErrorBody, ErrorType};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::types::{Conflict, ConflictKind, Error as StoreError};

/// Seconds after which a caller may try again when writes cannot be served.
const RETRY_AFTER_S: &str = "1";

const INVALID_ENCODING: &str = "invalid-encoding";
const INVALID_TOKEN: &str = "invalid-token";

/// An error of the API. Boxed, so that a `Result` is small and cheap to move: errors are rare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Fields>);

impl Deref for Error {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

/// What an error consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The HTTP status.
    pub status: u16,
    /// Whose fault it is.
    pub r#type: ErrorType,
    /// The code, in kebab-case.
    pub code: &'static str,
    /// A sentence for people.
    pub detail: Cow<'static, str>,
    /// The path of the field at fault.
    pub location: Option<Cow<'static, str>>,
    /// The newest version, when the storage refused a conditional write.
    pub mutation_version: Option<u64>,
}

impl Error {
    fn new(
        status: u16,
        r#type: ErrorType,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let detail = detail.into();
        let (location, mutation_version) = (None, None);
        Self(Box::new(Fields { status, r#type, code, detail, location, mutation_version }))
    }

    fn input(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, ErrorType::InvalidInput, code, detail)
    }

    fn operation(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, ErrorType::OperationError, code, detail)
    }

    fn server(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, ErrorType::ServerError, code, detail)
    }

    /// No token, or not as a bearer token.
    pub fn auth_required() -> Self {
        Self::operation(401, "auth-required", "Send a token: `authorization: Bearer TOKEN`.")
    }

    /// A token that is not valid.
    pub fn invalid_token() -> Self {
        Self::operation(401, INVALID_TOKEN, "The token is not valid.")
    }

    /// No `content-type`.
    pub fn missing_content_type() -> Self {
        let detail = "Send `content-type`: application/json or application/msgpack.";
        Self::input(400, "missing-content-type", detail)
    }

    /// Another `content-type`.
    pub fn invalid_content_type() -> Self {
        let detail = "`content-type` must be application/json or application/msgpack.";
        Self::input(400, "invalid-content-type", detail)
    }

    /// A body over the limit.
    pub fn payload_too_large(limit: u64) -> Self {
        let detail = format!("The body is larger than {limit} bytes.");
        Self::input(413, "payload-too-large", detail)
    }

    /// A document that is not well-formed.
    pub fn invalid_encoding(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::input(400, INVALID_ENCODING, detail)
    }

    /// Whether the document is not well-formed.
    pub fn is_malformed(&self) -> bool {
        self.code == INVALID_ENCODING
    }

    /// A well-formed document that is wrong at `location`.
    pub fn invalid_data(
        location: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::input(422, "invalid-data", detail);
        error.0.location = Some(location.into());
        error
    }

    /// The namespace `default` was named, which must be left out.
    pub fn explicit_default_namespace() -> Self {
        let detail = "Leave `namespace` out to use the default namespace.";
        Self::operation(400, "no-explicit-default-namespace", detail)
    }

    /// The answer of `health.error`.
    pub fn on_purpose() -> Self {
        Self::server(500, "internal-error", "This error was asked for.")
    }

    /// What the store answered to `action` in `namespace`. Who may not do it learns no more than that.
    pub fn of_store(error: StoreError, action: &str, namespace: &str) -> Self {
        match error {
            StoreError::Denied => {
                let detail = format!("`{action}` is not allowed in the namespace `{namespace}`.");
                Self::operation(403, "forbidden", detail)
            }
            error => error.into(),
        }
    }

    /// Writes cannot be served: the answer of `health.ready`.
    pub fn unready(detail: &'static str) -> Self {
        Self::server(503, "unavailable", detail)
    }

    /// The host called with arguments that it should not give.
    pub fn internal(detail: &'static str) -> Self {
        Self::server(500, "internal-error", detail)
    }

    /// The response, in `encoding`.
    pub fn into_response(self, encoding: Encoding) -> Response {
        let body = ErrorBody {
            r#type: self.r#type,
            code: self.code,
            detail: &self.detail,
            location: self.location.as_deref(),
        };
        let mut response = answer::encoded(self.status, encoding, body.encode(encoding));
        let header = match self.status {
            401 if self.code == INVALID_TOKEN => Some(("www-authenticate", CHALLENGE_REJECTED)),
            401 => Some(("www-authenticate", CHALLENGE)),
            // An unavailable storage has changed nothing, so the caller may try again.
            503 => Some(("retry-after", RETRY_AFTER_S)),
            _ => None,
        };
        if let Some((name, value)) = header {
            response = answer::with_header(response, name, value);
        }
        match self.mutation_version {
            Some(version) => answer::with_mutation_version(response, version),
            None => response,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(conflict) => conflict.into(),
            StoreError::NoSuchNamespace => {
                Self::operation(400, "not-found", "The namespace was never configured.")
            }
            StoreError::Denied => {
                Self::operation(403, "forbidden", "This is not allowed in this namespace.")
            }
            StoreError::InvalidName => Self::invalid_data(".", "A name is 1 to 256 bytes."),
            StoreError::ExpiryOutOfRange => {
                Self::invalid_data("ttl_ms", "The entry would expire after the year 9999.")
            }
            StoreError::TooLarge => {
                Self::input(413, "payload-too-large", "The value is larger than the server takes.")
            }
            StoreError::Full => Self::server(
                507,
                "storage-full",
                "There is no room for more data; deletes make room.",
            ),
            StoreError::Unavailable => {
                Self::server(503, "unavailable", "Writes cannot be served now; try again.")
            }
            StoreError::InDoubt => Self::server(
                500,
                "internal-error",
                "The write could not be finished; whether it happened is unknown.",
            ),
            StoreError::Corrupt => {
                Self::server(500, "internal-error", "The stored entry is damaged.")
            }
            StoreError::Other(_) => Self::server(
                500,
                "internal-error",
                "The storage failed; the server's log tells why.",
            ),
        }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        let detail = match conflict.kind {
            ConflictKind::VersionMismatch => "version mismatch",
            ConflictKind::AlreadyExists => "key already exists",
            ConflictKind::NotFound => "key not found",
        };
        let mut error = Self::operation(400, "conflict", detail);
        error.0.mutation_version = Some(conflict.newest);
        error
    }
}
