//! Builds responses: a body in the encoding of the answer, and its headers. Knows no endpoint and no
//! storage.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use larder_wire::{Encoding, Value};

use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::requests::Response;

/// The header that carries the version of a mutation.
const MUTATION_VERSION: &str = "diom-mutation-version";

/// A response with an encoded body.
pub fn encoded(status: u16, encoding: Encoding, body: Vec<u8>) -> Response {
    parts(status, encoding, vec![Content::Bytes(body)])
}

/// A response with an encoded body in several parts.
pub fn parts(status: u16, encoding: Encoding, body: Vec<Content>) -> Response {
    let headers = vec![("content-type".to_owned(), encoding.content_type().to_owned())];
    Response { status, headers, body }
}

/// 200 with a flat body.
pub fn ok(fields: &[(&str, Value<'_>)], encoding: Encoding) -> Response {
    encoded(200, encoding, larder_wire::encode(fields, encoding))
}

/// A response without a body.
pub fn empty(status: u16) -> Response {
    Response { status, headers: Vec::new(), body: Vec::new() }
}

/// Adds one header.
pub fn with_header(mut response: Response, name: &str, value: impl Into<String>) -> Response {
    response.headers.push((name.to_owned(), value.into()));
    response
}

/// Adds the header with a mutation's version.
pub fn with_mutation_version(response: Response, version: u64) -> Response {
    with_header(response, MUTATION_VERSION, version.to_string())
}
