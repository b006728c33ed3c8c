//! What answers of the plain face have in their headers. Knows no method and no storage.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use larder_wire::Encoding;

use super::date;
use crate::answer;
use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::requests::Response;
use crate::error::Error;

/// The headers of every answer: caches ask each time, and browsers take no value for a page.
const EVERYWHERE: [(&str, &str); 2] =
    [("cache-control", "no-cache"), ("x-content-type-options", "nosniff")];

/// Headers on their way into an answer, with those of every answer.
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Room for all that an answer here has.
    const COUNT: usize = 8;

    /// The headers of every answer.
    pub fn of_every_answer() -> Self {
        let mut headers = Self(Vec::with_capacity(Self::COUNT));
        for (name, value) in EVERYWHERE {
            headers.add(name, value);
        }
        headers
    }

    /// The same with the version of a present key, and when it expires.
    pub fn of_entry(version: u64, expiry: Option<u64>) -> Self {
        let mut headers = Self::of_every_answer();
        headers.add("etag", etag(version));
        if let Some(expiry) = expiry {
            headers.add("expires", date::of_instant(expiry));
            headers.add("larder-expiry", expiry.to_string());
        }
        headers
    }

    /// Adds one.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// An answer with these headers.
    pub fn into_response(self, status: u16, body: Vec<Content>) -> Response {
        Response { status, headers: self.0, body }
    }
}

/// The entity tag of a version.
pub fn etag(version: u64) -> String {
    let mut tag = String::with_capacity(2 + 16);
    tag.push('"');
    tag.push_str(&version.to_string());
    tag.push('"');
    tag
}

/// The answer to a change: no content, but the version that it drew.
pub fn changed(status: u16, version: u64, tag: Option<String>) -> Response {
    let mut headers = Headers::of_every_answer();
    if let Some(tag) = tag {
        headers.add("etag", tag);
    }
    answer::with_mutation_version(headers.into_response(status, Vec::new()), version)
}

/// The answer to an error.
pub fn error(error: Error) -> Response {
    let mut response = error.into_response(Encoding::Json);
    for (name, value) in EVERYWHERE {
        response = answer::with_header(response, name, value);
    }
    response
}
