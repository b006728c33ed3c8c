//! Writes that end a call by the interface `deferred`, as guests of 0.1.1 make them, used well and badly.

use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::deferred::{self, Outcome};
use crate::bindings::larder::guest::kv::{self, Behavior, SetOptions};
use crate::bindings::larder::guest::requests::{self, Body, Request, Response};
use crate::shared::{OPTIONS, query, text};

/// Defers as the query says: what, and in which namespace.
pub fn defer(request: &Request) -> Response {
    let (what, namespace) = query(request).split_once(':').unwrap_or_default();
    let set = |memo: &[u8]| deferred::set(namespace, "key", b"later", OPTIONS, memo);
    let insert = SetOptions { behavior: Behavior::Insert, ..OPTIONS };
    let deferred = match what {
        "insert" => deferred::set(namespace, "key", b"later", insert, what.as_bytes()),
        "delete" => deferred::delete(namespace, "key", None, what.as_bytes()),
        "body" => match &request.body {
            Body::Complete(Content::Blob(blob)) => {
                deferred::set_blob(namespace, "key", blob, OPTIONS, what.as_bytes())
            }
            _ => return text("no large body".to_owned()),
        },
        "memo" => set(&[b'm'; 4097]),
        "twice" => set(b"").and_then(|()| set(b"")),
        // Both functions together have one budget of host calls, and one of bytes.
        "calls" => {
            for _ in 0..60 {
                requests::prefix();
            }
            set(what.as_bytes())
        }
        _ => set(what.as_bytes()),
    };
    assert!(what != "panic", "asked to, after the write was deferred");
    match deferred {
        Ok(()) => text("dropped by the host".to_owned()),
        Err(error) => text(format!("at once: {error:?}")),
    }
}

/// Tells what became of the write.
pub fn complete(memo: &[u8], outcome: &Outcome) -> Response {
    let memo = String::from_utf8_lossy(memo).into_owned();
    match &*memo {
        "again" => drop(deferred::delete("own", "key", None, b"")),
        "calls" => (0..60).for_each(|_| drop(requests::prefix())),
        // Has to wait.
        "write" => drop(kv::set("own", "after", b"v", OPTIONS)),
        _ => {}
    }
    let outcome = match outcome {
        Outcome::Set(set) => format!("set {:?}", set.as_ref().map(|_| ())),
        Outcome::Deleted(done) => format!("deleted {:?}", done.as_ref().map(|it| it.existed)),
    };
    text(format!("{memo}: {outcome}, x-test={:?}", requests::header("x-test")))
}
