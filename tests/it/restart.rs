//! What outlives the process: acknowledged writes over kill -9, versions that go on rising, and
//! shutdowns that lose nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_tests::{Client, Larder, Metrics, Options, TOKEN, guest_file};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const WRITERS: usize = 8;
const ROUNDS: usize = 5;
const ACKNOWLEDGED_A_ROUND: usize = 150;
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const NOT_READY: &[u8] = b"not ready: the server is shutting down\n";

/// What a writer knows of its key: the last acknowledged write, and what may have come after it.
#[derive(Clone, Debug, Default)]
struct Known {
    acknowledged: Option<(u64, u64)>,
    in_doubt: Option<u64>,
}

/// Writes rising numbers to one key until the server is gone.
async fn write(client: Client, key: String, first: u64, done: Arc<AtomicBool>) -> (Known, usize) {
    let mut known = Known::default();
    let mut acknowledged = 0;
    for number in first.. {
        let body = json!({"key": key, "value": number.to_string()}).to_string();
        let authorization = format!("Bearer {TOKEN}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        known.in_doubt = Some(number);
        let Ok(reply) = client.try_send("POST", SET, &headers, body.into()).await else { break };
        assert_eq!(reply.status, 200, "{reply:?}");
        known.acknowledged = Some((number, reply.json()["version"].as_u64().unwrap()));
        known.in_doubt = None;
        acknowledged += 1;
        if acknowledged >= ACKNOWLEDGED_A_ROUND {
            done.store(true, Ordering::Release);
        }
    }
    (known, acknowledged)
}

fn stored_number(entry: &Value) -> u64 {
    let bytes = entry["value"].as_array().unwrap().iter();
    let text: String = bytes.map(|byte| char::from(byte.as_u64().unwrap() as u8)).collect();
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9_and_versions_go_on_rising() {
    let mut larder = Larder::start();
    let mut latest: HashMap<String, Known> = HashMap::new();
    let mut highest = 0;
    for round in 0..ROUNDS as u64 {
        let done = Arc::new(AtomicBool::new(false));
        let client = Client::new(larder.address());
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let key = format!("key-{writer}");
                let done = Arc::clone(&done);
                let first = (round + 1) * 1_000_000;
                tokio::spawn(async move { (key.clone(), write(client, key, first, done).await) })
            })
            .collect();
        while !done.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        larder.kill();
        for writer in writers {
            let (key, (known, acknowledged)) = writer.await.unwrap();
            assert!(acknowledged > 0, "{key} got no answer in round {round}");
            latest.insert(key, known);
        }
        larder.start_again();
        let client = Client::new(larder.address());
        for (key, known) in &latest {
            let entry = client.post(GET, &json!({"key": key})).await.json();
            let (number, version) = known.acknowledged.unwrap();
            let found = (stored_number(&entry), entry["version"].as_u64().unwrap());
            let in_doubt =
                known.in_doubt.is_some_and(|number| found.0 == number && found.1 > version);
            assert!(found == (number, version) || in_doubt, "{key}: {found:?} after {known:?}");
            highest = highest.max(found.1).max(version);
        }
        let version = client.post(SET, &json!({"key": "probe", "value": ""})).await.json();
        let version = version["version"].as_u64().unwrap();
        assert!(version > highest, "version {version} after {highest}");
        highest = version;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_runs_and_exits_0() {
    let mut larder = Larder::start();
    let client = Client::new(larder.address());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let done = Arc::new(AtomicBool::new(false));
            let key = format!("key-{writer}");
            tokio::spawn(async move { (key.clone(), write(client, key, 1, done).await.0) })
        })
        .collect();
    // The signal comes while writes run: after one that began later than they did.
    for n in 0..50 {
        client.post(SET, &json!({"key": "other", "value": n.to_string()})).await;
    }
    let exited = tokio::task::block_in_place(|| larder.terminate());
    assert_eq!(exited.code(), Some(0));
    let mut known = Vec::new();
    for writer in writers {
        known.push(writer.await.unwrap());
    }
    larder.start_again();
    let client = Client::new(larder.address());
    for (key, known) in known {
        let entry = client.post(GET, &json!({"key": key})).await.json();
        let (number, version) = known.acknowledged.unwrap();
        let found = (stored_number(&entry), entry["version"].as_u64().unwrap());
        let in_doubt = known.in_doubt.is_some_and(|number| found.0 == number);
        assert!(found == (number, version) || in_doubt, "{key}: {found:?} after {known:?}");
    }
}

