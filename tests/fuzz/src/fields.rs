//! What both encodings of bodies are held to: the same verdicts, told at the same places, and fields
//! that come back when they are written again. Knows no encoding's bytes but those it writes.

use larder_api::codec::{self, Field, Node};
use larder_api::error::Error;
use larder_wire::Encoding;

/// Fields that are asked for.
pub const FIELDS: usize = 6;
/// Their names.
pub static NAMES: [&str; FIELDS] = ["key", "value", "ttl_ms", "version", "namespace", "behavior"];

/// The one of them that takes any bytes, in strings too where the encoding lets them hold any.
pub const BYTES: &str = "value";

/// A decoder under test.
pub type Decoder = dyn for<'a> Fn(&'a [u8], Encoding) -> Result<[Field<'a>; FIELDS], Error>;

/// Longest sentence that a refusal may hold, in bytes: it is sent to who made a mistake.
const DETAIL_BYTES_MAX: usize = 200;

/// What a body must be taken for.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// Not well-formed.
    Malformed,
    /// Well-formed, and wrong at this place.
    Wrong(&'static str),
    /// These fields, by the order of [`NAMES`].
    Fields([Option<Node<'a>>; FIELDS]),
    /// Well-formed; whether a number on the edge of what can be held is held is nobody's promise.
    Either,
}

/// The fields of a document as they come, by the rules that hold in both encodings.
#[derive(Debug, Default)]
pub struct Document<'a> {
    nodes: [Option<Node<'a>>; FIELDS],
    twice: Option<&'static str>,
}

impl<'a> Document<'a> {
    /// Takes a field.
    pub fn put(&mut self, name: &'static str, node: Node<'a>) {
        let at = NAMES.iter().position(|known| *known == name);
        let before = at.and_then(|at| self.nodes[at].replace(node));
        if before.is_some() && self.twice.is_none() {
            self.twice = Some(name);
        }
    }

    /// What the document is.
    #[must_use]
    pub fn verdict(self) -> Verdict<'a> {
        self.twice.map_or(Verdict::Fields(self.nodes), Verdict::Wrong)
    }
}

/// The known name that equals `name`.
#[must_use]
pub fn known(name: &[u8]) -> Option<&'static str> {
    NAMES.into_iter().find(|known| known.as_bytes() == name)
}

/// The decoder that the guest uses.
///
/// # Errors
/// Its own.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<[Field<'_>; FIELDS], Error> {
    codec::decode_with_bytes(body, encoding, &NAMES, Some(BYTES))
}

/// Holds what `decoder` says of `body` against the `wanted` verdict.
///
/// # Errors
/// Where they differ.
pub fn judge(
    body: &[u8],
    encoding: Encoding,
    wanted: &Verdict<'_>,
    decoder: &Decoder,
) -> Result<(), String> {
    let found = decoder(body, encoding);
    match (wanted, &found) {
        (Verdict::Malformed, Err(error)) => refused(error, 400, "invalid-encoding", None),
        (Verdict::Wrong(place), Err(error)) => refused(error, 422, "invalid-data", Some(place)),
        (Verdict::Either, Err(error)) if error.status == 422 => Ok(()),
        (Verdict::Either, Ok(fields)) => come_back(fields, decoder),
        (Verdict::Fields(nodes), Ok(fields)) => {
            for ((field, node), name) in fields.iter().zip(nodes).zip(NAMES) {
                if field.name != name || field.node != *node {
                    return Err(format!("{name} is {:?}, not {node:?}", field.node));
                }
            }
            come_back(fields, decoder)
        }
        (_, Err(error)) => Err(format!("wanted {wanted:?}, found {error:?}")),
        (_, Ok(_)) => Err(format!("wanted {wanted:?}, found fields")),
    }
}

fn refused(error: &Error, status: u16, code: &str, place: Option<&str>) -> Result<(), String> {
    let told = (error.status, error.code, error.location.as_deref());
    if told != (status, code, place) {
        return Err(format!("wanted {:?}, found {error:?}", (status, code, place)));
    }
    if error.detail.is_empty() || error.detail.len() > DETAIL_BYTES_MAX {
        return Err(format!("a detail of {} bytes", error.detail.len()));
    }
    Ok(())
}

/// Writes the fields in each encoding and decodes them again.
fn come_back(fields: &[Field<'_>; FIELDS], decoder: &Decoder) -> Result<(), String> {
    for (encoding, body) in
        [(Encoding::Json, to_json(fields)), (Encoding::MessagePack, to_msgpack(fields))]
    {
        let again = decoder(&body, encoding);
        let again = again.map_err(|error| format!("{encoding:?} again: {error:?}"))?;
        for (field, again) in fields.iter().zip(&again) {
            let same = match (&field.node, &again.node) {
                (Some(Node::Bin(bytes)), Some(Node::ByteArray(again))) => **bytes == **again,
                // These have no content to be written.
                (Some(Node::Elements(_) | Node::Other(_) | Node::OtherArray(_)), None) => true,
                (node, again) => node == again,
            };
            if !same {
                return Err(format!("{encoding:?} again: {:?}, not {:?}", again.node, field.node));
            }
        }
    }
    Ok(())
}

fn to_json(fields: &[Field<'_>; FIELDS]) -> Vec<u8> {
    let mut body = serde_json::Map::new();
    for field in fields {
        let value = match &field.node {
            Some(Node::Null) => serde_json::Value::Null,
            Some(Node::Unsigned(number)) => (*number).into(),
            Some(Node::Negative(number)) => (*number).into(),
            Some(Node::Boolean(value)) => (*value).into(),
            Some(Node::Text(text)) => text.as_ref().into(),
            Some(Node::Bin(bytes)) => bytes.as_ref().into(),
            Some(Node::ByteArray(bytes)) => bytes.as_slice().into(),
            None | Some(Node::Elements(_) | Node::OtherArray(_) | Node::Other(_)) => continue,
        };
        body.insert(field.name.to_owned(), value);
    }
    serde_json::Value::Object(body).to_string().into_bytes()
}

fn to_msgpack(fields: &[Field<'_>; FIELDS]) -> Vec<u8> {
    let mut pairs = Vec::new();
    for field in fields {
        let value = match &field.node {
            Some(Node::Null) => rmpv::ValueRef::Nil,
            Some(Node::Unsigned(number)) => (*number).into(),
            Some(Node::Negative(number)) => (*number).into(),
            Some(Node::Boolean(value)) => rmpv::ValueRef::Boolean(*value),
            Some(Node::Text(text)) => rmpv::ValueRef::String(text.as_ref().into()),
            Some(Node::Bin(bytes)) => rmpv::ValueRef::Binary(bytes),
            Some(Node::ByteArray(bytes)) => {
                rmpv::ValueRef::Array(bytes.iter().map(|byte| (*byte).into()).collect())
            }
            None | Some(Node::Elements(_) | Node::OtherArray(_) | Node::Other(_)) => continue,
        };
        pairs.push((rmpv::ValueRef::String(field.name.into()), value));
    }
    let mut body = Vec::new();
    // A vector takes every byte.
    let _ = rmpv::encode::write_value_ref(&mut body, &rmpv::ValueRef::Map(pairs));
    body
}
