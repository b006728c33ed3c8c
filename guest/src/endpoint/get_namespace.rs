//! `v1.kv.namespace.get`: tells when a namespace was made and last configured. Also owns the form
//! of request and answer that it shares with `configure`.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::namespaces;
use crate::bindings::larder::guest::requests::Response;
use crate::codec;
use crate::error::Error;
use crate::options::{NamespaceName, Parse, required};
use crate::router::Call;

/// A namespace as both endpoints answer it: its name, and when it was first and last configured, in
/// milliseconds since the epoch.
pub fn answer(name: &str, created: u64, updated: u64, encoding: Encoding) -> Response {
    let fields = [
        ("name", Value::Text(name)),
        ("created", Value::Number(created)),
        ("updated", Value::Number(updated)),
    ];
    answer::ok(&fields, encoding)
}

/// Decodes and validates the body of both endpoints.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<NamespaceName<'_>, Error> {
    let [name] = codec::decode(body, encoding, &["name"])?;
    required("name", NamespaceName::parse(name)?)
}

/// Looks the namespace up.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespaces::Namespace { created, updated } =
        namespaces::get(&name).map_err(|error| Error::of_store(error, "namespace.get", &name))?;
    Ok(answer(&name, created, updated, call.answer))
}
