//! A guest that does what tests ask of it, good or bad: the last part of the path says what.

mod bindings;
mod changes;
mod deferred;
mod hostile;
mod memory;
mod shared;

use std::cell::Cell;
use std::fmt::Write as _;
use std::time::Duration;

use bindings::exports::larder::guest::{completion, continuation, incoming_handler};
use bindings::larder::guest::blobs::{Blob, Content};
use bindings::larder::guest::deferred::Outcome;
use bindings::larder::guest::kv;
use bindings::larder::guest::namespaces;
use bindings::larder::guest::requests::{self, Body, Request, Response};
use bindings::larder::guest::storage;
use shared::{OPTIONS, query, sleep, text};

struct TestGuest;

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "exported symbols")]
mod export {
    use super::{TestGuest, bindings};
    bindings::export!(TestGuest with_types_in bindings);
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

impl completion::Guest for TestGuest {
    fn complete(memo: Vec<u8>, outcome: Outcome) -> Response {
        deferred::complete(&memo, &outcome)
    }
}

impl continuation::Guest for TestGuest {
    fn resume(memo: Vec<u8>, outcome: Result<storage::Outcome, storage::Error>) -> Response {
        changes::resume(&memo, outcome)
    }
}

impl incoming_handler::Guest for TestGuest {
    fn handle(request: Request) -> Response {
        let action = request.path.rsplit('/').next().unwrap_or_default();
        match action {
            "echo" => text(echo(&request)),
            "calls" => text(CALLS.with(|calls| calls.replace(calls.get() + 1) + 1).to_string()),
            "store-body" => store_body(request),
            "stored" => stored(),
            "read" => text(format!("{:?}", kv::get(query(&request), "key").map(|_| ()))),
            "write" => {
                text(format!("{:?}", kv::set(query(&request), "key", b"v", OPTIONS).map(|_| ())))
            }
            "delete" => text(format!("{:?}", kv::delete(query(&request), "key", None).map(|_| ()))),
            "configure" => {
                text(format!("{:?}", namespaces::configure(query(&request)).map(|_| ())))
            }
            "namespace" => text(format!("{:?}", namespaces::get(query(&request)).map(|_| ()))),
            "defer" => deferred::defer(&request),
            "read-storage" => changes::read(&request),
            "commit" => changes::commit(&request),
            "continue" => changes::defer(&request),
            "outside" => text(outside()),
            "log" => log(&request),
            "hide-header" => with_header("x-hidden\r\nx-forged", "1"),
            "own-length" => with_header("content-length", "1"),
            "headers" => with_headers(query(&request)),
            "status" => Response {
                status: query(&request).parse().unwrap_or(1000),
                ..text("body".to_owned())
            },
            "huge" => huge(),
            "loop" => loop_for_ever(),
            "work" => work(&request),
            "sleep" => sleep(),
            "nap" => nap(&request),
            "large" => large(&request),
            "panic" => panic!("asked to"),
            "memory" => eat_memory(),
            "hold" => memory::hold(&request),
            "write-and-take" => memory::write_and_take(&request),
            "recursion" => text(recurse(1).to_string()),
            "host-calls" => host_calls(),
            "blobs" => hoard_blobs(),
            "log-bomb" => log_bomb(),
            "flood" => hostile::flood(query(&request)),
            "ask" => hostile::ask(query(&request)),
            "late" => hostile::late(query(&request)),
            "answer" => hostile::answer(query(&request)),
            _ => Response { status: 404, ..text(format!("no action {action:?}")) },
        }
    }
}

fn with_header(name: &str, value: &str) -> Response {
    Response { headers: vec![(name.to_owned(), value.to_owned())], ..text(String::new()) }
}

/// Answers with the headers that `NAME=VALUE&NAME=VALUE` names.
fn with_headers(named: &str) -> Response {
    let named = named.split('&').filter_map(|header| header.split_once('='));
    let headers = named.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Response { headers: headers.collect(), ..text(String::new()) }
}

fn bytes(content: &Content) -> Vec<u8> {
    match content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Blob(blob) => blob.read(0, blob.length()),
    }
}

