//! `v1.health.ping` and `v1.health.ready`: whether the server answers, and whether it can write.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage;
use crate::error::Error;

/// Answers 200 whenever a guest can be called.
pub fn ping(encoding: Encoding) -> Response {
    answer::ok(&[("ok", Value::Flag(true))], encoding)
}

/// Answers 200 when writes can be served, else 503, for any reason.
pub fn ready(encoding: Encoding) -> Response {
    match storage::writable() {
        Ok(()) => {
            let message = Value::Text("Reads and writes are served.");
            answer::ok(&[("ok", Value::Flag(true)), ("message", message)], encoding)
        }
        Err(error) => Error::unready(reason(&error.code())).into_response(encoding),
    }
}

/// The sentence for the code with which the storage refuses writes.
fn reason(code: &str) -> &'static str {
    match code {
        "full" => "There is no room for more data.",
        _ => "Writes cannot be served now.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_storage_has_its_own_reason() {
        assert_eq!(reason("full"), "There is no room for more data.");
        for code in ["unavailable", "internal", "a code of a later version"] {
            assert_eq!(reason(code), "Writes cannot be served now.", "{code}");
        }
    }
}
