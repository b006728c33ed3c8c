//! Values of fields: reads any JSON or MessagePack value into a [`Node`]. Knows no field's name.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Array elements that room is made for before they are seen.
const ELEMENTS_AHEAD_MAX: usize = 4096;

/// The value of one field, as far as the API tells values apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `null` or nil.
    Null,
    /// A whole number from 0 to 2^64-1.
    Unsigned(u64),
    /// A string.
    Text(Cow<'a, str>),
    /// MessagePack `bin`.
    Bin(Cow<'a, [u8]>),
    /// An array whose elements are all whole numbers from 0 to 255.
    ByteArray(Vec<u8>),
    /// An array with another element, the first of which stands at this index.
    OtherArray(usize),
    /// Anything else, by name.
    Other(&'static str),
}

impl Node<'_> {
    /// What the value is, for a sentence.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Unsigned(_) => "a whole number",
            Node::Text(_) => "a string",
            Node::Bin(_) => "binary",
            Node::ByteArray(_) | Node::OtherArray(_) => "an array",
            Node::Other(kind) => kind,
        }
    }
}

/// Reads any value into a [`Node`].
pub struct NodeSeed<'a> {
    /// The whole body, which values are slices of.
    pub body: &'a [u8],
}

impl<'a> DeserializeSeed<'a> for NodeSeed<'a> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for NodeSeed<'a> {
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
        Ok(u64::try_from(value).map_or(Node::Other("a negative number"), Node::Unsigned))
    }

    visit_all_as!(Node::Other("a boolean"); visit_bool: bool);
    visit_all_as!(Node::Other("a number that is not whole or too large"); visit_f64: f64);

    fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'a [u8]) -> Result<Self::Value, E> {
        check_text(self.body, bytes)?;
        Ok(Node::Bin(Cow::Borrowed(bytes)))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let ahead = seq.size_hint().unwrap_or(0).min(ELEMENTS_AHEAD_MAX);
        let mut bytes = Vec::with_capacity(ahead);
        while let Some(element) = seq.next_element_seed(ByteSeed)? {
            let Some(byte) = element else {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Node::OtherArray(bytes.len()));
            };
            bytes.push(byte);
        }
        Ok(Node::ByteArray(bytes))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Node::Other("a map"))
    }

    fn visit_newtype_struct<D: Deserializer<'a>>(self, ext: D) -> Result<Self::Value, D::Error> {
        ext.deserialize_any(IgnoredAny).map(|_| Node::Other("an extension"))
    }
}

/// rmp-serde gives out a MessagePack `str` that is not UTF-8 as if it were `bin`: it is malformed.
pub fn check_text<E: de::Error>(body: &[u8], bytes: &[u8]) -> Result<(), E> {
    if std::str::from_utf8(bytes).is_err() && !is_bin(body, bytes) {
        return Err(E::custom("a string is not UTF-8"));
    }
    Ok(())
}

/// Whether `bytes`, a slice of `body`, is the payload of a MessagePack `bin`: its marker and its
/// length stand before it, and no `str` marker can look like them.
fn is_bin(body: &[u8], bytes: &[u8]) -> bool {
    let Some(start) = (bytes.as_ptr() as usize).checked_sub(body.as_ptr() as usize) else {
        return false;
    };
    let before = body.get(..start).unwrap_or_default();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    [(0xc4, 1), (0xc5, 2), (0xc6, 4)].into_iter().any(|(marker, width)| {
        let (high, low) = length.split_at(4 - width);
        let fits = high.iter().all(|byte| *byte == 0);
        fits && before.strip_suffix(low).is_some_and(|rest| rest.last() == Some(&marker))
    })
}

/// Reads an element of a byte array: Some for a whole number from 0 to 255.
struct ByteSeed;

impl<'a> DeserializeSeed<'a> for ByteSeed {
    type Value = Option<u8>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ByteSeed {
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

    visit_nested_as!(None);

    visit_all_as!(None; visit_bool: bool, visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);
}
