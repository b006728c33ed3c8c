//! Partial bodies: a large MessagePack body is read without its large binary, whose bytes stay with the
//! host. A value that is only passed on to the storage is never copied into the sandbox. Owns which range
//! of a body is elided and where the elided bytes are found; knows no field and no endpoint.

use alloc::vec::Vec;

use crate::codec;

/// How many of a body's first bytes are searched for the beginning of a large binary.
pub const HEAD_BYTES: u64 = 4 << 10;
/// In a body that is read whole, values from this size on are passed on by reference.
const BY_REFERENCE_BYTES_MIN: usize = 64 << 10;

/// A MessagePack document with an empty binary in place of the large one. It is well-formed exactly when
/// the whole document is.
pub struct PartialBody {
    /// The partial document.
    pub bytes: Vec<u8>,
    /// The range of the whole document that is not in it.
    pub elided: ElidedRange,
}

/// The content of the binary that was elided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElidedRange {
    /// The offset in the partial document at which the empty binary's content, of 0 bytes, stands.
    pub partial_offset: usize,
    /// The offset of the content in the whole document.
    pub offset: u64,
    /// The length of the content in bytes.
    pub length: u64,
}

/// Reads a document of `length` bytes without its large binary, by `read`, which returns so many bytes
/// from an offset on. None when no binary begins in the first `head` bytes and ends beyond them.
pub fn read_partially(
    length: u64,
    head: u64,
    read: impl Fn(u64, u64) -> Vec<u8>,
) -> Option<PartialBody> {
    let mut bytes = read(0, head.min(length));
    let found = codec::long_bin(&bytes)?;
    let (offset, bin_length) = (found.start as u64, found.length as u64);
    let end = offset.checked_add(bin_length).filter(|end| *end <= length)?;
    bytes.truncate(found.marker);
    bytes.extend(codec::EMPTY_BIN);
    let elided = ElidedRange { partial_offset: bytes.len(), offset, length: bin_length };
    bytes.extend(read(end, length - end));
    Some(PartialBody { bytes, elided })
}

/// Offset and length in the whole body of a value that can be passed on by reference: of the one that was
/// elided, or of a large one in a body that was read whole. `value` is a part of `body`.
#[must_use]
pub fn range_of(body: &[u8], elided: Option<ElidedRange>, value: &[u8]) -> Option<(u64, u64)> {
    let offset = value.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    match elided {
        Some(elided) => (offset == elided.partial_offset).then_some((elided.offset, elided.length)),
        None => {
            let is_large = value.len() >= BY_REFERENCE_BYTES_MIN;
            is_large.then_some((offset as u64, value.len() as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: u64 = 16;

    fn partial(body: &[u8]) -> Option<PartialBody> {
        read_partially(body.len() as u64, HEAD, |offset, length| {
            body[offset as usize..(offset + length) as usize].to_vec()
        })
    }

    #[test]
    fn a_large_binary_is_elided_wherever_its_field_stands() {
        let value = [&b"\xa1v\xc5\x01\x00"[..], &[7; 256]].concat();
        for (before, after) in
            [(&b"\x81"[..], &b""[..]), (b"\x82\xa1k\xa1x", b""), (b"\x82", b"\xa1k\x05")]
        {
            let body = [before, &value, after].concat();
            let PartialBody { bytes, elided } = partial(&body).expect("a large binary");
            assert_eq!(bytes, [before, b"\xa1v\xc4\0", after].concat());
            let (start, end) = (elided.offset as usize, (elided.offset + elided.length) as usize);
            assert_eq!(
                (&body[start..end], elided.partial_offset),
                (&[7; 256][..], before.len() + 4)
            );
        }
    }

    #[test]
    fn a_body_without_such_a_binary_is_read_whole() {
        let bin = [&b"\xc5\x01\x00"[..], &[7; 256]].concat();
        let text = [&b"\xda\x01\x00"[..], &[b'x'; 256]].concat();
        for body in [
            // No binary, one that is nested, one that is a name, and one that begins too late.
            [&b"\x81\xa1v"[..], &text].concat(),
            [&b"\x81\xa1v\x91"[..], &bin].concat(),
            [&b"\x81"[..], &bin, b"\x01"].concat(),
            [&b"\x82\xa1k\xaf"[..], &[b'x'; 15], b"\xa1v", &bin].concat(),
            // Cut short.
            [&b"\x81\xa1v"[..], &bin[..200]].concat(),
            b"\x81\xa1v\xc6\xff\xff\xff\xff".to_vec(),
            // Not a map, and nothing.
            [&b"\x91"[..], &bin].concat(),
            Vec::new(),
        ] {
            assert!(partial(&body).is_none(), "{}", body.escape_ascii());
        }
        assert!(partial(b"\x81\xa1v\xc4\x02xy").is_none(), "all of it is in the head");
    }

    #[test]
    fn a_value_has_a_range_when_it_is_elided_or_large() {
        let body = [7; 1 << 17];
        let elided = Some(ElidedRange { partial_offset: 5, offset: 9, length: 1 << 20 });
        let range = |elided, from: usize, to: usize| range_of(&body, elided, &body[from..to]);
        assert_eq!(range(elided, 5, 5), Some((9, 1 << 20)));
        assert_eq!(range(elided, 6, 6), None);
        assert_eq!(range(elided, 6, 1 << 17), None);
        assert_eq!(range(None, 5, 5), None);
        assert_eq!(range(None, 5, 5 + (1 << 16)), Some((5, 1 << 16)));
    }
}
