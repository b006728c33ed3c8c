//! `v1.kv.namespace.get` and `v1.kv.namespace.configure`: tell when a namespace was made and last
//! configured, and make one or configure it again, with quotas if asked to. Both are answered alike.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, Changes, NamespaceInfo, QuotaChange};
use crate::call::Call;
use crate::codec;
use crate::error::Error;
use crate::memo::Write;
use crate::options::{NamespaceName, Parse, Quota, required};

/// Looks a namespace up.
pub fn get(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespace = storage::namespace(&name)
        .map_err(|error| Error::of_storage(&error, "namespace.get", &name))?;
    Ok(answer(&name, namespace, call.answer))
}

/// A valid configuration.
pub struct Configuration<'a> {
    /// The namespace.
    pub name: NamespaceName<'a>,
    /// What becomes of the quota of keys; None leaves it as it is.
    pub keys_max: Option<Quota>,
    /// What becomes of the quota of bytes.
    pub bytes_max: Option<Quota>,
}

/// Decodes and validates the body of a configuration.
pub fn decode_configuration(body: &[u8], encoding: Encoding) -> Result<Configuration<'_>, Error> {
    let names = &["name", "keys_max", "bytes_max"];
    let [name, keys_max, bytes_max] = codec::decode(body, encoding, names)?;
    let name = NamespaceName::parse(name)?;
    let (keys_max, bytes_max) = (Quota::parse(keys_max)?, Quota::parse(bytes_max)?);
    Ok(Configuration { name: required("name", name)?, keys_max, bytes_max })
}

/// Ends the call with the configuration of a namespace, which makes it or moves its `updated`.
pub fn configure(call: &Call<'_>) -> Result<Response, Error> {
    let Configuration { name, keys_max, bytes_max } =
        decode_configuration(call.body, call.received)?;
    let changes = Changes::new(&name.0);
    match (keys_max, bytes_max) {
        // Whoever may write may do this, but not set quotas.
        (None, None) => changes.configure(),
        (keys, bytes) => changes.configure_quotas(quota_change(keys), quota_change(bytes)),
    }
    call.end_with(changes, Write::Configure, &name.0)
}

fn quota_change(quota: Option<Quota>) -> QuotaChange {
    match quota {
        None => QuotaChange::Keep,
        Some(Quota::Lift) => QuotaChange::Lift,
        Some(Quota::Limit(most)) => QuotaChange::Limit(most),
    }
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

/// Decodes and validates a body that names a namespace.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<NamespaceName<'_>, Error> {
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
