//! `v1.kv.add`: adds to a number, within bounds and under a condition if asked to.

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{AddOptions, Changes};
use crate::call::Call;
use crate::codec::{self, Field};
use crate::encoder::Encoder;
use crate::error::Error;
use crate::memo::Write;
use crate::options::{Expected, Integer, Key, Namespace, Parse, Ttl, required};

/// What is added where a request does not say.
const DELTA: i64 = 1;
/// What an absent key counts as where a request does not say.
const INITIAL: i64 = 0;

/// A valid request.
pub struct Add<'a> {
    /// The key of the number.
    pub key: Key<'a>,
    /// What is added.
    pub delta: i64,
    /// Conditions, and the lifetime of a key that is made.
    pub options: AddOptions,
}

/// The fields of an add, without the namespace.
pub struct AddFields<'a> {
    /// The key.
    pub key: Field<'a>,
    /// What is added.
    pub delta: Field<'a>,
    /// What an absent key counts as.
    pub initial: Field<'a>,
    /// The least sum.
    pub min: Field<'a>,
    /// The most.
    pub max: Field<'a>,
    /// The time to live of a key that is made.
    pub ttl: Field<'a>,
    /// The version that the key must have.
    pub version: Field<'a>,
}

impl<'a> Add<'a> {
    /// The add that these fields ask for.
    pub fn parse(fields: AddFields<'a>) -> Result<Self, Error> {
        let integer = |field| Ok::<_, Error>(Integer::parse(field)?.map(|number| number.0));
        let key = Key::parse(fields.key)?;
        let delta = integer(fields.delta)?.unwrap_or(DELTA);
        let options = AddOptions {
            initial: integer(fields.initial)?.unwrap_or(INITIAL),
            min: integer(fields.min)?,
            max: integer(fields.max)?,
            ttl: Ttl::parse(fields.ttl)?.map(|ttl| ttl.0),
            version: Expected::parse(fields.version)?.map(|version| version.0),
        };
        Ok(Self { key: required("key", key)?, delta, options })
    }

    /// Adds the add to changes.
    pub fn add_to(&self, changes: &Changes) {
        changes.add(&self.key.0, self.delta, self.options);
    }
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<(Option<Namespace<'_>>, Add<'_>), Error> {
    let names = &["namespace", "key", "delta", "initial", "min", "max", "ttl_ms", "version"];
    let [namespace, key, delta, initial, min, max, ttl, version] =
        codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(namespace)?;
    let fields = AddFields { key, delta, initial, min, max, ttl, version };
    Ok((namespace, Add::parse(fields)?))
}

/// Ends the call with an add to the key's number.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let (namespace, add) = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let changes = Changes::new(namespace);
    add.add_to(&changes);
    call.end_with(changes, Write::Add, namespace)
}

/// The answer to an add, after its commit: the `sum` and the version.
pub fn answer(sum: i64, version: u64, encoding: Encoding) -> Response {
    let mut encoder = Encoder::new(encoding, 64);
    encode(&mut encoder, sum, version);
    let response = answer::parts(200, encoding, encoder.into_parts());
    answer::with_mutation_version(response, version)
}

/// Encodes what an add is answered with.
pub fn encode(encoder: &mut Encoder, sum: i64, version: u64) {
    encoder.begin_map(2);
    encoder.name("value");
    encoder.integer(sum);
    encoder.name("version");
    encoder.number(version);
    encoder.end_map();
}
