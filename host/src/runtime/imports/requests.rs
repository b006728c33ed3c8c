//! The import `requests`, and a request on its way into a guest.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, PROXY_AUTHORIZATION};
use wasmtime::component::ResourceTable;

use super::bindings::larder::guest::blobs::ContentParam;
use super::bindings::larder::guest::requests::{self as wit, Host};
use crate::auth::access::Caller;
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::call::request::{Body, Head, Request, joined};
use crate::runtime::state::State;

/// The request as the guest gets it, with its header `accept`. A large body is put into `table`.
pub fn lower<'a>(
    request: &'a Request,
    accept: Option<&'a str>,
    table: &mut ResourceTable,
) -> wasmtime::Result<wit::Request<'a>> {
    let body = match &request.body {
        Body::Complete(bytes) if bytes.len() <= INLINE_BYTES_MAX => {
            wit::Body::Complete(ContentParam::Bytes(bytes))
        }
        Body::Complete(bytes) => {
            wit::Body::Complete(ContentParam::Blob(table.push(Blob::of_body(bytes.clone()))?))
        }
        Body::TooLarge(limit) => wit::Body::TooLarge(*limit),
        Body::Unread => wit::Body::Unread,
    };
    let caller = match &request.caller {
        Caller::Anonymous => wit::Caller::Anonymous,
        Caller::Rejected => wit::Caller::Rejected,
        Caller::Principal(principal) => wit::Caller::Principal(&principal.name),
    };
    let Head { method, uri, headers } = &*request.head;
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

/// Headers that guests see: all but those with credentials.
fn is_shown(name: &HeaderName) -> bool {
    *name != AUTHORIZATION && *name != PROXY_AUTHORIZATION
}

impl Host for State {
    fn prefix(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.profile.prefix.clone())
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
