//! A request for a guest, as the gateway gives it. Knows no `wit/` and no state.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, HeaderName};

use crate::auth::access::Caller;

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
}

/// All values of a header that are text, joined as HTTP joins lists.
pub fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |all, value| Cow::Owned(format!("{all}, {value}"))))
}
