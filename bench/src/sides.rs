//! The sides of a comparison, each a server on a port and a thread of its own. All have the same
//! connections, workers, store and codecs; they differ in who answers.

use std::error::Error;
use std::future::{Future, pending};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use larder::auth::{Authenticator, Token};
use larder::cli::ServeArgs;
use larder::clock::Clock;
use larder::config::Config;
use larder::http::body::{Received, Reply, receive};
use larder::runtime::Caller;
use larder::server::Server;
use larder::storage::{self, Operation, Options, Outcome, RecordKey, Storage, Ttl, Version};
use larder::workers::Handler;
use larder_api::bindings::larder::guest::kv;
use larder_api::endpoint::{get, set};
use larder_api::options::Namespace;
use larder_wire::Encoding;
use tempfile::TempDir;

use crate::load::{TOKEN, VALUE_BYTES, key};

const BODY_BYTES_MAX: u64 = 8 << 20;
/// Keys written in one transaction while a store is filled.
const FILL_LIST: usize = 500;

type Failure = Box<dyn Error>;

/// One running side.
pub struct Side {
    /// What it is called.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    _data: TempDir,
}

impl Side {
    /// Starts a side by name, with `keys` in its store.
    pub fn start(name: &'static str, keys: usize) -> Result<Self, Failure> {
        let data = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let config = config(&data, name == "fresh")?;
        match name {
            "floor" => serve(config, listener, || Floor),
            "native" => {
                let storage = Storage::open(&config.data, Options::default(), Clock::system())?;
                fill(&storage, keys)?;
                let token = Token::new(TOKEN).ok_or("a token")?;
                let native = Native { storage, authenticator: Arc::new(Authenticator::new(token)) };
                serve(config, listener, move || native.clone());
            }
            _ => {
                let server = Server::open(config, Clock::system())?;
                fill(server.storage(), keys)?;
                background(async move || {
                    if let Err(error) = server.serve(listener, pending()).await {
                        eprintln!("{name}: {error}");
                    }
                });
            }
        }
        Ok(Self { name, address, _data: data })
    }
}

/// The server's own configuration; with `fresh` every request gets an instance of its own.
fn config(data: &TempDir, fresh: bool) -> Result<Config, Failure> {
    let file = data.path().join("larder.toml");
    let mount =
        "[[mount]]\nprefix = \"/api\"\ncomponent = \"builtin:api\"\ninstance_calls_max = 1\n";
    let mount = if fresh { mount } else { "" };
    std::fs::write(&file, format!("admin_token = \"{TOKEN}\"\ndata = \"data\"\n{mount}"))?;
    let args = ServeArgs { config: Some(file), ..ServeArgs::default() };
    Ok(Config::resolve(args, [])?)
}

fn background<F: Future<Output = ()>>(run: impl FnOnce() -> F + Send + 'static) {
    thread::spawn(|| match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => eprintln!("no runtime: {error}"),
    });
}

fn serve<H: Handler>(
    config: Config,
    listener: TcpListener,
    handler: impl Fn() -> H + Clone + Send + 'static,
) {
    background(async move || {
        if let Err(error) = config.workers.serve(listener, handler, pending::<()>()).await {
            eprintln!("{error}");
        }
    });
}

fn fill(storage: &Storage, keys: usize) -> Result<(), Failure> {
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    let namespace = storage.namespace(storage::DEFAULT_NAMESPACE)?.id;
    let numbers: Vec<usize> = (0..keys).collect();
    for chunk in numbers.chunks(FILL_LIST) {
        let operations = chunk.iter().filter_map(|number| {
            let key = RecordKey::new(namespace, key(*number).as_bytes())?;
            let (value, behavior) = (value.clone(), storage::Behavior::Upsert);
            Some(Operation::Set { key, value, expected: None, behavior, ttl: None })
        });
        storage.submit(operations.collect())?.wait()?;
    }
    Ok(())
}

fn reply(body: Vec<u8>) -> Response<Reply> {
    let mut response = Response::new(Reply::new(vec![body.into()]));
    let content_type = HeaderValue::from_static(Encoding::MessagePack.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn refusal(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::new(Vec::new()));
    *response.status_mut() = status;
    response
}

async fn body(request: http::Request<Incoming>) -> Option<Bytes> {
    match receive(request.into_body(), BODY_BYTES_MAX, false).await {
        Ok(Received::Complete(bytes)) => Some(bytes),
        _ => None,
    }
}

/// Reads the body and answers a constant of the size that a get of 1 KiB has.
#[derive(Clone)]
struct Floor;

impl Handler for Floor {
    async fn answer(self, request: http::Request<Incoming>) -> Response<Reply> {
        body(request).await;
        reply(get::encode(None, 1 << 20, Some(&[b'v'; VALUE_BYTES]), Encoding::MessagePack))
    }
}

/// Does what the server and the built-in guest do, without a sandbox between them.
#[derive(Clone)]
struct Native {
    storage: Storage,
    authenticator: Arc<Authenticator>,
}

impl Handler for Native {
    async fn answer(self, request: http::Request<Incoming>) -> Response<Reply> {
        if !matches!(self.authenticator.judge(request.headers()), Caller::Principal(_)) {
            return refusal(StatusCode::UNAUTHORIZED);
        }
        let header =
            |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let content_type = header("content-type").and_then(Encoding::of_content_type);
        let encoding = Encoding::of_answer(header("accept"), header("content-type"));
        let is_set = request.uri().path() == "/api/v1.kv.set";
        let Some((received, body)) = content_type.zip(body(request).await) else {
            return refusal(StatusCode::BAD_REQUEST);
        };
        let done = if is_set {
            self.set(&body, received, encoding).await
        } else {
            self.get(&body, received, encoding)
        };
        done.map_or_else(|| refusal(StatusCode::BAD_REQUEST), reply)
    }
}

impl Native {
    fn key(&self, namespace: Option<&Namespace<'_>>, key: &str) -> Option<RecordKey> {
        let name = Namespace::resolve(namespace).ok()?;
        RecordKey::new(self.storage.namespace(name).ok()?.id, key.as_bytes())
    }

    fn get(&self, body: &[u8], received: Encoding, answer: Encoding) -> Option<Vec<u8>> {
        let get = get::decode(body, received).ok()?;
        let key = self.key(get.namespace.as_ref(), &get.key.0)?;
        let found = self.storage.get(&key, |entry| {
            let expiry = entry.expiry.map(|expiry| expiry.0);
            get::encode(expiry, entry.version.0, Some(entry.value), answer)
        });
        Some(found.ok()?.unwrap_or_else(|| get::encode(None, 0, None, answer)))
    }

    async fn set(&self, body: &Bytes, received: Encoding, answer: Encoding) -> Option<Vec<u8>> {
        let set = set::decode(body, received).ok()?;
        let operation = Operation::Set {
            key: self.key(set.namespace.as_ref(), &set.key.0)?,
            value: Bytes::copy_from_slice(&set.value.0),
            expected: set.options.version.map(Version),
            behavior: match set.options.behavior {
                kv::Behavior::Upsert => storage::Behavior::Upsert,
                kv::Behavior::Insert => storage::Behavior::Insert,
                kv::Behavior::Update => storage::Behavior::Update,
            },
            ttl: set.options.ttl.map(Ttl::new).transpose().ok()?,
        };
        match self.storage.submit(vec![operation]).ok()?.await.ok()?.as_slice() {
            [Outcome::Set(version)] => Some(set::encode(version.0, answer)),
            _ => None,
        }
    }
}
