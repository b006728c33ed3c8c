//! A connection of HTTP/2 by hand, frame by frame: for what no client library would send, and to see what
//! it would hide. Knows nothing of windows but its own, which has no end.

use std::collections::HashMap;

use larder_tests::TOKEN;
use larder_tests::http2::{SETTINGS, WINDOW_UPDATE, frame, literal, opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const WINDOW_MAX: u32 = i32::MAX as u32;

/// The head of a POST of JSON with the admin token, and what it says of its length.
pub fn post(path: &str, length: Option<usize>) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    literal(&mut block, 4, path);
    literal(&mut block, 1, "larder");
    literal(&mut block, 23, &format!("Bearer {TOKEN}"));
    literal(&mut block, 31, "application/json");
    if let Some(length) = length {
        literal(&mut block, 28, &length.to_string());
    }
    block
}

/// What the server sends.
pub struct Incoming {
    reader: OwnedReadHalf,
    bytes: Vec<u8>,
    /// Frames by kind.
    pub counts: HashMap<u8, usize>,
}

/// One frame of the server's.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Incoming {
    /// The next frame; None when the server has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some([a, b, c]) = self.bytes.first_chunk() {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if self.bytes.len() >= 9 + length {
                    let frame: Vec<u8> = self.bytes.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(frame[5..9].try_into().unwrap());
                    let (kind, flags) = (frame[3], frame[4]);
                    *self.counts.entry(kind).or_default() += 1;
                    return Some(Frame { kind, flags, stream, payload: frame[9..].to_vec() });
                }
            }
            if !matches!(self.reader.read_buf(&mut self.bytes).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Frames of a kind so far.
    pub fn count(&self, kind: u8) -> usize {
        self.counts.get(&kind).copied().unwrap_or(0)
    }
}

/// Opens a connection whose window for answers has no end, and that has for each one `window` bytes.
pub async fn open(address: std::net::SocketAddr, window: u32) -> (Incoming, OwnedWriteHalf) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (reader, mut writer) = stream.into_split();
    let all = (WINDOW_MAX - 65_535).to_be_bytes();
    let opening = [opening(window), frame(WINDOW_UPDATE, 0, 0, &all)];
    writer.write_all(&opening.concat()).await.unwrap();
    let mut incoming = Incoming { reader, bytes: Vec::new(), counts: HashMap::new() };
    while incoming.next().await.expect("the server's settings").kind != SETTINGS {}
    writer.write_all(&frame(SETTINGS, 1, 0, b"")).await.unwrap();
    (incoming, writer)
}
