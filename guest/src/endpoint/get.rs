//! `v1.kv.get`: reads one key. An absent or expired key is an answer, not an error.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use larder_wire::Encoding;
use rmp::encode::ByteBuf;

use crate::answer;
use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, Entry};
use crate::call::Call;
use crate::codec;
use crate::error::Error;
use crate::json;
use crate::options::{Consistency, Key, Namespace, Parse, required};

/// Bytes of a large value that are turned into JSON at a time.
const JSON_CHUNK_BYTES: u64 = 256 << 10;

/// A valid request.
pub struct Get<'a> {
    /// The namespace to read in.
    pub namespace: Option<Namespace<'a>>,
    /// The key to read.
    pub key: Key<'a>,
}

/// Decodes and validates the body.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Get<'_>, Error> {
    let names = &["namespace", "key", "consistency"];
    let [namespace, key, consistency] = codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(namespace)?;
    let key = Key::parse(key)?;
    Consistency::parse(consistency)?;
    Ok(Get { namespace, key: required("key", key)? })
}

/// Reads the key.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let Get { namespace, key } = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let entry = storage::get(namespace, &key.0)
        .map_err(|error| Error::of_storage(&error, "get", namespace))?;
    let body = match entry {
        None => vec![Content::Bytes(encode(None, 0, None, call.answer))],
        Some(Entry { value: Content::Bytes(value), version, expiry }) => {
            vec![Content::Bytes(encode(expiry, version, Some(&value), call.answer))]
        }
        Some(Entry { value: Content::Blob(value), version, expiry }) => {
            encode_large(expiry, version, value, call.answer)
        }
    };
    Ok(answer::parts(200, call.answer, body))
}

/// Encodes an answer whose value is in this memory.
#[must_use]
pub fn encode(
    expiry: Option<u64>,
    version: u64,
    value: Option<&[u8]>,
    encoding: Encoding,
) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let mut body = Vec::with_capacity(64 + 4 * value.map_or(0, <[u8]>::len));
            json_head(&mut body, expiry);
            match value {
                None => body.extend_from_slice(b"null"),
                Some(value) => {
                    body.push(b'[');
                    json::bytes(&mut body, value, true);
                    body.push(b']');
                }
            }
            json_tail(&mut body, version);
            body
        }
        Encoding::MessagePack => {
            let mut body = ByteBuf::with_capacity(64 + value.map_or(0, <[u8]>::len));
            let length = value.map(<[u8]>::len);
            msgpack_head(&mut body, expiry, length);
            body.as_mut_vec().extend_from_slice(value.unwrap_or_default());
            msgpack_tail(&mut body, version);
            body.into_vec()
        }
    }
}

/// Encodes an answer around a value that is with the host. As MessagePack the value never enters this memory;
/// as JSON it is read in chunks, and the text of each becomes a blob of its own.
fn encode_large(
    expiry: Option<u64>,
    version: u64,
    value: Blob,
    encoding: Encoding,
) -> Vec<Content> {
    let length = value.length();
    let mut parts = Vec::with_capacity(3 + (length / JSON_CHUNK_BYTES) as usize);
    match encoding {
        Encoding::Json => {
            let (mut head, mut tail) = (Vec::new(), Vec::new());
            json_head(&mut head, expiry);
            head.push(b'[');
            parts.push(Content::Bytes(head));
            // Allocated before the chunks: each of them is then the newest block when it is freed.
            let mut text = Vec::with_capacity(4 * length.min(JSON_CHUNK_BYTES) as usize);
            for offset in (0..length).step_by(JSON_CHUNK_BYTES as usize) {
                let chunk = value.read(offset, JSON_CHUNK_BYTES);
                text.clear();
                json::bytes(&mut text, &chunk, offset == 0);
                parts.push(Content::Blob(Blob::new(&text)));
            }
            tail.push(b']');
            json_tail(&mut tail, version);
            parts.push(Content::Bytes(tail));
        }
        Encoding::MessagePack => {
            let (mut head, mut tail) = (ByteBuf::new(), ByteBuf::new());
            msgpack_head(&mut head, expiry, Some(length as usize));
            msgpack_tail(&mut tail, version);
            parts.push(Content::Bytes(head.into_vec()));
            parts.push(Content::Blob(value));
            parts.push(Content::Bytes(tail.into_vec()));
        }
    }
    parts
}

fn json_head(out: &mut Vec<u8>, expiry: Option<u64>) {
    out.extend_from_slice(b"{\"expiry\":");
    match expiry {
        None => out.extend_from_slice(b"null"),
        Some(expiry) => out.extend_from_slice(expiry.to_string().as_bytes()),
    }
    out.extend_from_slice(b",\"value\":");
}

fn json_tail(out: &mut Vec<u8>, version: u64) {
    out.extend_from_slice(b",\"version\":");
    out.extend_from_slice(version.to_string().as_bytes());
    out.push(b'}');
}

/// Everything before the value's bytes. Results are ignored because writing to memory cannot fail.
fn msgpack_head(out: &mut ByteBuf, expiry: Option<u64>, length: Option<usize>) {
    out.as_mut_vec().extend_from_slice(b"\x83\xa6expiry");
    match expiry {
        None => out.as_mut_vec().push(NIL),
        Some(expiry) => msgpack_number(out, expiry),
    }
    out.as_mut_vec().extend_from_slice(b"\xa5value");
    match length {
        None => out.as_mut_vec().push(NIL),
        Some(length) => {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            let _ = rmp::encode::write_bin_len(out, length);
        }
    }
}

const NIL: u8 = 0xc0;

fn msgpack_tail(out: &mut ByteBuf, version: u64) {
    out.as_mut_vec().extend_from_slice(b"\xa7version");
    msgpack_number(out, version);
}

fn msgpack_number(out: &mut ByteBuf, number: u64) {
    let _ = rmp::encode::write_uint(out, number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_key_has_all_three_fields() {
        let json = br#"{"expiry":null,"value":null,"version":0}"#;
        assert_eq!(encode(None, 0, None, Encoding::Json), json);
        let msgpack = b"\x83\xa6expiry\xc0\xa5value\xc0\xa7version\x00";
        assert_eq!(encode(None, 0, None, Encoding::MessagePack), msgpack);
    }

    #[test]
    fn every_byte_is_written_as_a_number_in_json() {
        let value: Vec<u8> = (0..=255).collect();
        let body = encode(Some(1), 2, Some(&value), Encoding::Json);
        let parsed: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(parsed, serde_json::json!({"expiry": 1, "value": value, "version": 2}));
    }

    #[test]
    fn values_are_bin_of_every_width_in_messagepack() {
        for length in [0, 255, 256, 65_535, 65_536] {
            let value = vec![7; length];
            let body = encode(Some(1), 1 << 40, Some(&value), Encoding::MessagePack);
            let names = &["expiry", "value", "version"];
            let [expiry, found, version] =
                codec::decode(&body, Encoding::MessagePack, names).expect("MessagePack");
            assert_eq!(expiry.node, Some(codec::Node::Unsigned(1)));
            assert_eq!(found.node, Some(codec::Node::Bin(value.into())));
            assert_eq!(version.node, Some(codec::Node::Unsigned(1 << 40)));
        }
    }
}
