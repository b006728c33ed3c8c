//! Where the reference is wrong and this program is not, and what the recorded cases leave open.

use larder_tests::{Client, Larder, Options, Protocol, TOKEN};
use serde_json::{Value, json};

const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const DELETE: &str = "/api/v1.kv.delete";
/// The last instant that the clients can read.
const EXPIRY_MAX: u64 = 253_402_207_200_999;

fn start() -> (Larder, Client) {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    (larder, client)
}

async fn raw(client: &Client, path: &str, content_type: &str, body: &[u8]) -> larder_tests::Reply {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", content_type)];
    client.send("POST", path, &headers, body.to_vec()).await
}

/// Reads a key until it is absent, which is an event that the clock of the server brings.
async fn until_absent(client: &Client, key: &str) -> Value {
    loop {
        let entry = client.post(GET, &json!({"key": key})).await.json();
        if entry["version"] == 0 {
            return entry;
        }
    }
}

#[tokio::test]
async fn an_expired_key_is_absent_without_any_write_in_between() {
    let (_larder, client) = start();
    client.post(SET, &json!({"key": "k", "value": "v", "ttl_ms": 200})).await;
    let entry = client.post(GET, &json!({"key": "k"})).await.json();
    let expiry = entry["expiry"].as_u64().unwrap();
    let absent = until_absent(&client, "k").await;
    assert_eq!(absent, json!({"expiry": null, "value": null, "version": 0}));
    assert!(now_ms() >= expiry, "it was there until its expiry");
    let set =
        client.post(SET, &json!({"key": "k", "value": "w", "version": entry["version"]})).await;
    assert_eq!(set.code(), "conflict");
    let deleted = client.post(DELETE, &json!({"key": "k"})).await.json();
    assert_eq!(deleted, json!({"success": false}));
}

#[tokio::test]
async fn a_ttl_beyond_what_clients_can_read_is_refused_before_the_namespace_is_looked_up() {
    let (_larder, client) = start();
    let too_long = EXPIRY_MAX - now_ms() + 60_000;
    for ttl in [too_long, u64::MAX / 2, u64::MAX] {
        for namespace in [Value::Null, json!("never-configured")] {
            let body = json!({"key": "k", "value": "v", "ttl_ms": ttl, "namespace": namespace});
            let reply = client.post(SET, &body).await;
            assert_eq!((reply.status, reply.json()["location"].clone()), (422, json!("ttl_ms")));
        }
    }
    assert_eq!(client.post(GET, &json!({"key": "k"})).await.json()["version"], 0);
    let longest = EXPIRY_MAX - now_ms() - 60_000;
    let body = json!({"key": "k", "value": "v", "ttl_ms": longest});
    assert_eq!(client.post(SET, &body).await.status, 200);
    assert!(
        client.post(GET, &json!({"key": "k"})).await.json()["expiry"].as_u64() <= Some(EXPIRY_MAX)
    );
}

