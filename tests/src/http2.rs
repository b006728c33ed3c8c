//! Frames and heads of HTTP/2 by hand, for what no client library would send. Knows the wire; knows no
//! reason to send anything.

/// What HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A kind of frame: a piece of a body.
pub const DATA: u8 = 0;
/// Begins a request.
pub const HEADERS: u8 = 1;
/// Ends a stream early.
pub const RST_STREAM: u8 = 3;
/// Settings, or their acknowledgement.
pub const SETTINGS: u8 = 4;
/// Wants an echo.
pub const PING: u8 = 6;
/// Says that the connection ends.
pub const GOAWAY: u8 = 7;
/// More room for answers.
pub const WINDOW_UPDATE: u8 = 8;
/// Goes on with a head.
pub const CONTINUATION: u8 = 9;
/// A kind that nobody has defined.
pub const UNKNOWN: u8 = 0x55;

/// A flag: the stream ends with this frame.
pub const END_STREAM: u8 = 1;
/// The head ends with this frame.
pub const END_HEADERS: u8 = 4;

/// One frame.
///
/// # Panics
/// When the payload is of 4 GiB and more.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length in 24 bits").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The client's beginning, with a window of so many bytes for each answer.
#[must_use]
pub fn opening(window: u32) -> Vec<u8> {
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()
}

/// Adds a field to a head: its name has this index in HPACK's static table.
///
/// # Panics
/// When the value is longer than a length of one byte says.
pub fn literal(block: &mut Vec<u8>, index: u8, value: &str) {
    match index.checked_sub(15) {
        None => block.push(index),
        Some(rest) => block.extend_from_slice(&[15, rest]),
    }
    assert!(value.len() < 127, "longer lengths are written otherwise");
    block.push(value.len() as u8);
    block.extend_from_slice(value.as_bytes());
}

/// The head of a GET without a token.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    literal(&mut block, 4, path);
    literal(&mut block, 1, "larder");
    block
}
