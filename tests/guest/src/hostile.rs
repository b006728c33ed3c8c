//! What a guest does that means harm, beyond what Rust alone makes easy in `lib.rs`: floods of each
//! import, answers that cannot be sent, and abuse of WASI. The query says which.
#![expect(clippy::disallowed_methods, reason = "a guest has no clock but WASI's")]

use std::time::{Duration, Instant};

use wasip2::clocks::monotonic_clock;
use wasip2::random::random;

use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::bindings::larder::guest::requests::{self, Response};
use crate::bindings::larder::guest::{kv, namespaces};
use crate::shared::{OPTIONS, text};

/// The most that WASI gives at a time.
const RANDOM_BYTES: u64 = 64 << 10;
/// Longer than any guest's memory.
const TOO_MANY: u64 = 1 << 30;

/// Uses one import for ever.
pub fn flood(import: &str) -> Response {
    let blob = Blob::new(&vec![1; 64 << 10]);
    loop {
        match import {
            "get" => drop(kv::get("own", "key")),
            "get-denied" => drop(kv::get("default", "key")),
            "get-large" => drop(kv::get("own", "body")),
            "set" => drop(kv::set("own", "flood", b"v", OPTIONS)),
            "set-blob" => drop(kv::set_blob("own", "flood", &blob, OPTIONS)),
            "delete" => drop(kv::delete("own", "flood", None)),
            "writable" => drop(kv::writable()),
            "namespace" => drop(namespaces::get("own")),
            "configure" => drop(namespaces::configure("own")),
            "header" => drop(requests::header("host")),
            "headers" => drop(requests::headers()),
            "prefix" => drop(requests::prefix()),
            "blob" => drop(Blob::new(&[1; 1024])),
            "length" => drop(std::hint::black_box(blob.length())),
            "read" => drop(blob.read(0, u64::MAX)),
            "slice" => drop(blob.slice(1, u64::MAX)),
            "random" => drop(random::get_random_bytes(RANDOM_BYTES)),
            "clock" => drop(std::hint::black_box(Instant::now())),
            "print" => print!("no end of the line"),
            "lines" => println!("a line"),
            _ => return text(format!("no import {import:?}")),
        }
    }
}

/// Asks for more than there is, once.
pub fn ask(what: &str) -> Response {
    match what {
        "random" => drop(random::get_random_bytes(TOO_MANY)),
        "pollables" => {
            let all: Vec<_> =
                (0..TOO_MANY).map(|_| monotonic_clock::subscribe_duration(1)).collect();
            std::hint::black_box(all);
        }
        "slices" => {
            let blob = Blob::new(b"blob");
            let all: Vec<_> = (0..TOO_MANY).map(|_| blob.slice(0, 1)).collect();
            std::hint::black_box(all);
        }
        "thread" => {
            return text(format!("{:?}", std::thread::Builder::new().spawn(|| ()).is_err()));
        }
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        _ => {}
    }
    text(format!("was given {what:?}"))
}

/// Answers when nobody waits any more.
pub fn late(ms: &str) -> Response {
    let time = Duration::from_millis(ms.parse().unwrap_or(u64::MAX));
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
    text("late".to_owned())
}

/// An answer that cannot be sent.
pub fn answer(how: &str) -> Response {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = match how {
        "many-headers" => (0..100_000).map(|n| header(&format!("x-{n}"), "v")).collect(),
        "long-header" => vec![header("x-long", &"v".repeat(1 << 20))],
        "value-lines" => vec![header("x-lines", "v\r\nset-cookie: forged")],
        "value-nul" => vec![header("x-nul", "v\0")],
        "name-lines" => vec![header("x-a\r\nx-b", "v")],
        "name-empty" => vec![header("", "v")],
        "name-space" => vec![header("x y", "v")],
        "connection" => vec![header("Connection", "close")],
        "chunked" => vec![header("transfer-encoding", "chunked")],
        "upgrade" => vec![header("upgrade", "h2c")],
        _ => Vec::new(),
    };
    let status = how.strip_prefix("status-").and_then(|status| status.parse().ok());
    let body = match how {
        "many-parts" => (0..1_000_000).map(|_| Content::Bytes(Vec::new())).collect(),
        "large-parts" => (0..60).map(|_| Content::Bytes(vec![1; 1 << 20])).collect(),
        "many-blobs" => {
            let blob = Blob::new(&vec![0; 1 << 20]);
            (0..500).map(|_| Content::Blob(blob.slice(0, u64::MAX))).collect()
        }
        _ => vec![Content::Bytes(b"body".to_vec())],
    };
    Response { status: status.unwrap_or(200), headers, body }
}
