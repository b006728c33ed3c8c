//! The side that does what the built-in guest does, without a sandbox around it: the same storage and
//! codecs, called as functions behind the server's own request path, with its limits and permits.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use larder::auth::access::Caller;
use larder::gateway::Calls;
use larder::runtime::{Body, CallError, Guest, Request, Response, ResponseBody, Taken};
use larder::storage::{self, Error, Key, Operation, Outcome, Storage, Ttl, Version, WriteError};
use larder_api::bindings::larder::guest::kv;
use larder_api::endpoint::{get, set};
use larder_api::options::Namespace;
use larder_wire::{Encoding, ErrorBody, ErrorType};

/// The header that the API gives with a write.
const MUTATION_VERSION: HeaderName = HeaderName::from_static("diom-mutation-version");

/// Answers gets and sets.
pub struct Native {
    storage: Storage,
}

impl Calls for Native {
    async fn call(
        &self,
        _: &Arc<Guest>,
        request: Request,
        _: impl FnOnce() -> Taken,
    ) -> Result<Response, CallError> {
        let head = &*request.head;
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let received = header(CONTENT_TYPE).and_then(Encoding::of_content_type);
        let encoding = Encoding::of_answer(header(ACCEPT), header(CONTENT_TYPE));
        let answer = match (&request.caller, received, &request.body) {
            (Caller::Principal(_), Some(received), Body::Complete(body)) => match head.uri.path() {
                "/api/v1.kv.get" => self.get(body, received, encoding),
                "/api/v1.kv.set" => self.set(body, received, encoding).await,
                _ => None,
            },
            _ => None,
        };
        answer.ok_or(CallError::Invalid("the bench asks for nothing else"))
    }
}

impl Native {
    /// A native call, with the storage that the server has open.
    pub fn new(storage: Storage) -> Self {
        Self { storage }
    }

    fn get(&self, body: &[u8], received: Encoding, answer: Encoding) -> Option<Response> {
        let get = get::decode(body, received).ok()?;
        let namespace = Namespace::resolve(get.namespace.as_ref()).ok()?;
        let found = self.storage.get(namespace, get.key.0.as_bytes(), |entry| {
            let expiry = entry.expiry.map(|expiry| expiry.0);
            get::encode(expiry, entry.version.0, Some(entry.value), answer)
        });
        let body = found.ok()?.unwrap_or_else(|| get::encode(None, 0, None, answer));
        Some(reply(StatusCode::OK, body, answer))
    }

    async fn set(&self, body: &Bytes, received: Encoding, answer: Encoding) -> Option<Response> {
        let set = set::decode(body, received).ok()?;
        let namespace = Namespace::resolve(set.namespace.as_ref()).ok()?;
        let operation = Operation::Set {
            key: Key::new(set.key.0.as_bytes()).ok()?,
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
        match self.storage.submit(namespace, vec![operation]).ok()?.await.as_deref() {
            Ok([Outcome::Set { version, .. }]) => {
                let body = set::encode(version.0, answer);
                Some(with_version(reply(StatusCode::OK, body, answer), *version))
            }
            Err(WriteError { error: Error::Conflict(conflict), .. }) => {
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

fn reply(status: StatusCode, body: Vec<u8>, encoding: Encoding) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    let body = ResponseBody { parts: vec![body.into()], ..ResponseBody::default() };
    Response { status, headers, body }
}

fn with_version(mut answer: Response, version: Version) -> Response {
    answer.headers.insert(MUTATION_VERSION, HeaderValue::from(version.0));
    answer
}
