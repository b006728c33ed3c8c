//! What comes back from a guest, checked. Knows `http`'s types, and neither `wit/` nor the guest.

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;

use crate::runtime::guest_memory::Charges;

/// A guest's response.
#[derive(Debug)]
pub struct Response {
    /// 200 to 599.
    pub status: StatusCode,
    /// Checked headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ResponseBody,
}

/// The body of a response: all of it is here.
#[derive(Debug, Default)]
pub struct ResponseBody {
    /// Its parts, in their order.
    pub parts: Vec<Bytes>,
    /// What it is charged by, until it has room elsewhere.
    pub charges: Charges,
}
