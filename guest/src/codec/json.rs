//! Reads JSON: the fields of a document, and each value into a [`Node`]. Knows no field's name.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::document::{Document, ELEMENTS_AHEAD_MAX, Fields, MAP, NOT_WHOLE, Node};
use crate::error::Error;

/// Reads a document. It is an error when the document is malformed, or has a value that no type of this
/// program can represent.
pub fn decode<'a, const N: usize>(
    body: &'a [u8],
    names: &'static [&'static str; N],
) -> Result<Document<'a, N>, Error> {
    // Bytes that are not UTF-8 are malformed everywhere in a document.
    let text = core::str::from_utf8(body)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))?;
    let (current, unchecked) = (Cell::new(None), Cell::new(false));
    let seed = DocumentSeed { names, current: &current, unchecked: &unchecked };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = seed
        .deserialize(&mut deserializer)
        .and_then(|document| deserializer.end().map(|()| document))
        .map_err(|error| error_at(text, &error, current.get()))?;
    if unchecked.get() {
        check_grammar(text)?;
    }
    Ok(document)
}

/// Checks that all of a document is JSON, whatever its values are.
fn check_grammar(text: &str) -> Result<(), Error> {
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(drop)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))
}

/// The error of a document that could not be read, in the value of `field` or outside of all. JSON's
/// grammar allows values that no type here can represent: numbers beyond a double, and halves of surrogate
/// pairs. Reading ends at the first one, so the grammar is checked here for the whole document: if it is
/// malformed anywhere, that is the error.
fn error_at(text: &str, error: &serde_json::Error, field: Option<&'static str>) -> Error {
    check_grammar(text).err().unwrap_or_else(|| {
        let location = field.unwrap_or(".");
        Error::invalid_data(location, format!("The value is out of range: {error}."))
    })
}

/// Visitor methods for values whose content is not needed.
macro_rules! visit_all_as {
    ($value:expr; $($method:ident: $type:ty),*) => {
        $(fn $method<E: de::Error>(self, _: $type) -> Result<Self::Value, E> { Ok($value) })*
    };
}

struct DocumentSeed<'p, const N: usize> {
    names: &'static [&'static str; N],
    /// The field that is being read, for errors.
    current: &'p Cell<Option<&'static str>>,
    /// Whether names of nested maps were skipped without a check of their grammar.
    unchecked: &'p Cell<bool>,
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
        let mut fields = Fields::new(self.names);
        while let Some(index) = map.next_key_seed(NameSeed { names: self.names })? {
            self.current.set(index.map(|index| self.names[index]));
            match index {
                Some(index) => {
                    fields.put(index, map.next_value_seed(NodeSeed { unchecked: self.unchecked })?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            // An error before the next field's value is in no field.
            self.current.set(None);
        }
        Ok(fields.into_document())
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

/// Reads a field's name: its index among those that are asked for.
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
    unchecked: &'p Cell<bool>,
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
        Ok(u64::try_from(value).map_or(Node::Negative(value), Node::Unsigned))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Boolean(value))
    }

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
        while let Some(element) = seq.next_element_seed(ByteSeed { unchecked: self.unchecked })? {
            let Some(byte) = element else {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Node::OtherArray(bytes.len()));
            };
            bytes.push(byte);
        }
        Ok(Node::ByteArray(bytes))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        ignore_map(map, self.unchecked).map(|()| MAP)
    }
}

/// Reads an element of a byte array: Some for a whole number from 0 to 255.
struct ByteSeed<'p> {
    unchecked: &'p Cell<bool>,
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
        ignore_map(map, self.unchecked).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| None)
    }

    visit_all_as!(None; visit_bool: bool, visit_f64: f64, visit_str: &str);
}

/// Skips a map whose content is not needed. Its names are not checked to be JSON, so `unchecked` is set and
/// the whole document has to be checked afterwards.
fn ignore_map<'a, A: MapAccess<'a>>(mut map: A, unchecked: &Cell<bool>) -> Result<(), A::Error> {
    unchecked.set(true);
    while map.next_key_seed(AnyName)?.is_some() {
        map.next_value::<IgnoredAny>()?;
    }
    Ok(())
}

/// Any name, as bytes: as text it could not be read, where it has halves of surrogate pairs.
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
