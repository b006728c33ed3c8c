//! Limits of connections: many of them, idle and slow ones, floods of HTTP/2 frames, and answers that
//! nobody takes.

use std::time::Duration;

use larder_tests::http2::{END_HEADERS, END_STREAM, HEADERS, frame, get, opening};
use larder_tests::{Client, Larder, Metrics, Options, TOKEN};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than every limit that the servers here are given, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const GET: &str = "/api/v1.kv.get";
const SET: &str = "/api/v1.kv.set";

fn head(path: &str, rest: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n{rest}\r\n"
    )
}

async fn assert_lives(larder: &Larder) {
    let reply = Client::new(larder.address()).post(GET, &json!({"key": "k"})).await;
    assert_eq!(reply.status, 200);
}

/// Reads until the server closes; how many bytes came.
async fn read_to_close(stream: &mut TcpStream) -> usize {
    let mut answer = Vec::new();
    // An end in the midst of something is one too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    answer.len()
}

/// A connection whose request is being answered: its body is still to come.
async fn busy(larder: &Larder) -> TcpStream {
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    let head = head(GET, "content-length: 11\r\nexpect: 100-continue\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told[..12], b"HTTP/1.1 100");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_connect_at_once_as_the_system_lets_wait() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let clients = most.trim().parse::<usize>().unwrap().min(400);
    let larder = Larder::start();
    // Nobody accepts: all that a client can be told comes from the system.
    larder.signal(Signal::STOP);
    let mut connected = Vec::new();
    for number in 0..clients {
        let connecting = timeout(PATIENCE, TcpStream::connect(larder.address())).await;
        connected
            .push(connecting.unwrap_or_else(|_| panic!("no room for client {number}")).unwrap());
    }
    larder.signal(Signal::CONT);
    for mut stream in connected {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(read_to_close(&mut stream).await > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_while_all_others_are_busy() {
    let larder = Larder::start_with(Options::flags(&["--connections-max", "4"]));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(busy(&larder).await);
    }
    let client = Client::new(larder.address());
    let mut waiting = tokio::spawn(async move { client.get("/api/v1.health.ping").await });
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "a fifth connection was served: {early:?}");
    held.clear();
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room_for_new_ones_and_served_ones_go_last() {
    let flags = ["--connections-max", "4", "--workers", "1"];
    let larder = Larder::start_with(Options::flags(&flags));
    let mut busy = busy(&larder).await;
    let mut kept = TcpStream::connect(larder.address()).await.unwrap();
    let ping = b"GET /api/v1.health.ping HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut answer = vec![0; 4096];
    kept.write_all(ping).await.unwrap();
    assert!(kept.read(&mut answer).await.unwrap() > 0);
    let mut silent = Vec::new();
    for _ in 0..12 {
        let stream = TcpStream::connect(larder.address()).await.unwrap();
        silent.push(stream);
        // Whoever speaks is served, though the server is full.
        let reply = Client::new(larder.address()).get("/api/v1.health.ping").await;
        assert_eq!(reply.status, 200);
    }
    // The oldest was closed long before its head was due.
    let closed = timeout(Duration::from_secs(5), silent[0].read(&mut answer)).await;
    assert!(!matches!(closed, Err(_) | Ok(Ok(1..))), "{closed:?}");
    kept.write_all(ping).await.unwrap();
    assert!(kept.read(&mut answer).await.unwrap() > 0, "a connection that was served went first");
    busy.write_all(b"{\"key\":\"k\"}").await.unwrap();
    assert!(busy.read(&mut answer).await.unwrap() > 0);
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    assert!(metrics.sum("larder_connections_evicted_total", &[]) >= 10.0);
}

#[tokio::test]
async fn what_the_limit_of_open_files_does_not_let_be_is_told_and_the_soft_limit_raised() {
    let limited = |limit: &str| {
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        let wrapper = vec!["sh".to_owned(), "-c".to_owned(), script];
        Larder::start_with(Options { wrapper, ..Options::flags(&["--workers", "2"]) })
    };
    let larder = limited("-n 200");
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    assert_eq!(metrics.sum("larder_connections_max", &[]), 120.0);
    larder.until_logged("the hard limit of open files is too low", 1).await;
    let held: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(larder.address())).collect();
    assert_lives(&larder).await;
    drop(held);
    let larder = limited("-Sn 200");
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    assert_eq!(metrics.sum("larder_connections_max", &[]), 10_000.0);
}

/// Reads until the server closes; how long that took.
async fn time_to_close(stream: &mut TcpStream) -> Duration {
    let begun = tokio::time::Instant::now();
    read_to_close(stream).await;
    begun.elapsed()
}

#[tokio::test]
async fn frames_that_ask_for_nothing_neither_keep_a_connection_nor_may_come_in_floods() {
    let larder = Larder::start_with(Options::flags(&["--idle-ms-max", "1500"]));
    let ping = b"\0\0\x08\x06\0\0\0\0\0pingping";
    let connect = async || {
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(&opening(65_535)).await.unwrap();
        stream
    };
    let (mut reader, mut writer) = connect().await.into_split();
    let pings = tokio::spawn(async move {
        while writer.write_all(&ping.repeat(20)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut all = Vec::new();
    let ended = timeout(PATIENCE, reader.read_to_end(&mut all)).await;
    assert!(ended.is_ok(), "pings keep a connection open");
    pings.await.unwrap();
    let mut flood = connect().await;
    // The server may close before everything is sent.
    let _ = flood.write_all(&ping.repeat(20_000)).await;
    let took = time_to_close(&mut flood).await;
    assert!(took < Duration::from_millis(1500), "a flood went on until it was idle: {took:?}");
    assert_lives(&larder).await;
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded_in_time_and_in_sum() {
    const VALUE_BYTES: usize = 8_000_000;
    let larder = Larder::start_with(Options::flags(&[
        "--answer-ms-max",
        "2000",
        "--answers-bytes-max",
        "40000000",
    ]));
    let value = "v".repeat(VALUE_BYTES);
    let client = Client::new(larder.address());
    assert_eq!(client.post(SET, &json!({"key": "x", "value": value})).await.status, 200);
    let get =
        head(GET, "accept: application/msgpack\r\ncontent-length: 11\r\n") + "{\"key\":\"x\"}";
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(get.as_bytes()).await.unwrap();
        stream.readable().await.unwrap();
        stalled.push(stream);
    }
    let authorization = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/msgpack"),
    ];
    let large = async || client.send("POST", GET, &headers, "{\"key\":\"x\"}").await;
    let refused = large().await;
    // What was asked for is done, if it was a write: nobody is told to ask again.
    assert_eq!((refused.status, refused.header("retry-after")), (503, None));
    let metrics = Metrics::of(&client).await;
    let reason = [("reason", "answer-room")];
    assert_eq!(metrics.sum("larder_http_refused_total", &reason), 1.0);
    assert_lives(&larder).await;
    // Closed in the midst of their answers.
    wait_for_open(&client, 1.0).await;
    for mut stream in stalled {
        assert!(read_to_close(&mut stream).await < VALUE_BYTES);
    }
    assert_eq!(large().await.status, 200);
}

/// Waits until no more connections are open than these, the one that asks among them.
async fn wait_for_open(client: &Client, most: f64) {
    let closed = async {
        while Metrics::of(client).await.sum("larder_connections_open", &[]) > most {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_answer_is_not_taken_ends_though_others_go_on() {
    let larder = Larder::start_with(Options::flags(&["--answer-ms-max", "1000"]));
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(&opening(0)).await.unwrap();
    // Answers without a window to send them in, and connections that ask on and on.
    let asked = async {
        for number in (1..).step_by(2) {
            let asks = frame(HEADERS, END_HEADERS | END_STREAM, number, &get("/livez"));
            if stream.write_all(&asks).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("the connection goes on and on");
    assert_lives(&larder).await;
}
