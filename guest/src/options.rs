//! The types of valid fields. Each is made only by parsing a [`Field`]; an error names the field's path.
//! Knows no endpoint and no storage.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::ToString;

use crate::bindings::larder::guest::kv;
use crate::codec::{Field, Node};
use crate::error::Error;

/// Longest key and longest namespace name, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most entries or namespaces of a page.
const LIMIT_MAX: u64 = 1000;
/// The first number that has no place in 64 bits with a sign.
const INTEGER_LIMIT: u64 = 1 << 63;
/// Quotas are below this, as versions are, so that readers in JavaScript keep them exact.
const QUOTA_LIMIT: u64 = 1 << 53;
/// The namespace of requests that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Something that a field can be parsed into. An absent field is None; [`required`] makes that an error,
/// after all fields that are present were found valid.
pub trait Parse<'a>: Sized {
    /// Parses the field if it is present.
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error>;
}

/// The value of a field that must be present.
pub fn required<T>(name: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::invalid_data(".", format!("The field `{name}` is missing.")))
}

/// A key: 1 to 256 bytes of `[a-zA-Z0-9-/_.=+:]`.
pub struct Key<'a>(pub Cow<'a, str>);

impl<'a> Parse<'a> for Key<'a> {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        let allowed = |byte: u8| is_name_byte(byte) || byte == b':';
        Ok(text(field, "a key", "[a-zA-Z0-9-/_.=+:]", allowed)?.map(Self))
    }
}

/// A namespace's name: 1 to 256 bytes of `[a-zA-Z0-9-/_.=+]`.
pub struct NamespaceName<'a>(pub Cow<'a, str>);

impl<'a> Parse<'a> for NamespaceName<'a> {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        Ok(text(field, "a namespace's name", "[a-zA-Z0-9-/_.=+]", is_name_byte)?.map(Self))
    }
}

/// The namespace that a request works in; null is the same as absent.
pub struct Namespace<'a>(Option<NamespaceName<'a>>);

impl<'a> Parse<'a> for Namespace<'a> {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            Some(Node::Null) => Ok(None),
            _ => Ok(NamespaceName::parse(field)?.map(|name| Self(Some(name)))),
        }
    }
}

impl Namespace<'_> {
    /// The namespace's name. To be called after the other fields were found valid: naming `default` is an
    /// error of its own, and theirs come first.
    pub fn resolve<'n>(namespace: Option<&'n Namespace<'_>>) -> Result<&'n str, Error> {
        match namespace.and_then(|namespace| namespace.0.as_ref()) {
            None => Ok(DEFAULT_NAMESPACE),
            Some(name) if name.0 == DEFAULT_NAMESPACE => Err(Error::explicit_default_namespace()),
            Some(name) => Ok(&name.0),
        }
    }
}

/// A value: MessagePack `bin`, a string's bytes, or an array of integers from 0 to 255.
pub struct Value<'a>(pub Cow<'a, [u8]>);

impl<'a> Parse<'a> for Value<'a> {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        let bytes = match field.node {
            None => return Ok(None),
            Some(Node::Bin(bytes)) => bytes,
            Some(Node::Text(Cow::Borrowed(text))) => Cow::Borrowed(text.as_bytes()),
            Some(Node::Text(Cow::Owned(text))) => Cow::Owned(text.into_bytes()),
            Some(Node::ByteArray(bytes)) => Cow::Owned(bytes),
            Some(Node::OtherArray(index)) => {
                let location = format!("{}[{index}]", field.name);
                return Err(Error::invalid_data(
                    location,
                    "A byte is a whole number from 0 to 255.",
                ));
            }
            Some(node) => return Err(unexpected(field.name, "bytes", &node)),
        };
        Ok(Some(Self(bytes)))
    }
}

/// A time to live in whole milliseconds, at least 1; null is the same as absent.
pub struct Ttl(pub u64);

impl<'a> Parse<'a> for Ttl {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Unsigned(ms)) if ms > 0 => Ok(Some(Self(ms))),
            Some(node) => Err(unexpected(field.name, "a whole number from 1", &node)),
        }
    }
}

/// An expected version, 0 for "absent"; null is the same as not given.
pub struct Expected(pub u64);

impl<'a> Parse<'a> for Expected {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Unsigned(version)) => Ok(Some(Self(version))),
            Some(node) => Err(unexpected(field.name, "a whole number from 0 to 2^64-1", &node)),
        }
    }
}

/// What a set expects to find.
pub struct Behavior(pub kv::Behavior);

impl<'a> Parse<'a> for Behavior {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        let behavior = match field.node {
            None => return Ok(None),
            Some(Node::Text(name)) => match &*name {
                "upsert" => kv::Behavior::Upsert,
                "insert" => kv::Behavior::Insert,
                "update" => kv::Behavior::Update,
                _ => return Err(unknown_name(field.name, "upsert, insert or update")),
            },
            Some(node) => return Err(unexpected(field.name, "upsert, insert or update", &node)),
        };
        Ok(Some(Self(behavior)))
    }
}

