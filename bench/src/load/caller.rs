//! One caller of a server: a connection or a stream of one, what it does there, and one operation
//! after the other. Knows no pace.

use std::io;
use std::net::SocketAddr;

use larder_wire::Encoding;

use super::answer::{Answer, Ask};
use super::http1::Http1;
use super::http2::{Dialect, Http2};
use super::keys::Choice;
use super::latency::Done;
use super::requests::Requests;
use super::resp::Resp;
use super::stream::{BATCH_KEYS, Protocol, Stream, Work};
use super::template::SetForm;

/// A connection of any protocol.
pub enum Connection {
    /// HTTP/1.1.
    Http1(Box<Http1>),
    /// A stream of HTTP/2, for the API or etcd.
    Http2(Box<Http2>),
    /// Redis.
    Resp(Box<Resp>),
}

impl Connection {
    /// The callers' ends of one connection: one, or as many as it has streams.
    pub async fn open(address: SocketAddr, stream: &Stream) -> io::Result<Vec<Self>> {
        if !stream.can_be_asked() {
            return Err(io::Error::other("nothing asks so"));
        }
        let expects = stream.work == Work::Cas;
        let form = SetForm { value_bytes: stream.value_bytes, expects };
        let http2 = async |dialect| Http2::connect(address, dialect, form).await;
        Ok(match stream.protocol {
            Protocol::Http1 => {
                let http1 = Http1::connect(address, Requests::of(stream, form)).await?;
                vec![Self::Http1(Box::new(http1))]
            }
            Protocol::Http2 { streams } => {
                let http2 = http2(Dialect::Api(stream.encoding)).await?;
                (0..streams).map(|_| Self::Http2(Box::new(http2.clone()))).collect()
            }
            Protocol::Etcd => vec![Self::Http2(Box::new(http2(Dialect::Etcd).await?))],
            Protocol::Redis => vec![Self::Resp(Box::new(Resp::connect(address, form).await?))],
        })
    }

    async fn perform(&mut self, ask: Ask<'_>) -> io::Result<Answer<'_>> {
        match self {
            Self::Http1(connection) => connection.perform(ask).await,
            Self::Http2(connection) => connection.perform(ask).await,
            Self::Resp(connection) => connection.perform(ask).await,
        }
    }
}

/// A connection with something to do.
pub struct Caller {
    /// Where it asks.
    pub connection: Connection,
    /// What it asks for.
    pub work: Work,
    /// Of which key.
    pub choice: Choice,
    /// Size of the values.
    pub value_bytes: usize,
    /// Form of bodies.
    pub encoding: Encoding,
}

impl Caller {
    /// Does one operation.
    pub async fn turn(&mut self) -> io::Result<Done> {
        let key = self.choice.draw();
        let keys: [u32; BATCH_KEYS];
        let ask = match self.work {
            Work::Get => Ask::Get(key),
            Work::Set => Ask::Set(key),
            Work::Half if self.choice.coin() => Ask::Get(key),
            Work::Half => Ask::Set(key),
            Work::Cas => {
                let get = Ask::Get(key);
                let answer = self.connection.perform(get).await?;
                answer.judge(get, self.value_bytes)?;
                Ask::SetExpecting(key, answer.version(self.encoding)?)
            }
            Work::List => Ask::List(key),
            Work::Batch => {
                keys = std::array::from_fn(|_| self.choice.draw());
                Ask::Batch(&keys)
            }
            Work::Add => Ask::Add(key),
            Work::Plain => Ask::GetPlain(key),
        };
        self.connection.perform(ask).await?.judge(ask, self.value_bytes)
    }
}
