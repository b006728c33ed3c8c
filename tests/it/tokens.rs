//! Scoped tokens from outside: made, listed and revoked by API and command line, what they reach and
//! what they do not, and that their secrets turn up nowhere.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use larder_tests::{Client, Larder, Metrics, Options, Reply, TOKEN, guest_file, test_guest};
use serde_json::{Value, json};

const TOKENS: &str = "/larder/v1/tokens";
const GET: &str = "/api/v1.kv.get";
const SET: &str = "/api/v1.kv.set";
const DELETE: &str = "/api/v1.kv.delete";
const CONFIGURE: &str = "/api/v1.kv.namespace.configure";

async fn send(client: &Client, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &headers, body).await
}

/// Makes a token by the API; its id and its secret.
async fn make(client: &Client, token: &Value) -> (String, String) {
    let made = client.post(TOKENS, token).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

/// Runs `larder token`; what it printed to standard output.
fn token_command(larder: &Larder, arguments: &[&str]) -> String {
    let output = larder.tool(&[&["token"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn a_token_reaches_its_namespaces_and_keys_and_nothing_else() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    for name in ["orders", "users"] {
        client.post(CONFIGURE, &json!({"name": name})).await;
    }
    let there = json!({"namespace": "users", "key": "there", "value": "v"});
    assert_eq!(client.post(SET, &there).await.status, 200);
    let scope =
        json!({"name": "shop", "role": "write", "namespaces": ["orders"], "prefixes": ["o/"]});
    let (_, token) = make(&client, &scope).await;
    let set = |namespace: Option<&str>, key: &str| {
        let mut body = json!({"key": key, "value": "v"});
        if let Some(namespace) = namespace {
            body["namespace"] = namespace.into();
        }
        body
    };
    assert_eq!(send(&client, &token, "POST", SET, &set(Some("orders"), "o/1")).await.status, 200);
    for (path, body, action, namespace) in [
        (SET, set(Some("orders"), "p/1"), "set", "orders"),
        (SET, set(Some("users"), "o/1"), "set", "users"),
        (SET, set(None, "o/1"), "set", "default"),
        (GET, json!({"namespace": "users", "key": "there"}), "get", "users"),
        (GET, json!({"namespace": "users", "key": "absent"}), "get", "users"),
        (GET, json!({"namespace": "nowhere", "key": "k"}), "get", "nowhere"),
        (DELETE, json!({"namespace": "users", "key": "there"}), "delete", "users"),
        (CONFIGURE, json!({"name": "orders"}), "namespace.configure", "orders"),
    ] {
        let reply = send(&client, &token, "POST", path, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "forbidden"), "{path} {body}");
        // The same words whether the key is there or not.
        let detail = format!("`{action}` is not allowed in the namespace `{namespace}`.");
        assert_eq!(reply.json()["detail"].as_str(), Some(detail.as_str()), "{path} {body}");
    }
    let kept = client.post(GET, &json!({"namespace": "users", "key": "there"})).await;
    assert_eq!(kept.status, 200);
}

#[tokio::test]
async fn a_reader_reads_and_no_more() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    client.post(SET, &json!({"key": "k", "value": "v"})).await;
    let (_, token) = make(&client, &json!({"name": "reader", "role": "read"})).await;
    let read = send(&client, &token, "POST", GET, &json!({"key": "k"})).await;
    assert_eq!((read.status, read.json()["value"].clone()), (200, json!([b'v'])));
    for (path, body) in [
        (SET, json!({"key": "k", "value": "w"})),
        (DELETE, json!({"key": "k"})),
        (CONFIGURE, json!({"name": "n"})),
    ] {
        assert_eq!(send(&client, &token, "POST", path, &body).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn only_administrators_come_near_the_tokens() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let (id, token) = make(&client, &json!({"name": "writer", "role": "write"})).await;
    let one = format!("{TOKENS}/{id}");
    for (method, path) in [("GET", TOKENS), ("POST", TOKENS), ("DELETE", one.as_str())] {
        let none = client.send(method, path, &[], "").await;
        assert_eq!((none.status, none.code().as_str()), (401, "auth-required"), "{method}");
        let wrong = send(&client, "wrong", method, path, &Value::Null).await;
        assert_eq!((wrong.status, wrong.code().as_str()), (401, "invalid-token"), "{method}");
        let scoped = send(&client, &token, method, path, &Value::Null).await;
        assert_eq!((scoped.status, scoped.code().as_str()), (403, "forbidden"), "{method}");
    }
    let (_, second) = make(&client, &json!({"name": "deputy", "role": "admin"})).await;
    assert_eq!(send(&client, &second, "GET", TOKENS, &Value::Null).await.status, 200);
    assert_eq!(send(&client, &second, "DELETE", &one, &Value::Null).await.status, 204);
    let revoked = send(&client, &token, "POST", GET, &json!({"key": "k"})).await;
    assert_eq!((revoked.status, revoked.code().as_str()), (401, "invalid-token"));
    let again = send(&client, &second, "DELETE", &one, &Value::Null).await;
    assert_eq!((again.status, again.code().as_str()), (404, "not-found"));
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_with_the_reason() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    for (body, reason) in [
        (json!({}), "name"),
        (json!({"name": "a"}), "role"),
        (json!({"name": "a", "role": "owner"}), "owner"),
        (json!({"name": "a", "role": "read", "namespace": "n"}), "namespace"),
        (json!({"name": "a b", "role": "read"}), "visible ASCII"),
        (json!({"name": "a", "role": "read", "expiry": 1}), "is over"),
        (json!({"name": "a", "role": "read", "expires_in_ms": 0}), "from 1"),
        (json!({"name": "a", "role": "read", "expires_in_ms": 1_u64 << 60}), "the year 9999"),
        (json!({"name": "a", "role": "read", "expires_in_ms": -1}), "-1"),
        (
            json!({"name": "a", "role": "read", "expiry": 1_u64 << 42, "expires_in_ms": 1}),
            "one of them",
        ),
        (json!({"name": "a", "role": "admin", "namespaces": ["n"]}), "leave namespaces"),
    ] {
        let reply = client.post(TOKENS, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid-data"), "{body}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{reason} in {detail}");
    }
    let reply = send(&client, TOKEN, "PUT", TOKENS, &Value::Null).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD,POST")));
    let bearer = format!("Bearer {TOKEN}");
    let reply = client.send("POST", TOKENS, &[("authorization", &bearer)], "{}").await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid-content-type"));
}

#[tokio::test]
async fn the_command_line_makes_lists_and_revokes_beside_a_server_and_without_one() {
    let mut larder = Larder::start();
    let client = Client::new(larder.address());
    let read = json!({"key": "a/k"});
    let token = token_command(
        &larder,
        &["create", "ci", "--role", "read", "--prefix", "a/", "--expires-in", "90d"],
    );
    assert_eq!(send(&client, &token, "POST", GET, &read).await.status, 200);
    let other = send(&client, &token, "POST", GET, &json!({"key": "b/k"})).await;
    assert_eq!(other.status, 403);
    let listed = token_command(&larder, &["list"]);
    assert!(listed.contains(" ci: read, keys that begin with a/, made 2"), "{listed}");
    assert!(!listed.contains(&token));
    let id = listed.split(' ').next().unwrap().to_owned();
    token_command(&larder, &["revoke", &id]);
    assert_eq!(send(&client, &token, "POST", GET, &read).await.status, 401);
    // The same with nobody serving.
    assert!(larder.terminate().success());
    let token = token_command(&larder, &["create", "ci", "--role", "write"]);
    larder.start_again();
    let client = Client::new(larder.address());
    assert_eq!(send(&client, &token, "POST", GET, &read).await.status, 200);
    let unknown = larder.tool(&["token", "revoke", "0123456789abcdef"]);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no token with this id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_refused_once_is_refused_after_a_crash() {
    let mut larder = Larder::start();
    let client = Client::new(larder.address());
    let (id, token) = make(&client, &json!({"name": "a", "role": "read"})).await;
    // The writer has enough to do that a revocation waits for its turn.
    let writers: Vec<_> = (0..32)
        .map(|number| {
            tokio::spawn(async move {
                let set = json!({"key": format!("k{number}"), "value": "v".repeat(1 << 20)});
                let bearer = format!("Bearer {TOKEN}");
                let headers =
                    [("authorization", bearer.as_str()), ("content-type", "application/json")];
                while client.try_send("POST", SET, &headers, set.to_string().into()).await.is_ok() {
                }
            })
        })
        .collect();
    while Metrics::of(&client).await.sum("larder_storage_queue_bytes", &[]) < 8e6 {}
    let mut revoking = TcpStream::connect(larder.address()).unwrap();
    let request = format!(
        "DELETE {TOKENS}/{id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    revoking.write_all(request.as_bytes()).unwrap();
    let key = json!({"key": "k"});
    while send(&client, &token, "POST", GET, &key).await.status != 401 {}
    larder.kill();
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    larder.start_again();
    let client = Client::new(larder.address());
    assert_eq!(send(&client, &token, "POST", GET, &key).await.status, 401);
}

#[tokio::test]
async fn a_token_that_is_not_there_is_told_at_once_and_costs_no_commit() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let commits = async || {
        Metrics::of(&client).await.sum("larder_storage_commit_duration_seconds_count", &[])
    };
    let before = commits().await;
    for id in ["0123456789abcdef", &"i".repeat(257), &"i".repeat(5000), "%00", "a/b"] {
        let reply = send(&client, TOKEN, "DELETE", &format!("{TOKENS}/{id}"), &Value::Null).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not-found"), "{id}");
    }
    assert_eq!(commits().await, before);
}

#[tokio::test]
async fn a_time_to_live_counts_from_the_store_s_instant_however_far_ahead_it_is() {
    // A store that has seen the year 2099.
    let dir = tempfile::tempdir().unwrap();
    let lines = r#"{"larder_export":1,"version":1,"instant":4073500800000}
{"namespace":"default","created":1,"updated":1}
"#;
    std::fs::write(dir.path().join("lines"), lines).unwrap();
    let sealed = r#"s=$(sha256sum <lines | cut -d' ' -f1); printf '{"namespaces":1,"entries":0,"sha256":"%s"}\n' $s >>lines"#;
    let mut shell = Command::new("sh");
    assert!(shell.args(["-c", sealed]).current_dir(&dir).status().unwrap().success());
    let mut larder = Larder::start();
    let lines = dir.path().join("lines");
    let imported = larder.tool(&["import", lines.to_str().unwrap(), "--data", "ahead"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let create = ["create", "soon", "--role", "read", "--expires-in", "1h", "--data", "ahead"];
    let token = token_command(&larder, &create);
    assert!(token_command(&larder, &["list", "--data", "ahead"]).contains(" ends 2099-"));
    // The same beside a server.
    assert!(larder.terminate().success());
    std::fs::remove_dir_all(larder.data()).unwrap();
    std::fs::rename(larder.dir().join("ahead"), larder.data()).unwrap();
    larder.start_again();
    let client = Client::new(larder.address());
    for token in [token, token_command(&larder, &create[..6])] {
        let read = send(&client, &token, "POST", GET, &json!({"key": "k"})).await;
        assert_eq!(read.status, 200);
    }
}

#[tokio::test]
async fn guests_see_the_name_and_are_held_to_the_caller_s_scope() {
    let component = guest_file("larder_test_guest");
    let larder = Larder::start_with(Options::config(format!(
        "[[mount]]\nprefix = '/test'\ncomponent = {component:?}\nnamespaces = {{ own = 'write', other = 'write' }}\n"
    )));
    let client = Client::new(larder.address());
    let scope = json!({"name": "billing", "role": "read", "namespaces": ["own"]});
    let (_, token) = make(&client, &scope).await;
    let seen = send(&client, &token, "GET", "/test/echo", &Value::Null).await;
    let seen = String::from_utf8(seen.body.to_vec()).unwrap();
    assert!(seen.contains("caller=Caller::Principal(\"billing\")"), "{seen}");
    assert!(!seen.contains(&token));
    for (action, namespace, wanted) in [
        ("read", "own", "Ok(())"),
        ("write", "own", "Err(Error::Denied)"),
        ("read", "other", "Err(Error::Denied)"),
        ("namespace", "other", "Err(Error::Denied)"),
        ("configure", "own", "Err(Error::Denied)"),
    ] {
        let path = format!("/test/{action}?{namespace}");
        let reply = send(&client, &token, "GET", &path, &Value::Null).await;
        assert_eq!(String::from_utf8_lossy(&reply.body), wanted, "{action} {namespace}");
        // The mount itself may do all of it.
        let reply = send(&client, TOKEN, "GET", &path, &Value::Null).await;
        assert_eq!(String::from_utf8_lossy(&reply.body), "Ok(())", "{action} {namespace}");
    }
}

#[tokio::test]
async fn a_token_that_was_revoked_reaches_no_storage_where_the_guest_judges_callers() {
    for lines in ["", "instance_calls_max = 100", "priority = 'usual'"] {
        let larder =
            test_guest(&format!("auth = 'guest'\nnamespaces = {{ own = 'write' }}\n{lines}"));
        let client = Client::new(larder.address());
        let reader = json!({"name": "reader", "role": "read"});
        let (id, token) = make(&client, &reader).await;
        let said = async |headers: &[(&str, &str)], action: &str| {
            let reply = client.send("GET", &format!("/test/{action}"), headers, "").await;
            String::from_utf8_lossy(&reply.body).into_owned()
        };
        let bearer = format!("Bearer {token}");
        let bearer = [("authorization", bearer.as_str())];
        // Beside its name, what each answers to the reader, and to nobody in particular.
        let (ok, denied) = ("Ok(())", "Err(Error::Denied)");
        let actions = [
            ("configure?own", denied, ok),
            ("namespace?own", ok, ok),
            ("write?own", denied, ok),
            ("read?own", ok, ok),
            ("delete?own", denied, ok),
            ("defer?set:own", "at once: Error::Denied", "set: set Ok(()), x-test=None"),
            ("defer?delete:own", "at once: Error::Denied", "delete: deleted Ok(true), x-test=None"),
        ];
        for (action, to_reader, to_anybody) in actions {
            assert_eq!(said(&bearer, action).await, to_reader, "{action}, {lines}");
            assert_eq!(said(&[], action).await, to_anybody, "{action}, {lines}");
        }
        let path = format!("{TOKENS}/{id}");
        assert_eq!(send(&client, TOKEN, "DELETE", &path, &Value::Null).await.status, 204);
        assert!(said(&bearer, "echo").await.contains("caller=Caller::Rejected"), "{lines}");
        for (action, to_reader, _) in actions {
            let wanted = if to_reader == ok { denied } else { to_reader };
            assert_eq!(said(&bearer, action).await, wanted, "{action}, {lines}");
        }
        // Whether writes are served is no secret.
        for path in ["/api/v1.health.ping", "/api/v1.health.ready"] {
            assert_eq!(client.send("GET", path, &bearer, "").await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn secrets_turn_up_in_no_list_log_metric_or_file() {
    let mut larder = Larder::start_with(Options::flags(&["--log", "trace"]));
    let client = Client::new(larder.address());
    let (id, token) = make(&client, &json!({"name": "quiet", "role": "write"})).await;
    // It may contain what parts it from the id.
    let (_, secret) = token.split_once(&format!("{id}_")).unwrap();
    send(&client, &token, "POST", SET, &json!({"key": "k", "value": "v"})).await;
    send(&client, &format!("{token}x"), "POST", SET, &json!({"key": "k", "value": "v"})).await;
    send(&client, &token, "GET", TOKENS, &Value::Null).await;
    let list = send(&client, TOKEN, "GET", TOKENS, &Value::Null).await;
    let metrics = client.get("/metrics").await;
    assert!(larder.terminate().success());
    let mut told = vec![larder.log().into_bytes(), list.body.to_vec(), metrics.body.to_vec()];
    assert!(told[0].windows(id.len()).any(|bytes| bytes == id.as_bytes()), "the log names the id");
    for file in std::fs::read_dir(larder.data()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != "admin-token" {
            told.push(std::fs::read(path).unwrap());
        }
    }
    for secret in [secret, TOKEN] {
        for text in &told {
            let found = text.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "{secret} in {}", String::from_utf8_lossy(text));
        }
    }
}
