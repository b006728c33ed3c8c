//! The import `requests`, and a request on its way into a guest.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, PROXY_AUTHORIZATION,
};
use wasmtime::component::ResourceTable;

use super::bindings::larder::guest::blobs::ContentParam;
use super::bindings::larder::guest::requests::{self as wit, Host};
use super::blobs::Blob;
use super::kv::INLINE_BYTES_MAX;
use crate::auth::access::Caller;
use crate::runtime::state::State;

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

/// A request's head. Shared by the call, which borrows from it, and the guest's state.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub uri: http::Uri,
    /// All headers.
    pub headers: HeaderMap,
}

/// A request for a guest.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, path and headers.
    pub head: Arc<Head>,
    /// Who calls.
    pub caller: Caller,
    /// The body.
    pub body: Body,
}

impl Request {
    /// The header `accept`, as the guest sees it.
    pub fn accept(&self) -> Option<Cow<'_, str>> {
        joined(&self.head.headers, &ACCEPT)
    }

    /// The request as the guest gets it. A large body is put into `table`.
    pub fn lower<'a>(
        &'a self,
        accept: Option<&'a str>,
        table: &mut ResourceTable,
    ) -> wasmtime::Result<wit::Request<'a>> {
        let body = match &self.body {
            Body::Complete(bytes) if bytes.len() <= INLINE_BYTES_MAX => {
                wit::Body::Complete(ContentParam::Bytes(bytes))
            }
            Body::Complete(bytes) => {
                wit::Body::Complete(ContentParam::Blob(table.push(Blob::of_body(bytes.clone()))?))
            }
            Body::TooLarge(limit) => wit::Body::TooLarge(*limit),
            Body::Unread => wit::Body::Unread,
        };
        let caller = match &self.caller {
            Caller::Anonymous => wit::Caller::Anonymous,
            Caller::Rejected => wit::Caller::Rejected,
            Caller::Principal(principal) => wit::Caller::Principal(&principal.name),
        };
        let Head { method, uri, headers } = &*self.head;
        Ok(wit::Request {
            method: lower_method(method),
            path: uri.path(),
            query: uri.query(),
            content_type: headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("")),
            accept,
            caller,
            body,
        })
    }
}

fn lower_method(method: &http::Method) -> wit::Method<'_> {
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

/// Headers that guests see: all but those with credentials.
fn is_shown(name: &HeaderName) -> bool {
    *name != AUTHORIZATION && *name != PROXY_AUTHORIZATION
}

impl Host for State {
    fn prefix(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.guest.prefix.clone())
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(is_shown);
        let head = self.head.as_deref();
        let value = head
            .zip(name)
            .and_then(|(head, name)| joined(&head.headers, &name).map(Cow::into_owned));
        self.budget.spend_bytes(value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }

    fn headers(&mut self) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.enter()?;
        let header = |(name, value): (&HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        let all = self.head.iter().flat_map(|head| &head.headers);
        let headers: Vec<_> = all.filter(|(name, _)| is_shown(name)).map(header).collect();
        let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.budget.spend_bytes(bytes)?;
        Ok(headers)
    }
}
