//! Guests beside the API: what they see, what they may reach, and what happens to those that
//! misbehave.

use larder_tests::{BEARER, Client, Larder, Options, TOKEN, guest_file, test_guest, text};
use serde_json::json;

fn visits() -> Larder {
    let component = guest_file("larder_example_visits");
    Larder::start_with(Options::config(format!(
        "[[mount]]\nprefix = '/visits'\ncomponent = {component:?}\nnamespaces = {{ visits = 'write' }}\nauth = 'none'\n"
    )))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_counts_every_visit_of_64_tasks() {
    let larder = visits();
    let client = Client::new(larder.address());
    let tasks: Vec<_> = (0..64)
        .map(|_| tokio::spawn(async move { client.send("POST", "/visits/home", &[], "").await }))
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().status, 200);
    }
    assert_eq!(client.get("/visits/home").await.json(), json!({"visits": 64}));
    assert_eq!(client.get("/visits/other").await.json(), json!({"visits": 0}));
    assert_eq!(client.get("/visits").await.status, 404);
}

#[tokio::test]
async fn the_example_is_refused_a_namespace_that_it_was_not_granted() {
    let larder = visits();
    let client = Client::new(larder.address());
    for namespace in ["default", "never-configured"] {
        let reply = client.get(&format!("/visits/home?namespace={namespace}")).await;
        assert_eq!(reply.status, 403);
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(namespace) && error.contains("not granted"), "{error}");
    }
}

#[tokio::test]
async fn what_a_guest_wrote_is_there_for_the_api() {
    let larder = visits();
    let client = Client::new(larder.address());
    client.send("POST", "/visits/home", &[], "").await;
    let read = json!({"namespace": "visits", "key": "home"});
    let entry = client.post("/api/v1.kv.get", &read).await.json();
    assert_eq!(entry["value"], json!([b'1']));
}

#[tokio::test]
async fn a_guest_sees_the_request_and_its_prefix_but_never_the_token() {
    let larder = test_guest("");
    let client = Client::new(larder.address());
    let headers = [BEARER, ("x-test", "one"), ("x-test", "two"), ("accept", "a/b")];
    let reply = client.send("PUT", "/test/a%20b/echo?x=1&y", &headers, vec![0; 100_000]).await;
    let seen = String::from_utf8(reply.body.to_vec()).unwrap();
    for wanted in [
        "method=Method::Put path=/test/a%20b/echo query=Some(\"x=1&y\") prefix=/test\n",
        "content-type=None accept=Some(\"a/b\") caller=Caller::Principal(\"admin\")\n",
        "body=100000 bytes\n",
        "x-test=Some(\"one, two\") authorization=None\n",
        "x-test: one\nx-test: two\n",
    ] {
        assert!(seen.contains(wanted), "{wanted} in {seen}");
    }
    assert!(!seen.contains(TOKEN));
}

#[tokio::test]
async fn a_mount_that_requires_a_principal_answers_401_itself() {
    let larder = test_guest("");
    let client = Client::new(larder.address());
    let reply = client.get("/test/echo").await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "auth-required"));
    let wrong = [("authorization", "Bearer wrong"), ("accept", "application/msgpack")];
    let reply = client.send("GET", "/test/echo", &wrong, "").await;
    assert_eq!((reply.status, reply.header("content-type")), (401, Some("application/msgpack")));
}

#[tokio::test]
async fn mounts_choose_how_callers_are_judged() {
    let open = test_guest("auth = 'none'");
    let reply = Client::new(open.address()).send("POST", "/test/echo", &[BEARER], "body").await;
    let seen = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(seen.contains("caller=Caller::Anonymous\nbody=4 bytes"), "{seen}");
    let own = test_guest("auth = 'guest'");
    let wrong = ("authorization", "Bearer wrong");
    for (header, caller) in
        [(BEARER, "Principal(\"admin\")\nbody=4 bytes"), (wrong, "Rejected\nbody=unread")]
    {
        let reply = Client::new(own.address()).send("POST", "/test/echo", &[header], "body").await;
        let seen = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(seen.contains(caller), "{seen}");
    }
}

#[tokio::test]
async fn grants_are_kept_to_for_every_operation() {
    let larder = test_guest("namespaces = { own = 'write', shared = 'read' }");
    let client = Client::new(larder.address());
    for (action, namespace, wanted) in [
        ("read", "own", "Ok(())"),
        ("write", "own", "Ok(())"),
        ("delete", "own", "Ok(())"),
        ("configure", "own", "Ok(())"),
        ("namespace", "own", "Ok(())"),
        ("read", "shared", "Ok(())"),
        ("namespace", "shared", "Ok(())"),
        ("write", "shared", "Err(Error::Denied)"),
        ("delete", "shared", "Err(Error::Denied)"),
        ("configure", "shared", "Err(Error::Denied)"),
        ("read", "default", "Err(Error::Denied)"),
        ("write", "default", "Err(Error::Denied)"),
        ("configure", "new", "Err(Error::Denied)"),
        ("namespace", "default", "Err(Error::Denied)"),
        ("read", "*", "Err(Error::Denied)"),
        ("read", "", "Err(Error::Denied)"),
    ] {
        let got = text(&client, &format!("/test/{action}?{namespace}")).await;
        assert_eq!(got, wanted, "{action} in {namespace:?}");
    }
}

