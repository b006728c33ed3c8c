//! Lists of changes of `larder:guest` 0.1.2: what a guest learns of them, committed in its call and deferred
//! to its end, and what becomes of guests that use them badly.

use larder_tests::{BEARER, Client, Larder, Options, Reply, guest_file, test_guest, text};
use serde_json::{Value, json};

const OWN: &str = "namespaces = { own = 'write' }";
const EVERY: &str = "namespaces = { '*' = 'write' }";
/// The two ways to make changes.
const WAYS: [&str; 2] = ["commit", "continue"];

/// Has the test guest make changes in this way.
async fn change(client: &Client, way: &str, query: &str) -> Reply {
    let headers = [BEARER, ("x-test", "kept"), ("accept", "application/json")];
    client.send("POST", &format!("/test/{way}?{query}"), &headers, vec![7; 100_000]).await
}

/// What the guest tells of changes, without the name that begins an answer.
async fn told(client: &Client, way: &str, query: &str) -> String {
    let reply = change(client, way, query).await;
    assert_eq!(reply.status, 200, "{way} {query}: {reply:?}");
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    let told = body.split_once(": ").map_or("", |(_, told)| told).to_owned();
    // The request is at hand again when the answer is given after the commit.
    let at_once = body.starts_with("at once: ");
    match told.strip_suffix(", x-test=Some(\"kept\")") {
        Some(told) if way == "continue" && !at_once => told.to_owned(),
        None if way == "commit" || at_once => told,
        _ => panic!("{way} {query}: {body}"),
    }
}

/// The value of the key that all of them write.
async fn value(client: &Client, key: &str) -> Value {
    let read = json!({"namespace": "own", "key": key});
    client.post("/api/v1.kv.get", &read).await.json()["value"].take()
}

async fn read(client: &Client, query: &str) -> String {
    text(client, &format!("/test/read-storage?{query}")).await
}

#[tokio::test]
async fn the_guest_is_told_what_became_of_each_kind_of_change() {
    for lines in ["", "instance_calls_max = 100", "priority = 'usual'"] {
        for way in WAYS {
            let larder = test_guest(&format!("{OWN}\n{lines}"));
            let client = Client::new(larder.address());
            let done = |existed, namespace| {
                format!("done: drawn true, existed {existed}, namespace {namespace}")
            };
            for (query, wanted) in [
                ("set:own", done(false, false)),
                ("update:own", done(true, false)),
                ("delete:own", done(true, false)),
                ("delete:own", done(false, false)),
                ("insert:own", done(false, false)),
                ("configure:own", done(false, true)),
            ] {
                assert_eq!(told(&client, way, query).await, wanted, "{way} {query}");
            }
            assert_eq!(value(&client, "key").await, json!(b"changed"), "{way}");
            assert_eq!(told(&client, way, "set-blob:own").await, done(true, false), "{way}");
            assert_eq!(read(&client, "get:own").await, "value of Some(100000) bytes", "{way}");
        }
    }
}

