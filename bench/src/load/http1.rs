//! A connection that speaks just enough HTTP/1.1 to cost little itself: a request is one write, a
//! small answer one read.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Answer, Ask};
use super::requests::Requests;

/// Room for an answer; of a larger one only the first part is kept.
const BUFFER_BYTES: usize = 64 << 10;
const HEADERS_MAX: usize = 32;

/// One connection and its requests.
pub struct Http1 {
    stream: TcpStream,
    requests: Requests,
    buffer: Vec<u8>,
}

/// A head that has arrived.
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Http1 {
    /// Connects.
    pub async fn connect(address: SocketAddr, requests: Requests) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, requests, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Sends a request and reads its answer.
    pub async fn perform(&mut self, ask: Ask<'_>) -> io::Result<Answer<'_>> {
        let template = ask.write_into(&mut self.requests.read, &mut self.requests.write);
        self.stream.write_all(template.bytes()).await?;
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await?;
            if let Some(head) = parse(&self.buffer[..filled])? {
                break head;
            }
        };
        let whole = head.bytes + head.body_bytes;
        if whole <= self.buffer.len() {
            while filled < whole {
                filled += self.read(filled).await?;
            }
        } else {
            self.discard(whole - filled).await?;
            filled = self.buffer.len();
        }
        let body = &self.buffer[head.bytes..filled.min(whole)];
        Ok(Answer { status: head.status, body, body_bytes: head.body_bytes })
    }

    async fn read(&mut self, filled: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer[filled..]).await? {
            0 if filled == self.buffer.len() => Err(io::Error::other("a head without an end")),
            0 => Err(io::Error::other("the server closed the connection")),
            count => Ok(count),
        }
    }

    /// Reads on over what was read before.
    async fn discard(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            let room = left.min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..room]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(())
    }
}

/// The head, once all of it is there.
fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(io::Error::other)?
    else {
        return Ok(None);
    };
    let content_length =
        response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body_bytes = content_length
        .and_then(|header| std::str::from_utf8(header.value).ok())
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| io::Error::other("an answer without a content-length"))?;
    Ok(Some(Head { status: response.code.unwrap_or(0), bytes: length, body_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_told_once_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbody";
        for cut in 0..text.len() - 4 {
            assert!(parse(&text[..cut]).expect("no error").is_none(), "{cut}");
        }
        let head = parse(text).expect("no error").expect("a head");
        assert_eq!((head.status, head.bytes, head.body_bytes), (200, text.len() - 4, 12));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
