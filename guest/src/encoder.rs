//! Encodes nested answers as JSON or MessagePack, in parts where they are long: what is done with is handed
//! to the host, and large values that are there already stay there. Knows no endpoint.

use alloc::vec;
use alloc::vec::Vec;

use larder_wire::Encoding;
use rmp::encode::ByteBuf;

use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::json;

/// Length from which on encoded bytes are handed to the host, so that this memory does not grow with them.
const PART_BYTES: usize = 256 << 10;
/// Bytes of a large value that are turned into JSON at a time.
const JSON_CHUNK_BYTES: u64 = 256 << 10;
/// Whole numbers from minus this to this are exact in every reader of JSON.
const EXACT_MAX: u64 = 1 << 53;
/// Nil in MessagePack.
const NIL: u8 = 0xc0;

/// An answer that is being encoded. Maps and arrays are begun with the number of what is in them, and ended.
pub struct Encoder {
    encoding: Encoding,
    /// What is encoded and not handed on.
    out: ByteBuf,
    parts: Vec<Content>,
    /// Whether a comma has to come before the next name or value, in JSON.
    comma: bool,
}

impl Encoder {
    /// Nothing yet, and room for `bytes` of it.
    pub fn new(encoding: Encoding, bytes: usize) -> Self {
        // Allocated in this order: then `out` is the newest block, which grows where it is.
        let parts = Vec::with_capacity(8);
        let out = ByteBuf::with_capacity(bytes.min(PART_BYTES));
        Self { encoding, out, parts, comma: false }
    }

    /// The parts of the answer.
    pub fn into_parts(mut self) -> Vec<Content> {
        if self.parts.is_empty() {
            return vec![Content::Bytes(self.out.into_vec())];
        }
        self.parts.push(Content::Bytes(self.out.into_vec()));
        self.parts
    }

    /// Begins a map of so many names.
    pub fn begin_map(&mut self, names: usize) {
        self.begin(b'{', 0x80, 0xde, names);
    }

    /// Ends a map.
    pub fn end_map(&mut self) {
        self.end(b'}');
    }

    /// Begins an array of so many elements.
    pub fn begin_array(&mut self, elements: usize) {
        self.begin(b'[', 0x90, 0xdc, elements);
    }

    /// Ends an array.
    pub fn end_array(&mut self) {
        self.end(b']');
    }

    /// Ends a line of JSON; the next value stands in one of its own.
    pub fn end_line(&mut self) {
        self.out.as_mut_vec().push(b'\n');
        self.comma = false;
    }

    /// The name of the next value: up to 31 bytes of plain ASCII.
    pub fn name(&mut self, name: &str) {
        match self.encoding {
            Encoding::Json => {
                self.separate();
                self.out.as_mut_vec().push(b'"');
                self.out.as_mut_vec().extend_from_slice(name.as_bytes());
                self.out.as_mut_vec().extend_from_slice(b"\":");
                self.comma = false;
            }
            Encoding::MessagePack => {
                self.out.as_mut_vec().push(0xa0 | name.len() as u8);
                self.out.as_mut_vec().extend_from_slice(name.as_bytes());
            }
        }
    }

    /// Null.
    pub fn null(&mut self) {
        self.value(|out| out.extend_from_slice(b"null"), |out| out.as_mut_vec().push(NIL));
    }

    /// A boolean.
    pub fn flag(&mut self, flag: bool) {
        let word: &[u8] = if flag { b"true" } else { b"false" };
        self.value(
            |out| out.extend_from_slice(word),
            |out| out.as_mut_vec().push(0xc2 | u8::from(flag)),
        );
    }

    /// A whole number.
    pub fn number(&mut self, number: u64) {
        self.value(
            |out| json::number(out, number),
            // Writing to memory cannot fail, here and below.
            |out| {
                let _ = rmp::encode::write_uint(out, number);
            },
        );
    }

    /// A whole number, or null.
    pub fn optional_number(&mut self, number: Option<u64>) {
        match number {
            None => self.null(),
            Some(number) => self.number(number),
        }
    }

