//! Requests whose end comes in any form, or never: streams of HTTP/2, half-closed connections, refusals
//! that come before the body has.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_tests::http2::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, get};
use larder_tests::{BEARER, Client, Larder, Metrics, Options, test_guest};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::frames::{open, post};

const PATIENCE: Duration = Duration::from_secs(30);
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const WINDOW: u32 = 1 << 20;
/// Requests of one connection that are under way at a time.
const AT_ONCE: usize = 10;

/// A request's frames, whose stream ends in one of several ways.
fn ended(number: usize, stream: u32) -> [Vec<u8>; 2] {
    let body = format!("{{\"key\":\"k{:04}\"}}", number % 1000);
    let head = |length| frame(HEADERS, END_HEADERS, stream, &post(GET, length));
    let data = |flags, bytes: &[u8]| frame(DATA, flags, stream, bytes);
    let whole = Some(body.len());
    let padded = [&[7][..], body.as_bytes(), &[0; 7]].concat();
    let trailer = frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x00\x01x\x01y");
    // Empty frames that end nothing are for the first ones alone: h2 counts them over a connection's life.
    let form = if number % 6 == 2 && number > 300 { 0 } else { number % 6 };
    match form {
        // In a frame of its own, with a length that was announced, or not.
        0 => [[head(whole), data(0, body.as_bytes())].concat(), data(END_STREAM, b"")],
        1 => [[head(None), data(0, body.as_bytes())].concat(), data(END_STREAM, b"")],
        // After more empty frames; behind padding; with trailers; without a body.
        2 => {
            [[head(whole), data(0, body.as_bytes()), data(0, b"")].concat(), data(END_STREAM, b"")]
        }
        3 => [head(whole), data(END_STREAM | 8, &padded)],
        4 => [[head(whole), data(0, body.as_bytes())].concat(), trailer],
        _ => [frame(HEADERS, END_HEADERS, stream, &get("/livez")), data(END_STREAM, b"")],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_requests_that_end_in_any_form_reset_no_stream() {
    const REQUESTS: usize = 100_000;
    let larder = Larder::start();
    let (mut answers, mut writer) = open(larder.address(), WINDOW).await;
    let (mut asked, mut answered) = (0, 0);
    while answered < REQUESTS {
        let pairs = (asked..asked + AT_ONCE).map(|n| ended(n, 2 * n as u32 + 1));
        let (begun, ends): (Vec<_>, Vec<_>) = pairs.map(|[begun, end]| (begun, end)).unzip();
        writer.write_all(&begun.concat()).await.unwrap();
        // What is asked next may reach the server alone.
        tokio::task::yield_now().await;
        writer.write_all(&ends.concat()).await.unwrap();
        asked += AT_ONCE;
        while answered < asked {
            let next = timeout(PATIENCE, answers.next()).await.expect("an answer");
            let next = next.expect("the connection goes on");
            assert!(next.kind != RST_STREAM && next.kind != GOAWAY, "{answered}: {next:?}");
            answered += usize::from(next.flags & END_STREAM != 0 && next.kind <= HEADERS);
        }
    }
    assert_eq!((answers.count(RST_STREAM), answers.count(HEADERS)), (0, REQUESTS));
}

#[tokio::test]
async fn an_answer_waits_for_the_end_of_its_request() {
    let larder = Larder::start();
    let (mut answers, mut writer) = open(larder.address(), WINDOW).await;
    let body = br#"{"key":"k"}"#;
    let request = [
        frame(HEADERS, END_HEADERS, 1, &post(GET, Some(body.len()))),
        frame(DATA, 0, 1, body),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/livez")),
    ];
    writer.write_all(&request.concat()).await.unwrap();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let next = timeout(PATIENCE, answers.next()).await.unwrap().unwrap();
        if next.kind <= HEADERS && next.flags & END_STREAM != 0 {
            ended.push(next.stream);
            if next.stream == 3 {
                writer.write_all(&frame(DATA, END_STREAM, 1, b"")).await.unwrap();
            }
        }
    }
    assert_eq!(ended, [3, 1]);
}

#[tokio::test]
async fn a_refusal_comes_early_and_resets_what_goes_on_without_an_error() {
    let larder = Larder::start();
    let (mut answers, mut writer) = open(larder.address(), WINDOW).await;
    // Without a token, and with more to come than is read on.
    let mut head = get(SET);
    head[0] = 0x83;
    writer.write_all(&frame(HEADERS, END_HEADERS, 1, &head)).await.unwrap();
    let piece = frame(DATA, 0, 1, &[b'x'; 16_000]);
    let sends = tokio::spawn(async move {
        for _ in 0..40 {
            writer.write_all(&piece).await.unwrap();
        }
        writer
    });
    let (mut is_answered, mut reset) = (false, None);
    while reset.is_none() {
        let next = timeout(PATIENCE, answers.next()).await.unwrap().expect("it goes on");
        assert_ne!(next.kind, GOAWAY, "{next:?}");
        is_answered |= next.stream == 1 && next.flags & END_STREAM != 0 && next.kind <= HEADERS;
        reset = (next.kind == RST_STREAM).then_some(next.payload);
    }
    assert!(is_answered);
    assert_eq!(reset.unwrap(), [0; 4], "NO_ERROR");
    let mut writer = sends.await.unwrap();
    let ask = frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/livez"));
    writer.write_all(&ask).await.unwrap();
    loop {
        let next = timeout(PATIENCE, answers.next()).await.unwrap().expect("it goes on");
        if next.stream == 3 && next.flags & END_STREAM != 0 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_bodies_cost_a_good_client_of_the_same_connection_nothing() {
    const REFUSED: usize = 1000;
    let larder = Larder::start();
    let stream = TcpStream::connect(larder.address()).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let request = |token: &str, body: Bytes| {
        http::Request::post(format!("http://larder{SET}"))
            .header("authorization", token)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap()
    };
    let mut refused = JoinSet::new();
    let (mut sender_of_refused, bad) = (sender.clone(), body.clone());
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(64));
    let bad_ones = tokio::spawn(async move {
        for _ in 0..REFUSED {
            let permit = permits.clone().acquire_owned().await.unwrap();
            sender_of_refused.ready().await.unwrap();
            let answer = sender_of_refused.send_request(request("Bearer wrong", bad.clone()));
            refused.spawn(async move {
                let status = answer.await.map(|answer| answer.status().as_u16());
                drop(permit);
                status
            });
        }
        let mut statuses = Vec::new();
        while let Some(status) = refused.join_next().await {
            statuses.push(status.unwrap().unwrap_or(0));
        }
        statuses
    });
    let (mut sender, mut good) = (sender, 0);
    while !bad_ones.is_finished() {
        sender.ready().await.expect("the connection goes on");
        let set = Bytes::from(json!({"key": good.to_string(), "value": "v"}).to_string());
        let answer = sender.send_request(request(BEARER.1, set));
        let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        good += 1;
    }
    let statuses = timeout(PATIENCE, bad_ones).await.unwrap().unwrap();
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert!(good > 2, "{good}");
    drop(sender);
    connection.await.unwrap().expect("an end without an error");
}

/// Sends a request and half-closes; what is answered.
async fn half_closed(larder: &Larder, request: &str) -> String {
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("an end").unwrap();
    answer
}

#[tokio::test]
async fn who_half_closes_after_a_request_is_answered() {
    let larder = test_guest("auth = 'none'");
    let (name, token) = BEARER;
    let set = r#"{"key":"k","value":"v"}"#;
    let set = format!(
        "POST {SET} HTTP/1.1\r\nhost: x\r\n{name}: {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{set}",
        set.len()
    );
    for request in [
        "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /readyz HTTP/1.0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /test/nap?300 HTTP/1.1\r\nhost: x\r\n\r\n",
        &set,
    ] {
        for _ in 0..3 {
            let answer = half_closed(&larder, request).await;
            assert!(answer.starts_with("HTTP/1.") && answer[8..].starts_with(" 200"), "{answer:?}");
        }
    }
    let get = Client::new(larder.address()).post(GET, &json!({"key": "k"})).await;
    assert_eq!(get.status, 200);
    // One that ends before its body does is told.
    let half = set.trim_end_matches('}');
    assert!(half_closed(&larder, half).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn who_resets_the_connection_takes_the_call_along() {
    let larder = test_guest("auth = 'none'\ncall_ms_max = 60000");
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(b"GET /test/sleep HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    larder.until_logged("sleeping", 1).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let client = Client::new(larder.address());
    let aborted = [("guest", "larder_test_guest"), ("outcome", "aborted")];
    Metrics::until(&client, |metrics| metrics.sum("larder_guest_calls_total", &aborted) == 1.0)
        .await;
    Metrics::until(&client, |metrics| metrics.sum("larder_calls_running", &[]) == 0.0).await;
}

/// What a client hears that sends everything before it reads, as `http.client` and proxies do.
async fn sent_first(larder: &Larder, head: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    let head = format!("{head}content-length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let size = left.min(piece.len());
        stream.write_all(&piece[..size]).await.expect("the server reads on");
        left -= size;
    }
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_arrives_however_much_the_client_sends_first() {
    let larder = Larder::start_with(Options::flags(&["--body-bytes-max", "1000000"]));
    let (name, token) = BEARER;
    let api = format!("POST {SET} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    for (head, status) in [
        (format!("{api}{name}: Bearer wrong\r\n"), 401),
        (format!("{api}{name}: {token}\r\n"), 413),
        ("POST /nowhere HTTP/1.1\r\nhost: x\r\n".to_owned(), 404),
        ("POST /livez HTTP/1.1\r\nhost: x\r\n".to_owned(), 405),
        (format!("DELETE /larder/v1/tokens/x HTTP/1.1\r\nhost: x\r\n{name}: Bearer no\r\n"), 401),
        (format!("POST /larder/v1/tokens HTTP/1.1\r\nhost: x\r\n{name}: {token}\r\n"), 413),
    ] {
        for mib in [2, 64] {
            let answer = sent_first(&larder, &head, mib << 20).await;
            let told = answer.to_ascii_lowercase();
            assert!(told.starts_with(&format!("http/1.1 {status}")), "{head}: {answer:?}");
            assert!(told.contains("\r\nconnection: close\r\n"), "{answer:?}");
        }
    }
    // What is small is read, and the connection goes on.
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    for _ in 0..3 {
        let body = "x".repeat(100_000);
        let request = format!("{api}{name}: Bearer wrong\r\ncontent-length: 100000\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 401"));
    }
}
