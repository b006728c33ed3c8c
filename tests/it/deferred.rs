//! Writes that end a call: what becomes of them, and of guests that use them badly.

use larder_tests::{BEARER, Client, Larder, Options, Reply, test_guest, text};
use serde_json::{Value, json};

const OWN: &str = "namespaces = { own = 'write' }";

async fn defer(client: &Client, query: &str) -> Reply {
    let headers = [BEARER, ("x-test", "kept"), ("accept", "application/json")];
    client.send("POST", &format!("/test/defer?{query}"), &headers, vec![7; 100_000]).await
}

/// The value of the key that all of them write.
async fn value(client: &Client, key: &str) -> Value {
    let read = json!({"namespace": "own", "key": key});
    client.post("/api/v1.kv.get", &read).await.json()["value"].take()
}

#[tokio::test]
async fn the_completion_is_told_what_became_of_the_write() {
    for lines in ["", "instance_calls_max = 100", "priority = 'usual'"] {
        let larder = test_guest(&format!("{OWN}\n{lines}"));
        let client = Client::new(larder.address());
        for (query, wanted) in [
            ("set:own", "set: set Ok(())"),
            ("delete:own", "delete: deleted Ok(true)"),
            ("delete:own", "delete: deleted Ok(false)"),
            ("insert:own", "insert: set Ok(())"),
            ("insert:own", "insert: set Err(Error::Conflict("),
            // It waits for a write of its own.
            ("write:own", "write: set Ok(())"),
        ] {
            let reply = defer(&client, query).await;
            let said = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(reply.status == 200 && said.starts_with(wanted), "{query}: {reply:?}");
            assert!(said.ends_with("x-test=Some(\"kept\")"), "{said}");
        }
        assert_eq!(value(&client, "key").await, json!(b"later"));
        assert_eq!(value(&client, "after").await, json!(b"v"));
        let reply = defer(&client, "body:own").await;
        assert_eq!(reply.status, 200);
        assert_eq!(value(&client, "key").await.as_array().map(Vec::len), Some(100_000));
    }
}

#[tokio::test]
async fn what_may_not_be_written_is_refused_at_once() {
    let larder = test_guest(OWN);
    let client = Client::new(larder.address());
    let reply = defer(&client, "set:default").await;
    assert_eq!(&reply.body[..], b"at once: Error::Denied");
}

#[tokio::test]
async fn a_call_that_ends_badly_writes_nothing() {
    let mut larder = test_guest(&format!("{OWN}\nhost_calls_max = 100"));
    let client = Client::new(larder.address());
    for query in ["memo:own", "twice:own", "panic:own"] {
        assert_eq!(defer(&client, query).await.status, 500, "{query}");
        assert!(value(&client, "key").await.is_null(), "{query}");
    }
    // Here the write is done, and what follows it fails.
    for query in ["again:own", "calls:own"] {
        assert_eq!(defer(&client, query).await.status, 500, "{query}");
        assert_eq!(value(&client, "key").await, json!(b"later"), "{query}");
        assert_eq!(text(&client, "/test/defer?delete:own").await, DELETED);
    }
    for said in ["a memo is longer", "may defer one write", "not defer another", "host_calls_max"] {
        larder.until_logged(said, 1).await;
    }
    assert!(larder.lives());
}

const DELETED: &str = "delete: deleted Ok(true), x-test=None";

#[tokio::test(flavor = "multi_thread")]
async fn no_instance_waits_for_the_disk() {
    let larder = Larder::start_with(Options::flags(&["--workers", "1"]));
    let client = Client::new(larder.address());
    let tasks: Vec<_> = (0..128)
        .map(|n| {
            let set = json!({"key": format!("k{n}"), "value": "v"});
            tokio::spawn(async move { client.post("/api/v1.kv.set", &set).await.status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let page = text(&client, "/metrics").await;
    let line = page.lines().find(|line| line.starts_with("larder_guest_instances_total{"));
    let made: f64 = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap();
    // One in each lane, and what a slow machine makes of it.
    assert!((1.0..=8.0).contains(&made), "{made} instances for 128 writes at once");
}
