//! What an operator sees: `/livez`, `/readyz` and `/metrics`, who may ask for them, and that the
//! numbers are those of what was done.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use larder_tests::http2::{END_HEADERS, END_STREAM, HEADERS, frame, get};
use larder_tests::{BEARER, Client, Larder, Metrics, Options, TOKEN, guest_file, test_guest_with};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const REQUESTS: &str = "larder_http_requests_total";
const TIMES: &str = "larder_http_request_duration_seconds_count";
const CALLS: &str = "larder_guest_calls_total";
const WRITES: &str = "larder_storage_writes_total";
const REFUSED: &str = "larder_http_refused_total";

/// The test guest, counted under a name of its own, with more lines for its mount.
fn test_guest(settings: &str, lines: &str) -> Larder {
    test_guest_with(settings, &format!("name = 'tested'\n{lines}"))
}

#[tokio::test]
async fn every_family_is_documented_and_no_other() {
    let larder = Larder::start();
    let metrics = Metrics::of(&Client::new(larder.address())).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows
        .map(|(name, rest)| {
            let kind = rest.split('|').nth(1).unwrap().trim();
            assert_eq!(metrics.families.get(name).map(String::as_str), Some(kind), "{name}");
            name.to_owned()
        })
        .collect();
    let shown: BTreeSet<String> = metrics.families.keys().cloned().collect();
    assert_eq!(documented, shown);
}