#[tokio::test]
async fn values_of_some_mb_are_kept_and_a_body_over_the_limit_is_413() {
    let (larder, client) = start();
    let value: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let body = msgpack_set("k", &value);
    let reply = raw(&client, SET, "application/msgpack", &body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = raw(&client, GET, "application/msgpack", b"\x81\xa3key\xa1k").await;
    let found = rmpv::decode::read_value(&mut &reply.body[..]).unwrap();
    assert_eq!(found["value"].as_slice(), Some(&value[..]));
    let json: Value = client.post(GET, &json!({"key": "k"})).await.json();
    assert_eq!(json["value"].as_array().unwrap().len(), value.len());
    assert_eq!(json["value"][1234], value[1234]);
    let body = msgpack_set("k", &vec![0; 8 << 20]);
    for protocol in [Protocol::Http1(http::Version::HTTP_11), Protocol::Http2] {
        let client = Client::speaking(larder.address(), protocol);
        let reply = raw(&client, SET, "application/msgpack", &body).await;
        assert_eq!(reply.status, 413, "{protocol:?}");
        assert_eq!(reply.header("content-type"), Some("application/msgpack"));
    }
}

fn msgpack_set(key: &str, value: &[u8]) -> Vec<u8> {
    let fields =
        [("key".into(), key.into()), ("value".into(), rmpv::Value::Binary(value.to_vec()))];
    let mut body = Vec::new();
    rmpv::encode::write_value(&mut body, &rmpv::Value::Map(fields.into())).unwrap();
    body
}

#[tokio::test]
async fn a_large_value_does_not_enter_the_guest_wherever_it_stands() {
    let (_larder, client) = start();
    // No value fits through what this one's guest may move.
    let mount = "[[mount]]\nprefix = '/api'\ncomponent = 'builtin:api'\nhost_bytes_max = 100000\n";
    let narrow = Larder::start_with(Options::config(mount));
    let value: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let bin = [&b"\xa5value\xc6"[..], &4_000_000_u32.to_be_bytes(), &value].concat();
    for (key, head, tail) in [
        ("a", &b"\x82\xa3key\xa1a"[..], &b""[..]),
        ("b", b"\x83", b"\xa3key\xa1b\xa7version\x00"),
        ("c", b"\x83\xa6ignore\x91\xc4\x01x\xa3key\xa1c", b""),
    ] {
        let body = [head, &bin, tail].concat();
        for client in [client, Client::new(narrow.address())] {
            let reply = raw(&client, SET, "application/msgpack", &body).await;
            assert_eq!(reply.status, 200, "{key}: {}", String::from_utf8_lossy(&reply.body));
        }
        let asked = [&b"\x81\xa3key\xa1"[..], key.as_bytes()].concat();
        let reply = raw(&client, GET, "application/msgpack", &asked).await;
        assert!(reply.body.windows(value.len()).any(|bytes| bytes == value), "{key}");
    }
}

#[tokio::test]
async fn what_is_wrong_beside_a_large_value_is_told_as_of_a_small_one() {
    let (_larder, client) = start();
    let bin = [&b"\xa5value\xc6"[..], &100_000_u32.to_be_bytes(), &[7; 100_000]].concat();
    for (head, tail, status, said) in [
        (&b"\x82"[..], &b"\xa3key\x05"[..], 422, "\"location\":\"key\""),
        (b"\x83\xa3key\xa1k", b"\xa5value\xc4\x01x", 422, "\"location\":\"value\""),
        (b"\x81", b"", 422, "\"location\":\".\""),
        (b"\x82\xa3key\xa1k", b"\x05", 400, "Something follows"),
        (b"\x83\xa3key\xa1k", b"\xa3ttl", 400, "before byte 100"),
        (b"\x83\xa3key\xa1k", b"\xa6ttl_ms\xc1", 400, "before byte 100"),
    ] {
        let body = [head, &bin, tail].concat();
        let authorization = format!("Bearer {TOKEN}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/msgpack"),
            ("accept", "application/json"),
        ];
        let reply = client.send("POST", SET, &headers, body).await;
        let told = String::from_utf8_lossy(&reply.body);
        assert!(reply.status == status && told.contains(said), "{said}: {} {told}", reply.status);
    }
}

