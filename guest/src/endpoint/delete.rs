//! `v1.kv.delete`: deletes one key, under a condition if asked to.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::deferred;
use crate::bindings::larder::guest::kv::Deletion;
use crate::bindings::larder::guest::requests::Response;
use crate::call::{self, Call};
use crate::codec;
use crate::error::Error;
use crate::memo::Memo;
use crate::options::{Expected, Key, Namespace, Parse, required};

/// What it is called in errors.
pub const NAME: &str = "delete";

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

/// Has the key deleted, and the call end with that.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let Delete { namespace, key, version } = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let memo = Memo { answer: call.answer, namespace }.to_bytes();
    call::end(deferred::delete(namespace, &key.0, version, &memo), NAME, namespace)
}

/// The answer to a delete that was done.
pub fn answer(deletion: Deletion, encoding: Encoding) -> Response {
    let response = answer::ok(&[("success", Value::Flag(deletion.existed))], encoding);
    answer::with_mutation_version(response, deletion.version)
}
