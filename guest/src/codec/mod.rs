//! Decodes bodies: reads the fields of a JSON or MessagePack document, with the same result in both. A
//! malformed document and a well-formed one with a wrong field are different errors. Knows no endpoint;
//! `options` says what a field must be, `json` and `msgpack` how an encoding is read.

mod document;
mod json;
mod msgpack;

use larder_wire::Encoding;

use self::document::Document;
pub use self::document::Node;
pub use self::msgpack::{EMPTY_BIN, LongBin, long_bin};
use crate::error::Error;

/// One field of a body, by name.
pub struct Field<'a> {
    /// Its name, which is also its path.
    pub name: &'static str,
    /// Its value, None when it is not there.
    pub node: Option<Node<'a>>,
}

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
        Encoding::Json => json::decode(body, names),
        Encoding::MessagePack => msgpack::decode(body, names, bytes),
    }?;
    match document {
        Document::Fields(mut nodes) => Ok(core::array::from_fn(|index| Field {
            name: names[index],
            node: nodes[index].take(),
        })),
        Document::Duplicate(name) => Err(Error::invalid_data(name, "The field is there twice.")),
        Document::NotAMap => Err(Error::invalid_data(".", "The body must be a map of fields.")),
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::{Cow, ToOwned};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

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
}
