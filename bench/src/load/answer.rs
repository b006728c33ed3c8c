//! What is asked of a server and what its answer tells, whatever the protocol: success, conflict
//! or error, and the version in it.

use std::io;

use larder_wire::Encoding;

use super::latency::Done;
use super::template::Template;

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// Read a key.
    Get(u32),
    /// Write a key.
    Set(u32),
    /// Write a key if it has this version.
    SetExpecting(u32, u64),
}

impl Ask {
    /// Whether it writes.
    pub fn is_set(self) -> bool {
        !matches!(self, Self::Get(_))
    }

    /// Chooses the request and writes what differs into it.
    pub fn write_into<'a>(self, get: &'a mut Template, set: &'a mut Template) -> &'a Template {
        match self {
            Self::Get(key) => {
                get.set_key(key);
                get
            }
            Self::Set(key) => {
                set.set_key(key);
                set
            }
            Self::SetExpecting(key, version) => {
                set.set_key(key);
                set.set_version(version);
                set
            }
        }
    }
}

/// An answer, borrowed from its connection.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status of HTTP; other protocols give 200, or fail themselves.
    pub status: u16,
    /// The body, or a part of it when it is large.
    pub body: &'a [u8],
    /// All bytes of the body.
    pub body_bytes: usize,
}

impl Answer<'_> {
    /// Success or conflict; an error for all else. A get must bring at least the value.
    pub fn judge(&self, ask: Ask, value_bytes: usize) -> io::Result<Done> {
        let found = ask.is_set() || self.body_bytes >= value_bytes;
        match self.status {
            200 if found => Ok(Done::Success),
            200 => Err(io::Error::other(format!("{ask:?} found no value"))),
            400 if self.is_conflict(ask) => Ok(Done::Conflict),
            status => {
                let body = String::from_utf8_lossy(self.body);
                Err(io::Error::other(format!("{ask:?} was answered {status}: {body}")))
            }
        }
    }

    fn is_conflict(&self, ask: Ask) -> bool {
        let says = self.body.windows(8).any(|window| window == b"conflict");
        matches!(ask, Ask::SetExpecting(..)) && says
    }

    /// The version that stands at the body's end.
    pub fn version(&self, encoding: Encoding) -> io::Result<u64> {
        let missing = || io::Error::other("an answer without a version");
        let name = b"version";
        let at = self.body.windows(name.len()).rposition(|window| window == name);
        let rest = &self.body[at.ok_or_else(missing)? + name.len()..];
        let version = match encoding {
            Encoding::MessagePack => msgpack_number(rest),
            Encoding::Json => json_number(rest),
        };
        version.ok_or_else(missing)
    }
}

fn msgpack_number(bytes: &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let width = match *first {
        small @ 0..=0x7f => return Some(u64::from(small)),
        0xcc => 1,
        0xcd => 2,
        0xce => 4,
        0xcf => 8,
        _ => return None,
    };
    let digits = rest.get(..width)?;
    Some(digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn json_number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.strip_prefix(b"\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use larder_api::endpoint::{get, set};

    use super::*;

    fn answer(status: u16, body: &[u8]) -> Answer<'_> {
        Answer { status, body, body_bytes: body.len() }
    }

    #[test]
    fn versions_of_every_width_are_found() {
        for encoding in [Encoding::MessagePack, Encoding::Json] {
            for version in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1 << 40, (1 << 53) - 1] {
                let of_get = get::encode(None, version, Some(b"version"), encoding);
                assert_eq!(answer(200, &of_get).version(encoding).ok(), Some(version));
                let of_set = set::encode(version, encoding);
                assert_eq!(answer(200, &of_set).version(encoding).ok(), Some(version));
            }
        }
        assert!(answer(200, b"{}").version(Encoding::Json).is_err());
    }

    #[test]
    fn only_a_set_that_expects_can_conflict() {
        let body = br#"{"code":"conflict"}"#;
        let judge = |status, ask| answer(status, body).judge(ask, 0);
        assert_eq!(judge(400, Ask::SetExpecting(1, 2)).ok(), Some(Done::Conflict));
        assert!(judge(400, Ask::Set(1)).is_err());
        assert!(judge(500, Ask::SetExpecting(1, 2)).is_err());
        assert!(answer(400, b"other").judge(Ask::SetExpecting(1, 2), 0).is_err());
        assert!(judge(200, Ask::Get(1)).is_ok());
    }

    #[test]
    fn a_get_without_a_value_is_an_error() {
        assert!(answer(200, b"short").judge(Ask::Get(1), 100).is_err());
        assert!(answer(200, b"short").judge(Ask::Set(1), 100).is_ok());
    }
}
