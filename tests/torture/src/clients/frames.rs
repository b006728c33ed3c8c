//! Frames of HTTP/2 as rude clients send them. Knows the wire; knows no reason to send anything.

/// What HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds that are sent here.
pub const DATA: u8 = 0;
/// Begins a request.
pub const HEADERS: u8 = 1;
/// Ends a stream early.
pub const RST_STREAM: u8 = 3;
/// Settings, or their acknowledgement.
pub const SETTINGS: u8 = 4;
/// Wants an echo.
pub const PING: u8 = 6;
/// More room for answers.
pub const WINDOW_UPDATE: u8 = 8;
/// Goes on with a head.
pub const CONTINUATION: u8 = 9;
/// A kind that nobody has defined.
pub const UNKNOWN: u8 = 0x55;

/// The stream ends with this frame.
pub const END_STREAM: u8 = 1;
/// The head ends with this frame.
pub const END_HEADERS: u8 = 4;

/// One frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The client's beginning, with a window of so many bytes for each answer.
#[must_use]
pub fn opening(window: u32) -> Vec<u8> {
    let mut window_setting = vec![0, 4];
    window_setting.extend_from_slice(&window.to_be_bytes());
    [PREFACE, &frame(SETTINGS, 0, 0, &window_setting)].concat()
}

/// The head of a request that wants MessagePack, without any table: `0x83` is POST, `0x82` GET.
#[must_use]
pub fn head(method: u8, path: &str, token: &str) -> Vec<u8> {
    // Indices of names in HPACK's static table, each beyond the four bits of the first byte.
    let authorization = format!("Bearer {token}");
    let mut block = vec![method, 0x86];
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], "larder");
    literal(&mut block, &[0x0f, 23 - 15], &authorization);
    literal(&mut block, &[0x0f, 31 - 15], "application/json");
    literal(&mut block, &[0x0f, 19 - 15], "application/msgpack");
    block
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    block.push(u8::try_from(value.len()).unwrap_or(0) & 0x7f);
    block.extend_from_slice(value.as_bytes());
}

/// The head of a GET without a token, with a short field and so many references to it of a byte each.
#[must_use]
pub fn references(path: &str, count: usize) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], "larder");
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
