//! The errors that the plain face has besides the API's, and the API's under the statuses that HTTP has for
//! them. Knows no method.

use crate::bindings::larder::guest::storage;
use crate::error::Error;

/// The path names no key and no namespace's keys.
pub fn no_target() -> Error {
    Error::operation(404, "not-found", "There is nothing; a key is at `/kv/NAMESPACE/KEY`.")
}

/// The key is absent.
pub fn absent() -> Error {
    Error::operation(404, "not-found", "The key is absent.")
}

/// What the path names has no such method.
pub fn method_not_allowed() -> Error {
    Error::input(
        405,
        "method-not-allowed",
        "The header `allow` has the methods that are known here.",
    )
}

/// A condition of a read does not hold.
pub fn condition_failed() -> Error {
    with_status_of_http(Error::of_code("version-mismatch", None, "get", ""))
}

/// No byte of the value is in the range that was asked for.
pub fn range_not_satisfiable() -> Error {
    let detail = "The range lies beyond the value, whose length `content-range` has.";
    Error::operation(416, "range-not-satisfiable", detail)
}

/// A part of a value was to be written.
pub fn partial_write() -> Error {
    let detail = "A value is written whole: send no `content-range`.";
    Error::invalid_data("content-range", detail).with_status(400)
}

/// The error that the storage returned to `action` in `namespace`.
pub fn of_storage(error: &storage::Error, action: &str, namespace: &str) -> Error {
    with_status_of_http(Error::of_storage(error, action, namespace))
}

/// The error as of this face: a conflict is a condition that does not hold, and what is not found is not
/// there.
fn with_status_of_http(error: Error) -> Error {
    match error.code {
        "conflict" => error.with_status(412),
        "not-found" => error.with_status(404),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_storage_have_the_statuses_of_http() {
        for (code, status) in [
            ("version-mismatch", 412),
            ("already-exists", 412),
            ("not-found", 412),
            ("no-such-namespace", 404),
            ("denied", 403),
            ("expiry-out-of-range", 422),
            ("too-large", 413),
            ("full", 507),
            ("unavailable", 503),
            ("in-doubt", 500),
            ("corrupt", 500),
            ("of-a-later-version", 500),
        ] {
            let error = with_status_of_http(Error::of_code(code, Some(7), "put", "n"));
            assert_eq!(error.status, status, "{code}");
        }
    }
}
