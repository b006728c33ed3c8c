//! Decodes bodies: reads the fields of a JSON or MessagePack document, with the same result in both. A
//! malformed document and a well-formed one with a wrong field are different errors. Knows no endpoint;
//! `options` says what a field must be, `json` and `msgpack` how an encoding is read.

mod document;
mod elements;
mod json;
mod msgpack;

use larder_wire::Encoding;

pub use self::document::{Document, Field, Node};
use self::elements::NoElements;
pub use self::elements::{ELEMENT_FIELDS_MAX, Elements, Shape};
pub use self::msgpack::{EMPTY_BIN, LongBin, long_bin};
use crate::error::Error;

/// Decodes a body into the fields `names`, in their order; all others are ignored.
#[inline]
pub fn decode<'a, const N: usize>(
    body: &'a [u8],
    encoding: Encoding,
    names: &'static [&'static str; N],
) -> Result<[Field<'a>; N], Error> {
    decode_with_bytes(body, encoding, names, None)
}

/// The same, where the field named `bytes` may contain any bytes: in MessagePack also in a string that is
/// not UTF-8, because packers older than the type `bin` write binary values so.
#[inline]
pub fn decode_with_bytes<'a, const N: usize>(
    body: &'a [u8],
    encoding: Encoding,
    names: &'static [&'static str; N],
    bytes: Option<&'static str>,
) -> Result<[Field<'a>; N], Error> {
    let document = match encoding {
        Encoding::Json => json::decode(body, names, &mut NoElements),
        Encoding::MessagePack => msgpack::decode(body, names, bytes, &mut NoElements),
    }?;
    document.into_fields(|index| names[index])
}

/// Decodes a body some of whose fields are arrays, the elements of which `elements` takes. When this is an
/// error, what was taken means nothing.
pub fn decode_with_elements<'a, const N: usize>(
    body: &'a [u8],
    encoding: Encoding,
    names: &'static [&'static str; N],
    elements: &mut impl Elements<'a>,
) -> Result<[Field<'a>; N], Error> {
    let document = match encoding {
        Encoding::Json => json::decode(body, names, elements),
        Encoding::MessagePack => msgpack::decode(body, names, None, elements),
    }?;
    document.into_fields(|index| names[index])
}

#[cfg(test)]
mod tests {
    use alloc::borrow::{Cow, ToOwned};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::document::MAP;
    use super::*;

    const NAMES: &[&str; 2] = &["a", "b"];

