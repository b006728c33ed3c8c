//! What takes memory, of the guest and of the host, for as long as a test wants it.

use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::bindings::larder::guest::requests::{Request, Response};
use crate::bindings::larder::guest::{deferred, kv};
use crate::shared::{OPTIONS, query, sleep, text};

/// Holds what the query says until nobody waits any more: `bytes=N` in its memory, `blob=N` or `deferred=N`
/// with the host besides, `value=KEY`, as large as it is, or `read=KEY`, the same in its memory too.
pub fn hold(request: &Request) -> Response {
    let (what, how_much) = query(request).split_once('=').unwrap_or_default();
    let bytes = vec![1_u8; how_much.parse().unwrap_or_default()];
    let blob = (what == "blob").then(|| Blob::new(&bytes));
    let deferred = (what == "deferred").then(|| deferred::set("own", "k", &bytes, OPTIONS, b""));
    let value = ["value", "read"].contains(&what).then(|| kv::get("own", how_much));
    let read = match &value {
        Some(Ok(Some(kv::Entry { value: Content::Blob(value), .. }))) if what == "read" => {
            value.read(0, u64::MAX)
        }
        _ => Vec::new(),
    };
    println!("holding {what}");
    let rested = sleep();
    std::hint::black_box((bytes, blob, deferred, value, read));
    rested
}

/// Writes, and then takes so many bytes.
pub fn write_and_take(request: &Request) -> Response {
    let written = kv::set("own", "written", b"v", OPTIONS);
    let bytes = vec![1_u8; query(request).parse().unwrap_or_default()];
    text(format!("{:?} {}", written.map(|_| ()), std::hint::black_box(bytes).len()))
}
