//! Bodies: turns JSON and MessagePack into the fields of a document, alike in both, and tells
//! what is malformed from what is merely wrong. Knows no endpoint; what a field must be is
//! `options`'s.

use std::cell::Cell;
use std::fmt;

use larder_wire::Encoding;
use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Error;

/// Visitor methods for values whose content does not matter.
macro_rules! visit_all_as {
    ($value:expr; $($method:ident: $type:ty),*) => {
        $(fn $method<E: de::Error>(self, _: $type) -> Result<Self::Value, E> { Ok($value) })*
    };
}

/// Visitor methods that read anything nested to its end and give one value for it.
macro_rules! visit_nested_as {
    ($value:expr) => {
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
            IgnoredAny.visit_map(map).map(|_| $value)
        }

        fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<Self::Value, A::Error> {
            IgnoredAny.visit_seq(seq).map(|_| $value)
        }

        fn visit_newtype_struct<D: Deserializer<'a>>(
            self,
            ext: D,
        ) -> Result<Self::Value, D::Error> {
            ext.deserialize_any(IgnoredAny).map(|_| $value)
        }
    };
}

mod value;

pub use self::value::Node;
use self::value::{NodeSeed, check_text};

/// The deepest nesting of MessagePack that is read. JSON is skipped without recursion and needs no
/// limit.
const DEPTH_MAX: usize = 128;

/// The fields of a body that an endpoint asked for, in the order it named them.
pub struct Fields<'a, const N: usize> {
    names: &'static [&'static str; N],
    nodes: [Option<Node<'a>>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Takes the field `name` out: its value, or None when it is not there.
    pub fn take(&mut self, name: &'static str) -> Field<'a> {
        let at = self.names.iter().position(|known| *known == name);
        let node = at.and_then(|at| self.nodes[at].take());
        Field { name, node }
    }
}

/// One field of a body, by name.
pub struct Field<'a> {
    /// Its name, which is also its path.
    pub name: &'static str,
    /// Its value, None when it is not there.
    pub node: Option<Node<'a>>,
}

/// Decodes a body into the fields `names`; all others are ignored.
pub fn decode<'a, const N: usize>(
    body: &'a [u8],
    encoding: Encoding,
    names: &'static [&'static str; N],
) -> Result<Fields<'a, N>, Error> {
    let place = Cell::new(None);
    let seed = DocumentSeed { names, body, place: &place };
    let document = match encoding {
        Encoding::Json => decode_json(body, seed),
        Encoding::MessagePack => decode_msgpack(body, seed),
    }?;
    match document {
        Document::Fields(nodes) => Ok(Fields { names, nodes }),
        Document::Twice(name) => Err(Error::invalid_data(name, "The field is there twice.")),
        Document::NotAMap => Err(Error::invalid_data(".", "The body must be a map of fields.")),
    }
}

fn decode_json<'a, const N: usize>(
    body: &'a [u8],
    seed: DocumentSeed<'a, '_, N>,
) -> Result<Document<'a, N>, Error> {
    // What is not UTF-8 is no JSON, wherever it stands.
    let text = std::str::from_utf8(body)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    seed.deserialize(&mut deserializer)
        .and_then(|document| deserializer.end().map(|()| document))
        .map_err(|error| {
            let detail = error.to_string();
            // The grammar of JSON allows numbers beyond a double and halves of surrogate pairs, but no
            // value here can hold them.
            let unholdable =
                ["number out of range", "unexpected end of hex escape", "lone leading surrogate"];
            if unholdable.iter().any(|fault| detail.starts_with(fault)) {
                let place = seed.place.get().unwrap_or(".");
                Error::invalid_data(place, format!("The value is out of range: {detail}."))
            } else {
                Error::invalid_encoding(format!("The body is not JSON: {detail}."))
            }
        })
}

fn decode_msgpack<'a, const N: usize>(
    body: &'a [u8],
    seed: DocumentSeed<'a, '_, N>,
) -> Result<Document<'a, N>, Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(DEPTH_MAX);
    let document = seed.deserialize(&mut deserializer).map_err(|error| match error {
        rmp_serde::decode::Error::DepthLimitExceeded => {
            let place = seed.place.get().unwrap_or(".");
            Error::invalid_data(place, "The value is nested too deeply.")
        }
        error => Error::invalid_encoding(format!("The body is not MessagePack: {error}.")),
    })?;
    match de::Deserialize::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(document),
        Ok(IgnoredAny) | Err(_) => {
            Err(Error::invalid_encoding("Something follows the MessagePack document."))
        }
    }
}

