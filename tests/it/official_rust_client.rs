//! The official Rust client, unchanged, over HTTP/1.1 and over HTTP/2: every operation, every
//! behavior, the walk of conditional writes, ttl, namespaces, large values, typed errors, and a
//! counter that 64 tasks keep by compare-and-set.

use std::time::Duration;

use diom::models::{
    Consistency, KvConfigureNamespaceIn, KvDeleteIn, KvGetIn, KvGetNamespaceIn, KvSetIn,
    OperationBehavior,
};
use diom::{DiomClient, DiomOptions, Error};
use larder_tests::{Larder, TOKEN};

const TASKS: usize = 64;
const INCREMENTS: usize = 5;

fn client(larder: &Larder, http1: bool) -> DiomClient {
    let options = DiomOptions { server_url: Some(larder.url()), http1, ..DiomOptions::default() };
    DiomClient::new(TOKEN.to_owned(), Some(options))
}

async fn set(client: &DiomClient, key: &str, value: &[u8], options: KvSetIn) -> Result<u64, Error> {
    Ok(client.kv().set(key.to_owned(), value.to_vec(), options).await?.version)
}

async fn get(client: &DiomClient, key: &str) -> (Option<Vec<u8>>, u64) {
    let entry = client.kv().get(key.to_owned(), KvGetIn::new()).await.unwrap();
    (entry.value, entry.version)
}

/// Whether the client knows the error as an operation's, with this code.
fn is_operation_error(result: Result<u64, Error>, code: &str) -> bool {
    let error = result.unwrap_err();
    error.is_operation_error() && error.to_string().contains(code)
}

fn behaving(behavior: OperationBehavior) -> KvSetIn {
    KvSetIn::new().with_behavior(behavior)
}

async fn walk_operations(client: &DiomClient) {
    assert_eq!(get(client, "key").await, (None, 0));
    let first = set(client, "key", b"one", KvSetIn::new()).await.unwrap();
    assert_eq!(get(client, "key").await, (Some(b"one".to_vec()), first));
    for consistency in [Consistency::Strong, Consistency::Weak] {
        let read = KvGetIn::new().with_consistency(consistency);
        assert_eq!(client.kv().get("key".to_owned(), read).await.unwrap().version, first);
    }
    assert!(client.kv().delete("key".to_owned(), KvDeleteIn::new()).await.unwrap().success);
    assert!(!client.kv().delete("key".to_owned(), KvDeleteIn::new()).await.unwrap().success);
    assert_eq!(get(client, "key").await, (None, 0));
}

async fn walk_behaviors(client: &DiomClient) {
    let update = set(client, "b", b"1", behaving(OperationBehavior::Update)).await;
    assert!(is_operation_error(update, "conflict"));
    set(client, "b", b"2", behaving(OperationBehavior::Insert)).await.unwrap();
    let insert = set(client, "b", b"3", behaving(OperationBehavior::Insert)).await;
    assert!(is_operation_error(insert, "conflict"));
    set(client, "b", b"4", behaving(OperationBehavior::Update)).await.unwrap();
    set(client, "b", b"5", behaving(OperationBehavior::Upsert)).await.unwrap();
    assert_eq!(get(client, "b").await.0, Some(b"5".to_vec()));
}

async fn walk_conditional_writes(client: &DiomClient) {
    let at = |version: u64| KvSetIn::new().with_version(version);
    let first = set(client, "occ", b"1", at(0)).await.unwrap();
    assert!(is_operation_error(set(client, "occ", b"2", at(0)).await, "conflict"));
    let second = set(client, "occ", b"2", at(first)).await.unwrap();
    assert!(second > first);
    assert!(is_operation_error(set(client, "occ", b"3", at(first)).await, "conflict"));
    let stale = client.kv().delete("occ".to_owned(), KvDeleteIn::new().with_version(first)).await;
    assert!(stale.unwrap_err().is_operation_error());
    let delete = KvDeleteIn::new().with_version(second);
    assert!(client.kv().delete("occ".to_owned(), delete).await.unwrap().success);
    assert!(set(client, "occ", b"4", at(0)).await.unwrap() > second);
}