#[tokio::test]
async fn a_large_body_and_value_pass_by_reference() {
    // Room for the value once: were the body copied in as well, the limit would be reached.
    let larder = test_guest("namespaces = { own = 'write' }\nhost_bytes_max = 5000000");
    let client = Client::new(larder.address());
    let body: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let reply = client.send("POST", "/test/store-body", &[BEARER], body.clone()).await;
    assert_eq!(&reply.body[..], b"Ok(())");
    let reply = client.send("GET", "/test/stored", &[BEARER], "").await;
    assert_eq!(reply.body, [b"<", &body[..], b">"].concat());
}

#[tokio::test]
async fn instances_are_fresh_unless_the_mount_lets_them_be_reused() {
    let fresh = test_guest("");
    let client = Client::new(fresh.address());
    for _ in 0..3 {
        assert_eq!(text(&client, "/test/calls").await, "1");
    }
    let reused = test_guest("instance_calls_max = 3");
    let client = Client::new(reused.address());
    for calls in ["1", "2", "3", "1", "2", "3", "1"] {
        assert_eq!(text(&client, "/test/calls").await, calls);
    }
}

#[tokio::test]
async fn wasi_reaches_nothing_outside() {
    let larder = test_guest("");
    let seen = text(&Client::new(larder.address()), "/test/outside").await;
    for what in ["file", "directory", "write", "connect", "listen", "udp"] {
        assert!(seen.contains(&format!("{what}=false\n")), "{what} in {seen}");
    }
    assert!(seen.contains("variables=0\narguments=0\n"), "{seen}");
}

#[tokio::test]
async fn output_goes_to_the_log_under_the_guest_s_name() {
    let larder = test_guest("name = 'chatty'");
    text(&Client::new(larder.address()), "/test/log?hello").await;
    larder.until_logged("complained hello", 1).await;
    let log = larder.log();
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_default();
    assert!(line("printed hello").contains("\"guest\":\"chatty\""), "{log}");
    assert!(line("complained hello").contains("\"stream\":\"stderr\""), "{log}");
}

/// Plays a bad action, and then checks that the guest and its neighbours go on.
async fn misbehave(larder: &mut Larder, action: &str, status: u16, code: &str) {
    let client = Client::new(larder.address());
    let accept = ("accept", "application/json");
    let reply = client.send("GET", &format!("/test/{action}"), &[BEARER, accept], "").await;
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{action}: {reply:?}");
    assert_eq!(reply.json()["type"], "server-error");
    assert!(larder.lives(), "{action}");
    assert!(text(&client, "/test/echo").await.contains("method"), "{action}");
    assert_eq!(client.get("/api/v1.health.ping").await.status, 200, "{action}");
}

#[tokio::test]
async fn a_guest_that_misbehaves_gives_a_clear_5xx_and_harms_nobody() {
    let limits = "namespaces = { own = 'write' }\nhost_calls_max = 5000\ninstance_calls_max = 100";
    let mut hasty = test_guest(&format!("{limits}\ncall_ms_max = 300"));
    for action in ["loop", "sleep"] {
        misbehave(&mut hasty, action, 504, "timeout").await;
    }
    // What runs into another limit has all the time that it needs, however busy the machine is.
    let mut larder = test_guest(limits);
    for action in [
        "panic",
        "memory",
        "recursion",
        "host-calls",
        "blobs",
        "hide-header",
        "own-length",
        "status",
        "huge",
    ] {
        misbehave(&mut larder, action, 500, "internal-error").await;
    }
    hasty.until_logged("missed its deadline", 2).await;
    for said in ["host_calls_max", "answer_bytes_max", "asked to"] {
        larder.until_logged(said, 1).await;
    }
}

#[tokio::test]
async fn an_instance_that_failed_is_not_used_again() {
    let larder = test_guest("instance_calls_max = 100");
    let client = Client::new(larder.address());
    assert_eq!(text(&client, "/test/calls").await, "1");
    client.send("GET", "/test/panic", &[BEARER], "").await;
    assert_eq!(text(&client, "/test/calls").await, "1");
}

