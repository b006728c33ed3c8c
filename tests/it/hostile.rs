//! Rude and broken clients: each gets the right status or a closed connection, and the server
//! lives and serves others.

use std::io;
use std::time::Duration;

use larder_tests::{Client, Larder, Options, TOKEN, guest_file};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than every limit that the servers here are given, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> Larder {
    Larder::start_with(Options::flags(&[
        "--header-ms-max",
        "500",
        "--body-ms-max",
        "500",
        "--idle-ms-max",
        "1500",
        "--body-bytes-max",
        "100000",
    ]))
}

/// Sends bytes and reads until the server closes.
async fn exchange(larder: &Larder, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    // The server may close before everything is sent.
    let _ = stream.write_all(bytes).await;
    read_to_close(&mut stream).await
}

async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        Err(_) => panic!("the connection hangs after {:?}", String::from_utf8_lossy(&answer)),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn assert_lives(larder: &Larder) {
    let reply = Client::new(larder.address()).post("/api/v1.kv.get", &json!({"key": "k"})).await;
    assert_eq!(reply.status, 200);
}

fn head(path: &str, rest: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n{rest}\r\n"
    )
}

const GET: &str = "/api/v1.kv.get";
const SET: &str = "/api/v1.kv.set";

#[tokio::test]
async fn malformed_requests_are_400_or_closed() {
    let larder = start();
    for request in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost x\r\n\r\n",
        "GET / HTTP/1.1\r\nho st: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
    ] {
        let answer = exchange(&larder, request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    assert_lives(&larder).await;
}

#[tokio::test]
async fn header_floods_are_431_or_closed() {
    let larder = start();
    let many: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(100_000));
    for flood in [many, long] {
        let answer = exchange(&larder, head(GET, &flood).as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let uri = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let answer = exchange(&larder, uri.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_lives(&larder).await;
}

#[tokio::test]
async fn a_slow_head_is_closed() {
    let larder = start();
    for part in ["", "P", "PRI * HTTP/2.0\r\n", "POST /api/v1.kv.get HTTP/1.1\r\nhost:"] {
        assert_eq!(exchange(&larder, part.as_bytes()).await, "", "{part:?}");
    }
    assert_lives(&larder).await;
}

#[tokio::test]
async fn a_slow_second_head_is_closed_too() {
    let larder = start();
    let request = "GET /api/v1.health.ping HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    stream.write_all(b"GET /api").await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let larder = start();
    for framing in ["content-length: 100\r\n", "transfer-encoding: chunked\r\n"] {
        let answer = exchange(&larder, head(GET, framing).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"timeout\""), "{answer}");
    }
    assert_lives(&larder).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_either_protocol() {
    let larder = start();
    let request = "GET /api/v1.health.ping HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = exchange(&larder, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    exchange(&larder, preface).await;
    assert_lives(&larder).await;
}

/// Waits until the log tells so often that a connection gave its memory back.
async fn rests(larder: &Larder, times: usize) {
    let rests = async {
        while larder.log().matches("a connection rests").count() < times {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, rests).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_rested_serves_on_and_one_that_is_stuck_loses_nothing() {
    const VALUE_BYTES: usize = 8_000_000;
    let larder = Larder::start_with(Options::flags(&["--log", "debug"]));
    let body = format!("{{\"key\":\"k\",\"value\":\"{}\"}}", "v".repeat(VALUE_BYTES));
    let set = format!("{}{body}", head(SET, &format!("content-length: {}\r\n", body.len())));
    let get = head(GET, "accept: application/msgpack\r\ncontent-length: 11\r\n");
    let mut stuck = TcpStream::connect(larder.address()).await.unwrap();
    stuck.write_all(set.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    assert!(stuck.read(&mut answer).await.unwrap() > 0);
    // Its answer is more than the system takes before it is read.
    stuck.write_all(format!("{get}{{\"key\":\"k\"}}").as_bytes()).await.unwrap();
    let mut read = stuck.read(&mut answer).await.unwrap();
    let mut idle = TcpStream::connect(larder.address()).await.unwrap();
    let ping = b"GET /api/v1.health.ping HTTP/1.1\r\nhost: x\r\n\r\n";
    for times in 1..=2 {
        idle.write_all(ping).await.unwrap();
        let length = idle.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        rests(&larder, times).await;
    }
    while read < VALUE_BYTES {
        let more = timeout(PATIENCE, stuck.read(&mut answer)).await.unwrap().unwrap();
        assert!(more > 0, "the answer ended after {read} bytes");
        read += more;
    }
}

#[tokio::test]
async fn a_slow_head_is_closed_also_after_a_rest() {
    let larder = Larder::start_with(Options::flags(&["--log", "debug", "--header-ms-max", "500"]));
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(b"GET /api/v1.health.ping HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    rests(&larder, 1).await;
    stream.write_all(b"GET /api").await.unwrap();
    // Long before it would be for being idle.
    assert_eq!(read_to_close(&mut stream).await, "");
}

#[tokio::test]
async fn a_truncated_body_ends_the_request_and_nothing_else() {
    let larder = start();
    for (framing, body) in [
        ("content-length: 100\r\n", "{\"key\""),
        ("transfer-encoding: chunked\r\n", "5\r\n{\"ke"),
        ("transfer-encoding: chunked\r\n", "zz\r\n"),
    ] {
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(format!("{}{body}", head(GET, framing)).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_to_close(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_lives(&larder).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_is_framed() {
    let larder = start();
    let over = "x".repeat(150_000);
    let whole = format!("{}{over}", head(GET, "content-length: 150000\r\nconnection: close\r\n"));
    let chunked = format!(
        "{}{:x}\r\n{over}\r\n0\r\n\r\n",
        head(GET, "transfer-encoding: chunked\r\nconnection: close\r\n"),
        over.len()
    );
    // A client that asks first is told before it sends.
    let asks = head(GET, "content-length: 150000\r\nexpect: 100-continue\r\n");
    // More than anybody would read to be polite.
    let endless = head(GET, "content-length: 99999999999\r\n");
    for request in [whole, chunked, asks, endless] {
        let answer = exchange(&larder, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("payload-too-large"), "{answer}");
    }
    assert_lives(&larder).await;
}

#[tokio::test]
async fn the_connection_goes_on_after_a_refused_body() {
    let larder = start();
    let over = "x".repeat(150_000);
    let refused = format!("{}{over}", head(GET, "content-length: 150000\r\n"));
    let next = head(GET, "content-length: 11\r\nconnection: close\r\n") + "{\"key\":\"k\"}";
    let answer = exchange(&larder, format!("{refused}{next}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_unwanted_body_without_a_token_is_401_and_never_hangs() {
    let larder = start();
    for length in [10, 200_000, 50_000_000] {
        let body = "x".repeat(length);
        let request = format!(
            "POST {GET} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let answer = exchange(&larder, request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    assert_lives(&larder).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let larder = start();
    let ping = "GET /api/v1.health.ping HTTP/1.1\r\nhost: x\r\n\r\n";
    let nope = "GET /nope HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(&larder, format!("{ping}{ping}{nope}").as_bytes()).await;
    let statuses: Vec<&str> = answer.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 3, "{answer}");
    assert!(answer.rfind("200 OK") < answer.find("404 Not Found"), "{answer}");
}

#[tokio::test]
async fn wrong_methods_are_405_and_unknown_paths_404_without_a_body() {
    let larder = start();
    let client = Client::new(larder.address());
    let authorization = format!("Bearer {TOKEN}");
    let bearer = [("authorization", authorization.as_str())];
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"] {
        let reply = client.send(method, GET, &bearer, "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{method}");
        assert!(reply.body.is_empty());
        let reply = client.send(method, GET, &[], "").await;
        assert_eq!(reply.status, 401, "{method}");
    }
    for path in ["/", "/api", "/api/", "/api/v1.kv.get/", "/api/v1.kv", "/apix", "/livezz"] {
        let reply = client.send("POST", path, &bearer, "{}").await;
        assert_eq!((reply.status, reply.body.len()), (404, 0), "{path}");
    }
}

#[tokio::test]
async fn a_request_without_a_path_reaches_no_guest() {
    let component = guest_file("larder_test_guest");
    let larder = Larder::start_with(Options::config(format!(
        "[[mount]]\nprefix = '/'\ncomponent = {component:?}\nauth = 'none'\n"
    )));
    for target in ["OPTIONS *", "CONNECT example.org:443"] {
        let request = format!("{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exchange(&larder, request.as_bytes()).await;
        // The guest's own 404 has words in it.
        assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_nothing_behind() {
    let larder = start();
    for n in 0..200 {
        let body = format!("{{\"key\":\"gone-{n}\",\"value\":\"v\"}}");
        let request = format!(
            "{}{body}",
            head("/api/v1.kv.set", &format!("content-length: {}\r\n", body.len()))
        );
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
    }
    assert_lives(&larder).await;
}
