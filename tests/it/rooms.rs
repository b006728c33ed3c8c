//! Memory for heads, bodies and answers under way: shared out as bytes arrive, so that nobody takes all of
//! it by what he announces, by what he does not read, or by half bodies.

use std::time::Duration;

use larder_tests::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, frame, get};
use larder_tests::{BEARER, Client, Larder, Metrics, Options};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::frames::{open, post};

const PATIENCE: Duration = Duration::from_secs(30);
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";

/// The head of a set with so long a body.
fn head(length: usize) -> String {
    let (name, token) = BEARER;
    format!(
        "POST {SET} HTTP/1.1\r\nhost: x\r\n{name}: {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

async fn set(larder: &Larder, bytes: usize) -> u16 {
    let value = "v".repeat(bytes);
    Client::new(larder.address()).post(SET, &json!({"key": "large", "value": value})).await.status
}

#[tokio::test]
async fn what_is_announced_and_not_sent_takes_no_room() {
    let larder = Larder::start_with(Options::flags(&["--bodies-bytes-max", "16777216"]));
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(larder.address()).await.unwrap();
        stream.write_all(format!("{}{{", head(8_000_000)).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let client = Client::new(larder.address());
    let open = |metrics: &Metrics| metrics.sum("larder_connections_open", &[]) >= 64.0;
    Metrics::until(&client, open).await;
    for _ in 0..3 {
        assert_eq!(set(&larder, 4_000_000).await, 200);
    }
}

/// Sends a body in halves, the second when it is told, and says how it was answered.
async fn in_halves(
    larder: &Larder,
    bytes: usize,
    mut goes_on: tokio::sync::watch::Receiver<bool>,
    half_sent: tokio::sync::mpsc::Sender<()>,
) -> u16 {
    let value = "v".repeat(bytes);
    let body = json!({"key": "large", "value": value}).to_string().into_bytes();
    let mut stream = TcpStream::connect(larder.address()).await.unwrap();
    stream.write_all(head(body.len()).as_bytes()).await.unwrap();
    let (first, second) = body.split_at(body.len() / 2);
    let mut is_refused = stream.write_all(first).await.is_err();
    half_sent.send(()).await.unwrap();
    drop(half_sent);
    goes_on.wait_for(|goes_on| *goes_on).await.unwrap();
    is_refused |= stream.write_all(second).await.is_err();
    let mut answer = vec![0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer");
    let status = read.ok().and_then(|read| {
        let status = std::str::from_utf8(&answer[..read]).ok()?.split(' ').nth(1)?;
        status.parse().ok()
    });
    status.unwrap_or(if is_refused { 503 } else { 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_half_bodies_do_not_wait_for_each_other_and_the_oldest_is_stored() {
    let flags = ["--bodies-bytes-max", "16777216", "--call-wait-ms-max", "1000"];
    let larder = std::sync::Arc::new(Larder::start_with(Options::flags(&flags)));
    let (go, goes_on) = tokio::sync::watch::channel(false);
    let (half_sent, mut halves) = tokio::sync::mpsc::channel(1);
    let one = || {
        let (larder, goes_on, half_sent) = (larder.clone(), goes_on.clone(), half_sent.clone());
        async move { in_halves(&larder, 1_000_000, goes_on, half_sent).await }
    };
    let oldest = tokio::spawn(one());
    halves.recv().await.unwrap();
    // It has its place before the others come.
    let client = Client::new(larder.address());
    let has_room = |metrics: &Metrics| {
        metrics.sum("larder_http_room_bytes", &[("room", "bodies")]) >= 400_000.0
    };
    Metrics::until(&client, has_room).await;
    let mut others = JoinSet::new();
    for _ in 0..199 {
        others.spawn(one());
    }
    drop(half_sent);
    while halves.recv().await.is_some() {}
    go.send_replace(true);
    assert_eq!(oldest.await.unwrap(), 200);
    let statuses = timeout(PATIENCE, others.join_all()).await.expect("all of them end");
    let count = |status| statuses.iter().filter(|told| **told == status).count();
    assert_eq!(count(200) + count(503), 199, "{statuses:?}");
    assert!(count(503) > 100 && count(200) > 0, "{statuses:?}");
    let is_empty =
        |metrics: &Metrics| metrics.sum("larder_http_room_bytes", &[("room", "bodies")]) < 10_000.0;
    Metrics::until(&client, is_empty).await;
    assert_eq!(set(&larder, 4_000_000).await, 200);
}

#[tokio::test]
async fn one_connection_leaves_room_for_the_answers_of_others() {
    const VALUE_BYTES: usize = 1_000_000;
    // So few connections that each may have 100 requests at a time, whatever the machine.
    let flags = ["--answers-bytes-max", "40000000", "--connections-max", "100"];
    let larder = Larder::start_with(Options::flags(&flags));
    assert_eq!(set(&larder, VALUE_BYTES).await, 200);
    // Answers without a window to send them in.
    let (mut answers, mut writer) = open(larder.address(), 0).await;
    let body = br#"{"key":"large"}"#;
    for stream in (1..200).step_by(2) {
        let head = frame(HEADERS, END_HEADERS, stream, &post(GET, Some(body.len())));
        let request = [head, frame(DATA, END_STREAM, stream, body)].concat();
        writer.write_all(&request).await.unwrap();
    }
    let mut begun = 0;
    while begun < 100 {
        let next = timeout(PATIENCE, answers.next()).await.unwrap().expect("it goes on");
        begun += usize::from(next.kind == HEADERS);
    }
    let client = Client::new(larder.address());
    let metrics = Metrics::of(&client).await;
    let held = metrics.sum("larder_http_room_bytes", &[("room", "answers")]);
    assert!((15_000_000.0..=20_500_000.0).contains(&held), "{held}");
    let refused = metrics.sum("larder_http_refused_total", &[("reason", "answer-room")]);
    assert!(refused > 70.0, "{refused}");
    for _ in 0..3 {
        let answer = client.post(GET, &json!({"key": "large"})).await;
        assert_eq!((answer.status, answer.body.len() > VALUE_BYTES), (200, true));
    }
}

/// The memory of a process, in KiB.
fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Opens many streams of a connection that do not end, each with so many fields, and waits until all of
/// them were looked at.
async fn unfinished(
    larder: &Larder,
    method: u8,
    fields: usize,
) -> (crate::frames::Incoming, tokio::net::tcp::OwnedWriteHalf) {
    let (mut answers, mut writer) = open(larder.address(), 1 << 20).await;
    for number in 0..100_u32 {
        let mut block = get("/livez");
        block[0] = method;
        // A field that goes into the table, and references to it of a byte each.
        block.extend_from_slice(b"\x40\x01x\x01y");
        block.resize(block.len() + fields, 0x80 | 62);
        let head = frame(HEADERS, END_HEADERS, 2 * number + 1, &block);
        writer.write_all(&head).await.unwrap();
    }
    writer.write_all(&frame(PING, 0, 0, b"pingpong")).await.unwrap();
    while timeout(PATIENCE, answers.next()).await.unwrap().expect("it goes on").kind != PING {}
    (answers, writer)
}

#[tokio::test]
async fn memory_of_heads_and_unfinished_requests_is_bounded() {
    const CONNECTIONS: u64 = 40;
    const POST: u8 = 0x83;
    const GET: u8 = 0x82;
    let flags = ["--bodies-bytes-max", "67108864", "--connections-max", "100"];
    let larder = Larder::start_with(Options::flags(&flags));
    let before = resident_kib(larder.id());
    let mut held = Vec::new();
    // Refused for their number; refused for their method; answered when they end, or when there is no
    // room to wait in, which is 16 MiB.
    for (method, fields, kib_max) in [
        (GET, 470, 1024 * CONNECTIONS),
        (POST, 95, (32 << 10) + 1536 * CONNECTIONS),
        (GET, 95, (32 << 10) + 1536 * CONNECTIONS),
    ] {
        held.clear();
        for _ in 0..CONNECTIONS {
            held.push(unfinished(&larder, method, fields).await);
        }
        let grown = resident_kib(larder.id()).saturating_sub(before);
        println!("{fields} fields: {grown} KiB of {CONNECTIONS} connections");
        assert!(grown < kib_max, "{grown} KiB of {CONNECTIONS} connections");
    }
    assert_eq!(set(&larder, 1000).await, 200);
}