fn echo(request: &Request) -> String {
    let mut out = String::new();
    let Request { method, path, query, content_type, accept, caller, body } = request;
    let _ = writeln!(
        out,
        "method={method:?} path={path} query={query:?} prefix={}",
        requests::prefix()
    );
    let _ = writeln!(out, "content-type={content_type:?} accept={accept:?} caller={caller:?}");
    let body = match body {
        Body::Complete(content) => format!("{} bytes", bytes(content).len()),
        Body::TooLarge(limit) => format!("over {limit} bytes"),
        Body::Unread => "unread".to_owned(),
    };
    let _ = writeln!(out, "body={body}");
    let _ = writeln!(
        out,
        "x-test={:?} authorization={:?}",
        requests::header("X-Test"),
        requests::header("authorization")
    );
    for (name, value) in requests::headers() {
        let _ = writeln!(out, "{name}: {}", String::from_utf8_lossy(&value));
    }
    out
}

/// Stores the body by reference: it never enters this memory when it is large.
fn store_body(request: Request) -> Response {
    let stored = match request.body {
        Body::Complete(Content::Blob(blob)) => kv::set_blob("own", "body", &blob, OPTIONS),
        Body::Complete(Content::Bytes(bytes)) => kv::set("own", "body", &bytes, OPTIONS),
        Body::TooLarge(_) | Body::Unread => return text("no body".to_owned()),
    };
    text(format!("{:?}", stored.map(|_| ())))
}

/// Answers with what `store_body` stored, between two parts of its own.
fn stored() -> Response {
    let Ok(Some(entry)) = kv::get("own", "body") else {
        return text("nothing".to_owned());
    };
    let part = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    Response { body: vec![part("<"), entry.value, part(">")], ..text(String::new()) }
}

/// Tries everything that WASI could reach.
fn outside() -> String {
    let mut out = String::new();
    let _ = writeln!(out, "file={}", std::fs::read("/etc/passwd").is_ok());
    let _ = writeln!(out, "directory={}", std::fs::read_dir("/").is_ok());
    let _ = writeln!(out, "write={}", std::fs::write("/tmp/larder-test", b"x").is_ok());
    let _ = writeln!(out, "connect={}", std::net::TcpStream::connect("127.0.0.1:1").is_ok());
    let _ = writeln!(out, "listen={}", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    let _ = writeln!(out, "udp={}", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    let _ = writeln!(out, "variables={}", std::env::vars().count());
    let _ = writeln!(out, "arguments={}", std::env::args().count());
    out
}

fn log(request: &Request) -> Response {
    println!("printed {}", query(request));
    eprintln!("complained {}", query(request));
    text("logged".to_owned())
}

/// One small blob, sent so often that the answer would be 64 GiB.
fn huge() -> Response {
    let blob = Blob::new(&vec![0; 1 << 20]);
    let body = (0..900).map(|_| Content::Blob(blob.slice(0, u64::MAX))).collect();
    Response { body, ..text(String::new()) }
}

fn loop_for_ever() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Counts for as long as it is told to, which takes many ticks.
fn work(request: &Request) -> Response {
    let turns: u64 = query(request).parse().unwrap_or_default();
    text((0..turns).fold(0, |sum, turn| std::hint::black_box(sum + turn % 2)).to_string())
}

/// Takes so many milliseconds, and no processor.
fn nap(request: &Request) -> Response {
    std::thread::sleep(Duration::from_millis(query(request).parse().unwrap_or_default()));
    text("rested".to_owned())
}

/// Answers with so many bytes.
fn large(request: &Request) -> Response {
    let bytes = query(request).parse().unwrap_or_default();
    Response { body: vec![Content::Bytes(vec![b'l'; bytes])], ..text(String::new()) }
}

fn eat_memory() -> Response {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box([depth; 64]);
    recurse(std::hint::black_box(depth + 1)) + 1
}

fn host_calls() -> ! {
    loop {
        let _ = kv::get("own", "key");
    }
}

fn hoard_blobs() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(Blob::new(b"small"));
    }
}

fn log_bomb() -> Response {
    for n in 0..100_000 {
        println!("bomb {n} {}", "x".repeat(100));
    }
    text("logged".to_owned())
}
