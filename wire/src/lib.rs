//! The wire form that host and guest share: how the encoding of an answer is negotiated, how the body of an
//! error is encoded, and the challenge that asks for a token. Knows values of headers and bytes; knows no
//! route, no HTTP library and no storage.

#![no_std]

extern crate alloc;

use alloc::string::ToString;
use alloc::vec::Vec;

use rmp::encode::ByteBuf;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/msgpack`.
    MessagePack,
}

impl Encoding {
    /// The value of `content-type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::MessagePack => "application/msgpack",
        }
    }

    /// The encoding that a `content-type` names, its parameters and case ignored; None for any other type.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        // Nearly every client sends one of these, and they need no parsing.
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            if content_type == encoding.content_type() {
                return Some(encoding);
            }
        }
        let media = content_type.split(';').next().unwrap_or_default().trim();
        [Encoding::Json, Encoding::MessagePack]
            .into_iter()
            .find(|encoding| media.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// The encoding of an answer: the one that `accept` prefers, and of two that it prefers alike
    /// MessagePack when `accept` lists it by name, else JSON. Without `accept` the encoding of the request,
    /// and without that JSON.
    #[must_use]
    pub fn of_answer(accept: Option<&str>, content_type: Option<&str>) -> Self {
        let Some(accept) = accept else {
            return content_type.and_then(Self::of_content_type).unwrap_or(Encoding::Json);
        };
        if accept == Encoding::MessagePack.content_type() {
            return Encoding::MessagePack;
        }
        let [msgpack, json] = [Encoding::MessagePack, Encoding::Json].map(Self::content_type);
        if Self::is_preferred(msgpack, json, accept) {
            Encoding::MessagePack
        } else {
            Encoding::Json
        }
    }

    /// Whether `accept` prefers one content type to another; of two that it prefers alike it is the one when
    /// it is listed by name.
    #[must_use]
    pub fn is_preferred(one: &str, other: &str, accept: &str) -> bool {
        let (one, other) = (Preference::of(one, accept), Preference::of(other, accept));
        let preferred = one.quality > other.quality;
        let tied_by_name = one.quality == other.quality && one.by_name;
        one.quality > 0 && (preferred || tied_by_name)
    }
}

/// How much an `accept` header prefers a content type of `application`, by the most specific range that
/// covers it.
#[derive(Default)]
struct Preference {
    /// 0 to 1000.
    quality: u16,
    /// 0 for none or `*/*`, 1 for `application/*`, 2 for the type's own name.
    specificity: u8,
    by_name: bool,
}

impl Preference {
    fn of(content_type: &str, accept: &str) -> Self {
        let mut best = Self::default();
        let mut found = false;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let specificity = if media.eq_ignore_ascii_case(content_type) {
                2
            } else if media.eq_ignore_ascii_case("application/*") {
                1
            } else if media == "*/*" {
                0
            } else {
                continue;
            };
            if found && specificity < best.specificity {
                continue;
            }
            let quality = parts.find_map(quality).unwrap_or(1000);
            best = Self { quality, specificity, by_name: specificity == 2 };
            found = true;
        }
        best
    }
}

/// The value of a `q=` parameter in thousandths; 0 when it is no number.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let quality: f32 = value.trim().parse().unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=1 first, and NaN becomes 0"
    )]
    Some((quality.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// The value of `www-authenticate` when no token was sent. RFC 6750 requires a parameter in it.
pub const CHALLENGE: &str = "Bearer realm=\"larder\"";
/// The same when the token that was sent is not valid.
pub const CHALLENGE_REJECTED: &str = "Bearer realm=\"larder\", error=\"invalid_token\"";

/// Whose fault an error is; the clients make it the type of their own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request can never succeed as it is.
    InvalidInput,
    /// It does not fit the state: a conflict, something missing, authentication.
    OperationError,
    /// The server failed; the same request may succeed later.
    ServerError,
}

impl ErrorType {
    fn name(self) -> &'static str {
        match self {
            ErrorType::InvalidInput => "invalid-input",
            ErrorType::OperationError => "operation-error",
            ErrorType::ServerError => "server-error",
        }
    }
}

/// The body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody<'a> {
    /// Whose fault it is.
    pub r#type: ErrorType,
    /// The code in kebab-case, for programs.
    pub code: &'a str,
    /// A sentence for people.
    pub detail: &'a str,
    /// The path of the field at fault (`key`, `value[0]`, `.` for the whole body), if there is one.
    pub location: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// The encoded body.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let fields = [
            ("type", Value::Text(self.r#type.name())),
            ("code", Value::Text(self.code)),
            ("detail", Value::Text(self.detail)),
            ("location", self.location.map_or(Value::Null, Value::Text)),
        ];
        encode(&fields, encoding)
    }
}

/// The value of a field in a flat body.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `null` or nil.
    Null,
    /// A boolean.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A string.
    Text(&'a str),
}

/// Bytes that are allocated for a body at first.
const FIRST_BYTES: usize = 128;

