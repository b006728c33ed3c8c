//! A plain HTTP client: one connection a request, whatever the protocol, nothing hidden.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::larder::{BEARER, TOKEN};

/// Long enough for any answer; what takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a request is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1(http::Version),
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A header that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error's code, or the empty string.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends requests to one server.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
    protocol: Protocol,
}

impl Client {
    /// A client that speaks HTTP/1.1.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self::speaking(address, Protocol::Http1(http::Version::HTTP_11))
    }

    /// A client that speaks `protocol`.
    #[must_use]
    pub fn speaking(address: SocketAddr, protocol: Protocol) -> Self {
        Self { address, protocol }
    }

    /// Posts JSON with the admin token.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        let authorization = format!("Bearer {TOKEN}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.send("POST", path, &headers, body.to_string().into_bytes()).await
    }

    /// Gets without a token.
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Vec::new()).await
    }

    /// Sends one request on a connection of its own.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let sent = tokio::time::timeout(TIMEOUT, self.try_send(method, path, headers, body.into()));
        match sent.await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => panic!("{method} {path}: {error}"),
            Err(_) => panic!("{method} {path}: no answer within {TIMEOUT:?}"),
        }
    }

    /// The same, for requests that may fail.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, Box<dyn std::error::Error>> {
        let version = match self.protocol {
            Protocol::Http1(version) => version,
            Protocol::Http2 => http::Version::HTTP_2,
        };
        let uri = match self.protocol {
            Protocol::Http1(_) => path.to_owned(),
            Protocol::Http2 => format!("http://{}{path}", self.address),
        };
        let mut request = http::Request::builder().method(method).uri(uri).version(version);
        if matches!(self.protocol, Protocol::Http1(_)) {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let io = TokioIo::new(TcpStream::connect(self.address).await?);
        let response = match self.protocol {
            Protocol::Http1(_) => {
                let (mut sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
            Protocol::Http2 => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// What an administrator's GET of a path is answered, with 200, as text.
///
/// # Panics
/// When the answer is another.
pub async fn text(client: &Client, path: &str) -> String {
    let reply = client.send("GET", path, &[BEARER], "").await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    String::from_utf8_lossy(&reply.body).into_owned()
}
