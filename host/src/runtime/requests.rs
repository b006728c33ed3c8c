//! The import `requests`, and a request on its way into a guest.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName};
use wasmtime::component::ResourceTable;

use super::bindings::larder::guest::blobs::ContentParam;
use super::bindings::larder::guest::requests::{self as wit, Host};
use super::blobs::Blob;
use super::kv::INLINE_BYTES_MAX;
use super::state::State;

/// Who calls, as far as authentication found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No credentials.
    Anonymous,
    /// Credentials that are not valid.
    Rejected,
    /// A principal, by name.
    Principal(std::sync::Arc<str>),
}

/// A request's body, as far as it was read.
#[derive(Clone, Debug)]
pub enum Body {
    /// All of it.
    Complete(Bytes),
    /// Over this limit, in bytes.
    TooLarge(u64),
    /// Not read.
    Unread,
}

/// A request for a guest.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub uri: http::Uri,
    /// All headers but those that carry credentials.
    pub headers: HeaderMap,
    /// Who calls.
    pub caller: Caller,
    /// The body.
    pub body: Body,
}

/// The parts of a request that its lowered form borrows.
pub struct Borrowed {
    method: http::Method,
    uri: http::Uri,
    content_type: Option<String>,
    accept: Option<String>,
    caller: Caller,
    body: Body,
}

impl Borrowed {
    /// Splits a request into what the call borrows and the headers, which the state keeps.
    pub fn split(mut request: Request) -> (Self, HeaderMap) {
        request.headers.remove(AUTHORIZATION);
        let content_type = joined(&request.headers, &CONTENT_TYPE).map(Cow::into_owned);
        let accept = joined(&request.headers, &ACCEPT).map(Cow::into_owned);
        let Request { method, uri, headers, caller, body } = request;
        (Self { method, uri, content_type, accept, caller, body }, headers)
    }

    /// The request as the guest gets it. A large body is put into `table`.
    pub fn lower(&self, table: &mut ResourceTable) -> wasmtime::Result<wit::Request<'_>> {
        let body = match &self.body {
            Body::Complete(bytes) if bytes.len() <= INLINE_BYTES_MAX => {
                wit::Body::Complete(ContentParam::Bytes(bytes))
            }
            Body::Complete(bytes) => {
                wit::Body::Complete(ContentParam::Blob(table.push(Blob(bytes.clone()))?))
            }
            Body::TooLarge(limit) => wit::Body::TooLarge(*limit),
            Body::Unread => wit::Body::Unread,
        };
        let caller = match &self.caller {
            Caller::Anonymous => wit::Caller::Anonymous,
            Caller::Rejected => wit::Caller::Rejected,
            Caller::Principal(name) => wit::Caller::Principal(name),
        };
        Ok(wit::Request {
            method: method(&self.method),
            path: self.uri.path(),
            query: self.uri.query(),
            content_type: self.content_type.as_deref(),
            accept: self.accept.as_deref(),
            caller,
            body,
        })
    }
}

fn method(method: &http::Method) -> wit::Method<'_> {
    match *method {
        http::Method::GET => wit::Method::Get,
        http::Method::HEAD => wit::Method::Head,
        http::Method::POST => wit::Method::Post,
        http::Method::PUT => wit::Method::Put,
        http::Method::DELETE => wit::Method::Delete,
        http::Method::OPTIONS => wit::Method::Options,
        http::Method::PATCH => wit::Method::Patch,
        _ => wit::Method::Other(method.as_str()),
    }
}

/// All values of a header that are text, joined as HTTP joins lists.
pub fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |all, value| Cow::Owned(format!("{all}, {value}"))))
}

impl Host for State {
    fn prefix(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.guest.prefix.clone())
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        Ok(name.and_then(|name| joined(&self.headers, &name).map(Cow::into_owned)))
    }

    fn headers(&mut self) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.enter()?;
        let header = |(name, value): (&HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        let headers: Vec<_> = self.headers.iter().map(header).collect();
        let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.budget.spend_bytes(bytes)?;
        Ok(headers)
    }
}
