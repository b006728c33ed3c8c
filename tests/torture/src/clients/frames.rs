//! Heads of HTTP/2 as rude clients send them. Knows the wire; knows no reason to send anything.

use larder_tests::http2::{get, literal};

/// The head of a request that wants MessagePack, without any table: `0x83` is POST, `0x82` GET.
#[must_use]
pub fn head(method: u8, path: &str, token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let mut block = vec![method, 0x86];
    literal(&mut block, 4, path);
    literal(&mut block, 1, "larder");
    literal(&mut block, 23, &authorization);
    literal(&mut block, 31, "application/json");
    literal(&mut block, 19, "application/msgpack");
    block
}

/// The head of a GET without a token, with a short field and so many references to it of a byte each.
#[must_use]
pub fn references(path: &str, count: usize) -> Vec<u8> {
    let mut block = get(path);
    block.extend_from_slice(&[0x40, 1, b'x', 1, b'y']);
    block.resize(block.len() + count, 0x80 | 62);
    block
}

/// A head that is small on the wire and huge when it is decoded: one long field, and thousands of
/// references to it.
#[must_use]
pub fn bomb() -> Vec<u8> {
    let value = "b".repeat(3000);
    let mut block = vec![0x82, 0x86, 0x40, 1, b'x', 0x7f];
    // 3000 as HPACK writes it: 127, then what is left in groups of seven bits.
    let left = value.len() - 127;
    block.extend_from_slice(&[0x80 | u8::try_from(left & 0x7f).unwrap_or(0)]);
    block.push(u8::try_from(left >> 7).unwrap_or(0));
    block.extend_from_slice(value.as_bytes());
    block.resize(16_000, 0x80 | 62);
    block
}
