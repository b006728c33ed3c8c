//! Percent-encoding: text of paths and queries to bytes and back. Knows neither keys nor fields.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;

/// The bytes that a part of a path stands for. A percent sign without two hexadecimal digits is an error.
pub fn decode(text: &str) -> Result<Cow<'_, [u8]>, Error> {
    decode_where(text, |byte| byte)
}

/// The same for a part of a query, where `+` stands for a space.
pub fn decode_of_query(text: &str) -> Result<Cow<'_, [u8]>, Error> {
    decode_where(text, |byte| if byte == b'+' { b' ' } else { byte })
}

/// Decodes escapes; every other byte stands for what `plain` makes of it.
fn decode_where(text: &str, plain: impl Fn(u8) -> u8) -> Result<Cow<'_, [u8]>, Error> {
    let bytes = text.as_bytes();
    if bytes.iter().all(|byte| *byte != b'%' && plain(*byte) == *byte) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(plain(*byte));
            continue;
        }
        let Some((&[high, low], after)) = after.split_first_chunk() else {
            return Err(bad_escape());
        };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err(bad_escape());
        };
        decoded.push(high << 4 | low);
        rest = after;
    }
    Ok(Cow::Owned(decoded))
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn bad_escape() -> Error {
    Error::invalid_encoding("A percent sign in the URL must be followed by two hexadecimal digits.")
}

/// Text that decodes to these bytes, in a path and in a query: everything but the letters, digits and marks
/// that never need it is escaped.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once_and_all_else_stays() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("a/b+c", b"a/b+c"),
            ("%2F%2f%00%ff", b"//\x00\xff"),
            ("%25%32%35", b"%25"),
            ("%c3%A9\u{e9}", "\u{e9}\u{e9}".as_bytes()),
            ("a%20b", b"a b"),
        ] {
            assert_eq!(&*decode(text).expect("valid"), bytes, "{text}");
        }
        assert_eq!(&*decode_of_query("a+b%2B+").expect("valid"), b"a b+ ");
    }

    #[test]
    fn what_is_no_escape_is_malformed() {
        for text in ["%", "a%", "%2", "%2g", "%g2", "%%20", "%+1", "% 1", "%-1", "%\u{e9}"] {
            for decoded in [decode(text), decode_of_query(text)] {
                let error = decoded.expect_err(text);
                assert_eq!((error.status, error.code), (400, "invalid-encoding"), "{text}");
            }
        }
    }

    #[test]
    fn what_was_encoded_comes_back_from_paths_and_queries() {
        let all: Vec<u8> = (0..=255).collect();
        let text = encode(&all);
        assert_eq!(&*decode(&text).expect("valid"), all);
        assert_eq!(&*decode_of_query(&text).expect("valid"), all);
        assert_eq!(encode("a-b_c.d~e/+ \u{e9}".as_bytes()), "a-b_c.d~e%2F%2B%20%C3%A9");
    }
}
