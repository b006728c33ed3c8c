//! `v1.kv.touch`: gives one key another expiry, or none, under a condition if asked to.

use larder_wire::Encoding;

use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::Changes;
use crate::call::Call;
use crate::codec::{self, Field};
use crate::error::Error;
use crate::memo::Write;
use crate::options::{Expected, Key, Namespace, Parse, Ttl, required};

/// A valid request.
pub struct Touch<'a> {
    /// The key to touch.
    pub key: Key<'a>,
    /// How long it lives from now on, in milliseconds; None is for ever.
    pub ttl: Option<u64>,
    /// The version that it must have.
    pub version: Option<u64>,
}

impl<'a> Touch<'a> {
    /// The touch that these fields ask for.
    pub fn parse(key: Field<'a>, ttl: Field<'a>, version: Field<'a>) -> Result<Self, Error> {
        let key = Key::parse(key)?;
        let ttl = Ttl::parse(ttl)?.map(|ttl| ttl.0);
        let version = Expected::parse(version)?.map(|version| version.0);
        Ok(Self { key: required("key", key)?, ttl, version })
    }

    /// Adds the touch to changes.
    pub fn add_to(&self, changes: &Changes) {
        changes.touch(&self.key.0, self.ttl, self.version);
    }
}

/// Decodes and validates the body.
pub fn decode(
    body: &[u8],
    encoding: Encoding,
) -> Result<(Option<Namespace<'_>>, Touch<'_>), Error> {
    let names = &["namespace", "key", "ttl_ms", "version"];
    let [namespace, key, ttl, version] = codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(namespace)?;
    Ok((namespace, Touch::parse(key, ttl, version)?))
}

/// Ends the call with a touch of the key. It is answered as a set is.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let (namespace, touch) = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let changes = Changes::new(namespace);
    touch.add_to(&changes);
    call.end_with(changes, Write::Touch, namespace)
}
