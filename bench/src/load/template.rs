//! Requests as bytes that are made once; only keys and the expected version are written anew for
//! each request, in their places. Knows the forms of every server's gets and sets and no socket.

use larder_wire::Encoding;

use super::keys::{self, KEY_BYTES};

/// The admin token of every server that is measured.
pub const TOKEN: &str = "bench-token";
/// Digits of a version in JSON: as many as 2^53 has.
const VERSION_DIGITS: usize = 16;

/// A request, or the body of one.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    keys_at: Vec<usize>,
    version: Option<VersionPlace>,
}

#[derive(Clone, Copy, Debug)]
struct VersionPlace {
    at: usize,
    encoding: Encoding,
}

impl Template {
    /// Bytes with keys in these places, and no expected version.
    pub fn new(bytes: Vec<u8>, keys_at: Vec<usize>) -> Self {
        Self { bytes, keys_at, version: None }
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes a key in its place.
    pub fn set_key(&mut self, number: u32) {
        self.set_keys(&[number]);
    }

    /// Writes keys in their places, from the first on.
    pub fn set_keys(&mut self, numbers: &[u32]) {
        for (number, at) in numbers.iter().zip(&self.keys_at) {
            keys::write_number(*number, &mut self.bytes[*at..]);
        }
    }

    /// Writes an expected version in its place, if there is one.
    pub fn set_version(&mut self, version: u64) {
        let Some(VersionPlace { at, encoding }) = self.version else { return };
        match encoding {
            Encoding::MessagePack => {
                self.bytes[at..at + 8].copy_from_slice(&version.to_be_bytes());
            }
            Encoding::Json => {
                let digits = format!("{version:>VERSION_DIGITS$}");
                self.bytes[at..at + VERSION_DIGITS].copy_from_slice(digits.as_bytes());
            }
        }
    }

    /// The same with `head` before it.
    fn behind(mut self, head: &[u8]) -> Self {
        self.bytes.splice(0..0, head.iter().copied());
        for at in &mut self.keys_at {
            *at += head.len();
        }
        if let Some(version) = &mut self.version {
            version.at += head.len();
        }
        self
    }
}

/// What a set carries besides its key.
#[derive(Clone, Copy, Debug)]
pub struct SetForm {
    /// Size of the value.
    pub value_bytes: usize,
    /// Whether it names the version that it expects.
    pub expects: bool,
}

/// The body of a get (without `set`) or a set of the key-value API.
pub fn api_body(encoding: Encoding, set: Option<SetForm>) -> Template {
    let mut bytes = Vec::new();
    let mut version = None;
    let key = keys::name(0);
    let key_at = match encoding {
        Encoding::MessagePack => {
            let fields = 1 + set.map_or(0, |set| 1 + u8::from(set.expects));
            bytes.extend_from_slice(&[0x80 | fields, 0xa3]);
            bytes.extend_from_slice(b"key");
            bytes.push(0xa0 | KEY_BYTES as u8);
            bytes.len()
        }
        Encoding::Json => {
            bytes.extend_from_slice(b"{\"key\":\"");
            bytes.len()
        }
    };
    bytes.extend_from_slice(&key);
    if encoding == Encoding::Json {
        bytes.push(b'"');
    }
    if let Some(set) = set {
        push_value(&mut bytes, encoding, set.value_bytes);
        if set.expects {
            version = Some(push_version(&mut bytes, encoding));
        }
    }
    if encoding == Encoding::Json {
        bytes.push(b'}');
    }
    Template { bytes, keys_at: vec![key_at], version }
}

/// The field of a value.
pub fn push_value(bytes: &mut Vec<u8>, encoding: Encoding, length: usize) {
    match encoding {
        Encoding::MessagePack => {
            bytes.extend_from_slice(b"\xa5value\xc6");
            bytes.extend_from_slice(&(length as u32).to_be_bytes());
            bytes.resize(bytes.len() + length, b'v');
        }
        Encoding::Json => {
            bytes.extend_from_slice(b",\"value\":\"");
            bytes.resize(bytes.len() + length, b'v');
            bytes.push(b'"');
        }
    }
}

fn push_version(bytes: &mut Vec<u8>, encoding: Encoding) -> VersionPlace {
    let at = match encoding {
        Encoding::MessagePack => {
            bytes.extend_from_slice(b"\xa7version\xcf");
            bytes.len()
        }
        Encoding::Json => {
            bytes.extend_from_slice(b",\"version\":");
            bytes.len()
        }
    };
    match encoding {
        Encoding::MessagePack => bytes.extend_from_slice(&[0; 8]),
        Encoding::Json => bytes.extend_from_slice(format!("{:>VERSION_DIGITS$}", 0).as_bytes()),
    }
    VersionPlace { at, encoding }
}

/// The path of a get or a set.
pub fn api_path(is_set: bool) -> &'static str {
    if is_set { "/api/v1.kv.set" } else { "/api/v1.kv.get" }
}

/// A whole HTTP/1.1 request of the key-value API.
pub fn http1(encoding: Encoding, set: Option<SetForm>) -> Template {
    post(api_path(set.is_some()), encoding, api_body(encoding, set))
}

