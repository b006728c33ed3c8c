//! Reads names and values of JSON, each value into a [`Node`], and keeps where in the document that is.
//! Knows no field's name.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::codec::document::{ELEMENTS_AHEAD_MAX, MAP, NOT_WHOLE, Node};

/// Visitor methods for values whose content is not needed.
macro_rules! visit_all_as {
    ($value:expr; $($method:ident: $type:ty),*) => {
        $(fn $method<E: de::Error>(self, _: $type) -> Result<Self::Value, E> { Ok($value) })*
    };
}
pub(super) use visit_all_as;

/// How far a document has been read.
#[derive(Default)]
pub struct Progress {
    /// The field that is being read, for errors.
    pub field: Cell<Option<&'static str>>,
    /// The element of its array that is being read, and which field of that.
    pub element: Cell<Option<(usize, Option<&'static str>)>>,
    /// Whether names of nested maps were skipped without a check of their grammar.
    pub unchecked: Cell<bool>,
}

impl Progress {
    /// The path of what is being read.
    pub fn location(&self) -> Cow<'static, str> {
        let field = self.field.get().unwrap_or(".");
        match self.element.get() {
            None => field.into(),
            Some((index, None)) => format!("{field}[{index}]").into(),
            Some((index, Some(inner))) => format!("{field}[{index}].{inner}").into(),
        }
    }
}

/// Reads a field's name: its index among those that are asked for.
pub struct NameSeed {
    pub names: &'static [&'static str],
}

impl<'a> DeserializeSeed<'a> for NameSeed {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|known| *known == name))
    }
}

/// Reads any value into a [`Node`].
pub struct NodeSeed<'p> {
    pub progress: &'p Progress,
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
        while let Some(element) =
            seq.next_element_seed(ByteSeed { unchecked: &self.progress.unchecked })?
        {
            let Some(byte) = element else {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Node::OtherArray(bytes.len()));
            };
            bytes.push(byte);
        }
        Ok(Node::ByteArray(bytes))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        ignore_map(map, &self.progress.unchecked).map(|()| MAP)
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
