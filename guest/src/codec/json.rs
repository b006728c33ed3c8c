//! Reads JSON: a document's fields, and values into a [`Node`]. Knows no field's name.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::document::{
    BOOLEAN, Document, ELEMENTS_AHEAD_MAX, Found, MAP, NEGATIVE, NOT_WHOLE, Node,
};
use crate::error::Error;

/// Reads a document; only one that is malformed, or that nothing can hold, is an error.
pub fn decode<'a, const N: usize>(
    body: &'a [u8],
    names: &'static [&'static str; N],
) -> Result<Document<'a, N>, Error> {
    // What is not UTF-8 is no JSON, wherever it stands.
    let text = core::str::from_utf8(body)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))?;
    let (place, passed) = (Cell::new(None), Cell::new(false));
    let seed = DocumentSeed { names, place: &place, passed: &passed };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = seed
        .deserialize(&mut deserializer)
        .and_then(|document| deserializer.end().map(|()| document))
        .map_err(|error| refusal(text, &error, place.get()))?;
    if passed.get() {
        well_formed(text)?;
    }
    Ok(document)
}

/// Whether all of a document is JSON, whatever it holds.
fn well_formed(text: &str) -> Result<(), Error> {
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(drop)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))
}

/// What is wrong with a document that could not be read at `place`. The grammar of JSON allows values
/// that nothing here can hold, numbers beyond a double and halves of surrogate pairs; reading ends
/// there, so whether the document is JSON is known only when the rest was looked at too.
fn refusal(text: &str, error: &serde_json::Error, place: Option<&'static str>) -> Error {
    well_formed(text).err().unwrap_or_else(|| {
        let place = place.unwrap_or(".");
        Error::invalid_data(place, format!("The value is out of range: {error}."))
    })
}

/// Visitor methods for values whose content does not matter.
macro_rules! visit_all_as {
    ($value:expr; $($method:ident: $type:ty),*) => {
        $(fn $method<E: de::Error>(self, _: $type) -> Result<Self::Value, E> { Ok($value) })*
    };
}

struct DocumentSeed<'p, const N: usize> {
    names: &'static [&'static str; N],
    /// The field that is being read, for errors.
    place: &'p Cell<Option<&'static str>>,
    /// Whether names were passed over that nobody has looked at.
    passed: &'p Cell<bool>,
}

impl<'a, const N: usize> DeserializeSeed<'a> for DocumentSeed<'_, N> {
    type Value = Document<'a, N>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for DocumentSeed<'_, N> {
    type Value = Document<'a, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Found::new(self.names);
        while let Some(at) = map.next_key_seed(NameSeed { names: self.names })? {
            self.place.set(at.map(|at| self.names[at]));
            match at {
                Some(at) => found.put(at, map.next_value_seed(NodeSeed { passed: self.passed })?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            // What follows, up to the next field's value, is of no field.
            self.place.set(None);
        }
        Ok(found.into_document())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::NotAMap)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Document::NotAMap)
    }

    visit_all_as!(Document::NotAMap; visit_bool: bool, visit_i64: i64, visit_u64: u64,
        visit_f64: f64, visit_str: &str);
}

/// Finds a field's name among those that are asked for.
struct NameSeed<const N: usize> {
    names: &'static [&'static str; N],
}

impl<'a, const N: usize> DeserializeSeed<'a> for NameSeed<N> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for NameSeed<N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|known| *known == name))
    }
}

/// Reads any value into a [`Node`].
struct NodeSeed<'p> {
    passed: &'p Cell<bool>,
}

impl<'a> DeserializeSeed<'a> for NodeSeed<'_> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for NodeSeed<'_> {
    type Value = Node<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(NEGATIVE, Node::Unsigned))
    }

    visit_all_as!(BOOLEAN; visit_bool: bool);
    visit_all_as!(NOT_WHOLE; visit_f64: f64);

    fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let ahead = seq.size_hint().unwrap_or(0).min(ELEMENTS_AHEAD_MAX);
        let mut bytes = Vec::with_capacity(ahead);
        while let Some(element) = seq.next_element_seed(ByteSeed { passed: self.passed })? {
            let Some(byte) = element else {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Node::OtherArray(bytes.len()));
            };
            bytes.push(byte);
        }
        Ok(Node::ByteArray(bytes))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        ignore_map(map, self.passed).map(|()| MAP)
    }
}

/// Reads an element of a byte array: Some for a whole number from 0 to 255.
struct ByteSeed<'p> {
    passed: &'p Cell<bool>,
}

impl<'a> DeserializeSeed<'a> for ByteSeed<'_> {
    type Value = Option<u8>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ByteSeed<'_> {
    type Value = Option<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(u8::try_from(value).ok())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u8::try_from(value).ok())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        ignore_map(map, self.passed).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| None)
    }

    visit_all_as!(None; visit_bool: bool, visit_f64: f64, visit_str: &str);
}

/// Passes over a map whose content does not matter, and over its names without a look: who passes
/// them has to see to it that they are JSON.
fn ignore_map<'a, A: MapAccess<'a>>(mut map: A, passed: &Cell<bool>) -> Result<(), A::Error> {
    passed.set(true);
    while map.next_key_seed(AnyName)?.is_some() {
        map.next_value::<IgnoredAny>()?;
    }
    Ok(())
}

/// Any name, as bytes: text would have to be held, and halves of surrogate pairs cannot be.
struct AnyName;

impl<'a> DeserializeSeed<'a> for AnyName {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for AnyName {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    visit_all_as!((); visit_bytes: &[u8]);
}
