//! `v1.kv.get_many`: reads several keys as of one instant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, Entry, Found, FoundEntries};
use crate::call::Call;
use crate::codec::{self, Elements, Field, Node, Shape};
use crate::encoder::{self, Encoder};
use crate::error::Error;
use crate::items::{ITEMS_MAX, Items};
use crate::options::{Key, Namespace, Parse, required};

/// Bytes of an encoded entry without key and value, about.
const ENTRY_BYTES: usize = 64;
const NAMES: &[&str; 2] = &["namespace", "keys"];
/// The place of the keys among the names.
const KEYS: usize = 1;

/// The keys of a body, while it is read.
struct Keys(Items<String>);

impl<'a> Elements<'a> for Keys {
    fn shape(&self, field: usize) -> Option<Shape> {
        (field == KEYS).then_some(Shape::Values)
    }

    fn value(&mut self, field: usize, index: usize, value: Node<'a>) {
        self.0.take(NAMES[field], index, || {
            let key = Key::parse(Field { name: ".", node: Some(value) })?;
            required("key", key).map(|key| key.0.into_owned())
        });
    }
}

/// Decodes and validates the body.
pub fn decode(
    body: &[u8],
    encoding: Encoding,
) -> Result<(Option<Namespace<'_>>, Vec<String>), Error> {
    let mut keys = Keys(Items::new());
    let [namespace, field] = codec::decode_with_elements(body, encoding, NAMES, &mut keys)?;
    let namespace = Namespace::parse(namespace)?;
    let (keys, count) = required("keys", keys.0.finish(&field)?)?;
    if !(1..=ITEMS_MAX).contains(&count) {
        let detail = format!("Expected 1 to {ITEMS_MAX} keys, found {count}.");
        return Err(Error::invalid_data("keys", detail));
    }
    Ok((namespace, keys))
}

/// Reads the keys.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let (namespace, keys) = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let found = storage::get_many(namespace, &keys)
        .map_err(|error| Error::of_storage(&error, "get_many", namespace))?;
    let encoder = encode(&keys, found, call.answer);
    Ok(answer::parts(200, call.answer, encoder.into_parts()))
}

/// Encodes what was found of the first of the keys, or of all.
fn encode(keys: &[String], found: FoundEntries, encoding: Encoding) -> Encoder {
    let FoundEntries { entries, newest } = found;
    let bytes = |(key, found): (&String, &Found)| {
        let value = match found {
            Found::Present(entry) => encoder::content_bytes(&entry.value),
            Found::Absent | Found::Corrupt => 0,
        };
        ENTRY_BYTES + key.len() + value
    };
    let mut encoder = Encoder::new(encoding, keys.iter().zip(&entries).map(bytes).sum());
    encoder.begin_map(2);
    encoder.name("entries");
    encoder.begin_array(entries.len());
    for (key, found) in keys.iter().zip(entries) {
        encode_found(&mut encoder, key, found);
    }
    encoder.end_array();
    encoder.name("newest");
    encoder.number(newest);
    encoder.end_map();
    encoder
}

fn encode_found(encoder: &mut Encoder, key: &str, found: Found) {
    let corrupt = matches!(found, Found::Corrupt);
    let (value, version, expiry) = match found {
        Found::Present(Entry { value, version, expiry }) => (Some(value), version, expiry),
        Found::Absent | Found::Corrupt => (None, 0, None),
    };
    encoder.begin_map(4 + usize::from(corrupt));
    encoder.name("key");
    encoder.text(key);
    encoder.name("value");
    encoder.optional_content(value);
    encoder.name("version");
    encoder.number(version);
    encoder.name("expiry");
    encoder.optional_number(expiry);
    if corrupt {
        encoder.name("corrupt");
        encoder.flag(true);
    }
    encoder.end_map();
}
