//! `v1.health.ping` and `v1.health.ready`: whether the server answers, and whether it can write.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::kv;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::types::Error as StoreError;
use crate::error::Error;

/// Answers 200 whenever a guest can be called.
pub fn ping(encoding: Encoding) -> Response {
    answer::ok(&[("ok", Value::Flag(true))], encoding)
}

/// Answers 200 when writes can be served, else 503, for any reason.
pub fn ready(encoding: Encoding) -> Response {
    match kv::writable() {
        Ok(()) => {
            let message = Value::Text("Reads and writes are served.");
            answer::ok(&[("ok", Value::Flag(true)), ("message", message)], encoding)
        }
        Err(StoreError::Full) => {
            Error::unready("There is no room for more data.").into_response(encoding)
        }
        Err(_) => Error::unready("Writes cannot be served now.").into_response(encoding),
    }
}