#[tokio::test]
async fn what_is_done_after_deferred_changes_may_commit_again() {
    let larder = test_guest(OWN);
    let client = Client::new(larder.address());
    assert!(told(&client, "continue", "commit-after:own").await.starts_with("done: "));
    assert_eq!(value(&client, "after").await, json!(b"v"));
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_told_with_its_versions() {
    for way in WAYS {
        let larder = test_guest(OWN);
        let client = Client::new(larder.address());
        let conflict = |code, exists| {
            format!(
                "{code}, change Some(0), current Some({exists}), newest Some(true), quota None, explained true"
            )
        };
        assert!(told(&client, way, "set:own").await.starts_with("done: "));
        for (query, wanted) in [
            ("insert:own", conflict("already-exists", true)),
            ("set-at:own", conflict("version-mismatch", true)),
            ("delete-at:own", conflict("version-mismatch", true)),
        ] {
            assert_eq!(told(&client, way, query).await, wanted, "{way} {query}");
        }
        assert!(told(&client, way, "delete:own").await.starts_with("done: "));
        for (query, wanted) in [
            ("update:own", conflict("not-found", false)),
            ("set-at:own", conflict("version-mismatch", false)),
        ] {
            assert_eq!(told(&client, way, query).await, wanted, "{way} {query}");
        }
        assert!(value(&client, "key").await.is_null(), "{way}");
    }
}

/// What is said of an error of one change that has neither versions nor a quota.
fn plain(code: &str) -> String {
    format!("{code}, change Some(0), current None, newest None, quota None, explained true")
}

#[tokio::test]
async fn what_may_not_be_changed_is_refused_at_once_and_in_order() {
    for way in WAYS {
        let larder = test_guest(OWN);
        let client = Client::new(larder.address());
        // A missing grant comes before everything else.
        for query in ["set:default", "set-for-0:default", "set:nowhere", "configure:default"] {
            assert_eq!(told(&client, way, query).await, plain("denied"), "{way} {query}");
        }
        let larder = test_guest(EVERY);
        let client = Client::new(larder.address());
        for (query, code) in [
            ("set-for-0:nowhere", "expiry-out-of-range"),
            ("set-for-ever:default", "expiry-out-of-range"),
            ("set-long-key:nowhere", "no-such-namespace"),
            ("delete:nowhere", "no-such-namespace"),
            ("set-long-key:default", "invalid-name"),
        ] {
            assert_eq!(told(&client, way, query).await, plain(code), "{way} {query}");
            let reply = change(&client, way, query).await;
            let at_once = reply.body.starts_with(b"at once: ");
            assert_eq!(at_once, way == "continue", "{way} {query}");
        }
        assert!(told(&client, way, "configure:made").await.ends_with("namespace true"), "{way}");
        assert!(told(&client, way, "set:made").await.starts_with("done: "), "{way}");
    }
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused() {
    for way in WAYS {
        let component = guest_file("larder_test_guest");
        let larder = Larder::start_with(Options::config(format!(
            "body_bytes_max = 50000\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\n{OWN}\n"
        )));
        let client = Client::new(larder.address());
        let headers = [BEARER, ("x-test", "kept")];
        let reply = client.send("POST", &format!("/test/{way}?set-large:own"), &headers, "").await;
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(said.contains(&plain("too-large")), "{way}: {said}");
        assert_eq!(read(&client, "get:own").await, "value of None bytes", "{way}");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_the_quota_that_is_used_up() {
    for way in WAYS {
        let component = guest_file("larder_test_guest");
        let larder = Larder::start_with(Options::config(format!(
            "storage_bytes_max = 1048576\n[[mount]]\nprefix = '/test'\ncomponent = {component:?}\n{OWN}\n"
        )));
        let client = Client::new(larder.address());
        assert_eq!(read(&client, "writable:").await, "writable");
        let value = "v".repeat(200_000);
        for key in 0.. {
            let set = json!({"key": key.to_string(), "value": value});
            if client.post("/api/v1.kv.set", &set).await.status != 200 {
                break;
            }
            assert!(key < 20, "the store is never full");
        }
        let refused = told(&client, way, "set-blob:own").await;
        let (code, rest) = refused.split_once(", ").unwrap();
        assert_eq!(code, "full", "{way}");
        assert!(rest.ends_with("quota Some(\"disk\"), explained true"), "{way}: {refused}");
        assert!(read(&client, "writable:").await.starts_with("full, change None, "), "{way}");
    }
}

#[tokio::test]
async fn reads_answer_as_the_changes_left_things() {
    let larder = test_guest(OWN);
    let client = Client::new(larder.address());
    assert_eq!(read(&client, "get:own").await, "value of None bytes");
    change(&client, "commit", "set:own").await;
    assert_eq!(read(&client, "get:own").await, "value of Some(7) bytes");
    assert_eq!(read(&client, "namespace:own").await, "created true");
    for query in ["get:default", "namespace:default"] {
        assert!(read(&client, query).await.starts_with("denied, change None, "), "{query}");
    }
    let larder = test_guest(EVERY);
    let client = Client::new(larder.address());
    for query in ["get:nowhere", "namespace:nowhere"] {
        assert!(read(&client, query).await.starts_with("no-such-namespace, "), "{query}");
    }
}

#[tokio::test]
async fn a_call_that_ends_badly_changes_nothing() {
    let mut larder = test_guest(&format!("{OWN}\nhost_calls_max = 100"));
    let client = Client::new(larder.address());
    for (way, query) in [
        ("commit", "none:own"),
        ("commit", "quota:own"),
        ("commit", "delete-beside:own"),
        ("continue", "none:own"),
        ("continue", "delete-beside:own"),
        ("continue", "twice:own"),
        ("continue", "deferred-too:own"),
        ("continue", "memo:own"),
        ("continue", "panic:own"),
    ] {
        assert_eq!(change(&client, way, query).await.status, 500, "{way} {query}");
        assert!(value(&client, "key").await.is_null(), "{way} {query}");
    }
    // Here the change is made, and what follows it fails.
    for (way, query) in [
        // First of them, while the log still has a line for each failure.
        ("continue", "calls:own"),
        ("commit", "index:own"),
        ("continue", "index:own"),
        ("continue", "again:own"),
    ] {
        assert_eq!(change(&client, way, query).await.status, 500, "{way} {query}");
        assert_eq!(value(&client, "key").await, json!(b"changed"), "{way} {query}");
        assert!(told(&client, "commit", "delete:own").await.starts_with("done: "));
    }
    larder.until_logged("host_calls_max", 1).await;
    assert!(larder.lives());
}

#[tokio::test]
async fn a_page_ends_where_the_budget_of_the_call_does() {
    // What the request itself takes of it is little.
    let larder = test_guest(&format!("{OWN}\nhost_bytes_max = 100000"));
    let client = Client::new(larder.address());
    for number in 0..10 {
        let value = "v".repeat(20_000);
        let set = json!({"namespace": "own", "key": format!("large-{number}"), "value": value});
        assert_eq!(client.post("/api/v1.kv.set", &set).await.status, 200);
    }
    let four = "values of [20000, 20000, 20000, 20000] bytes, after Some(\"large-3\")";
    assert_eq!(read(&client, "list:own").await, four);
    // Here the keys were the guest's own.
    assert_eq!(read(&client, "many:own").await, "5 of 5 found");
    // What is by reference does not count against it, and ends a page by its own bytes.
    for number in 0..10 {
        let value = "v".repeat(200_000);
        let set = json!({"namespace": "own", "key": format!("large-{number}"), "value": value});
        assert_eq!(client.post("/api/v1.kv.set", &set).await.status, 200);
    }
    assert_eq!(read(&client, "many:own").await, "5 of 5 found");
}

#[tokio::test]
async fn a_guest_lists_and_ends_what_its_mount_was_granted_and_nothing_else() {
    for (grant, may) in [("write", false), ("admin", true)] {
        let larder = test_guest(&format!("namespaces = {{ own = '{grant}' }}"));
        let client = Client::new(larder.address());
        for name in ["own", "other"] {
            let configure = json!({ "name": name });
            assert_eq!(client.post("/api/v1.kv.namespace.configure", &configure).await.status, 200);
        }
        assert_eq!(read(&client, "names:").await, "[\"own\"], after None");
        for query in ["list:other", "many:other", "usage:other"] {
            assert!(read(&client, query).await.starts_with("denied, "), "{query}");
        }
        assert_eq!(read(&client, "usage:own").await, "0 keys");
        for query in ["lift:own", "delete-namespace:own"] {
            let told = told(&client, "commit", query).await;
            let begins = if may { "done: " } else { "denied, " };
            assert!(told.starts_with(begins), "{grant} {query}: {told}");
        }
        let gone = read(&client, "usage:own").await;
        assert!(gone.starts_with(if may { "no-such-namespace, " } else { "0 keys" }), "{gone}");
    }
}

#[tokio::test]
async fn more_than_1000_changes_and_checks_end_the_call() {
    let larder = test_guest(OWN);
    let client = Client::new(larder.address());
    for way in WAYS {
        assert_eq!(change(&client, way, "too-many:own").await.status, 500, "{way}");
        assert!(value(&client, "key").await.is_null(), "{way}");
    }
}

#[tokio::test]
async fn an_instance_that_still_holds_a_handle_is_not_used_again() {
    let larder = test_guest(&format!("{OWN}\ninstance_calls_max = 100"));
    let client = Client::new(larder.address());
    for (way, query) in [
        ("commit", "keep-changes:own"),
        ("commit", "keep-outcome:own"),
        ("commit", "keep-error:default"),
        ("continue", "keep-outcome:own"),
    ] {
        assert_eq!(text(&client, "/test/calls").await, "1", "before {way} {query}");
        // A call that drops its handles is the control.
        assert!(told(&client, way, "set:own").await.starts_with("done: "));
        assert_eq!(text(&client, "/test/calls").await, "2", "before {way} {query}");
        assert_eq!(change(&client, way, query).await.status, 200, "{way} {query}");
    }
    assert_eq!(text(&client, "/test/calls").await, "1");
}
