//! A response on its way out of a guest: checked, and turned into what the gateway sends.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::ResourceTable;

use super::bindings::larder::guest::blobs::ContentResult;
use super::bindings::larder::guest::requests as wit;
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::budget::LimitReached;
use crate::runtime::call::error::CallError;
use crate::runtime::call::response::{Response, ResponseBody};
use crate::runtime::guest_memory::{Charge, Charges, GuestMemory};

/// What a guest may say in headers.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Headers that belong to the connection, which is the host's.
const HOST_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::DATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Turns a guest's response into one that can be sent, taking the bytes of blobs out of `table`, and charging those
/// that came out of the guest when they are many.
pub fn lift(
    response: wit::Response,
    table: &mut ResourceTable,
    bytes_max: usize,
    memory: &Arc<GuestMemory>,
) -> Result<Response, CallError> {
    let status = StatusCode::from_u16(response.status).ok();
    let status = status.filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or(CallError::Invalid("the status must be 200 to 599"))?;
    let headers = lift_headers(response.headers)?;
    let mut parts = Vec::with_capacity(response.body.len());
    let (mut bytes_left, mut copied) = (bytes_max, 0);
    let mut charges = Charges::default();
    for part in response.body {
        let bytes = match part {
            ContentResult::Bytes(bytes) => {
                copied += bytes.len();
                Bytes::from(bytes)
            }
            ContentResult::Blob(blob) => {
                let blob = table.delete(blob);
                let Blob { bytes, charge } =
                    blob.map_err(|error| CallError::Trap(error.to_string()))?;
                charge.into_iter().for_each(|charge| charges.push(charge));
                bytes
            }
        };
        let left = bytes_left.checked_sub(bytes.len());
        bytes_left = left.ok_or(CallError::Limit(LimitReached("answer_bytes_max")))?;
        if !bytes.is_empty() {
            parts.push(bytes);
        }
    }
    if copied > INLINE_BYTES_MAX {
        charges.push(Arc::new(Charge::new(memory, copied)?));
    }
    Ok(Response { status, headers, body: ResponseBody { parts, charges } })
}

fn lift_headers(headers: Vec<(String, String)>) -> Result<HeaderMap, CallError> {
    if headers.len() > HEADERS_MAX {
        return Err(CallError::Invalid("there are more than 64 headers"));
    }
    let mut bytes = 0;
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        bytes += name.len() + value.len();
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| CallError::Invalid("a header's name is not valid"))?;
        if HOST_HEADERS.contains(&name) {
            return Err(CallError::Invalid("a header belongs to the host"));
        }
        let value = HeaderValue::try_from(value)
            .map_err(|_| CallError::Invalid("a header's value is not valid"))?;
        map.append(name, value);
    }
    if bytes > HEADER_BYTES_MAX {
        return Err(CallError::Invalid("the headers are larger than 16 KiB"));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> wit::Response {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        wit::Response { status, headers: headers.iter().map(header).collect(), body: Vec::new() }
    }

    fn lifted(response: wit::Response) -> Result<Response, CallError> {
        lift(response, &mut ResourceTable::new(), 10, &Arc::new(GuestMemory::new(0)))
    }

    #[test]
    fn statuses_and_headers_that_cannot_be_sent_are_refused() {
        assert!(lifted(response(204, &[("x-a", "b")])).is_ok());
        for status in [0, 100, 199, 600, 999] {
            assert!(lifted(response(status, &[])).is_err(), "{status}");
        }
        for header in [
            ("content-length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("connection", "close"),
            ("a b", "c"),
            ("", "c"),
            ("x", "a\r\nset-cookie: b"),
        ] {
            assert!(lifted(response(200, &[header])).is_err(), "{header:?}");
        }
        assert!(lifted(response(200, &[("x", "y"); 65])).is_err());
        assert!(lifted(response(200, &[("x", &"y".repeat(17 << 10))])).is_err());
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        let body = |length| {
            let body = vec![ContentResult::Bytes(vec![0; length])];
            wit::Response { body, ..response(200, &[]) }
        };
        assert!(lifted(body(10)).is_ok());
        assert!(matches!(lifted(body(11)), Err(CallError::Limit(_))));
    }

    #[test]
    fn a_large_body_is_charged_until_its_answer_is_gone_and_a_blob_s_part_with_it() {
        const LARGE: usize = 100_000;
        let memory = Arc::new(GuestMemory::new(2 * LARGE));
        let lifted = |table: &mut ResourceTable| {
            let blob = Charge::new(&memory, LARGE).unwrap();
            let blob = Blob::charged(vec![0; LARGE].into(), blob);
            let body = vec![
                ContentResult::Blob(table.push(blob).unwrap()),
                ContentResult::Bytes(vec![0; LARGE]),
            ];
            lift(wit::Response { body, ..response(200, &[]) }, table, 2 * LARGE, &memory)
        };
        let mut table = ResourceTable::new();
        let answer = lifted(&mut table).unwrap();
        assert_eq!((memory.used_bytes(), table.is_empty()), (2 * LARGE, true));
        drop(answer);
        let other = Charge::new(&memory, 1).unwrap();
        let refused = lifted(&mut table).unwrap_err();
        assert!(matches!(refused, CallError::NoRoom { has_written: false }));
        assert!(matches!(refused.after_write(), CallError::NoRoom { has_written: true }));
        drop(other);
        assert_eq!(memory.used_bytes(), 0);
    }
}
