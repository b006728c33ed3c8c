//! The errors that the API answers with: status, code and sentence, and how an error of the storage becomes
//! one of them. One constructor for each kind. Knows no endpoint.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use core::ops::Deref;

use larder_wire::{CHALLENGE, CHALLENGE_REJECTED, Encoding, ErrorBody, ErrorType};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage;
use crate::memo::Write;

/// Seconds after which a caller may try again when writes cannot be served.
const RETRY_AFTER_S: &str = "1";

const INVALID_ENCODING: &str = "invalid-encoding";
const INVALID_TOKEN: &str = "invalid-token";
const NO_SUCH_NAMESPACE: &str = "not-found";

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

    /// An error of a request that can never succeed as it is.
    pub(crate) fn input(
        status: u16,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(status, ErrorType::InvalidInput, code, detail)
    }

    /// An error of a request that does not fit the state.
    pub(crate) fn operation(
        status: u16,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
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

    /// The same error, of the element at `index` of the field `array`.
    pub fn within(mut self, array: &str, index: usize) -> Self {
        let location = match self.0.location.as_deref() {
            None | Some(".") => format!("{array}[{index}]"),
            Some(inner) => format!("{array}[{index}].{inner}"),
        };
        self.0.location = Some(location.into());
        self
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

    /// The error that the storage returned to a write in `namespace`.
    pub fn of_write(error: &storage::Error, write: Write, namespace: &str) -> Self {
        let told = Self::of_storage(error, write.name(), namespace);
        // That there is no such namespace is no operation's fault.
        if write != Write::Batch || told.code == NO_SUCH_NAMESPACE {
            return told;
        }
        match (error.check(), error.change()) {
            (Some(index), _) => told.within("checks", index as usize),
            (None, Some(index)) => told.within("operations", index as usize),
            (None, None) => told,
        }
    }

    /// The error that the storage returned to `action` in `namespace`.
    pub fn of_storage(error: &storage::Error, action: &str, namespace: &str) -> Self {
        let (code, newest) = (error.code(), error.newest_version());
        if code == "full" {
            return Self::full(error.quota().as_deref());
        }
        Self::of_code(&code, newest, action, namespace)
    }

    /// The same by what the storage's error says: its code, and with a condition that does not hold the
    /// newest version. A code that is not known is an internal error.
    pub fn of_code(code: &str, newest: Option<u64>, action: &str, namespace: &str) -> Self {
        match code {
            "version-mismatch" => Self::conflict("version mismatch", newest),
            "already-exists" => Self::conflict("key already exists", newest),
            "not-found" => Self::conflict("key not found", newest),
            "not-a-number" => Self::conflict("value is not a number", newest),
            "overflow" => Self::conflict("value would overflow", newest),
            "out-of-bounds" => Self::conflict("value would be out of bounds", newest),
            "no-such-namespace" => {
                Self::operation(400, NO_SUCH_NAMESPACE, "The namespace was never configured.")
            }
            // Who may not do it learns nothing more.
            "denied" => {
                let detail = format!("`{action}` is not allowed in the namespace `{namespace}`.");
                Self::operation(403, "forbidden", detail)
            }
            "invalid-name" => Self::invalid_data(".", "A name is 1 to 256 bytes."),
            "expiry-out-of-range" => {
                Self::invalid_data("ttl_ms", "The entry would expire after the year 9999.")
            }
            "too-large" => {
                Self::input(413, "payload-too-large", "The value is larger than the server takes.")
            }
            "full" => Self::full(None),
            "unavailable" => {
                Self::server(503, "unavailable", "Writes cannot be served now; try again.")
            }
            "in-doubt" => {
                Self::internal("The write could not be finished; whether it happened is unknown.")
            }
            "corrupt" => Self::internal("The stored entry is damaged."),
            _ => Self::internal("The storage failed; the server's log tells why."),
        }
    }

    /// A quota is used up, which the storage names so.
    fn full(quota: Option<&str>) -> Self {
        let detail = match quota {
            Some("keys") => "The namespace has as many keys as its `keys_max` allows.",
            Some("bytes") => "The namespace has as many bytes as its `bytes_max` allows.",
            Some("namespaces") => "There are as many namespaces as the server takes.",
            _ => "There is no room for more data; deletes make room.",
        };
        Self::server(507, "storage-full", detail)
    }

    /// A condition of a write that does not hold.
    fn conflict(detail: &'static str, newest: Option<u64>) -> Self {
        let mut error = Self::operation(400, "conflict", detail);
        error.0.mutation_version = newest;
        error
    }

    /// Writes cannot be served: the answer of `health.ready`.
    pub fn unready(detail: &'static str) -> Self {
        Self::server(503, "unavailable", detail)
    }

    /// A fault of the server's.
    pub fn internal(detail: &'static str) -> Self {
        Self::server(500, "internal-error", detail)
    }

    /// The same error under another status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = status;
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, code, location and the version for the header.
    type Answer = (u16, &'static str, Option<&'static str>, Option<u64>);

    #[test]
    fn each_code_of_the_storage_has_its_error() {
        let known: [(&str, Option<u64>, Answer); 15] = [
            ("version-mismatch", Some(7), (400, "conflict", None, Some(7))),
            ("already-exists", Some(7), (400, "conflict", None, Some(7))),
            ("not-found", Some(7), (400, "conflict", None, Some(7))),
            ("not-a-number", Some(7), (400, "conflict", None, Some(7))),
            ("overflow", Some(7), (400, "conflict", None, Some(7))),
            ("out-of-bounds", Some(7), (400, "conflict", None, Some(7))),
            ("no-such-namespace", None, (400, "not-found", None, None)),
            ("denied", None, (403, "forbidden", None, None)),
            ("invalid-name", None, (422, "invalid-data", Some("."), None)),
            ("expiry-out-of-range", None, (422, "invalid-data", Some("ttl_ms"), None)),
            ("too-large", None, (413, "payload-too-large", None, None)),
            ("full", None, (507, "storage-full", None, None)),
            ("unavailable", None, (503, "unavailable", None, None)),
            ("in-doubt", None, (500, "internal-error", None, None)),
            ("corrupt", None, (500, "internal-error", None, None)),
        ];
        let unknown = ["internal", "", "a-code-of-a-later-version", "Denied"];
        let unknown = unknown.map(|code| (code, None, (500, "internal-error", None, None)));
        for (code, newest, answer) in known.into_iter().chain(unknown) {
            let error = Error::of_code(code, newest, "set", "n");
            let Fields { status, code: told, location, mutation_version, .. } = &*error;
            let found = (*status, *told, location.as_deref(), *mutation_version);
            assert_eq!(found, answer, "{code}");
        }
    }

    #[test]
    fn the_detail_of_a_full_namespace_names_the_quota() {
        for (quota, named) in [("keys", "`keys_max`"), ("bytes", "`bytes_max`")] {
            assert!(Error::full(Some(quota)).detail.contains(named), "{quota}");
        }
        for quota in [None, Some("disk"), Some("namespaces"), Some("a-later-one")] {
            let error = Error::full(quota);
            assert_eq!((error.status, error.code), (507, "storage-full"), "{quota:?}");
            assert!(!error.detail.contains('`'), "{quota:?}");
        }
    }

    #[test]
    fn an_error_in_an_array_has_the_path_of_the_element() {
        let location =
            |inner| Error::invalid_data(inner, "").within("operations", 3).location.clone();
        assert_eq!(location(".").as_deref(), Some("operations[3]"));
        assert_eq!(location("ttl_ms").as_deref(), Some("operations[3].ttl_ms"));
        assert_eq!(location("value[7]").as_deref(), Some("operations[3].value[7]"));
        let conflict = Error::conflict("version mismatch", Some(7)).within("checks", 0);
        assert_eq!(conflict.location.as_deref(), Some("checks[0]"));
    }

    #[test]
    fn details_are_those_that_clients_know() {
        let detail = |code| Error::of_code(code, None, "namespace.get", "n").detail.clone();
        assert_eq!(detail("version-mismatch"), "version mismatch");
        assert_eq!(detail("already-exists"), "key already exists");
        assert_eq!(detail("not-found"), "key not found");
        assert_eq!(detail("not-a-number"), "value is not a number");
        assert_eq!(detail("overflow"), "value would overflow");
        assert_eq!(detail("out-of-bounds"), "value would be out of bounds");
        assert_eq!(detail("denied"), "`namespace.get` is not allowed in the namespace `n`.");
    }
}