#[tokio::test]
async fn a_call_that_takes_many_ticks_or_writes_is_answered_and_has_its_effect_once() {
    let larder = test_guest("namespaces = { own = 'write' }\nauth = 'none'");
    let client = Client::new(larder.address());
    // The first call of a path is the one that finds out.
    for _ in 0..2 {
        assert_eq!(text(&client, "/test/work?50000000").await, "25000000");
    }
    for path in ["/test/write?own", "/test/delete?own", "/test/write?own"] {
        assert_eq!(text(&client, path).await, "Ok(())");
    }
    let reply = client.post("/api/v1.kv.set", &json!({"key": "k", "value": "v"})).await;
    // One for the namespace that the mount made, and one for each write.
    assert_eq!(reply.json(), json!({"version": 5}));
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_loops_leave_the_threads_to_the_neighbours() {
    let larder = test_guest("call_ms_max = 5000");
    let client = Client::new(larder.address());
    let loops: Vec<_> = (0..8)
        .map(|_| tokio::spawn(async move { client.send("GET", "/test/loop", &[BEARER], "").await }))
        .collect();
    for _ in 0..20 {
        let reply = client.post("/api/v1.kv.get", &json!({"key": "k"})).await;
        assert_eq!(reply.status, 200);
    }
    assert!(loops.iter().all(|task| !task.is_finished()), "the loops were still running");
    for task in loops {
        assert_eq!(task.await.unwrap().status, 504);
    }
}

#[tokio::test]
async fn a_guest_that_logs_too_much_is_cut_off() {
    let larder = test_guest("");
    let client = Client::new(larder.address());
    assert_eq!(text(&client, "/test/log-bomb").await, "logged");
    larder.until_logged("logs too much", 1).await;
    assert!(larder.log().len() < 1 << 20, "{} bytes", larder.log().len());
}

/// What `larder serve` says to a component in text form.
fn refused(component: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.wasm");
    std::fs::write(&path, wat::parse_str(component).unwrap()).unwrap();
    let config = format!("[[mount]]\nprefix = '/bad'\ncomponent = {path:?}\n");
    Larder::refused(Options::config(config))
}

#[test]
fn a_component_that_does_not_fit_is_refused_with_the_reason() {
    for (component, reasons) in [
        ("(component)", &["guest bad", "does not export larder:guest/incoming-handler"][..]),
        ("(module)", &["guest bad", "core module", "wasm32-wasip2"]),
        (
            r#"(component (import "foo:bar/baz@1.0.0" (instance)))"#,
            &["imports foo:bar/baz@1.0.0", "it offers larder:guest@0.1.2"],
        ),
        (
            r#"(component (import "larder:guest/kv@0.2.0" (instance)))"#,
            &["imports larder:guest/kv@0.2.0", "this host offers larder:guest@0.1.2"],
        ),
        (
            r#"(component (instance $i) (export "larder:guest/incoming-handler@0.3.0" (instance $i)))"#,
            &["exports larder:guest/incoming-handler@0.3.0", "larder:guest@0.1.2"],
        ),
        (
            r#"(component (instance $i) (export "larder:guest/incoming-handler@0.1.0" (instance $i)))"#,
            &["does not fit", "handle"],
        ),
        (
            r#"(component (import "larder:guest/kv@0.1.0" (instance (export "watch" (func)))))"#,
            &["does not"],
        ),
    ] {
        let said = refused(component);
        for reason in reasons {
            assert!(said.contains(reason), "{reason:?} in {said:?} of {component}");
        }
    }
}

#[test]
fn a_file_that_is_no_component_or_is_not_there_is_refused() {
    let mount = |path: &str| {
        let config = format!("[[mount]]\nprefix = '/bad'\ncomponent = '{path}'\n");
        Larder::refused(Options::config(config))
    };
    assert!(mount("test.toml").contains("not a WebAssembly component"));
    assert!(mount("missing.wasm").contains("missing.wasm: No such file"));
}

#[tokio::test]
async fn a_guest_at_the_root_answers_everything_but_the_server_s_own_paths() {
    let component = guest_file("larder_test_guest");
    let config = format!("[[mount]]\nprefix = '/'\ncomponent = {component:?}\nauth = 'none'\n");
    let larder = Larder::start_with(Options::config(config));
    let client = Client::new(larder.address());
    assert!(client.get("/any/where/echo").await.body.starts_with(b"method"));
    assert_eq!(client.get("/api/v1.health.ping").await.json(), json!({"ok": true}));
    for path in ["/livez/echo", "/readyz/echo", "/metrics/echo", "/larder", "/larder/v1/echo"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(&client.get("/livez").await.body[..], b"ok\n");
}

#[tokio::test]
async fn another_component_can_take_the_api_s_place() {
    let component = guest_file("larder_test_guest");
    let larder = Larder::start_with(Options::flags(&["--api", component.to_str().unwrap()]));
    let reply = Client::new(larder.address()).get("/api/echo").await;
    assert!(reply.body.starts_with(b"method=Method::Get path=/api/echo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_503_at_once_and_health_answers_on() {
    let component = guest_file("larder_test_guest");
    let config = format!(
        "calls_max = 1\ncall_wait_ms_max = 100\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\ncall_ms_max = 3000\n"
    );
    let larder = Larder::start_with(Options::config(config));
    let client = Client::new(larder.address());
    let first = tokio::spawn(async move { client.send("GET", "/test/sleep", &[BEARER], "").await });
    larder.until_logged("sleeping", 1).await;
    let refused = client.post("/api/v1.kv.get", &json!({"key": "k"})).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/api/v1.health.ping", "/api/v1.health.ready"] {
        assert_eq!(client.get(path).await.status, 200);
    }
    assert!(!first.is_finished());
    assert_eq!(first.await.unwrap().status, 504);
    assert_eq!(client.post("/api/v1.kv.get", &json!({"key": "k"})).await.status, 200);
}