enum Document<'a, const N: usize> {
    Fields([Option<Node<'a>>; N]),
    Twice(&'static str),
    NotAMap,
}

/// Reads any document; only one that is malformed is an error.
#[derive(Clone, Copy)]
struct DocumentSeed<'a, 'p, const N: usize> {
    names: &'static [&'static str; N],
    body: &'a [u8],
    /// The field that is being read, for errors.
    place: &'p Cell<Option<&'static str>>,
}

impl<'a, const N: usize> DeserializeSeed<'a> for DocumentSeed<'a, '_, N> {
    type Value = Document<'a, N>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for DocumentSeed<'a, '_, N> {
    type Value = Document<'a, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut nodes = [const { None }; N];
        let mut twice = None;
        let name = NameSeed { names: self.names, body: self.body };
        while let Some(at) = map.next_key_seed(name)? {
            self.place.set(at.map(|at| self.names[at]));
            let Some(at) = at else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let node = map.next_value_seed(NodeSeed { body: self.body })?;
            if nodes[at].replace(node).is_some() {
                twice = twice.or(Some(self.names[at]));
            }
        }
        Ok(twice.map_or(Document::Fields(nodes), Document::Twice))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::NotAMap)
    }

    fn visit_newtype_struct<D: Deserializer<'a>>(self, ext: D) -> Result<Self::Value, D::Error> {
        ext.deserialize_any(IgnoredAny).map(|_| Document::NotAMap)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Document::NotAMap)
    }

    visit_all_as!(Document::NotAMap; visit_bool: bool, visit_i64: i64, visit_u64: u64,
        visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);
}

/// Finds a field's name among those that are asked for.
#[derive(Clone, Copy)]
struct NameSeed<'a, const N: usize> {
    names: &'static [&'static str; N],
    body: &'a [u8],
}

