//! `v1.kv.set`: writes one key, under conditions and for a time if asked to.

use std::borrow::Cow;

use larder_wire::Encoding;
use serde::Serialize;

use crate::answer;
use crate::bindings::larder::guest::kv;
use crate::bindings::larder::guest::requests::Response;
use crate::codec;
use crate::error::Error;
use crate::options::{Behavior, Expected, Key, Namespace, Parse, Ttl, Value, required};
use crate::router::Call;

/// Values from this size on are handed to the host as a slice of the body that it holds.
const BY_REFERENCE_BYTES_MIN: usize = 64 << 10;

/// A valid request.
pub struct Set<'a> {
    /// The namespace to write in.
    pub namespace: Option<Namespace<'a>>,
    /// The key to write.
    pub key: Key<'a>,
    /// The new value.
    pub value: Value<'a>,
    /// Conditions and lifetime.
    pub options: kv::SetOptions,
}

#[derive(Serialize)]
struct Answer {
    version: u64,
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Set<'_>, Error> {
    let names = &["namespace", "key", "value", "ttl_ms", "behavior", "version"];
    let mut fields = codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(fields.take("namespace"))?;
    let key = Key::parse(fields.take("key"))?;
    let value = Value::parse(fields.take("value"))?;
    let ttl = Ttl::parse(fields.take("ttl_ms"))?;
    let behavior = Behavior::parse(fields.take("behavior"))?;
    let version = Expected::parse(fields.take("version"))?;
    let options = kv::SetOptions {
        behavior: behavior.map_or(kv::Behavior::Upsert, |behavior| behavior.0),
        version: version.map(|version| version.0),
        ttl: ttl.map(|ttl| ttl.0),
    };
    Ok(Set { namespace, key: required("key", key)?, value: required("value", value)?, options })
}

/// Encodes the answer.
#[must_use]
pub fn encode(version: u64, encoding: Encoding) -> Vec<u8> {
    larder_wire::encode(&Answer { version }, encoding)
}

/// Writes the key.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let Set { namespace, key, value, options } = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let version = match (call.blob, offset_in(call.body, &value.0)) {
        (Some(blob), Some(offset)) => {
            let slice = blob.slice(offset as u64, value.0.len() as u64);
            kv::set_blob(namespace, &key.0, &slice, options)?
        }
        _ => kv::set(namespace, &key.0, &value.0, options)?,
    };
    let response = answer::encoded(200, call.answer, encode(version, call.answer));
    Ok(answer::with_mutation_version(response, version))
}

/// Where in the body a large value stands, when it was taken from it as it is.
fn offset_in(body: &[u8], value: &Cow<'_, [u8]>) -> Option<usize> {
    match value {
        Cow::Borrowed(value) if value.len() >= BY_REFERENCE_BYTES_MIN => {
            (value.as_ptr() as usize).checked_sub(body.as_ptr() as usize)
        }
        _ => None,
    }
}
