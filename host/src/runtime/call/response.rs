//! What comes back from a guest, checked. Knows `http`'s types, and neither `wit/` nor the guest.

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;

use crate::runtime::guest_memory::Charges;

/// A guest's answer.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 599.
    pub status: StatusCode,
    /// Checked headers.
    pub headers: HeaderMap,
    /// The parts of the body.
    pub body: Vec<Bytes>,
    /// What the body is charged by, until it has room elsewhere.
    pub charges: Charges,
}