    /// A whole number with a sign; as text in JSON where a reader might round it.
    pub fn integer(&mut self, number: i64) {
        let digits = |out: &mut Vec<u8>| {
            let quote = number.unsigned_abs() > EXACT_MAX;
            out.extend_from_slice(if quote { b"\"" } else { b"" });
            out.extend_from_slice(if number < 0 { b"-" } else { b"" });
            json::number(out, number.unsigned_abs());
            out.extend_from_slice(if quote { b"\"" } else { b"" });
        };
        self.value(digits, |out| {
            let _ = rmp::encode::write_sint(out, number);
        });
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        self.value(
            |out| json::text(out, text),
            |out| {
                let _ = rmp::encode::write_str(out, text);
            },
        );
    }

    /// Text, or null.
    pub fn optional_text(&mut self, text: Option<&str>) {
        match text {
            None => self.null(),
            Some(text) => self.text(text),
        }
    }

    /// A value of bytes.
    pub fn content(&mut self, content: Content) {
        match content {
            Content::Bytes(bytes) => {
                self.bytes(&bytes);
                if self.out.as_vec().len() >= PART_BYTES {
                    self.hand_over();
                }
            }
            Content::Blob(blob) => self.blob(blob),
        }
    }

    /// A value of bytes, or null.
    pub fn optional_content(&mut self, content: Option<Content>) {
        match content {
            None => self.null(),
            Some(content) => self.content(content),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.value(
            |out| {
                out.reserve(4 * bytes.len() + 2);
                out.push(b'[');
                json::bytes(out, bytes, true);
                out.push(b']');
            },
            |out| {
                bin_length(out, bytes.len() as u64);
                out.as_mut_vec().extend_from_slice(bytes);
            },
        );
    }

    /// A value that is with the host. In MessagePack it never enters this memory; in JSON it does so in
    /// chunks.
    fn blob(&mut self, blob: Blob) {
        let length = blob.length();
        match self.encoding {
            Encoding::Json => {
                self.separate();
                self.out.as_mut_vec().push(b'[');
                for offset in (0..length).step_by(JSON_CHUNK_BYTES as usize) {
                    self.hand_over();
                    // Before the chunk is read: the chunk is then the newest block when it is freed.
                    self.out.as_mut_vec().reserve(4 * length.min(JSON_CHUNK_BYTES) as usize);
                    let chunk = blob.read(offset, JSON_CHUNK_BYTES);
                    json::bytes(self.out.as_mut_vec(), &chunk, offset == 0);
                }
                self.out.as_mut_vec().push(b']');
                self.comma = true;
            }
            Encoding::MessagePack => {
                bin_length(&mut self.out, length);
                let before = core::mem::take(&mut self.out);
                self.parts.extend([Content::Bytes(before.into_vec()), Content::Blob(blob)]);
            }
        }
    }

    /// Hands what is encoded to the host, and goes on in the memory that it took.
    fn hand_over(&mut self) {
        self.parts.push(Content::Blob(Blob::new(self.out.as_vec())));
        self.out.as_mut_vec().clear();
    }

    fn begin(&mut self, bracket: u8, short: u8, long: u8, length: usize) {
        match self.encoding {
            Encoding::Json => {
                self.separate();
                self.out.as_mut_vec().push(bracket);
                self.comma = false;
            }
            Encoding::MessagePack if length < 16 => {
                self.out.as_mut_vec().push(short | length as u8)
            }
            Encoding::MessagePack => {
                // No answer has more than 65,535 of anything.
                self.out.as_mut_vec().push(long);
                self.out.as_mut_vec().extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
    }

    fn end(&mut self, bracket: u8) {
        if self.encoding == Encoding::Json {
            self.out.as_mut_vec().push(bracket);
            self.comma = true;
        }
    }

    #[inline]
    fn value(&mut self, json: impl FnOnce(&mut Vec<u8>), msgpack: impl FnOnce(&mut ByteBuf)) {
        match self.encoding {
            Encoding::Json => {
                self.separate();
                json(self.out.as_mut_vec());
                self.comma = true;
            }
            Encoding::MessagePack => msgpack(&mut self.out),
        }
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.as_mut_vec().push(b',');
        }
    }
}

/// The head of a binary.
fn bin_length(out: &mut ByteBuf, length: u64) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let _ = rmp::encode::write_bin_len(out, length);
}

/// Bytes that a value takes here.
pub fn content_bytes(content: &Content) -> usize {
    match content {
        Content::Bytes(bytes) => bytes.len(),
        Content::Blob(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use serde_json::json;

    use super::*;

    /// Encodes something of every kind, in maps and arrays, long ones among them.
    fn encode(encoding: Encoding) -> Vec<u8> {
        let mut encoder = Encoder::new(encoding, 0);
        encoder.begin_map(4);
        encoder.name("numbers");
        encoder.begin_array(6);
        encoder.number(0);
        encoder.optional_number(Some(u64::MAX));
        encoder.optional_number(None);
        encoder.integer(-(1 << 53));
        encoder.integer(1 << 53);
        encoder.integer(7);
        encoder.end_array();
        encoder.name("beyond");
        encoder.begin_array(3);
        for number in [i64::MIN, -(1 << 53) - 1, (1 << 53) + 1] {
            encoder.integer(number);
        }
        encoder.end_array();
        encoder.name("long");
        encoder.begin_array(17);
        for flag in 0..15 {
            encoder.flag(flag % 2 == 1);
        }
        encoder.begin_map(0);
        encoder.end_map();
        encoder.begin_array(0);
        encoder.end_array();
        encoder.end_array();
        encoder.name("values");
        encoder.begin_array(5);
        encoder.text("a \"quote\"\n\u{e9}");
        encoder.optional_text(None);
        encoder.optional_content(Some(Content::Bytes(vec![0, 9, 10, 99, 100, 255])));
        encoder.optional_content(Some(Content::Bytes(Vec::new())));
        encoder.optional_content(None);
        encoder.end_array();
        encoder.end_map();
        let mut parts = encoder.into_parts();
        match (parts.pop(), parts.len()) {
            (Some(Content::Bytes(bytes)), 0) => bytes,
            _ => panic!("one part of bytes"),
        }
    }

    #[test]
    fn json_has_commas_and_brackets_where_they_belong() {
        let text = String::from_utf8(encode(Encoding::Json)).expect("UTF-8");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let flags = (0..15).map(|flag| json!(flag % 2 == 1)).chain([json!({}), json!([])]);
        let wanted = json!({
            "numbers": [0, u64::MAX, null, -(1_i64 << 53), 1_i64 << 53, 7],
            "beyond": ["-9223372036854775808", "-9007199254740993", "9007199254740993"],
            "long": flags.collect::<Vec<_>>(),
            "values": ["a \"quote\"\n\u{e9}", null, [0, 9, 10, 99, 100, 255], [], null],
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn messagepack_says_how_much_is_in_maps_and_arrays() {
        let flags = [0xc2, 0xc3].repeat(8);
        let wanted: &[&[u8]] = &[
            b"\x84\xa7numbers\x96\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc0",
            b"\xd3\xff\xe0\0\0\0\0\0\0\xcf\x00\x20\0\0\0\0\0\0\x07",
            b"\xa6beyond\x93\xd3\x80\0\0\0\0\0\0\0\xd3\xff\xdf\xff\xff\xff\xff\xff\xff",
            b"\xcf\x00\x20\0\0\0\0\0\x01",
            b"\xa4long\xdc\x00\x11",
            &flags[..15],
            b"\x80\x90",
            b"\xa6values\x95\xaca \"quote\"\n\xc3\xa9\xc0\xc4\x06\x00\x09\x0a\x63\x64\xff\xc4\x00\xc0",
        ];
        assert_eq!(encode(Encoding::MessagePack), wanted.concat());
    }
}