/// How fresh a read must be. All reads of one server are strong, so both mean the same.
pub struct Consistency;

impl<'a> Parse<'a> for Consistency {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None => Ok(None),
            Some(Node::Text(name)) if name == "strong" || name == "weak" => Ok(Some(Self)),
            Some(Node::Text(_)) => Err(unknown_name(field.name, "strong or weak")),
            Some(node) => Err(unexpected(field.name, "strong or weak", &node)),
        }
    }
}

/// The text with which keys or names are to begin, or after which a page is to begin: up to 256 bytes of
/// any UTF-8, since guests may name keys so. Null is the same as absent.
pub struct Bound<'a>(pub Cow<'a, str>);

impl<'a> Parse<'a> for Bound<'a> {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Text(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(Self(text))),
            Some(Node::Text(text)) => {
                let length = text.len();
                let detail =
                    format!("Expected a string of up to {NAME_BYTES_MAX} bytes, found {length}.");
                Err(Error::invalid_data(field.name, detail))
            }
            Some(node) => Err(unexpected(field.name, "a string", &node)),
        }
    }
}

/// The most entries that a page may have, from 1 to 1,000; null is the same as absent.
pub struct Limit(pub u32);

impl<'a> Parse<'a> for Limit {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Unsigned(limit @ 1..=LIMIT_MAX)) => Ok(Some(Self(limit as u32))),
            Some(node) => Err(unexpected(field.name, "a whole number from 1 to 1000", &node)),
        }
    }
}

/// A whole number from -2^63 to 2^63-1; null is the same as absent.
pub struct Integer(pub i64);

impl<'a> Parse<'a> for Integer {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Negative(number)) => Ok(Some(Self(number))),
            Some(Node::Unsigned(number @ 0..INTEGER_LIMIT)) => Ok(Some(Self(number.cast_signed()))),
            Some(node) => Err(unexpected(field.name, "a whole number from -2^63 to 2^63-1", &node)),
        }
    }
}

/// Something that is asked for or not; null is the same as absent.
pub struct Flag(pub bool);

impl<'a> Parse<'a> for Flag {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Boolean(flag)) => Ok(Some(Self(flag))),
            Some(node) => Err(unexpected(field.name, "true or false", &node)),
        }
    }
}

/// What becomes of a quota: null lifts it, a number below 2^53 sets it.
pub enum Quota {
    /// There is none any more.
    Lift,
    /// It is so many.
    Limit(u64),
}

impl<'a> Parse<'a> for Quota {
    fn parse(field: Field<'a>) -> Result<Option<Self>, Error> {
        match field.node {
            None => Ok(None),
            Some(Node::Null) => Ok(Some(Self::Lift)),
            Some(Node::Unsigned(most)) if most < QUOTA_LIMIT => Ok(Some(Self::Limit(most))),
            Some(node) => {
                Err(unexpected(field.name, "null or a whole number from 0 to 2^53-1", &node))
            }
        }
    }
}

/// The bytes that a name may contain, by their value.
static NAME_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        allowed[byte] = ascii.is_ascii_alphanumeric()
            || matches!(ascii, b'-' | b'/' | b'_' | b'.' | b'=' | b'+');
        byte += 1;
    }
    allowed
};

fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

fn text<'a>(
    field: Field<'a>,
    what: &str,
    allowed_bytes: &str,
    allowed: impl Fn(u8) -> bool,
) -> Result<Option<Cow<'a, str>>, Error> {
    let text = match field.node {
        None => return Ok(None),
        Some(Node::Text(text)) => text,
        Some(node) => return Err(unexpected(field.name, "a string", &node)),
    };
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        let detail =
            format!("Expected {what} of 1 to {NAME_BYTES_MAX} bytes, found {}.", text.len());
        return Err(Error::invalid_data(field.name, detail));
    }
    if !text.bytes().all(allowed) {
        let detail = format!("Only these bytes may stand in {what}: {allowed_bytes}.");
        return Err(Error::invalid_data(field.name, detail));
    }
    Ok(Some(text))
}

/// The error of a field that is something else than what is wanted.
pub fn unexpected(name: &'static str, wanted: &str, node: &Node<'_>) -> Error {
    let found = match node {
        Node::Unsigned(number) => number.to_string(),
        other => other.kind().to_owned(),
    };
    Error::invalid_data(name, format!("Expected {wanted}, found {found}."))
}

/// The error of a field that must be one of some words.
pub fn unknown_name(name: &'static str, wanted: &str) -> Error {
    Error::invalid_data(name, format!("Expected {wanted}, in lower case."))
}
