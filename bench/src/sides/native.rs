//! The side that does what the server and the built-in guest do, without a sandbox between them:
//! the same storage, authentication and codecs, called as functions.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use larder::auth::{Authenticator, Token};
use larder::clock::Clock;
use larder::http::body::Reply;
use larder::runtime::Caller;
use larder::storage::{self, Error, Operation, Options, Outcome, RecordKey, Storage, Ttl, Version};
use larder::workers::Handler;
use larder_api::bindings::larder::guest::kv;
use larder_api::endpoint::{get, set};
use larder_api::options::Namespace;
use larder_wire::{Encoding, ErrorBody, ErrorType};

use super::floor::receive_all;
use crate::Failure;
use crate::load::template::TOKEN;

/// The header that the API gives with a write.
const MUTATION_VERSION: HeaderName = HeaderName::from_static("diom-mutation-version");

/// Answers gets and sets.
#[derive(Clone)]
pub struct Native {
    storage: Storage,
    authenticator: Arc<Authenticator>,
}

impl Native {
    /// Opens a store as the server would.
    pub fn open(data: &Path) -> Result<Self, Failure> {
        let storage = Storage::open(data, Options::default(), Clock::system())?;
        let token = Token::new(TOKEN).ok_or("the bench's own token is none")?;
        Ok(Self { storage, authenticator: Arc::new(Authenticator::new(token)) })
    }

    /// The store that it serves.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }
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
        let Some((received, body)) = content_type.zip(receive_all(request).await) else {
            return refusal(StatusCode::BAD_REQUEST);
        };
        let done = if is_set {
            self.set(&body, received, encoding).await
        } else {
            self.get(&body, received, encoding)
        };
        done.unwrap_or_else(|| refusal(StatusCode::BAD_REQUEST))
    }
}

impl Native {
    fn key(&self, namespace: Option<&Namespace<'_>>, key: &str) -> Option<RecordKey> {
        let name = Namespace::resolve(namespace).ok()?;
        RecordKey::new(self.storage.namespace(name).ok()?.id, key.as_bytes())
    }

    fn get(&self, body: &[u8], received: Encoding, answer: Encoding) -> Option<Response<Reply>> {
        let get = get::decode(body, received).ok()?;
        let key = self.key(get.namespace.as_ref(), &get.key.0)?;
        let found = self.storage.get(&key, |entry| {
            let expiry = entry.expiry.map(|expiry| expiry.0);
            get::encode(expiry, entry.version.0, Some(entry.value), answer)
        });
        let body = found.ok()?.unwrap_or_else(|| get::encode(None, 0, None, answer));
        Some(reply(StatusCode::OK, body, answer))
    }

    async fn set(
        &self,
        body: &Bytes,
        received: Encoding,
        answer: Encoding,
    ) -> Option<Response<Reply>> {
        let set = set::decode(body, received).ok()?;
        let operation = Operation::Set {
            key: self.key(set.namespace.as_ref(), &set.key.0)?,
            // What stands in the body as it is stays there.
            value: match set.value.0 {
                Cow::Borrowed(value) => body.slice_ref(value),
                Cow::Owned(value) => value.into(),
            },
            expected: set.options.version.map(Version),
            behavior: match set.options.behavior {
                kv::Behavior::Upsert => storage::Behavior::Upsert,
                kv::Behavior::Insert => storage::Behavior::Insert,
                kv::Behavior::Update => storage::Behavior::Update,
            },
            ttl: set.options.ttl.map(Ttl::new).transpose().ok()?,
        };
        match self.storage.submit(vec![operation]).ok()?.await.as_deref() {
            Ok([Outcome::Set(version)]) => {
                let body = set::encode(version.0, answer);
                Some(with_version(reply(StatusCode::OK, body, answer), *version))
            }
            Err(Error::Conflict(conflict)) => {
                let body = ErrorBody {
                    r#type: ErrorType::OperationError,
                    code: "conflict",
                    detail: "The key has another version.",
                    location: None,
                };
                let refused = reply(StatusCode::BAD_REQUEST, body.encode(answer), answer);
                Some(with_version(refused, conflict.newest))
            }
            _ => None,
        }
    }
}

fn reply(status: StatusCode, body: Vec<u8>, encoding: Encoding) -> Response<Reply> {
    let mut response = Response::new(Reply::new(vec![body.into()]));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(encoding.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn with_version(mut response: Response<Reply>, version: Version) -> Response<Reply> {
    response.headers_mut().insert(MUTATION_VERSION, HeaderValue::from(version.0));
    response
}

fn refusal(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::new(Vec::new()));
    *response.status_mut() = status;
    response
}