#[tokio::test]
async fn counts_rise_by_exactly_what_was_done() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let before = Metrics::of(&client).await;
    for key in ["a", "b", "a"] {
        assert_eq!(client.post(SET, &json!({"key": key, "value": "v"})).await.status, 200);
    }
    let taken = json!({"key": "a", "value": "v", "behavior": "insert"});
    assert_eq!(client.post(SET, &taken).await.status, 400);
    for key in ["a", "nope"] {
        assert_eq!(client.post(GET, &json!({ "key": key })).await.status, 200);
    }
    assert_eq!(client.post("/api/v1.kv.delete", &json!({"key": "b"})).await.status, 200);
    assert_eq!(client.send("POST", GET, &[], "{}").await.status, 401);
    assert_eq!(client.get("/api/v1.kv.nope").await.status, 404);
    assert_eq!(client.send("BREW", "/nope", &[], "").await.status, 404);
    let after = Metrics::of(&client).await;
    let rose = |name: &str, labels: &[(&str, &str)], by: f64| {
        assert_eq!(after.sum(name, labels) - before.sum(name, labels), by, "{name} {labels:?}");
    };
    let api = |operation, status| {
        [("guest", "api"), ("method", "POST"), ("operation", operation), ("status", status)]
    };
    rose(REQUESTS, &api(SET, "200"), 3.0);
    rose(REQUESTS, &api(SET, "400"), 1.0);
    rose(REQUESTS, &api(GET, "200"), 2.0);
    rose(REQUESTS, &api(GET, "401"), 1.0);
    rose(REQUESTS, &api("/api/v1.kv.delete", "200"), 1.0);
    rose(REQUESTS, &[("guest", "api"), ("operation", "other"), ("status", "404")], 1.0);
    rose(REQUESTS, &[("guest", "api")], 9.0);
    let host = [("guest", "host"), ("operation", "other"), ("status", "404"), ("method", "other")];
    rose(REQUESTS, &host, 1.0);
    // The page that was read before counts in the one that was read after.
    rose(REQUESTS, &[("guest", "host"), ("operation", "/metrics"), ("method", "GET")], 1.0);
    rose(TIMES, &[("guest", "api"), ("operation", SET), ("outcome", "2xx")], 3.0);
    rose(TIMES, &[("guest", "api"), ("operation", SET), ("outcome", "4xx")], 1.0);
    rose(CALLS, &[("guest", "api"), ("outcome", "answered")], 9.0);
    rose(CALLS, &[], 9.0);
    rose("larder_guest_call_duration_seconds_count", &[("guest", "api")], 9.0);
    rose(WRITES, &[("outcome", "done")], 4.0);
    rose(WRITES, &[("outcome", "conflict")], 1.0);
    rose(WRITES, &[], 5.0);
    // One after the other, each has a commit of its own.
    rose("larder_storage_commit_duration_seconds_count", &[], 4.0);
    rose("larder_storage_commit_writes_bucket", &[("le", "1")], 4.0);
    rose("larder_storage_commit_writes_count", &[], 4.0);
    rose("larder_storage_entries", &[], 1.0);
    rose("larder_storage_namespaces", &[], 0.0);
    rose("larder_connections_accepted_total", &[], 11.0);
    rose(REFUSED, &[], 0.0);
    assert_eq!(after.sum("larder_ready", &[]), 1.0);
    assert!(after.sum("larder_connections_open", &[]) >= 1.0);
    assert!(after.sum("larder_guest_instances_total", &[("guest", "api")]) >= 1.0);
    assert!(after.sum("process_start_time_seconds", &[]) > 1.7e9);
    assert_eq!(after.sum("larder_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
}

#[tokio::test]
async fn sizes_and_sweeps_are_told() {
    let larder = Larder::start_with(Options::flags(&["--storage-bytes-max", "100000000"]));
    let client = Client::new(larder.address());
    client.post("/api/v1.kv.namespace.configure", &json!({"name": "second"})).await;
    let value = "v".repeat(100_000);
    client.post(SET, &json!({"key": "stays", "value": value})).await;
    client.post(SET, &json!({"key": "goes", "value": "v", "ttl_ms": 1})).await;
    let swept = |metrics: &Metrics| metrics.sum("larder_storage_expired_entries_total", &[]) >= 1.0;
    Metrics::until(&client, swept).await;
    // Once more: a page looks into the file before it reads the counts.
    let metrics = Metrics::of(&client).await;
    let is = |name: &str, value: f64| assert_eq!(metrics.sum(name, &[]), value, "{name}");
    is("larder_storage_expired_entries_total", 1.0);
    is("larder_storage_swept_rows_total", 1.0);
    is("larder_storage_sweeps_total", 1.0);
    is("larder_storage_sweep_lag_seconds", 0.0);
    is("larder_storage_entries", 1.0);
    is("larder_storage_expiring_entries", 0.0);
    is("larder_storage_namespaces", 2.0);
    is("larder_storage_limit_bytes", 100_000_000.0);
    is("larder_storage_queue_writes", 0.0);
    is("larder_storage_queue_bytes", 0.0);
    is("larder_storage_oldest_reader_lag", 0.0);
    let used = metrics.sum("larder_storage_used_bytes", &[]);
    let file = metrics.sum("larder_storage_file_bytes", &[]);
    assert!(used > 100_000.0 && used < file, "{used} of {file}");
    assert!(metrics.sum("larder_storage_disk_free_bytes", &[]) > 0.0);
    let slots = metrics.sum("larder_storage_reader_slots", &[]);
    assert!((1.0..=1024.0).contains(&slots), "{slots}");
}

#[tokio::test]
async fn calls_that_fail_are_counted_by_kind() {
    let limits = "call_ms_max = 300\nhost_calls_max = 5000\nnamespaces = { own = 'write' }";
    let larder = test_guest("", limits);
    let client = Client::new(larder.address());
    for action in ["echo", "panic", "panic", "loop", "host-calls", "huge", "status"] {
        client.send("GET", &format!("/test/{action}"), &[BEARER], "").await;
    }
    client.get("/test/echo").await;
    client.send("GET", "/test/echo", &[("authorization", "Bearer wrong")], "").await;
    let metrics = Metrics::of(&client).await;
    for (outcome, count) in [
        ("answered", 1.0),
        ("trap", 2.0),
        ("deadline", 1.0),
        ("host_calls_max", 1.0),
        ("answer_bytes_max", 1.0),
        ("invalid-answer", 1.0),
        ("aborted", 0.0),
    ] {
        let labels = [("guest", "tested"), ("outcome", outcome)];
        assert_eq!(metrics.sum(CALLS, &labels), count, "{outcome}");
    }
    for (status, count) in [("200", 1.0), ("500", 5.0), ("504", 1.0), ("401", 2.0)] {
        let labels = [("guest", "tested"), ("operation", "other"), ("status", status)];
        assert_eq!(metrics.sum(REQUESTS, &labels), count, "{status}");
    }
    for reason in ["auth-required", "invalid-token"] {
        assert_eq!(metrics.sum(REFUSED, &[("reason", reason)]), 1.0, "{reason}");
    }
    assert_eq!(metrics.sum(REFUSED, &[]), 2.0);
    // Each failed call took an instance with it, and most took one in either lane.
    assert!(metrics.sum("larder_guest_instances_total", &[("guest", "tested")]) >= 7.0);
}

#[tokio::test]
async fn nothing_that_a_request_says_becomes_a_label() {
    let component = guest_file("larder_example_visits");
    let config = format!(
        "[[mount]]\nprefix = '/visits'\ncomponent = {component:?}\nname = 'visits'\nnamespaces = {{ visits = 'write' }}\nauth = 'none'\noperations = ['/visits/home']\n"
    );
    let larder = Larder::start_with(Options::config(config));
    let client = Client::new(larder.address());
    let odd = async |word: &str| {
        for path in ["/visits/", "/api/v1.kv.get/", "/api/", "/livez/", "/metrics/", "/"] {
            client.send("POST", &format!("{path}{word}?{word}"), &[BEARER], "").await;
        }
        let brew = format!("BREW{}", word.to_uppercase());
        client.send(&brew, "/visits/home", &[("x-word", word)], "").await;
        client.post("/api/v1.kv.namespace.configure", &json!({ "name": word })).await;
        let entry = json!({"namespace": word, "key": word, "value": word});
        assert_eq!(client.post(SET, &entry).await.status, 200);
        let wrong = format!("Bearer {word}");
        client.send("POST", GET, &[("authorization", &wrong)], "{}").await;
    };
    client.send("POST", "/visits/home", &[], "").await;
    odd("hidden-first").await;
    let before = Metrics::of(&client).await;
    for n in 0..100 {
        odd(&format!("hidden-{n}")).await;
    }
    let after = Metrics::of(&client).await;
    let page: BTreeSet<_> = before.names();
    // What the first page itself added is all that is new.
    let new: Vec<_> = after.names().difference(&page).copied().cloned().collect();
    assert!(new.iter().all(|(_, labels)| labels["operation"] == "/metrics"), "{new:?}");
    let text = client.get("/metrics").await.body;
    let text = std::str::from_utf8(&text).unwrap();
    assert!(!text.to_lowercase().contains("hidden") && !text.contains(TOKEN), "{text}");
    let named = [("guest", "visits"), ("operation", "/visits/home"), ("method", "POST")];
    assert_eq!(after.sum(REQUESTS, &named), 1.0);
    let other = [("guest", "visits"), ("operation", "other"), ("method", "POST")];
    assert_eq!(after.sum(REQUESTS, &other), 101.0);
}

#[tokio::test]
async fn metrics_need_the_token_where_others_can_reach_them() {
    let options =
        Options { listen: Some("0.0.0.0:0".to_owned()), ..Options::config("plain_http = true") };
    let larder = Larder::start_with(options);
    let client = Client::new(larder.address());
    let refused = client.get("/metrics").await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "auth-required"));
    let refused = client.send("GET", "/metrics", &[("authorization", "Bearer wrong")], "").await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid-token"));
    for path in ["/livez", "/readyz"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let metrics = Metrics::of(&client).await;
    assert_eq!(metrics.sum(REFUSED, &[]), 2.0);
    let loopback = Larder::start();
    assert_eq!(Client::new(loopback.address()).get("/metrics").await.status, 200);
}