/// A whole HTTP/1.1 request of a route and a body.
pub fn post(path: &str, encoding: Encoding, body: Template) -> Template {
    let length = body.bytes.len();
    let content_type = encoding.content_type();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\naccept: {content_type}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    body.behind(head.as_bytes())
}

/// A `GET` or `SET` of Redis.
pub fn resp(set: Option<SetForm>) -> Template {
    let head = match set {
        None => format!("*2\r\n$3\r\nGET\r\n${KEY_BYTES}\r\n"),
        Some(_) => format!("*3\r\n$3\r\nSET\r\n${KEY_BYTES}\r\n"),
    };
    let mut bytes = head.into_bytes();
    let key_at = bytes.len();
    bytes.extend_from_slice(&keys::name(0));
    bytes.extend_from_slice(b"\r\n");
    if let Some(set) = set {
        bytes.extend_from_slice(format!("${}\r\n", set.value_bytes).as_bytes());
        bytes.resize(bytes.len() + set.value_bytes, b'v');
        bytes.extend_from_slice(b"\r\n");
    }
    Template::new(bytes, vec![key_at])
}

/// A `RangeRequest` or `PutRequest` of etcd in the frame of gRPC: field 1 is the key, field 2 the
/// value, both of wire type 2.
pub fn etcd(set: Option<SetForm>) -> Template {
    let mut bytes = vec![0x0a, KEY_BYTES as u8];
    let key_at = bytes.len();
    bytes.extend_from_slice(&keys::name(0));
    if let Some(set) = set {
        bytes.push(0x12);
        push_varint(&mut bytes, set.value_bytes);
        bytes.resize(bytes.len() + set.value_bytes, b'v');
    }
    let length = (bytes.len() as u32).to_be_bytes();
    let [a, b, c, d] = length;
    Template::new(bytes, vec![key_at]).behind(&[0, a, b, c, d])
}

/// The path of etcd's get or put.
pub fn etcd_path(is_set: bool) -> &'static str {
    if is_set { "/etcdserverpb.KV/Put" } else { "/etcdserverpb.KV/Range" }
}

fn push_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use larder_api::endpoint::{get, set};

    use super::*;

    const FORM: SetForm = SetForm { value_bytes: 300, expects: true };

    #[test]
    fn the_api_reads_what_is_written_in_both_encodings() {
        for encoding in [Encoding::MessagePack, Encoding::Json] {
            let mut template = api_body(encoding, Some(FORM));
            for (key, version) in [(7, 1), (12_345_678, (1 << 53) - 1), (0, 0)] {
                template.set_key(key);
                template.set_version(version);
                let set = set::decode(template.bytes(), encoding).expect("a set");
                assert_eq!(set.key.0.as_bytes(), keys::name(key));
                assert_eq!(set.options.version, Some(version));
                assert_eq!(&*set.value.0, vec![b'v'; 300]);
            }
            let mut template = api_body(encoding, None);
            template.set_key(42);
            let get = get::decode(template.bytes(), encoding).expect("a get");
            assert_eq!(get.key.0, "key-00000042");
            let plain = api_body(encoding, Some(SetForm { expects: false, ..FORM }));
            let set = set::decode(plain.bytes(), encoding).expect("a set");
            assert_eq!(set.options.version, None);
        }
    }

    #[test]
    fn places_move_with_the_head() {
        let mut request = http1(Encoding::MessagePack, Some(FORM));
        request.set_key(99);
        request.set_version(5);
        let text = String::from_utf8_lossy(request.bytes()).into_owned();
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        let body = &request.bytes()[head.len() + 4..];
        assert!(head.starts_with("POST /api/v1.kv.set HTTP/1.1\r\n"));
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        let set = set::decode(body, Encoding::MessagePack).expect("a set");
        assert_eq!((&*set.key.0, set.options.version), ("key-00000099", Some(5)));
    }

    #[test]
    fn redis_commands_are_arrays_of_bulk_strings() {
        let mut get = resp(None);
        get.set_key(3);
        assert_eq!(get.bytes(), b"*2\r\n$3\r\nGET\r\n$12\r\nkey-00000003\r\n");
        let set = resp(Some(SetForm { value_bytes: 2, expects: false }));
        let expected = b"*3\r\n$3\r\nSET\r\n$12\r\nkey-00000000\r\n$2\r\nvv\r\n";
        assert_eq!(set.bytes(), expected);
    }

    #[test]
    fn etcd_requests_are_framed_protobuf() {
        let mut get = etcd(None);
        get.set_key(1);
        assert_eq!(get.bytes(), b"\0\0\0\0\x0e\x0a\x0ckey-00000001");
        let set = etcd(Some(FORM));
        assert_eq!(&set.bytes()[..5], &[0, 0, 0, 1, 61], "14 and 3 and 300 bytes");
        assert_eq!(&set.bytes()[19..22], &[0x12, 0xac, 0x02]);
        assert_eq!(set.bytes().len(), 5 + 317);
    }
}
