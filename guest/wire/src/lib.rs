//! What both sides of the sandbox must say alike: how an encoding is chosen for an answer, and the
//! body of an error. Knows headers' values and bytes; knows no route, no HTTP library, no storage.

use serde::Serialize;

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

    /// What a `content-type` names, its parameters and case ignored; None for anything else.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        [Encoding::Json, Encoding::MessagePack]
            .into_iter()
            .find(|encoding| media.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// The encoding of an answer: what `accept` prefers, where a tie goes to MessagePack when it is
    /// listed by name; without `accept`, that of the request; else JSON.
    #[must_use]
    pub fn of_answer(accept: Option<&str>, content_type: Option<&str>) -> Self {
        let Some(accept) = accept else {
            return content_type.and_then(Self::of_content_type).unwrap_or(Encoding::Json);
        };
        // What nearly every client sends needs no parsing.
        if accept == "application/msgpack" {
            return Encoding::MessagePack;
        }
        let json = Preference::of(Encoding::Json, accept);
        let msgpack = Preference::of(Encoding::MessagePack, accept);
        let unlike_json = msgpack.quality > json.quality;
        let tied_by_name = msgpack.quality == json.quality && msgpack.by_name;
        if msgpack.quality > 0 && (unlike_json || tied_by_name) {
            Encoding::MessagePack
        } else {
            Encoding::Json
        }
    }
}

/// How much an `accept` header wants an encoding, by its most specific range.
#[derive(Default)]
struct Preference {
    /// 0 to 1000.
    quality: u16,
    /// 0 nothing or `*/*`, 1 `application/*`, 2 by name.
    specificity: u8,
    by_name: bool,
}

impl Preference {
    fn of(encoding: Encoding, accept: &str) -> Self {
        let mut best = Self::default();
        let mut found = false;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let specificity = if media.eq_ignore_ascii_case(encoding.content_type()) {
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

/// Reads a `q=` parameter in thousandths; one that is no number counts as not wanted.
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

/// Whose fault an error is; the clients make it the type of their own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorType {
    /// The request can never succeed as it is.
    InvalidInput,
    /// It failed on state: a conflict, something missing, authentication.
    OperationError,
    /// The server could not, this time.
    ServerError,
}

/// The body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody<'a> {
    /// Whose fault it is.
    pub r#type: ErrorType,
    /// What happened, in kebab-case, for programs.
    pub code: &'a str,
    /// What happened, in a sentence, for people.
    pub detail: &'a str,
    /// The path of the field at fault (`key`, `value[0]`, `.` for the whole body), if there is one.
    pub location: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// The encoded body.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encode(self, encoding)
    }
}

/// Encodes a flat body: a struct of strings, numbers and booleans, which cannot fail.
#[must_use]
pub fn encode<T: Serialize>(body: &T, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_vec(body).unwrap_or_default(),
        Encoding::MessagePack => rmp_serde::to_vec_named(body).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(accept: &str) -> Encoding {
        Encoding::of_answer(Some(accept), Some("application/msgpack"))
    }

    #[test]
    fn content_types_are_told_whatever_their_case_and_parameters() {
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
        let msgpack: serde_json::Value =
            rmp_serde::from_slice(&body.encode(Encoding::MessagePack)).unwrap();
        assert_eq!(msgpack, serde_json::from_str::<serde_json::Value>(json).unwrap());
    }
}
