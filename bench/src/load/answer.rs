//! What is asked of a server and what its answer tells, whatever the protocol: success, conflict
//! or error, and the version in it.

use std::io;

use larder_wire::Encoding;

use super::keys::{self, KEY_BYTES};
use super::latency::Done;
use super::stream::PAGE_KEYS;
use super::template::Template;

/// The least bytes of a batch's result: a map with a version.
const RESULT_BYTES_MIN: usize = 10;
/// More than the bytes of a page's entry, or of what follows the last one, without the value.
const ENTRY_BYTES_MAX: usize = 100;

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Read a key.
    Get(u32),
    /// Write a key.
    Set(u32),
    /// Write a key if it has this version.
    SetExpecting(u32, u64),
    /// Read the page behind a key.
    List(u32),
    /// Write keys, all or none.
    Batch(&'a [u32]),
    /// Add 1 to a number.
    Add(u32),
    /// Read a key through the plain face.
    GetPlain(u32),
}

impl Ask<'_> {
    /// Whether it writes.
    pub fn is_set(self) -> bool {
        !matches!(self, Self::Get(_) | Self::List(_) | Self::GetPlain(_))
    }

    /// Chooses the request and writes what differs into it.
    pub fn write_into<'t>(self, read: &'t mut Template, write: &'t mut Template) -> &'t Template {
        let template = if self.is_set() { write } else { read };
        match self {
            Self::Batch(keys) => template.set_keys(keys),
            Self::SetExpecting(key, version) => {
                template.set_key(key);
                template.set_version(version);
            }
            Self::Get(key) | Self::Set(key) | Self::List(key) => template.set_key(key),
            Self::Add(key) | Self::GetPlain(key) => template.set_key(key),
        }
        template
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
    /// Success or conflict; an error for all else, and for a success that does not say what it must.
    pub fn judge(&self, ask: Ask<'_>, value_bytes: usize) -> io::Result<Done> {
        match self.status {
            200 if self.is_whole(ask, value_bytes) => Ok(Done::Success),
            200 => Err(io::Error::other(format!("{ask:?} was answered without what it asks for"))),
            400 if self.is_conflict(ask) => Ok(Done::Conflict),
            status => {
                let body = String::from_utf8_lossy(self.body);
                Err(io::Error::other(format!("{ask:?} was answered {status}: {body}")))
            }
        }
    }

    /// Whether a success brings what was asked for, as far as can be told without reading all of it.
    fn is_whole(&self, ask: Ask<'_>, value_bytes: usize) -> bool {
        match ask {
            Ask::Set(_) | Ask::SetExpecting(..) => true,
            // Of other protocols the body holds more than the value.
            Ask::Get(_) => self.body_bytes >= value_bytes,
            Ask::GetPlain(_) => self.body_bytes == value_bytes,
            Ask::List(after) => self.is_page(after, value_bytes),
            Ask::Batch(keys) => self
                .elements(b"results", keys.len())
                .is_some_and(|results| results.len() >= keys.len() * RESULT_BYTES_MIN),
            Ask::Add(_) => self.sum().is_some_and(|sum| sum > 0),
        }
    }

    /// Whether it is the whole page behind a key, where all keys are there: so many entries, of which the
    /// first and the last are the right ones, and enough bytes for all keys and values.
    fn is_page(&self, after: u32, value_bytes: usize) -> bool {
        let count = PAGE_KEYS as usize;
        let Some(entries) = self.elements(b"entries", count) else { return false };
        let holds = |bytes: &[u8], number| {
            bytes.windows(KEY_BYTES).any(|window| window == keys::name(number))
        };
        let first = &entries[..ENTRY_BYTES_MAX.min(entries.len())];
        let last = &entries[entries.len().saturating_sub(value_bytes + ENTRY_BYTES_MAX)..];
        self.body_bytes >= count * (KEY_BYTES + value_bytes)
            && holds(first, after + 1)
            && holds(last, after + PAGE_KEYS)
    }

    /// What follows the head of an array in MessagePack that has so many elements, more than 15, and
    /// whose name stands first in the answer's map.
    fn elements(&self, name: &[u8], count: usize) -> Option<&[u8]> {
        let head = self.body.get(2..)?.strip_prefix(name)?.strip_prefix(&[0xdc])?;
        head.strip_prefix(&(count as u16).to_be_bytes())
    }

    /// The sum that stands first in the answer's map, in MessagePack.
    fn sum(&self) -> Option<u64> {
        msgpack_number(self.body.get(2..)?.strip_prefix(b"value")?)
    }

    fn is_conflict(&self, ask: Ask<'_>) -> bool {
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

    /// A page's answer as the API has it: these keys with values of so many bytes.
    fn page(numbers: impl ExactSizeIterator<Item = u32>, value_bytes: usize) -> Vec<u8> {
        let mut body = b"\x83\xa7entries\xdc".to_vec();
        body.extend_from_slice(&(numbers.len() as u16).to_be_bytes());
        let mut last = [0; KEY_BYTES];
        for number in numbers {
            last = keys::name(number);
            body.extend_from_slice(b"\x84\xa3key\xac");
            body.extend_from_slice(&last);
            body.extend_from_slice(b"\xa7version\x09\xa6expiry\xc0\xa5value\xc4");
            body.push(value_bytes as u8);
            body.resize(body.len() + value_bytes, b'v');
        }
        body.extend_from_slice(b"\xa5after\xac");
        body.extend_from_slice(&last);
        body.extend_from_slice(b"\xa6newest\x09");
        body
    }

    #[test]
    fn a_page_has_all_of_the_keys_that_follow_with_their_values() {
        let judge = |body: &[u8]| answer(200, body).judge(Ask::List(7), 100);
        assert_eq!(judge(&page(8..108, 100)).ok(), Some(Done::Success));
        for (fault, body) in [
            ("one too few", page(8..107, 100)),
            ("another first", page(7..107, 100)),
            (
                "another last",
                page([8; 99].into_iter().chain([109]).collect::<Vec<_>>().into_iter(), 100),
            ),
            ("no values", page(8..108, 0)),
            ("nothing", Vec::new()),
        ] {
            assert!(judge(&body).is_err(), "{fault}");
        }
    }

    #[test]
    fn a_batch_has_a_result_for_each_operation() {
        let results = |count: usize| {
            let head = [b"\x81\xa7results\xdc\0", &[count as u8][..]].concat();
            [head, b"\x81\xa7version\xcd\x01\x02".repeat(count)].concat()
        };
        let keys = [0; 100];
        let judge = |body: &[u8]| answer(200, body).judge(Ask::Batch(&keys), 100);
        assert_eq!(judge(&results(100)).ok(), Some(Done::Success));
        assert!(judge(&results(99)).is_err());
        assert!(judge(&results(100)[..500]).is_err());
        assert!(answer(400, br#"{"code":"conflict"}"#).judge(Ask::Batch(&keys), 100).is_err());
    }

    #[test]
    fn an_add_tells_the_sum() {
        let judge = |body: &[u8]| answer(200, body).judge(Ask::Add(0), 8);
        assert!(judge(b"\x82\xa5value\xcd\x01\x00\xa7version\x09").is_ok());
        assert!(judge(b"\x82\xa5value\x00\xa7version\x09").is_err(), "nothing was added");
        assert!(judge(b"\x81\xa7version\x09").is_err());
    }

    #[test]
    fn the_plain_face_answers_the_value_alone() {
        assert!(answer(200, b"12345").judge(Ask::GetPlain(1), 5).is_ok());
        assert!(answer(200, b"123456").judge(Ask::GetPlain(1), 5).is_err());
        assert!(answer(404, b"12345").judge(Ask::GetPlain(1), 5).is_err());
    }

    #[test]
    fn a_get_without_a_value_is_an_error() {
        assert!(answer(200, b"short").judge(Ask::Get(1), 100).is_err());
        assert!(answer(200, b"short").judge(Ask::Set(1), 100).is_ok());
    }
}
