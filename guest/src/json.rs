//! How values are written as JSON: numbers, text, and bytes as arrays of numbers. Knows no answer.

use alloc::vec::Vec;

/// Most digits of a number.
const DIGITS_MAX: usize = 20;

/// Appends a number.
pub fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends text in quotes.
pub fn text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A string always has a form in JSON.
        out.extend_from_slice(&serde_json::to_vec(text).unwrap_or_default());
    }
}

/// Appends bytes as decimal numbers with commas between them, and one before unless `first`.
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8], first: bool) {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 || !first {
            out.push(b',');
        }
        if *byte >= 100 {
            out.push(b'0' + byte / 100);
        }
        if *byte >= 10 {
            out.push(b'0' + byte / 10 % 10);
        }
        out.push(b'0' + byte % 10);
    }
}
