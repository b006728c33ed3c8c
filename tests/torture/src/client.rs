//! One kept connection to a server, and what became of each request on it: an answer, nothing, or
//! the beginning of an answer. Knows HTTP/1.1 as far as larder speaks it; no operation of the API.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use larder_tests::TOKEN;

/// Longer than any answer may take; what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `diom-mutation-version`.
    pub mutation_version: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// The server closes the connection behind it.
    last: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The connection ended before any byte of an answer: what the request did is unknown.
    Silent(io::Error),
    /// The connection ended within an answer.
    Truncated(String),
}

/// A connection that is made when it is needed and kept while it can be.
pub struct Connection {
    address: SocketAddr,
    token: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// A connection to come.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, token: TOKEN.to_owned(), stream: None }
    }

    /// Another token for the requests from here on.
    pub fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    /// Posts JSON, with the admin token unless another was set.
    ///
    /// # Errors
    /// What was lost. The connection is made anew with the next request.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer, Lost> {
        self.send("POST", path, body)
    }

    /// Sends one request, with the admin token unless another was set.
    ///
    /// # Errors
    /// As [`Connection::post`].
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Lost> {
        let result = self.exchange(method, path, body);
        if result.as_ref().map_or(true, |answer| answer.last) {
            self.stream = None;
        }
        result
    }

    /// Sends a request and goes away without waiting for its answer.
    pub fn abandon(&mut self, path: &str, body: &[u8]) {
        let request = request(&self.token, "POST", path, body);
        if let Ok(stream) = self.stream() {
            // Whether it arrives is unknown, and may be.
            let _ = stream.get_mut().write_all(&request);
        }
        self.stream = None;
    }

    fn stream(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            self.stream = Some(BufReader::new(stream));
        }
        self.stream.as_mut().ok_or_else(|| io::Error::other("no connection"))
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Lost> {
        let request = request(&self.token, method, path, body);
        let stream = self.stream().map_err(Lost::Silent)?;
        // A server that drains may answer before it has read everything: the answer counts.
        let sent = stream.get_mut().write_all(&request);
        let mut line = Vec::new();
        match stream.read_until(b'\n', &mut line) {
            Ok(0) => Err(Lost::Silent(sent.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()))),
            Err(error) if line.is_empty() => Err(Lost::Silent(error)),
            Err(error) => Err(Lost::Truncated(error.to_string())),
            Ok(_) => read_answer(&line, stream),
        }
    }
}

fn request(token: &str, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn read_answer(first: &[u8], stream: &mut BufReader<TcpStream>) -> Result<Answer, Lost> {
    let cut = |what: &str| Lost::Truncated(what.to_owned());
    let first = String::from_utf8_lossy(first);
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Lost::Truncated(format!("the first line is {first:?}")))?;
    let mut answer = Answer { status, mutation_version: None, body: Vec::new(), last: false };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if !matches!(stream.read_line(&mut line), Ok(read) if read > 0 && line.ends_with('\n')) {
            return Err(cut("in the head"));
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().map_err(|_| cut("content-length"))?,
            "diom-mutation-version" => answer.mutation_version = value.parse().ok(),
            "connection" => answer.last = value == "close",
            _ => {}
        }
    }
    answer.body.resize(length, 0);
    let read = stream.read_exact(&mut answer.body);
    read.map_err(|error| Lost::Truncated(format!("in a body of {length} bytes: {error}")))?;
    Ok(answer)
}
