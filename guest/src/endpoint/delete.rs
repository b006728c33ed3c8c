//! `v1.kv.delete`: deletes one key, under a condition if asked to.

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::Changes;
use crate::call::Call;
use crate::codec::{self, Field};
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

impl<'a> Delete<'a> {
    /// The delete that these fields ask for.
    pub fn parse(
        namespace: Option<Namespace<'a>>,
        key: Field<'a>,
        version: Field<'a>,
    ) -> Result<Self, Error> {
        let key = Key::parse(key)?;
        let version = Expected::parse(version)?.map(|version| version.0);
        Ok(Self { namespace, key: required("key", key)?, version })
    }

    /// Adds the delete to changes.
    pub fn add_to(&self, changes: &Changes) {
        changes.delete(&self.key.0, self.version);
    }
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Delete<'_>, Error> {
    let names = &["namespace", "key", "version"];
    let [namespace, key, version] = codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(namespace)?;
    Delete::parse(namespace, key, version)
}

/// Ends the call with a delete of the key.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let delete = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(delete.namespace.as_ref())?;
    let changes = Changes::new(namespace);
    delete.add_to(&changes);
    call.end_with(changes, Write::Delete, namespace)
}

/// The answer to a delete of a key or a namespace, after its commit: whether it `existed`, and the version.
pub fn answer(existed: bool, version: u64, encoding: Encoding) -> Response {
    let response = answer::ok(&[("success", Value::Flag(existed))], encoding);
    answer::with_mutation_version(response, version)
}
