//! `v1.kv.set`: writes one key, under conditions and for a time if asked to.

use alloc::vec::Vec;

use larder_wire::{Encoding, Value as Encoded};

use crate::answer;
use crate::bindings::larder::guest::kv;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::Changes;
use crate::call::Call;
use crate::codec::{self, Field};
use crate::error::Error;
use crate::memo::Write;
use crate::options::{Behavior, Expected, Key, Namespace, Parse, Ttl, Value, required};

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

impl<'a> Set<'a> {
    /// The set that these fields ask for.
    pub fn parse(
        namespace: Option<Namespace<'a>>,
        key: Field<'a>,
        value: Field<'a>,
        ttl: Field<'a>,
        behavior: Field<'a>,
        version: Field<'a>,
    ) -> Result<Self, Error> {
        let key = Key::parse(key)?;
        let value = Value::parse(value)?;
        let ttl = Ttl::parse(ttl)?;
        let behavior = Behavior::parse(behavior)?;
        let version = Expected::parse(version)?;
        let options = kv::SetOptions {
            behavior: behavior.map_or(kv::Behavior::Upsert, |behavior| behavior.0),
            version: version.map(|version| version.0),
            ttl: ttl.map(|ttl| ttl.0),
        };
        let (key, value) = (required("key", key)?, required("value", value)?);
        Ok(Self { namespace, key, value, options })
    }

    /// Adds the set to changes, with a large value by reference.
    pub fn add_to(&self, changes: &Changes, call: &Call<'_>) {
        match call.value_blob(&self.value) {
            Some(blob) => changes.set_blob(&self.key.0, &blob, self.options),
            None => changes.set(&self.key.0, &self.value.0, self.options),
        }
    }
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Set<'_>, Error> {
    let names = &["namespace", "key", "value", "ttl_ms", "behavior", "version"];
    let [namespace, key, value, ttl, behavior, version] =
        codec::decode_with_bytes(body, encoding, names, Some("value"))?;
    let namespace = Namespace::parse(namespace)?;
    Set::parse(namespace, key, value, ttl, behavior, version)
}

/// Encodes the answer.
#[must_use]
pub fn encode(version: u64, encoding: Encoding) -> Vec<u8> {
    larder_wire::encode(&[("version", Encoded::Number(version))], encoding)
}

/// Ends the call with a set of the key.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let set = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(set.namespace.as_ref())?;
    let changes = Changes::new(namespace);
    set.add_to(&changes, call);
    call.end_with(changes, Write::Set, namespace)
}

/// The answer to a set or a touch, after its commit.
pub fn answer(version: u64, encoding: Encoding) -> Response {
    let response = answer::encoded(200, encoding, encode(version, encoding));
    answer::with_mutation_version(response, version)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    fn location(body: &str) -> String {
        let error = decode(body.as_bytes(), Encoding::Json).err().expect("a refusal");
        assert_eq!((error.status, error.code), (422, "invalid-data"), "{body}");
        error.location.clone().expect("a location").into_owned()
    }

    #[test]
    fn all_fields_are_taken() {
        let body = r#"{"key":"k","value":"v","ttl_ms":5,"behavior":"insert","version":7,"x":1}"#;
        let set = decode(body.as_bytes(), Encoding::Json).expect("valid");
        assert_eq!((&*set.key.0, &*set.value.0), ("k", &b"v"[..]));
        assert_eq!((set.options.ttl, set.options.version), (Some(5), Some(7)));
        assert!(matches!(set.options.behavior, kv::Behavior::Insert));
    }

    #[test]
    fn null_is_the_same_as_absent_where_the_contract_says_so() {
        let body = r#"{"key":"k","value":"v","ttl_ms":null,"version":null,"namespace":null}"#;
        let set = decode(body.as_bytes(), Encoding::Json).expect("valid");
        assert!(set.namespace.is_none() && set.options.ttl.is_none());
        assert!(set.options.version.is_none());
        assert_eq!(location(r#"{"key":"k","value":"v","behavior":null}"#), "behavior");
        assert_eq!(location(r#"{"key":null,"value":"v"}"#), "key");
        assert_eq!(location(r#"{"key":"k","value":null}"#), "value");
    }

    #[test]
    fn wrong_fields_come_before_missing_ones() {
        assert_eq!(location(r#"{"value":"v"}"#), ".");
        assert_eq!(location(r#"{"value":"v","ttl_ms":0}"#), "ttl_ms");
        assert_eq!(location(r#"{"key":"a b","namespace":"a:b"}"#), "namespace");
    }

    #[test]
    fn names_are_1_to_256_of_their_bytes() {
        let key = |key: &str| format!(r#"{{"key":"{key}","value":"v"}}"#);
        for bad in ["", "a b", "\u{e9}", "a\\n", "a@b", &"k".repeat(257)] {
            assert_eq!(location(&key(bad)), "key", "{bad}");
        }
        for good in ["aZ09-/_.=+:", &"k".repeat(256)] {
            assert!(decode(key(good).as_bytes(), Encoding::Json).is_ok(), "{good}");
        }
        assert_eq!(location(r#"{"key":"k","value":"v","namespace":"a:b"}"#), "namespace");
    }
}
