//! Large bodies without their large binary, which stays with the host: a value that is only handed on
//! never enters the sandbox. Owns what is left out and where; knows no field and no endpoint.

use alloc::vec::Vec;

use crate::codec;

/// How much of a body is looked through for the beginning of a large binary.
pub const HEAD_BYTES: u64 = 4 << 10;
/// Values from this size on stay with the host too, in bodies that are read whole.
const BY_REFERENCE_BYTES_MIN: usize = 64 << 10;

/// What is left of a MessagePack document, as well-formed or malformed as the whole: an empty binary
/// stands in the place of the large one.
pub struct Abridged {
    /// The document.
    pub bytes: Vec<u8>,
    /// What is not in it.
    pub gap: Gap,
}

/// A binary that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where in the abridged document the empty binary's content stands, which has no bytes.
    pub at: usize,
    /// Where in the whole document its bytes begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// Abridges a document of `length` bytes, of which `read` gives some from an offset on. None when no
/// binary begins in its first `head` bytes and ends beyond them.
pub fn abridge(length: u64, head: u64, read: impl Fn(u64, u64) -> Vec<u8>) -> Option<Abridged> {
    let mut bytes = read(0, head.min(length));
    let found = codec::long_bin(&bytes)?;
    let (offset, gap_length) = (found.start as u64, found.length as u64);
    let end = offset.checked_add(gap_length).filter(|end| *end <= length)?;
    bytes.truncate(found.marker);
    bytes.extend(codec::EMPTY_BIN);
    let gap = Gap { at: bytes.len(), offset, length: gap_length };
    bytes.extend(read(end, length - end));
    Some(Abridged { bytes, gap })
}

/// Where in the whole body a value stands that need not be copied, as offset and length. `value` is a
/// part of `body`: the one that was left out, or a large one.
#[must_use]
pub fn place(body: &[u8], gap: Option<Gap>, value: &[u8]) -> Option<(u64, u64)> {
    let at = value.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    match gap {
        Some(gap) => (at == gap.at).then_some((gap.offset, gap.length)),
        None => (value.len() >= BY_REFERENCE_BYTES_MIN).then_some((at as u64, value.len() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: u64 = 16;

    fn abridged(body: &[u8]) -> Option<Abridged> {
        abridge(body.len() as u64, HEAD, |offset, length| {
            body[offset as usize..(offset + length) as usize].to_vec()
        })
    }

    #[test]
    fn a_large_binary_is_left_out_wherever_its_field_stands() {
        let value = [&b"\xa1v\xc5\x01\x00"[..], &[7; 256]].concat();
        for (before, after) in
            [(&b"\x81"[..], &b""[..]), (b"\x82\xa1k\xa1x", b""), (b"\x82", b"\xa1k\x05")]
        {
            let body = [before, &value, after].concat();
            let Abridged { bytes, gap } = abridged(&body).expect("a large binary");
            assert_eq!(bytes, [before, b"\xa1v\xc4\0", after].concat());
            let (start, end) = (gap.offset as usize, (gap.offset + gap.length) as usize);
            assert_eq!((&body[start..end], gap.at), (&[7; 256][..], before.len() + 4));
        }
    }

    #[test]
    fn what_cannot_be_left_out_is_read_whole() {
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
            assert!(abridged(&body).is_none(), "{}", body.escape_ascii());
        }
        assert!(abridged(b"\x81\xa1v\xc4\x02xy").is_none(), "all of it is in the head");
    }

    #[test]
    fn a_value_is_found_in_the_gap_or_where_it_is_large() {
        let body = [7; 1 << 17];
        let gap = Gap { at: 5, offset: 9, length: 1 << 20 };
        let place = |gap, from: usize, to: usize| place(&body, gap, &body[from..to]);
        assert_eq!(place(Some(gap), 5, 5), Some((9, 1 << 20)));
        assert_eq!(place(Some(gap), 6, 6), None);
        assert_eq!(place(Some(gap), 6, 1 << 17), None);
        assert_eq!(place(None, 5, 5), None);
        assert_eq!(place(None, 5, 5 + (1 << 16)), Some((5, 1 << 16)));
    }
}
