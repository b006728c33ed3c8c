//! Ranges: which part of a value the header `range` asks for. Knows no value but its length.

use core::str;

/// The part of a value that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: no range, several, one in another unit, or none that can be read.
    Whole,
    /// So many bytes from an offset on; at least one, and all within the value.
    Bytes {
        /// The first one.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// A range that no byte of the value is in.
    Unsatisfiable,
}

impl Part {
    /// The part of a value of `total` bytes that the header asks for.
    pub fn of(range: Option<&[u8]>, total: u64) -> Self {
        let Some(range) = range.and_then(|range| str::from_utf8(range).ok()) else {
            return Part::Whole;
        };
        match one_range(range) {
            None => Part::Whole,
            Some(Range::From { first, last }) if first < total => {
                let last = last.map_or(total - 1, |last| last.min(total - 1));
                Part::Bytes { offset: first, length: last - first + 1 }
            }
            Some(Range::From { .. } | Range::Last(0)) => Part::Unsatisfiable,
            // The last bytes of a value that has none are all of it.
            Some(Range::Last(_)) if total == 0 => Part::Whole,
            Some(Range::Last(length)) => {
                let length = length.min(total);
                Part::Bytes { offset: total - length, length }
            }
        }
    }
}

/// One range as it is written.
enum Range {
    /// `first-last` or `first-`.
    From { first: u64, last: Option<u64> },
    /// `-length`: the last bytes.
    Last(u64),
}

/// The range of a header that has one.
fn one_range(header: &str) -> Option<Range> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        return Some(Range::Last(position(last)?));
    }
    let first = position(first)?;
    let last = if last.is_empty() { None } else { Some(position(last)?) };
    let is_range = last.is_none_or(|last| first <= last);
    is_range.then_some(Range::From { first, last })
}

/// A position in decimal digits. One that no number here can represent lies beyond all values.
fn position(digits: &str) -> Option<u64> {
    let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(offset: u64, length: u64) -> Part {
        Part::Bytes { offset, length }
    }

    #[test]
    fn one_range_is_cut_off_at_the_value_s_end() {
        for (range, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=0-", part(0, 10)),
            ("bytes=3-5", part(3, 3)),
            ("bytes=9-", part(9, 1)),
            ("bytes=9-10", part(9, 1)),
            ("bytes=0-99999999999999999999999", part(0, 10)),
            ("bytes=-1", part(9, 1)),
            ("bytes=-10", part(0, 10)),
            ("bytes=-11", part(0, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("Bytes = 1-2 ", part(1, 2)),
        ] {
            assert_eq!(Part::of(Some(range.as_bytes()), 10), wanted, "{range}");
        }
    }

    #[test]
    fn a_range_beyond_the_value_cannot_be_satisfied() {
        for range in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(Part::of(Some(range.as_bytes()), 10), Part::Unsatisfiable, "{range}");
        }
        for (range, wanted) in [
            ("bytes=0-", Part::Unsatisfiable),
            ("bytes=0-0", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=-1", Part::Whole),
        ] {
            assert_eq!(Part::of(Some(range.as_bytes()), 0), wanted, "{range}");
        }
        let most = u64::MAX;
        assert_eq!(Part::of(Some(b"bytes=0-18446744073709551615"), most), part(0, most));
    }

    #[test]
    fn all_is_sent_when_several_are_asked_for_or_none_that_can_be_read() {
        for range in [
            &b"bytes=0-1,3-4"[..],
            b"bytes=0-1,",
            b"bytes=0-0, -1",
            b"bytes=5-3",
            b"bytes=",
            b"bytes=-",
            b"bytes=--1",
            b"bytes=1",
            b"bytes=a-b",
            b"bytes=0x1-2",
            b"bytes=1-2-3",
            b"bytes=+1-2",
            b"bytes=1 - 2",
            b"bytes 0-1/10",
            b"items=0-1",
            b"0-1",
            b"",
            b"bytes=0-1\xff",
        ] {
            assert_eq!(Part::of(Some(range), 10), Part::Whole, "{}", range.escape_ascii());
        }
        assert_eq!(Part::of(None, 10), Part::Whole);
    }
}
