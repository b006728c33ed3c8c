//! `v1.kv.namespace.get` and `v1.kv.namespace.configure`: tell when a namespace was made and last
//! configured, and make one or configure it again. Both have one form of request and of answer.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::namespaces;
use crate::bindings::larder::guest::requests::Response;
use crate::call::Call;
use crate::codec;
use crate::error::Error;
use crate::options::{NamespaceName, Parse, required};

/// Looks a namespace up.
pub fn get(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespaces::Namespace { created, updated } =
        namespaces::get(&name).map_err(|error| Error::of_store(error, "namespace.get", &name))?;
    Ok(answer(&name, created, updated, call.answer))
}

/// Makes a namespace, or configures one that exists.
pub fn configure(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespaces::Configured { created, updated, version } = namespaces::configure(&name)
        .map_err(|error| Error::of_store(error, "namespace.configure", &name))?;
    Ok(answer::with_mutation_version(answer(&name, created, updated, call.answer), version))
}

/// Decodes and validates the body.
fn decode(body: &[u8], encoding: Encoding) -> Result<NamespaceName<'_>, Error> {
    let [name] = codec::decode(body, encoding, &["name"])?;
    required("name", NamespaceName::parse(name)?)
}

/// A namespace by its name, and when it was first and last configured, in milliseconds since the epoch.
fn answer(name: &str, created: u64, updated: u64, encoding: Encoding) -> Response {
    let fields = [
        ("name", Value::Text(name)),
        ("created", Value::Number(created)),
        ("updated", Value::Number(updated)),
    ];
    answer::ok(&fields, encoding)
}
