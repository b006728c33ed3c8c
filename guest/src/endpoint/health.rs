//! `v1.health.ping` and `v1.health.ready`: whether the server lives, and whether it can write.

use larder_wire::Encoding;
use serde::Serialize;

use crate::answer;
use crate::bindings::larder::guest::kv;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::types::Error as StoreError;
use crate::error::Error;

#[derive(Serialize)]
struct Ping {
    ok: bool,
}

#[derive(Serialize)]
struct Ready {
    ok: bool,
    message: &'static str,
}

/// Answers as soon as a guest can answer anything.
pub fn ping(encoding: Encoding) -> Response {
    answer::ok(&Ping { ok: true }, encoding)
}

/// Answers 200 when writes can be served, else 503, whatever the reason.
pub fn ready(encoding: Encoding) -> Response {
    match kv::writable() {
        Ok(()) => {
            answer::ok(&Ready { ok: true, message: "Reads and writes are served." }, encoding)
        }
        Err(StoreError::Full) => {
            Error::unready("There is no room for more data.").into_response(encoding)
        }
        Err(_) => Error::unready("Writes cannot be served now.").into_response(encoding),
    }
}
