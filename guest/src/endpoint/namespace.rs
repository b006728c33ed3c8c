//! `v1.kv.namespace.get` and `v1.kv.namespace.configure`: tell when a namespace was made and last
//! configured, and make one or configure it again. Both have one form of request and of answer.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, Changes, NamespaceInfo};
use crate::call::Call;
use crate::codec;
use crate::error::Error;
use crate::memo::Write;
use crate::options::{NamespaceName, Parse, required};

/// Looks a namespace up.
pub fn get(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespace = storage::namespace(&name)
        .map_err(|error| Error::of_storage(&error, "namespace.get", &name))?;
    Ok(answer(&name, namespace, call.answer))
}

/// Ends the call with the configuration of a namespace, which makes it or moves its `updated`.
pub fn configure(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let changes = Changes::new(&name);
    changes.configure();
    call.end_with(changes, Write::Configure, &name)
}

/// The answer to a configuration, after its commit.
pub fn configured(
    name: &str,
    namespace: NamespaceInfo,
    version: u64,
    encoding: Encoding,
) -> Response {
    answer::with_mutation_version(answer(name, namespace, encoding), version)
}

/// Decodes and validates the body.
fn decode(body: &[u8], encoding: Encoding) -> Result<NamespaceName<'_>, Error> {
    let [name] = codec::decode(body, encoding, &["name"])?;
    required("name", NamespaceName::parse(name)?)
}

/// A namespace by its name, and when it was first and last configured, in milliseconds since the epoch.
fn answer(name: &str, namespace: NamespaceInfo, encoding: Encoding) -> Response {
    let NamespaceInfo { created, updated } = namespace;
    let fields = [
        ("name", Value::Text(name)),
        ("created", Value::Number(created)),
        ("updated", Value::Number(updated)),
    ];
    answer::ok(&fields, encoding)
}