fn slow_guest(drain_ms: u64) -> Larder {
    let component = guest_file("larder_test_guest");
    Larder::start_with(Options::config(format!(
        "drain_ms_max = {drain_ms}\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\nauth = 'none'\ncall_ms_max = 3000\n"
    )))
}

/// Begins a call that lasts as long as it may, and waits until it runs.
async fn running_call(larder: &Larder) -> tokio::task::JoinHandle<Option<u16>> {
    let client = Client::new(larder.address());
    let call = tokio::spawn(async move {
        let reply = client.try_send("GET", "/test/sleep", &[], "".into()).await.ok()?;
        Some(reply.status)
    });
    larder.until_logged("sleeping", 1).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_a_running_call_end() {
    let mut larder = slow_guest(20_000);
    let call = running_call(&larder).await;
    let exited = tokio::task::block_in_place(|| larder.terminate());
    assert_eq!((exited.code(), call.await.unwrap()), (Some(0), Some(504)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_no_longer_than_its_deadline() {
    let mut larder = slow_guest(100);
    let call = running_call(&larder).await;
    let exited = tokio::task::block_in_place(|| larder.terminate());
    assert_eq!((exited.code(), call.await.unwrap()), (Some(0), None));
    assert!(larder.log().contains("the drain's time is over"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_exits_at_once() {
    let mut larder = slow_guest(60_000);
    let call = running_call(&larder).await;
    larder.signal(Signal::TERM);
    larder.until_logged("shutting down", 1).await;
    larder.signal(Signal::INT);
    let exited = tokio::task::block_in_place(|| larder.wait());
    assert_eq!((exited.code(), call.await.unwrap()), (Some(130), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_with_a_delay_serves_on_and_tells_that_it_is_not_ready() {
    let mut larder = Larder::start_with(Options::flags(&["--shutdown-delay-ms", "600000"]));
    let old = Client::new(larder.address());
    assert_eq!(old.get("/readyz").await.status, 200);
    larder.signal(Signal::TERM);
    larder.until_logged("shutting down", 1).await;
    for client in [old, Client::new(larder.address())] {
        let ready = client.get("/readyz").await;
        assert_eq!((ready.status, &ready.body[..]), (503, NOT_READY));
        assert_eq!(client.post(SET, &json!({"key": "k", "value": "v"})).await.status, 200);
        assert_eq!(client.get("/livez").await.status, 200);
        assert_eq!(Metrics::of(&client).await.sum("larder_ready", &[]), 0.0);
    }
    larder.signal(Signal::TERM);
    assert_eq!(tokio::task::block_in_place(|| larder.wait()).code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_s_delay_ends_by_itself() {
    let mut larder = Larder::start_with(Options::flags(&["--shutdown-delay-ms", "200"]));
    let exited = tokio::task::block_in_place(|| larder.terminate());
    assert_eq!(exited.code(), Some(0));
}

#[tokio::test]
async fn sighup_without_a_certificate_is_passed_over() {
    let mut larder = Larder::start();
    larder.signal(Signal::HUP);
    larder.until_logged("there is no certificate to be read anew", 1).await;
    assert_eq!(Client::new(larder.address()).get("/livez").await.status, 200);
    assert!(larder.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_cuts_no_answer_short_while_the_client_sends_on() {
    let mut larder = Larder::start();
    let client = Client::new(larder.address());
    let value = "v".repeat(6 << 20);
    client.post(SET, &json!({"key": "large", "value": value})).await;
    // A client that reads slowly, so that most of the answer still waits here.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let (mut reading, mut sending) = socket.connect(larder.address()).await.unwrap().into_split();
    let head = |length: usize| {
        format!(
            "POST {GET} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\naccept: application/msgpack\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let body = r#"{"key":"large"}"#;
    sending.write_all(format!("{}{body}", head(body.len())).as_bytes()).await.unwrap();
    let mut answer = vec![0; 1];
    reading.read_exact(&mut answer).await.unwrap();
    // What it sends on is more than the server reads while it is busy.
    let next = format!("{}{}", head(300_000), " ".repeat(300_000));
    tokio::spawn(async move { sending.write_all(next.as_bytes()).await });
    larder.signal(Signal::TERM);
    larder.until_logged("shutting down", 1).await;
    let read = reading.read_to_end(&mut answer).await;
    let exited = tokio::task::block_in_place(|| larder.wait());
    assert!(read.is_ok() && answer.len() > 6 << 20, "{read:?} after {} bytes", answer.len());
    assert_eq!(exited.code(), Some(0));
}