#[tokio::test]
async fn something_after_the_document_is_malformed() {
    let (_larder, client) = start();
    for (content_type, body) in [
        ("application/json", &b"{\"key\":\"k\"} x"[..]),
        ("application/json", b"{\"key\":\"k\"}{}"),
        ("application/msgpack", b"\x81\xa3key\xa1k\xc0"),
        ("application/msgpack", b"\x81\xa3key\xa1k\xff"),
    ] {
        let reply = raw(&client, GET, content_type, body).await;
        assert_eq!(reply.status, 400, "{body:?}");
    }
    let reply = raw(&client, GET, "application/json", b" {\"key\":\"k\"} \n").await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn json_wrong_in_every_way_is_told_with_its_place() {
    let (_larder, client) = start();
    for (body, status, location) in [
        (r#"{"key":"k","value":"v","key":"k"}"#, 422, json!("key")),
        (r#"{"key":"k","value":[0,1,256]}"#, 422, json!("value[2]")),
        (r#"{"key":"k","value":[0,"a"]}"#, 422, json!("value[1]")),
        (r#"{"key":"k","value":[-1]}"#, 422, json!("value[0]")),
        (r#"{"key":"k","value":[1.5]}"#, 422, json!("value[0]")),
        (r#"{"key":"k","value":[null]}"#, 422, json!("value[0]")),
        (r#"{"key":"k","value":null}"#, 422, json!("value")),
        (r#"{"key":"k","value":1}"#, 422, json!("value")),
        (r#"{"key":"k","value":{}}"#, 422, json!("value")),
        (r#"{"key":"k"}"#, 422, json!(".")),
        (r"[]", 422, json!(".")),
        (r#""text""#, 422, json!(".")),
        (r"1", 422, json!(".")),
        (r"null", 422, json!(".")),
        (r#"{"key":"k","value":"v","ttl_ms":1e999}"#, 422, json!("ttl_ms")),
        (r#"{"key":"\ud800","value":"v"}"#, 422, json!("key")),
        (r#"{"key":"k","value":"v""#, 400, Value::Null),
        (r#"{"key":"k","value":"v",}"#, 400, Value::Null),
        (r#"{"key":"k","value":[256]"#, 400, Value::Null),
        (r#"{'key':'k'}"#, 400, Value::Null),
        ("{\"key\":\"k\u{0}\"}", 400, Value::Null),
        ("", 400, Value::Null),
        (" ", 400, Value::Null),
    ] {
        let reply = raw(&client, SET, "application/json", body.as_bytes()).await;
        assert_eq!((reply.status, reply.json()["location"].clone()), (status, location), "{body}");
    }
    let ok = r#"{"key":"k","value":"v","unknown":{"a":[1,{"b":null}]},"ttl_ms":null}"#;
    assert_eq!(raw(&client, SET, "application/json", ok.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn messagepack_wrong_in_every_way_is_told_with_its_place() {
    let (_larder, client) = start();
    for (body, status) in [
        (&b"\x82\xa3key\xa1k\xa5value\x93\x00\x01\xcd\x01\x00"[..], 422),
        (b"\x82\xa3key\xa1k\xa5value\xc0", 422),
        (b"\x82\xa3key\xa1k\xa5value\xd4\x01\x00", 422),
        (b"\x83\xa3key\xa1k\xa5value\xc4\x00\xa3key\xa1k", 422),
        (b"\x82\xa3key\xc4\x01k\xa5value\xc4\x00", 422),
        (b"\x90", 422),
        (b"\xc0", 422),
        (b"\x01", 422),
        (b"\xd4\x01\x00", 422),
        (b"\x82\xa3key\xa2\xff\xfe\xa5value\xa1v", 400),
        (b"\x83\xa3key\xa1k\xa5value\xa1v\xa9namespace\xa2\xff\xfe", 400),
        (b"\x82\xa3key\xa1k\xa5value\xc4\x05abc", 400),
        (b"\x82\xa3key\xa1k\xa5value\xc6\xff\xff\xff\xff", 400),
        (b"\xdf\xff\xff\xff\xff", 400),
        (b"\xdd\xff\xff\xff\xff", 400),
        (b"\x82\xa3key\xa1k", 400),
        (b"\xc1", 400),
        (b"", 400),
    ] {
        let reply = raw(&client, SET, "application/msgpack", body).await;
        assert_eq!(reply.status, status, "{}", body.escape_ascii());
    }
    for body in [
        &b"\x82\xa3key\xa1k\xa5value\xc4\x02\xff\xfe"[..],
        b"\x82\xa3key\xa1k\xa5value\xc5\x00\x02\xff\xfe",
        b"\x82\xa3key\xa1k\xa5value\xc6\x00\x00\x00\x02\xff\xfe",
        b"\x82\xa3key\xa1k\xa5value\xa2ab",
        b"\x82\xa3key\xa1k\xa5value\x92\xcc\xff\x01",
        b"\x84\x01\x02\xc0\xc0\xa3key\xa1k\xa5value\xa1v",
    ] {
        let reply = raw(&client, SET, "application/msgpack", body).await;
        assert_eq!(reply.status, 200, "{}", body.escape_ascii());
    }
}

#[tokio::test]
async fn a_string_in_messagepack_is_a_value_of_any_bytes() {
    let (_larder, client) = start();
    let bytes = |length: u32| (0..length).map(|n| n as u8 | 0x80).collect::<Vec<u8>>();
    for (length, head) in [
        (31, vec![0xbf]),
        (200, vec![0xd9, 200]),
        (5000, [&[0xda][..], &5000_u16.to_be_bytes()].concat()),
        // More than the guest is handed at once.
        (300_000, [&[0xdb][..], &300_000_u32.to_be_bytes()].concat()),
    ] {
        let value = bytes(length);
        // What is unknown is ignored, whatever it holds.
        let body = [b"\x83\xa3key\xa1k\xa1x\xa1\xff\xa5value", &head[..], &value].concat();
        let reply = raw(&client, SET, "application/msgpack", &body).await;
        assert_eq!(reply.status, 200, "{length}: {reply:?}");
        let reply = raw(&client, GET, "application/msgpack", b"\x81\xa3key\xa1k").await;
        let found = rmpv::decode::read_value(&mut &reply.body[..]).unwrap();
        assert_eq!(found["value"].as_slice(), Some(&value[..]), "{length}");
    }
}

#[tokio::test]
async fn deep_nesting_harms_nobody() {
    const DEPTH: usize = 1_000_000;
    let (_larder, client) = start();
    let mut json = b"{\"key\":\"k\",\"x\":".to_vec();
    json.extend(vec![b'['; DEPTH]);
    assert_eq!(raw(&client, GET, "application/json", &json).await.status, 400);
    json.extend(vec![b']'; DEPTH]);
    json.push(b'}');
    assert_eq!(raw(&client, GET, "application/json", &json).await.status, 200);
    let mut msgpack = b"\x82\xa3key\xa1k\xa1x".to_vec();
    msgpack.extend(vec![0x91; DEPTH]);
    assert_eq!(raw(&client, GET, "application/msgpack", &msgpack).await.status, 400);
    msgpack.push(0xc0);
    assert_eq!(raw(&client, GET, "application/msgpack", &msgpack).await.status, 200);
    assert_eq!(client.get("/api/v1.health.ping").await.status, 200);
}

#[tokio::test]
async fn accept_decides_the_encoding_of_answers_and_errors() {
    let (_larder, client) = start();
    let authorization = format!("Bearer {TOKEN}");
    for (accept, wanted) in [
        ("application/msgpack;q=0, application/json", "application/json"),
        ("text/html, APPLICATION/MSGPACK ; q=0.3", "application/msgpack"),
        ("application/json;q=0.2, application/msgpack;q=0.9", "application/msgpack"),
        ("*/*", "application/json"),
    ] {
        for (path, body) in [(GET, "{\"key\":\"k\"}"), (GET, "{"), (SET, "{}")] {
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", "application/json; charset=utf-8"),
                ("accept", accept),
            ];
            let reply = client.send("POST", path, &headers, body).await;
            assert_eq!(reply.header("content-type"), Some(wanted), "{accept} {path} {body}");
        }
    }
}

#[tokio::test]
async fn content_types_are_judged_before_size_and_decoding() {
    let (_larder, client) = start();
    let authorization = format!("Bearer {TOKEN}");
    let bearer = ("authorization", authorization.as_str());
    let reply = client.send("POST", GET, &[bearer], "{").await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "missing-content-type"));
    let reply = client.send("POST", GET, &[bearer, ("content-type", "text/plain")], "{").await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid-content-type"));
    let reply = client.send("POST", SET, &[bearer], vec![b'x'; 9 << 20]).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "missing-content-type"));
}

#[tokio::test]
async fn health_says_whether_writes_can_be_served() {
    let (_larder, client) = start();
    let ready = client.get("/api/v1.health.ready").await;
    assert_eq!((ready.status, ready.json()["ok"].clone()), (200, json!(true)));
    assert!(ready.json()["message"].is_string());
    let error = client.send("POST", "/api/v1.health.error", &[], "").await;
    assert_eq!((error.status, error.code().as_str()), (500, "internal-error"));
    assert_eq!(error.json()["type"], "server-error");
    let head = client.send("HEAD", "/api/v1.health.ping", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("11")));
}

#[tokio::test]
async fn a_full_store_answers_507_reads_and_deletes_on_and_recovers() {
    let larder = Larder::start_with(Options::flags(&["--storage-bytes-max", "4194304"]));
    let client = Client::new(larder.address());
    let value = "x".repeat(100_000);
    let mut stored = 0;
    loop {
        let body = json!({"key": format!("k{stored}"), "value": value});
        let reply = client.post(SET, &body).await;
        if reply.status != 200 {
            assert_eq!((reply.status, reply.code().as_str()), (507, "storage-full"));
            assert_eq!(reply.json()["type"], "server-error");
            break;
        }
        stored += 1;
    }
    let unready = client.get("/api/v1.health.ready").await;
    assert_eq!((unready.status, unready.header("retry-after")), (503, Some("1")));
    for n in 0..stored {
        let key = json!({"key": format!("k{n}")});
        assert_ne!(client.post(GET, &key).await.json()["version"], 0);
        assert_eq!(client.post(DELETE, &key).await.json(), json!({"success": true}));
    }
    assert_eq!(client.post(SET, &json!({"key": "k", "value": value})).await.status, 200);
    assert_eq!(client.get("/api/v1.health.ready").await.status, 200);
}

#[expect(clippy::disallowed_methods, reason = "compares the server's clock with this one")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}