#[tokio::test]
async fn metrics_can_be_turned_off_and_health_cannot() {
    let variables = vec![("LARDER_METRICS".to_owned(), "false".to_owned())];
    for options in [
        Options::flags(&["--metrics", "false"]),
        Options::config("metrics = false"),
        Options { variables, ..Options::config("metrics = true") },
    ] {
        let larder = Larder::start_with(options);
        let client = Client::new(larder.address());
        assert_eq!(client.send("GET", "/metrics", &[BEARER], "").await.status, 404);
        assert_eq!(client.get("/livez").await.status, 200);
        assert_eq!(client.get("/readyz").await.status, 200);
    }
}

#[tokio::test]
async fn get_and_head_are_answered_and_other_methods_are_405() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    for path in ["/livez", "/readyz", "/metrics", "/larder/v1/openapi.json"] {
        let got = client.get(path).await;
        let head = client.send("HEAD", path, &[], "").await;
        assert_eq!((got.status, head.status, head.body.len()), (200, 200, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let reply = client.send(method, path, &[BEARER], "body").await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")), "{method}");
        }
        assert_eq!(client.get(&format!("{path}/x")).await.status, 404);
    }
    let live = client.get("/livez").await;
    assert_eq!((&live.body[..], live.header("cache-control")), (&b"ok\n"[..], Some("no-store")));
    assert_eq!(&client.get("/readyz").await.body[..], b"ok\n");
}