async fn walk_ttl(client: &DiomClient) {
    let hour = KvSetIn::new().with_ttl(Duration::from_secs(3600));
    set(client, "ttl", b"v", hour).await.unwrap();
    let entry = client.kv().get("ttl".to_owned(), KvGetIn::new()).await.unwrap();
    assert!(entry.expiry.is_some());
    set(client, "ttl", b"v", KvSetIn::new()).await.unwrap();
    let entry = client.kv().get("ttl".to_owned(), KvGetIn::new()).await.unwrap();
    assert!(entry.expiry.is_none());
    let short = KvSetIn::new().with_ttl(Duration::from_millis(20));
    set(client, "ttl", b"v", short).await.unwrap();
    while get(client, "ttl").await.1 != 0 {}
    let forever = KvSetIn::new().with_ttl(Duration::from_millis(u64::MAX));
    assert!(set(client, "ttl", b"v", forever).await.unwrap_err().is_invalid_input());
}

async fn walk_namespaces(client: &DiomClient) {
    let name = || "names/pace".to_owned();
    let inside = KvSetIn::new().with_namespace(name());
    assert!(is_operation_error(set(client, "n", b"1", inside.clone()).await, "not-found"));
    let namespaces = client.kv().namespace();
    let missing = namespaces.get(KvGetNamespaceIn::new(name())).await;
    assert!(missing.unwrap_err().is_operation_error());
    let made = namespaces.configure(KvConfigureNamespaceIn::new(name())).await.unwrap();
    let found = namespaces.get(KvGetNamespaceIn::new(name())).await.unwrap();
    assert_eq!((made.name, made.created), (found.name, found.created));
    set(client, "n", b"inside", inside).await.unwrap();
    assert_eq!(get(client, "n").await.0, None);
    let read = KvGetIn::new().with_namespace(name());
    let entry = client.kv().get("n".to_owned(), read).await.unwrap();
    assert_eq!(entry.value, Some(b"inside".to_vec()));
    let default = KvSetIn::new().with_namespace("default".to_owned());
    let explicit = set(client, "n", b"1", default).await;
    assert!(is_operation_error(explicit, "no-explicit-default-namespace"));
}

async fn walk_values_and_errors(client: &DiomClient) {
    let value: Vec<u8> =
        (0..1 << 20).map(|n: u32| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    set(client, "large", &value, KvSetIn::new()).await.unwrap();
    assert_eq!(get(client, "large").await.0, Some(value));
    set(client, "empty", b"", KvSetIn::new()).await.unwrap();
    assert_eq!(get(client, "empty").await.0, Some(Vec::new()));
    let error = set(client, "not a key", b"", KvSetIn::new()).await.unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("invalid-data"), "{error:?}");
    let error = set(client, "k", &vec![0; 9 << 20], KvSetIn::new()).await.unwrap_err();
    assert!(error.to_string().contains("payload-too-large"), "{error:?}");
    let other = client.with_token("wrong".to_owned());
    assert!(is_operation_error(set(&other, "k", b"", KvSetIn::new()).await, "invalid-token"));
    assert!(client.health().ping().await.unwrap().ok);
    assert!(client.health().ready().await.unwrap().ok);
    assert!(client.health().error().await.unwrap_err().is_server_error());
}

async fn increment(client: DiomClient) {
    for _ in 0..INCREMENTS {
        loop {
            let (value, version) = get(&client, "counter").await;
            let count: usize =
                value.map_or(0, |value| String::from_utf8(value).unwrap().parse().unwrap());
            let next = (count + 1).to_string();
            let at = KvSetIn::new().with_version(version);
            match set(&client, "counter", next.as_bytes(), at).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_operation_error(), "{error:?}"),
            }
        }
    }
}

async fn walk(http1: bool) {
    let larder = Larder::start();
    let client = client(&larder, http1);
    walk_operations(&client).await;
    walk_behaviors(&client).await;
    walk_conditional_writes(&client).await;
    walk_ttl(&client).await;
    walk_namespaces(&client).await;
    walk_values_and_errors(&client).await;
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(increment(client.clone()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let sum = (TASKS * INCREMENTS).to_string().into_bytes();
    assert_eq!(get(&client, "counter").await.0, Some(sum));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_works_over_http1() {
    walk(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_works_over_http2() {
    walk(false).await;
}
