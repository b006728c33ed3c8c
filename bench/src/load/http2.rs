//! A stream's worth of HTTP/2 with prior knowledge: the key-value API, and etcd's gRPC. Streams of
//! one connection share its handle; requests are made once and cloned.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, Request};
use larder_wire::Encoding;
use tokio::net::TcpStream;

use super::answer::{Answer, Ask};
use super::template::{self, SetForm, TOKEN, Template};

const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Whose requests they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The key-value API in one of its encodings.
    Api(Encoding),
    /// etcd's `KV` service.
    Etcd,
}

/// One stream at a time of a connection.
#[derive(Clone)]
pub struct Http2 {
    handle: SendRequest<Bytes>,
    dialect: Dialect,
    get: Template,
    set: Template,
    get_head: Request<()>,
    set_head: Request<()>,
    body: Vec<u8>,
}

impl Http2 {
    /// Connects; clones of what comes back are streams of the same connection.
    pub async fn connect(address: SocketAddr, dialect: Dialect, form: SetForm) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (handle, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        // Ends with the runtime; what goes wrong is told by the streams.
        tokio::spawn(connection);
        let (get, set) = match dialect {
            Dialect::Api(encoding) => {
                (template::api_body(encoding, None), template::api_body(encoding, Some(form)))
            }
            Dialect::Etcd => (template::etcd(None), template::etcd(Some(form))),
        };
        let get_head = head(address, dialect, false)?;
        let set_head = head(address, dialect, true)?;
        Ok(Self { handle, dialect, get, set, get_head, set_head, body: Vec::new() })
    }

    /// Sends a request and reads its answer.
    pub async fn perform(&mut self, ask: Ask<'_>) -> io::Result<Answer<'_>> {
        poll_fn(|context| self.handle.poll_ready(context)).await.map_err(io::Error::other)?;
        let head = if ask.is_set() { &self.set_head } else { &self.get_head };
        let body = ask.write_into(&mut self.get, &mut self.set).bytes();
        let body = Bytes::copy_from_slice(body);
        let (response, mut sending) =
            self.handle.send_request(head.clone(), false).map_err(io::Error::other)?;
        sending.send_data(body, true).map_err(io::Error::other)?;
        let (parts, mut incoming) = response.await.map_err(io::Error::other)?.into_parts();
        self.receive(&mut incoming).await?;
        if self.dialect == Dialect::Etcd {
            let trailers = incoming.trailers().await.map_err(io::Error::other)?;
            check_grpc(&parts.headers, trailers.as_ref())?;
        }
        let status = parts.status.as_u16();
        Ok(Answer { status, body: &self.body, body_bytes: self.body.len() })
    }

    async fn receive(&mut self, incoming: &mut RecvStream) -> io::Result<()> {
        self.body.clear();
        while let Some(data) = incoming.data().await {
            let data = data.map_err(io::Error::other)?;
            self.body.extend_from_slice(&data);
            incoming.flow_control().release_capacity(data.len()).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn head(address: SocketAddr, dialect: Dialect, is_set: bool) -> io::Result<Request<()>> {
    let path = match dialect {
        Dialect::Api(_) => template::api_path(is_set),
        Dialect::Etcd => template::etcd_path(is_set),
    };
    let request = Request::post(format!("http://{address}{path}"));
    let request = match dialect {
        Dialect::Api(encoding) => request
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(ACCEPT, encoding.content_type())
            .header(CONTENT_TYPE, encoding.content_type()),
        Dialect::Etcd => request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers"),
    };
    request.body(()).map_err(io::Error::other)
}

/// gRPC tells its status in the trailers, or in the head when there is nothing else.
fn check_grpc(head: &HeaderMap, trailers: Option<&HeaderMap>) -> io::Result<()> {
    let of = |headers: &HeaderMap| headers.get("grpc-status").cloned();
    match trailers.and_then(of).or_else(|| of(head)) {
        Some(status) if status == "0" => Ok(()),
        status => Err(io::Error::other(format!("gRPC status {status:?}, head {head:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_grpc_status_other_than_0_is_an_error() {
        let with = |status: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static(status),
            )])
        };
        let empty = HeaderMap::new();
        assert!(check_grpc(&empty, Some(&with("0"))).is_ok());
        assert!(check_grpc(&empty, Some(&with("5"))).is_err());
        assert!(check_grpc(&with("14"), None).is_err());
        assert!(check_grpc(&empty, None).is_err());
    }
}