#[tokio::test]
async fn a_full_store_is_not_ready_and_lives_and_is_ready_again_with_room() {
    let larder = Larder::start_with(Options::flags(&["--storage-bytes-max", "1048576"]));
    let client = Client::new(larder.address());
    let value = "v".repeat(200_000);
    let mut keys = 0;
    while client.post(SET, &json!({"key": keys.to_string(), "value": value})).await.status == 200 {
        keys += 1;
        assert!(keys < 20, "the store is never full");
    }
    let ready = client.get("/readyz").await;
    let said = String::from_utf8(ready.body.to_vec()).unwrap();
    assert_eq!((ready.status, said.as_str()), (503, "not ready: there is no room for more data\n"));
    assert_eq!(client.send("HEAD", "/readyz", &[], "").await.status, 503);
    assert_eq!(client.get("/livez").await.status, 200);
    let metrics = Metrics::of(&client).await;
    assert_eq!(metrics.sum("larder_ready", &[]), 0.0);
    assert_eq!(metrics.sum(WRITES, &[("outcome", "full")]), 1.0);
    let used = metrics.sum("larder_storage_used_bytes", &[]);
    assert!(used >= metrics.sum("larder_storage_limit_bytes", &[]), "{used}");
    for key in 0..keys {
        client.post("/api/v1.kv.delete", &json!({"key": key.to_string()})).await;
    }
    assert_eq!(client.get("/readyz").await.status, 200);
}

/// The frames that ask for a path over HTTP/2, on this stream.
fn ask(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path))
}

#[tokio::test]
async fn a_shutdown_is_told_on_connections_that_are_still_open() {
    let mut larder = test_guest("workers = 1", "auth = 'none'\ncall_ms_max = 10000");
    let mut connection = TcpStream::connect(larder.address()).await.unwrap();
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // Keeps the connection open: what runs is finished.
    connection.write_all(&ask(1, "/test/sleep")).await.unwrap();
    larder.until_logged("sleeping", 1).await;
    larder.signal(Signal::TERM);
    larder.until_logged("shutting down", 1).await;
    let asked = [ask(3, "/readyz"), ask(5, "/livez")].concat();
    connection.write_all(&asked).await.unwrap();
    let mut answers = String::new();
    while !answers.contains("not ready: the server is shutting down\n") || !answers.contains("ok\n")
    {
        let mut some = [0; 4096];
        let read = timeout(PATIENCE, connection.read(&mut some)).await.unwrap().unwrap();
        assert!(read > 0, "the connection ended after {answers:?}");
        answers.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    drop(connection);
    assert!(larder.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_leaves_the_operator_s_paths_alone_and_is_counted() {
    let larder = test_guest("calls_max = 1\ncall_wait_ms_max = 2000", "call_ms_max = 10000");
    let client = Client::new(larder.address());
    let mut sleeper = TcpStream::connect(larder.address()).await.unwrap();
    let head = format!("GET /test/sleep HTTP/1.1\r\nhost: x\r\n{}: {}\r\n\r\n", BEARER.0, BEARER.1);
    sleeper.write_all(head.as_bytes()).await.unwrap();
    larder.until_logged("sleeping", 1).await;
    let waiting = tokio::spawn(async move { client.post(GET, &json!({"key": "k"})).await });
    let metrics =
        Metrics::until(&client, |metrics| metrics.sum("larder_http_requests_waiting", &[]) == 1.0)
            .await;
    assert_eq!(metrics.sum("larder_calls_running", &[]), 1.0);
    for path in ["/livez", "/readyz"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    assert_eq!(waiting.await.unwrap().status, 503);
    let metrics = Metrics::of(&client).await;
    assert_eq!(metrics.sum(REFUSED, &[("reason", "call-wait")]), 1.0);
    assert_eq!(metrics.sum("larder_http_requests_waiting", &[]), 0.0);
    // A caller that resets the connection takes its call with it.
    sleeper.set_zero_linger().unwrap();
    drop(sleeper);
    let aborted = [("guest", "tested"), ("outcome", "aborted")];
    let metrics = Metrics::until(&client, |metrics| metrics.sum(CALLS, &aborted) == 1.0).await;
    assert_eq!(metrics.sum(REQUESTS, &[("guest", "tested"), ("status", "aborted")]), 1.0);
    // The call itself ends on the thread that runs it.
    Metrics::until(&client, |metrics| metrics.sum("larder_calls_running", &[]) == 0.0).await;
}