impl<'a, const N: usize> DeserializeSeed<'a> for NameSeed<'a, N> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for NameSeed<'a, N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|known| *known == name))
    }

    visit_nested_as!(None);

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'a [u8]) -> Result<Self::Value, E> {
        check_text(self.body, bytes).map(|()| None)
    }

    visit_all_as!(None; visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    const NAMES: &[&str; 2] = &["a", "b"];

    fn node<'a>(body: &'a [u8], encoding: Encoding) -> Result<Option<Node<'a>>, Error> {
        Ok(decode(body, encoding, NAMES)?.take("a").node)
    }

    fn json(body: &str) -> Result<Option<Node<'_>>, Error> {
        node(body.as_bytes(), Encoding::Json)
    }

    fn msgpack(body: &[u8]) -> Result<Option<Node<'_>>, Error> {
        node(body, Encoding::MessagePack)
    }

    fn fault(result: Result<Option<Node<'_>>, Error>) -> (u16, Option<String>) {
        let error = result.unwrap_err();
        (error.status, error.location.map(Cow::into_owned))
    }

    #[test]
    fn json_values_are_told_apart() {
        assert_eq!(json(r#"{"a":null}"#), Ok(Some(Node::Null)));
        assert_eq!(json(r#"{"a":18446744073709551615}"#), Ok(Some(Node::Unsigned(u64::MAX))));
        assert_eq!(json(r#"{"a":"x"}"#), Ok(Some(Node::Text("x".into()))));
        assert_eq!(json(r#"{"a":"\u0061"}"#), Ok(Some(Node::Text("a".into()))));
        assert_eq!(json(r#"{"a":[0,255]}"#), Ok(Some(Node::ByteArray(vec![0, 255]))));
        assert_eq!(json(r#"{"a":[0,256,"x"]}"#), Ok(Some(Node::OtherArray(1))));
        assert_eq!(json(r#"{"b":1}"#), Ok(None));
        for other in ["-1", "1.0", "1e3", "18446744073709551616", "true", "{}"] {
            let body = format!("{{\"a\":{other}}}");
            let found = json(&body).unwrap();
            assert!(matches!(found, Some(Node::Other(_))), "{other}: {found:?}");
        }
    }

    #[test]
    fn msgpack_values_are_told_apart() {
        assert_eq!(msgpack(b"\x81\xa1a\xc0"), Ok(Some(Node::Null)));
        assert_eq!(msgpack(b"\x81\xa1a\xd0\x05"), Ok(Some(Node::Unsigned(5))));
        assert_eq!(msgpack(b"\x81\xa1a\xa1x"), Ok(Some(Node::Text("x".into()))));
        assert_eq!(msgpack(b"\x81\xa1a\xc4\x01\xff"), Ok(Some(Node::Bin(vec![255].into()))));
        assert_eq!(msgpack(b"\x81\xa1a\x92\x00\xcc\xff"), Ok(Some(Node::ByteArray(vec![0, 255]))));
        for other in [&b"\xff"[..], b"\xca\0\0\0\0", b"\xc2", b"\x80", b"\xd4\x01\x00"] {
            let body = [b"\x81\xa1a", other].concat();
            let found = msgpack(&body).unwrap();
            assert!(matches!(found, Some(Node::Other(_))), "{found:?}");
        }
    }

    #[test]
    fn a_large_value_is_borrowed_from_the_body() {
        let body = [&b"\x81\xa1a\xc5\x01\x00"[..], &[7; 256]].concat();
        let found = msgpack(&body).unwrap();
        assert!(matches!(found, Some(Node::Bin(Cow::Borrowed(bytes))) if bytes.len() == 256));
    }

    #[test]
    fn a_string_that_is_not_utf8_is_malformed_but_bin_may_hold_anything() {
        for text in [&b"\xa2\xff\xfe"[..], b"\xd9\x02\xff\xfe", b"\xda\0\x02\xff\xfe"] {
            assert_eq!(fault(msgpack(&[b"\x81\xa1a", text].concat())), (400, None));
        }
        for bin in [&b"\xc4\x02\xff\xfe"[..], b"\xc5\0\x02\xff\xfe", b"\xc6\0\0\0\x02\xff\xfe"] {
            let body = [b"\x81\xa1a", bin].concat();
            assert_eq!(msgpack(&body), Ok(Some(Node::Bin(b"\xff\xfe".into()))));
        }
    }

    #[test]
    fn well_formed_but_wrong_documents_are_422_with_their_place() {
        let place = |place: &str| (422, Some(place.to_owned()));
        assert_eq!(fault(json(r#"{"a":1,"a":1}"#)), place("a"));
        assert_eq!(fault(msgpack(b"\x82\xa1a\x01\xa1a\x01")), place("a"));
        for document in ["[]", "1", "-1", "1.5", "null", "true", "\"x\""] {
            assert_eq!(fault(json(document)), place("."), "{document}");
        }
        for document in [&b"\x90"[..], b"\x01", b"\xc0", b"\xc3", b"\xa1x", b"\xc4\0", b"\xd4\0\0"]
        {
            assert_eq!(fault(msgpack(document)), place("."), "{}", document.escape_ascii());
        }
        assert_eq!(fault(json(r#"{"a":1e999}"#)), place("a"));
        assert_eq!(fault(json(r#"{"a":[1,1e999]}"#)), place("a"));
        assert_eq!(fault(json(r#"{"a":"\ud800"}"#)), place("a"));
        assert_eq!(fault(json(r#"{"a":"\ud800\u0061"}"#)), place("a"));
        let deep = [&b"\x81\xa1a"[..], &[0x91; 200], b"\x01"].concat();
        assert_eq!(fault(msgpack(&deep)), place("a"));
    }

    #[test]
    fn malformed_documents_are_400() {
        for document in ["", "{", "{\"a\"", "{\"a\":1,}", "{} x", "{}{}", "{'a':1}", "\u{feff}{}"] {
            assert_eq!(fault(json(document)), (400, None), "{document}");
        }
        for document in [
            &b""[..],
            b"\x81",
            b"\x81\xa1a",
            b"\xc1",
            b"\x80\x80",
            b"\x81\xa1a\xc6\xff\xff\xff\xff",
        ] {
            assert_eq!(fault(msgpack(document)), (400, None), "{}", document.escape_ascii());
        }
        for json in [&b"{\"a\":\"\xff\"}"[..], b"{\"x\":\"\xff\"}", b"{\"\xff\":1}"] {
            assert_eq!(fault(node(json, Encoding::Json)), (400, None));
        }
        assert_eq!(fault(msgpack(b"\x81\xa1\xff\x01")), (400, None));
    }

    #[test]
    fn every_truncation_is_malformed() {
        let json_body = r#"{"a":[1,2],"b":{"c":null}}"#;
        for end in 0..json_body.len() {
            assert_eq!(fault(json(&json_body[..end])).0, 400, "{end}");
        }
        let msgpack_body = b"\x82\xa1a\xc4\x02xy\xa1b\x81\xa1c\xc0";
        for end in 0..msgpack_body.len() {
            assert_eq!(fault(msgpack(&msgpack_body[..end])).0, 400, "{end}");
        }
    }
}