    fn node<'a>(body: &'a [u8], encoding: Encoding) -> Result<Option<Node<'a>>, Error> {
        let [field, _] = decode(body, encoding, NAMES)?;
        Ok(field.node)
    }

    fn json(body: &str) -> Result<Option<Node<'_>>, Error> {
        node(body.as_bytes(), Encoding::Json)
    }

    fn msgpack(body: &[u8]) -> Result<Option<Node<'_>>, Error> {
        node(body, Encoding::MessagePack)
    }

    fn fault(result: Result<Option<Node<'_>>, Error>) -> (u16, Option<String>) {
        let error = result.unwrap_err();
        (error.status, error.location.clone().map(Cow::into_owned))
    }

    #[test]
    fn json_values_are_distinguished() {
        assert_eq!(json(r#"{"a":null}"#), Ok(Some(Node::Null)));
        assert_eq!(json(r#"{"a":18446744073709551615}"#), Ok(Some(Node::Unsigned(u64::MAX))));
        assert_eq!(json(r#"{"a":"x"}"#), Ok(Some(Node::Text("x".into()))));
        assert_eq!(json(r#"{"a":"\u0061"}"#), Ok(Some(Node::Text("a".into()))));
        assert_eq!(json(r#"{"a":[0,255]}"#), Ok(Some(Node::ByteArray(vec![0, 255]))));
        assert_eq!(json(r#"{"a":[0,256,"x"]}"#), Ok(Some(Node::OtherArray(1))));
        assert_eq!(json(r#"{"b":1}"#), Ok(None));
        for number in [-1, i64::MIN] {
            let body = format!("{{\"a\":{number}}}");
            assert_eq!(json(&body), Ok(Some(Node::Negative(number))));
        }
        assert_eq!(json(r#"{"a":true}"#), Ok(Some(Node::Boolean(true))));
        for other in ["1.0", "1e3", "-0", "18446744073709551616", "-9223372036854775809", "{}"] {
            let body = format!("{{\"a\":{other}}}");
            let found = json(&body).unwrap();
            assert!(matches!(found, Some(Node::Other(_))), "{other}: {found:?}");
        }
    }

    #[test]
    fn msgpack_values_are_distinguished() {
        assert_eq!(msgpack(b"\x81\xa1a\xc0"), Ok(Some(Node::Null)));
        assert_eq!(msgpack(b"\x81\xa1a\xd0\x05"), Ok(Some(Node::Unsigned(5))));
        assert_eq!(msgpack(b"\x81\xa1a\xa1x"), Ok(Some(Node::Text("x".into()))));
        assert_eq!(msgpack(b"\x81\xa1a\xc4\x01\xff"), Ok(Some(Node::Bin(vec![255].into()))));
        assert_eq!(msgpack(b"\x81\xa1a\x92\x00\xcc\xff"), Ok(Some(Node::ByteArray(vec![0, 255]))));
        for (number, bytes) in [
            (-1, &b"\xff"[..]),
            (-32, b"\xe0"),
            (-128, b"\xd0\x80"),
            (-2, b"\xd1\xff\xfe"),
            (-3, b"\xd2\xff\xff\xff\xfd"),
            (i64::MIN, b"\xd3\x80\0\0\0\0\0\0\0"),
        ] {
            let body = [b"\x81\xa1a", bytes].concat();
            assert_eq!(msgpack(&body), Ok(Some(Node::Negative(number))));
        }
        assert_eq!(msgpack(b"\x81\xa1a\xd2\x7f\0\0\0"), Ok(Some(Node::Unsigned(0x7f00_0000))));
        assert_eq!(msgpack(b"\x81\xa1a\xc2"), Ok(Some(Node::Boolean(false))));
        assert_eq!(msgpack(b"\x81\xa1a\xc3"), Ok(Some(Node::Boolean(true))));
        for other in [&b"\xca\0\0\0\0"[..], b"\x80", b"\xd4\x01\x00"] {
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
    fn a_string_that_is_not_utf8_is_malformed_only_where_text_is_wanted() {
        for text in [
            &b"\xa2\xff\xfe"[..],
            b"\xd9\x02\xff\xfe",
            b"\xda\0\x02\xff\xfe",
            b"\xdb\0\0\0\x02\xff\xfe",
        ] {
            let field = |name: &[u8]| [b"\x81\xa1", name, text].concat();
            assert_eq!(fault(msgpack(&field(b"a"))), (400, None));
            // Fields that are not asked for, and nested values, are not checked.
            assert_eq!(msgpack(&field(b"x")), Ok(None));
            assert_eq!(msgpack(&[b"\x81", text, b"\x01"].concat()), Ok(None));
            let nested = [b"\x81\xa1a\x92\x01", text].concat();
            assert_eq!(msgpack(&nested), Ok(Some(Node::OtherArray(1))));
            let body = field(b"b");
            let taken = |bytes| decode_with_bytes(&body, Encoding::MessagePack, NAMES, bytes);
            let [_, b] = taken(Some("b")).expect("bytes");
            assert_eq!(b.node, Some(Node::Bin(Cow::Borrowed(b"\xff\xfe"))));
            assert!(taken(Some("a")).is_err() && taken(None).is_err());
        }
        let text = decode_with_bytes(b"\x81\xa1a\xa1x", Encoding::MessagePack, NAMES, Some("a"));
        assert_eq!(text.expect("text")[0].node, Some(Node::Text("x".into())));
        for bin in [&b"\xc4\x02\xff\xfe"[..], b"\xc5\0\x02\xff\xfe", b"\xc6\0\0\0\x02\xff\xfe"] {
            let body = [b"\x81\xa1a", bin].concat();
            assert_eq!(msgpack(&body), Ok(Some(Node::Bin(b"\xff\xfe".into()))));
        }
    }

    #[test]
    fn well_formed_but_wrong_documents_are_422_with_a_location() {
        let wrong_at = |location: &str| (422, Some(location.to_owned()));
        assert_eq!(fault(json(r#"{"a":1,"a":1}"#)), wrong_at("a"));
        assert_eq!(fault(msgpack(b"\x82\xa1a\x01\xa1a\x01")), wrong_at("a"));
        for document in ["[]", "1", "-1", "1.5", "null", "true", "\"x\""] {
            assert_eq!(fault(json(document)), wrong_at("."), "{document}");
        }
        for document in [&b"\x90"[..], b"\x01", b"\xc0", b"\xc3", b"\xa1x", b"\xc4\0", b"\xd4\0\0"]
        {
            assert_eq!(fault(msgpack(document)), wrong_at("."), "{}", document.escape_ascii());
        }
        assert_eq!(fault(json(r#"{"a":1e999}"#)), wrong_at("a"));
        assert_eq!(fault(json(r#"{"a":[1,1e999]}"#)), wrong_at("a"));
        assert_eq!(fault(json(r#"{"a":"\ud800"}"#)), wrong_at("a"));
        assert_eq!(fault(json(r#"{"a":"\ud800\u0061"}"#)), wrong_at("a"));
    }

    #[test]
    fn a_value_that_has_no_representation_is_422_with_its_location() {
        let wrong_at = |location: &str| (422, Some(location.to_owned()));
        assert_eq!(fault(json(r#"{"a":1,"\ud800":1}"#)), wrong_at("."));
        assert_eq!(fault(json(r#"{"a":1,"x":2,"b":1e999,"a":1}"#)), wrong_at("b"));
        assert_eq!(json(r#"{"x":1e999,"y":"\ud800","b":["x",1e999]}"#), Ok(None));
        assert_eq!(json(r#"{"a":{"\ud800":1}}"#), Ok(Some(MAP)));
        assert_eq!(json(r#"{"a":[1,{"\ud800":{"\ud800":1}}]}"#), Ok(Some(Node::OtherArray(1))));
    }

    #[test]
    fn a_malformed_document_is_400_even_after_such_a_value() {
        for document in [
            r#"{"a":1e999"#,
            r#"{"a":1e999,}"#,
            r#"{"a":"\ud800"]"#,
            r#"{"a":1e999} x"#,
            r#"{"\ud800":1,]"#,
            "{\"a\":{\"\n\":1}}",
            "{\"a\":[{\"\n\":1}]}",
        ] {
            assert_eq!(fault(json(document)), (400, None), "{document}");
        }
    }

    #[test]
    fn nesting_has_no_limit_in_either_encoding() {
        const DEPTH: usize = 100_000;
        for field in [b'a', b'x'] {
            let deep = [&b"\x81\xa1"[..], &[field], &[0x91; DEPTH], b"\x01"].concat();
            assert!(msgpack(&deep).is_ok());
            let [open, close] = ["[", "]"].map(|bracket| bracket.repeat(DEPTH));
            let deep = format!("{{\"{}\":{open}1{close}}}", char::from(field));
            assert!(json(&deep).is_ok());
        }
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

    /// What was taken of arrays, in order.
    #[derive(Default)]
    struct Taken(Vec<String>);

    impl<'a> Elements<'a> for Taken {
        fn shape(&self, field: usize) -> Option<Shape> {
            let maps = Shape::Maps { names: &["k", "v"], bytes: Some("v") };
            Some(if field == 0 { Shape::Values } else { maps })
        }

        fn value(&mut self, field: usize, index: usize, value: Node<'a>) {
            self.0.push(format!("{field}[{index}] {}", value.kind()));
        }

        fn map(&mut self, field: usize, index: usize, map: Document<'a, ELEMENT_FIELDS_MAX>) {
            let name = |index| ["k", "v"].get(index).copied().unwrap_or_default();
            self.0.push(match map.into_fields(name) {
                Ok([k, v, ..]) => format!("{field}[{index}] {:?} {:?}", k.node, v.node),
                Err(error) => format!("{field}[{index}] wrong at {:?}", error.location),
            });
        }
    }

    /// What is taken of a body, and what its own fields are then.
    fn taken(
        body: &[u8],
        encoding: Encoding,
    ) -> Result<(Vec<String>, [Option<Node<'_>>; 2]), Error> {
        let mut taken = Taken::default();
        let fields = decode_with_elements(body, encoding, NAMES, &mut taken)?;
        Ok((taken.0, fields.map(|field| field.node)))
    }

    #[test]
    fn elements_are_given_away_in_both_encodings() {
        let json =
            br#"{"a":["x",1,{"k":1},[2]],"b":[{"v":"y","x":[{}],"k":7},3,{"k":1,"k":2},{}]}"#;
        let msgpack = b"\x82\xa1a\x94\xa1x\x01\x81\xa1k\x01\x91\x02\
            \xa1b\x94\x83\xa1v\xa1y\xa1x\x91\x80\xa1k\x07\x03\x82\xa1k\x01\xa1k\x02\x80";
        let wanted = [
            "0[0] a string",
            "0[1] a whole number",
            "0[2] a map",
            "0[3] an array",
            "1[0] Some(Unsigned(7)) Some(Text(\"y\"))",
            "1[1] a whole number",
            "1[2] wrong at Some(\"k\")",
            "1[3] None None",
        ];
        for (body, encoding) in [(&json[..], Encoding::Json), (msgpack, Encoding::MessagePack)] {
            let (found, nodes) = taken(body, encoding).expect("a document");
            assert_eq!(found, wanted);
            assert_eq!(nodes, [4, 4].map(|count| Some(Node::Elements(count))));
            for end in 0..body.len() {
                assert_eq!(taken(&body[..end], encoding).unwrap_err().status, 400, "{end}");
            }
        }
    }

    #[test]
    fn a_field_that_is_no_array_is_read_as_any_other() {
        for body in [r#"{"a":{"k":1},"b":"x"}"#, r#"{"b":"x","a":{}}"#] {
            let (found, nodes) = taken(body.as_bytes(), Encoding::Json).expect("a document");
            assert_eq!((found.len(), nodes), (0, [Some(MAP), Some(Node::Text("x".into()))]));
        }
        let (found, nodes) = taken(b"\x81\xa1b\xa1x", Encoding::MessagePack).expect("a document");
        assert_eq!((found.len(), nodes), (0, [None, Some(Node::Text("x".into()))]));
    }

    #[test]
    fn what_is_wrong_in_an_element_is_told_at_its_place() {
        for (body, location) in [
            (r#"{"a":[1,1e999]}"#, "a[1]"),
            (r#"{"a":["\ud800"]}"#, "a[0]"),
            (r#"{"a":[],"b":[{},{"x":1,"v":1e999}]}"#, "b[1].v"),
            (r#"{"b":[{"v":1,"\ud800":1}]}"#, "b[0]"),
            (r#"{"a":[1],"b":1e999}"#, "b"),
            (r#"{"a":[1],"\ud800":1}"#, "."),
        ] {
            let error = taken(body.as_bytes(), Encoding::Json).unwrap_err();
            assert_eq!((error.status, error.location.as_deref()), (422, Some(location)), "{body}");
            let malformed = format!("{} x", body);
            assert_eq!(taken(malformed.as_bytes(), Encoding::Json).unwrap_err().status, 400);
        }
        // A string has to be UTF-8 where text is wanted, and nowhere else.
        for (body, status) in [
            (&b"\x81\xa1a\x91\xa1\xff"[..], 400),
            (b"\x81\xa1b\x91\x81\xa1k\xa1\xff", 400),
            (b"\x81\xa1b\x91\x81\xa1v\xa1\xff", 200),
            (b"\x81\xa1b\x91\x81\xa1x\xa1\xff", 200),
            (b"\x81\xa1b\x91\x81\xa1\xff\x01", 200),
        ] {
            let found =
                taken(body, Encoding::MessagePack).map_or_else(|error| error.status, |_| 200);
            assert_eq!(found, status, "{}", body.escape_ascii());
        }
    }
}
