//! A connection to Redis: `GET` and `SET`, one at a time.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Answer, Ask};
use super::template::{self, SetForm, Template};

/// More than any answer to what is asked here.
const BUFFER_BYTES: usize = 64 << 10;

/// One connection and its commands.
pub struct Resp {
    stream: TcpStream,
    get: Template,
    set: Template,
    buffer: Vec<u8>,
}

impl Resp {
    /// Connects.
    pub async fn connect(address: SocketAddr, form: SetForm) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (get, set) = (template::resp(None), template::resp(Some(form)));
        Ok(Self { stream, get, set, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Sends a command and reads its reply.
    pub async fn perform(&mut self, ask: Ask<'_>) -> io::Result<Answer<'_>> {
        let template = ask.write_into(&mut self.get, &mut self.set);
        self.stream.write_all(template.bytes()).await?;
        let mut filled = 0;
        loop {
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 => return Err(io::Error::other("the server closed the connection")),
                count => filled += count,
            }
            if let Some((start, end)) = parse(&self.buffer[..filled])? {
                let body = &self.buffer[start..end];
                return Ok(Answer { status: 200, body, body_bytes: body.len() });
            }
        }
    }
}

/// Where the reply's text or value stands, once all of it is there.
fn parse(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(line_end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[1..line_end]).map_err(io::Error::other)?;
    match bytes[0] {
        b'+' => Ok(Some((1, line_end))),
        b'$' => {
            let length: i64 = text.parse().map_err(io::Error::other)?;
            let length = usize::try_from(length).unwrap_or(0);
            let (start, end) = (line_end + 2, line_end + 2 + length);
            Ok((bytes.len() >= end + 2 || text == "-1").then_some((start, end)))
        }
        _ => Err(io::Error::other(format!("Redis answered {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_once_they_are_whole() {
        assert_eq!(parse(b"+OK\r").expect("no error"), None);
        assert_eq!(parse(b"+OK\r\n").expect("no error"), Some((1, 3)));
        assert_eq!(parse(b"$3\r\nabc\r").expect("no error"), None);
        assert_eq!(parse(b"$3\r\nabc\r\n").expect("no error"), Some((4, 7)));
        assert_eq!(parse(b"$-1\r\n").expect("no error"), Some((5, 5)));
        assert!(parse(b"-ERR no\r\n").is_err());
    }
}
