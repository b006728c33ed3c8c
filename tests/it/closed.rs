//! Connections that do not end in order are counted by why; those that do are not.

use std::io;
use std::time::Duration;

use larder_tests::{Client, Larder, Metrics, Options, Protocol, TOKEN};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than every limit that the servers here are given, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const CLOSED: &str = "larder_connections_closed_total";
const PING: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn connect(larder: &Larder, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    // The server may close before everything is sent.
    let _ = stream.write_all(bytes).await;
    stream
}

/// Sends bytes, and reads until the server closes.
async fn until_closed(larder: &Larder, bytes: &[u8]) {
    let mut stream = connect(larder, bytes).await;
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// Waits until so many were closed for this reason.
async fn counted(larder: &Larder, reason: &str, connections: f64) {
    let client = Client::new(larder.address());
    let labels = [("reason", reason)];
    let metrics =
        Metrics::until(&client, |metrics| metrics.sum(CLOSED, &labels) >= connections).await;
    assert_eq!(metrics.sum(CLOSED, &labels), connections, "{reason}");
}

#[tokio::test]
async fn heads_and_frames_that_end_a_connection_are_counted_by_why() {
    let larder = Larder::start_with(Options::flags(&["--header-ms-max", "500"]));
    for bytes in [&b"nonsense\r\n\r\n"[..], b"GET / HTTP/1.1\r\nho st: x\r\n\r\n"] {
        until_closed(&larder, bytes).await;
    }
    counted(&larder, "malformed-head", 2.0).await;
    let many: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    for headers in [many, long] {
        until_closed(&larder, format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()).await;
    }
    until_closed(&larder, format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)).as_bytes())
        .await;
    counted(&larder, "large-head", 3.0).await;
    for bytes in [&b""[..], b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nhost:"] {
        until_closed(&larder, bytes).await;
    }
    counted(&larder, "slow-head", 3.0).await;
    until_closed(&larder, &[PREFACE, &b"\0\0\x08\x06\0\0\0\0\0pingpong".repeat(20_000)].concat())
        .await;
    counted(&larder, "flood", 1.0).await;
    // Data that belong to no stream.
    until_closed(&larder, &[PREFACE, b"\0\0\x01\0\0\0\0\0\0x"].concat()).await;
    counted(&larder, "http2-error", 1.0).await;
    // A client that leaves in the midst of a head.
    connect(&larder, b"GET /livez HTT").await.shutdown().await.unwrap();
    counted(&larder, "broken", 1.0).await;
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    assert_eq!(metrics.sum(CLOSED, &[]), 11.0);
}

#[tokio::test]
async fn connections_that_rest_too_long_or_are_not_read_are_counted_by_why() {
    let flags = ["--idle-ms-max", "1000", "--answer-ms-max", "1000"];
    let larder = Larder::start_with(Options::flags(&flags));
    until_closed(&larder, PING.as_bytes()).await;
    until_closed(&larder, PREFACE).await;
    counted(&larder, "idle", 2.0).await;
    let value = "v".repeat(8_000_000);
    let set = json!({"key": "k", "value": value});
    let client = Client::new(larder.address());
    assert_eq!(client.post("/api/v1.kv.set", &set).await.status, 200);
    let get = format!(
        "POST /api/v1.kv.get HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: 11\r\n\r\n{{\"key\":\"k\"}}"
    );
    let unread = connect(&larder, get.as_bytes()).await;
    counted(&larder, "slow-reader", 1.0).await;
    drop(unread);
    let metrics = Metrics::of(&client).await;
    assert_eq!(metrics.sum(CLOSED, &[]), 3.0);
}

#[tokio::test]
async fn connections_that_end_in_order_are_not_counted() {
    let larder = Larder::start();
    drop(connect(&larder, b"").await);
    until_closed(&larder, PING.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await;
    let versions = [http::Version::HTTP_10, http::Version::HTTP_11].map(Protocol::Http1);
    for protocol in versions.into_iter().chain([Protocol::Http2]) {
        let client = Client::speaking(larder.address(), protocol);
        assert_eq!(client.get("/livez").await.status, 200);
    }
    // All of them are gone but the one that asks.
    let alone = |metrics: &Metrics| metrics.sum("larder_connections_open", &[]) == 1.0;
    let metrics = Metrics::until(&Client::new(larder.address()), alone).await;
    assert!(metrics.families.contains_key(CLOSED));
    assert_eq!(metrics.sum(CLOSED, &[]), 0.0);
}

#[tokio::test]
async fn connections_that_make_room_are_counted_as_that() {
    let flags = ["--connections-max", "2", "--workers", "1"];
    let larder = Larder::start_with(Options::flags(&flags));
    let _silent = [connect(&larder, b"").await, connect(&larder, b"").await];
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    let evicted = metrics.sum("larder_connections_evicted_total", &[]);
    assert!(evicted >= 1.0, "{evicted}");
    assert_eq!(metrics.sum(CLOSED, &[("reason", "evicted")]), evicted);
    assert_eq!(metrics.sum(CLOSED, &[]), evicted);
}