/// Encodes a flat body: a map of names, which are plain ASCII, to values, in order.
#[must_use]
pub fn encode(fields: &[(&str, Value<'_>)], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json => encode_json(fields),
        Encoding::MessagePack => encode_msgpack(fields),
    }
}

fn encode_json(fields: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(FIRST_BYTES);
    for (index, (name, value)) in fields.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"\":");
        match value {
            Value::Null => body.extend_from_slice(b"null"),
            Value::Flag(flag) => body.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Value::Number(number) => body.extend_from_slice(number.to_string().as_bytes()),
            Value::Text(text) => {
                // A string always has a form in JSON.
                body.extend_from_slice(&serde_json::to_vec(text).unwrap_or_default());
            }
        }
    }
    body.push(b'}');
    body
}

/// Results are ignored because writing to memory cannot fail.
fn encode_msgpack(fields: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut body = ByteBuf::with_capacity(FIRST_BYTES);
    let _ = rmp::encode::write_map_len(&mut body, u32::try_from(fields.len()).unwrap_or(u32::MAX));
    for (name, value) in fields {
        let _ = rmp::encode::write_str(&mut body, name);
        let _ = match value {
            Value::Null => rmp::encode::write_nil(&mut body),
            Value::Flag(flag) => rmp::encode::write_bool(&mut body, *flag),
            Value::Number(number) => {
                let _ = rmp::encode::write_uint(&mut body, *number);
                Ok(())
            }
            Value::Text(text) => {
                let _ = rmp::encode::write_str(&mut body, text);
                Ok(())
            }
        };
    }
    body.into_vec()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(accept: &str) -> Encoding {
        Encoding::of_answer(Some(accept), Some("application/msgpack"))
    }

    #[test]
    fn content_types_are_recognized_whatever_their_case_and_parameters() {
        let of = Encoding::of_content_type;
        assert_eq!(of("application/json"), Some(Encoding::Json));
        assert_eq!(of("Application/JSON; charset=utf-8"), Some(Encoding::Json));
        assert_eq!(of(" application/msgpack ;x=y"), Some(Encoding::MessagePack));
        assert_eq!(of("application/jsonx"), None);
        assert_eq!(of("text/plain"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn without_accept_the_answer_is_encoded_like_the_request() {
        assert_eq!(Encoding::of_answer(None, Some("application/msgpack")), Encoding::MessagePack);
        assert_eq!(Encoding::of_answer(None, Some("application/json")), Encoding::Json);
        assert_eq!(Encoding::of_answer(None, Some("text/plain")), Encoding::Json);
        assert_eq!(Encoding::of_answer(None, None), Encoding::Json);
    }

    #[test]
    fn accept_is_parsed_with_spaces_case_and_qualities() {
        for accept in [
            "application/msgpack",
            "APPLICATION/MsgPack",
            "text/html , application/msgpack",
            "application/json, application/msgpack",
            "application/json;q=0.5,application/msgpack; q=0.6",
            "application/msgpack;q=0.5, */*;q=0.1",
            "application/json;q=0, application/msgpack;q=0.001",
            "application/msgpack;q=1.0;x=y",
            "application/json;q=0, */*",
        ] {
            assert_eq!(answer(accept), Encoding::MessagePack, "{accept}");
        }
        for accept in [
            "*/*",
            "application/*",
            "text/html",
            "",
            "application/json",
            "application/msgpack;q=0",
            "application/msgpack; Q=0.0, */*",
            "application/json, application/msgpack;q=0.9",
            "application/msgpack;q=x",
            "application/msgpack;q=NaN",
            "application/msgpackx",
            "application/msgpack;q=0.5, */*",
        ] {
            assert_eq!(answer(accept), Encoding::Json, "{accept}");
        }
    }

    #[test]
    fn an_error_body_has_all_four_fields_in_both_encodings() {
        let body = ErrorBody {
            r#type: ErrorType::InvalidInput,
            code: "invalid-data",
            detail: "A key is 1 to 256 bytes.",
            location: None,
        };
        let json = r#"{"type":"invalid-input","code":"invalid-data","detail":"A key is 1 to 256 bytes.","location":null}"#;
        assert_eq!(body.encode(Encoding::Json), json.as_bytes());
        let msgpack = b"\x84\xa4type\xadinvalid-input\xa4code\xacinvalid-data\xa6detail\xb8A key is 1 to 256 bytes.\xa8location\xc0";
        assert_eq!(body.encode(Encoding::MessagePack), msgpack);
    }

    #[test]
    fn every_kind_of_value_has_its_form_in_both_encodings() {
        let odd = "a \"quote\", a\nline and \u{e9}\u{1f600}";
        let fields = [
            ("null", Value::Null),
            ("flag", Value::Flag(true)),
            ("number", Value::Number(u64::MAX)),
            ("text", Value::Text(odd)),
        ];
        let read: serde_json::Value =
            serde_json::from_slice(&encode(&fields, Encoding::Json)).expect("JSON");
        assert_eq!(read, json!({"null": null, "flag": true, "number": u64::MAX, "text": odd}));
        let start = b"\x84\xa4null\xc0\xa4flag\xc3\xa6number\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa4text\xbc";
        assert_eq!(encode(&fields, Encoding::MessagePack), [&start[..], odd.as_bytes()].concat());
        assert_eq!(encode(&[], Encoding::MessagePack), b"\x80");
    }
}
