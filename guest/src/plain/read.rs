//! `GET` and `HEAD` of a key: the value's bytes, or a part of them. A large value stays with the host, and so
//! does its part.

use alloc::format;
use alloc::vec;

use super::answer::{self, Headers};
use super::conditions::{self, Conditions};
use super::error;
use super::headers::Headers as Given;
use super::range::Part;
use crate::answer::with_header;
use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, Entry};
use crate::error::Error;

/// Reads the key, and a part of its value when `parts` may be asked for. The host leaves the value out of an
/// answer to `HEAD`.
pub fn run(namespace: &str, key: &str, given: &Given, parts: bool) -> Result<Response, Error> {
    let conditions = Conditions::parse(given.if_match.as_deref(), given.if_none_match.as_deref())?;
    let entry = storage::get(namespace, key)
        .map_err(|error| error::of_storage(&error, "get", namespace))?;
    // Conditions are judged only where there would be an answer without them.
    let Entry { value, version, expiry } = entry.ok_or_else(error::absent)?;
    if !conditions.if_match_holds(version) {
        return Err(error::condition_failed());
    }
    let mut headers = Headers::of_entry(version, expiry);
    if conditions.if_none_match_fails(version) {
        return Ok(headers.into_response(304, vec![]));
    }
    let parts = parts && conditions::if_range_holds(given.if_range.as_deref(), version);
    let total = length(&value);
    let part = Part::of(given.range.as_deref().filter(|_| parts), total);
    if part == Part::Unsatisfiable {
        let response = answer::error(error::range_not_satisfiable());
        return Ok(with_header(response, "content-range", format!("bytes */{total}")));
    }
    headers.add("content-type", "application/octet-stream");
    headers.add("accept-ranges", "bytes");
    let Part::Bytes { offset, length } = part else {
        return Ok(headers.into_response(200, vec![value]));
    };
    let last = offset + (length - 1);
    headers.add("content-range", format!("bytes {offset}-{last}/{total}"));
    Ok(headers.into_response(206, vec![cut(value, offset, length)]))
}

fn length(value: &Content) -> u64 {
    match value {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Blob(blob) => blob.length(),
    }
}

/// A part of a value, in whose bounds it lies.
fn cut(value: Content, offset: u64, length: u64) -> Content {
    match value {
        Content::Bytes(mut bytes) => {
            bytes.truncate((offset + length) as usize);
            bytes.drain(..offset as usize);
            Content::Bytes(bytes)
        }
        Content::Blob(blob) => Content::Blob(blob.slice(offset, length)),
    }
}
