//! `v1.kv.delete`: deletes one key, under a condition if asked to.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::Changes;
use crate::call::Call;
use crate::codec;
use crate::error::Error;
use crate::memo::Write;
use crate::options::{Expected, Key, Namespace, Parse, required};

/// A valid request.
pub struct Delete<'a> {
    /// The namespace to delete in.
    pub namespace: Option<Namespace<'a>>,
    /// The key to delete.
    pub key: Key<'a>,
    /// The version that it must have.
    pub version: Option<u64>,
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Delete<'_>, Error> {
    let names = &["namespace", "key", "version"];
    let [namespace, key, version] = codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(namespace)?;
    let key = Key::parse(key)?;
    let version = Expected::parse(version)?.map(|version| version.0);
    Ok(Delete { namespace, key: required("key", key)?, version })
}

/// Ends the call with a delete of the key.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let Delete { namespace, key, version } = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let changes = Changes::new(namespace);
    changes.delete(&key.0, version);
    call.end_with(changes, Write::Delete, namespace)
}

/// The answer to a delete, after its commit: whether the key `existed`, and the version.
pub fn answer(existed: bool, version: u64, encoding: Encoding) -> Response {
    let response = answer::ok(&[("success", Value::Flag(existed))], encoding);
    answer::with_mutation_version(response, version)
}
