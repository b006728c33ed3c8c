//! Hostile use of lists and batches: as much as their limits allow, and one more; records that are damaged;
//! batches that would copy more than there is memory. The right answer comes, and others are served.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use larder_tests::{Client, Larder, Reply};
use serde_json::{Value, json};

/// Operations of a batch, keys of a get, entries of a page.
const ITEMS_MAX: usize = 1000;
/// Bytes of values in an answer, about.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const BODY_BYTES_MAX: usize = 8 << 20;

fn key(number: usize) -> String {
    format!("k{number:05}")
}

fn set(number: usize, value: &str) -> Value {
    json!({"op": "set", "key": key(number), "value": value})
}

async fn ask(client: &Client, route: &str, body: &Value) -> Reply {
    client.post(&format!("/api/v1.kv.{route}"), body).await
}

/// What a request is answered with 200.
async fn done(client: &Client, route: &str, body: &Value) -> Value {
    let reply = ask(client, route, body).await;
    assert_eq!(reply.status, 200, "{route}: {:.300}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// Holds a refusal against status, code and location.
async fn refused(client: &Client, route: &str, body: &Value, wanted: (u16, &str, Value)) {
    let reply = ask(client, route, body).await;
    let told = (reply.status, reply.code(), reply.json()["location"].clone());
    assert_eq!(told, (wanted.0, wanted.1.to_owned(), wanted.2), "{route}");
}

async fn usage(client: &Client) -> Value {
    done(client, "namespace.usage", &json!({"name": "default"})).await
}

/// Fills keys, a thousand a batch.
async fn fill(client: &Client, keys: usize, value: &str) {
    for first in (0..keys).step_by(ITEMS_MAX) {
        let operations: Vec<Value> =
            (first..keys.min(first + ITEMS_MAX)).map(|number| set(number, value)).collect();
        done(client, "batch", &json!({"operations": operations})).await;
    }
}

#[tokio::test]
async fn a_batch_takes_1000_operations_with_its_checks_and_not_one_more() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let sets = |count: usize| (0..count).map(|number| set(number, "v")).collect::<Vec<_>>();
    let checks = |count: usize| vec![json!({"key": "absent", "version": 0}); count];
    let invalid = || (422, "invalid-data", json!("operations"));
    for (checked, operations) in [(0, 1001), (1, 1000), (1000, 1), (1, 0)] {
        let body = json!({"checks": checks(checked), "operations": sets(operations)});
        refused(&client, "batch", &body, invalid()).await;
    }
    refused(&client, "batch", &json!({"operations": sets(100_000)}), invalid()).await;
    assert_eq!(usage(&client).await["keys"], 0);
    for (checked, operations) in [(0, 1000), (1, 999), (999, 1)] {
        let body = json!({"checks": checks(checked), "operations": sets(operations)});
        let results = done(&client, "batch", &body).await["results"].clone();
        let versions: Vec<u64> = results
            .as_array()
            .unwrap()
            .iter()
            .map(|did| did["version"].as_u64().unwrap())
            .collect();
        assert_eq!(versions.len(), operations);
        assert!(versions.is_sorted_by(|before, after| before < after), "{versions:?}");
    }
    // The last of a thousand fails, and nothing of them is there.
    let mut operations: Vec<Value> = (1000..1999).map(|number| set(number, "v")).collect();
    operations.push(json!({"op": "touch", "key": "absent"}));
    let body = json!({"operations": operations});
    refused(&client, "batch", &body, (400, "conflict", json!("operations[999]"))).await;
    assert_eq!(usage(&client).await["keys"], 1000);
    // One key a thousand times over.
    let adds = vec![json!({"op": "add", "key": "n"}); ITEMS_MAX];
    let results = done(&client, "batch", &json!({"operations": adds})).await;
    assert_eq!(results["results"][ITEMS_MAX - 1]["value"], ITEMS_MAX);
}

#[tokio::test]
async fn a_batch_fills_a_body_to_its_last_byte_and_no_further() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let body = |bytes: usize| {
        let others: Vec<Value> = (0..100).map(|number| set(number, "v")).collect();
        let mut body = json!({"operations": others});
        let empty = json!({"op": "set", "key": "large", "value": ""});
        body["operations"].as_array_mut().unwrap().push(empty);
        let room = bytes - body.to_string().len();
        body["operations"][100]["value"] = "x".repeat(room).into();
        assert_eq!(body.to_string().len(), bytes);
        (body, room)
    };
    let (over, _) = body(BODY_BYTES_MAX + 1);
    refused(&client, "batch", &over, (413, "payload-too-large", Value::Null)).await;
    assert_eq!(usage(&client).await["keys"], 0);
    let (most, room) = body(BODY_BYTES_MAX);
    done(&client, "batch", &most).await;
    let count = usage(&client).await;
    let others = 100 * (key(0).len() + 1);
    assert_eq!((&count["keys"], &count["bytes"]), (&json!(101), &json!(others + 5 + room)));
    let page = done(&client, "list", &json!({"values": true, "prefix": "large"})).await;
    assert_eq!(page["entries"][0]["value"].as_array().unwrap().len(), room);
}

#[tokio::test]
async fn touches_that_would_copy_more_than_there_is_memory_are_refused_whole() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let bytes = 1 << 20;
    done(&client, "set", &json!({"key": "large", "value": "x".repeat(bytes)})).await;
    let touches = |count: usize| json!({"operations": vec![json!({"op": "touch", "key": "large", "ttl_ms": 3_600_000}); count]});
    let before = done(&client, "get_many", &json!({"keys": ["large"]})).await;
    let too_large = ask(&client, "batch", &touches(ITEMS_MAX)).await;
    assert_eq!((too_large.status, too_large.code().as_str()), (413, "payload-too-large"));
    assert_eq!(done(&client, "get_many", &json!({"keys": ["large"]})).await, before);
    done(&client, "batch", &touches(20)).await;
    let after = done(&client, "get_many", &json!({"keys": ["large"]})).await;
    assert_eq!(after["entries"][0]["value"], before["entries"][0]["value"]);
    assert!(after["entries"][0]["expiry"].is_u64());
}

#[tokio::test]
async fn a_thousand_large_values_come_in_parts_one_at_least() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let (count, bytes) = (ITEMS_MAX, 20_000);
    for first in (0..count).step_by(200) {
        let value = "x".repeat(bytes);
        let operations: Vec<Value> =
            (first..first + 200).map(|number| set(number, &value)).collect();
        done(&client, "batch", &json!({"operations": operations})).await;
    }
    done(&client, "set", &json!({"key": "z", "value": "x".repeat(3 * ANSWER_BYTES_MAX)})).await;
    let mut keys: Vec<String> = (0..count - 1).map(key).collect();
    keys.push("z".to_owned());
    let (mut rest, mut parts) = (&keys[..], 0);
    while !rest.is_empty() {
        let found = done(&client, "get_many", &json!({"keys": rest})).await;
        let entries = found["entries"].as_array().unwrap();
        assert!((1..=ANSWER_BYTES_MAX / bytes + 1).contains(&entries.len()), "{}", entries.len());
        for (entry, key) in entries.iter().zip(rest) {
            assert_eq!(entry["key"], *key);
            assert!(entry["value"].as_array().unwrap().len() >= bytes, "{key}");
        }
        rest = &rest[entries.len()..];
        parts += 1;
    }
    assert!(parts >= count * bytes / ANSWER_BYTES_MAX, "{parts} parts");
    let one_more = json!({"keys": vec!["k"; ITEMS_MAX + 1]});
    refused(&client, "get_many", &one_more, (422, "invalid-data", json!("keys"))).await;
}

#[tokio::test]
async fn a_prefix_that_matches_everything_is_a_thousand_entries_at_a_time() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let count = 3500;
    fill(&client, count, "v").await;
    for prefix in ["", "k", "k0"] {
        let (mut after, mut seen, mut sizes) = (Value::Null, BTreeSet::new(), Vec::new());
        loop {
            let body = json!({"prefix": prefix, "limit": ITEMS_MAX, "after": after});
            let page = done(&client, "list", &body).await;
            let entries = page["entries"].as_array().unwrap();
            sizes.push(entries.len());
            for entry in entries {
                assert!(seen.insert(entry["key"].as_str().unwrap().to_owned()), "{entry}");
            }
            after = page["after"].clone();
            if after.is_null() {
                break;
            }
        }
        assert_eq!((seen.len(), &sizes[..3]), (count, &[ITEMS_MAX; 3][..]), "{prefix:?}");
    }
    let too_many = json!({"limit": ITEMS_MAX + 1});
    refused(&client, "list", &too_many, (422, "invalid-data", json!("limit"))).await;
}

const VALUE: &str = "value-of-";

fn is_bad(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// Writes over a byte of every third value, wherever it is in a file.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<usize> = (0..bytes.len() - VALUE.len() - 5)
        .filter(|at| bytes[*at..].starts_with(VALUE.as_bytes()))
        .collect();
    for at in places {
        let digits = &bytes[at + VALUE.len()..][..5];
        let number = std::str::from_utf8(digits).unwrap().parse().unwrap();
        if is_bad(number) {
            bytes[at] = b'#';
        }
    }
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn damaged_records_are_marked_in_their_places_and_end_no_page() {
    let mut larder = Larder::start();
    let client = Client::new(larder.address());
    let count = 300;
    let value = |number: usize| format!("{VALUE}{number:05}");
    let operations: Vec<Value> = (0..count).map(|number| set(number, &value(number))).collect();
    done(&client, "batch", &json!({"operations": operations})).await;
    assert!(larder.terminate().success());
    damage(&larder.data().join("data.mdb"));
    larder.start_again();
    let client = Client::new(larder.address());
    for values in [false, true] {
        let page = done(&client, "list", &json!({"limit": ITEMS_MAX, "values": values})).await;
        let entries = page["entries"].as_array().unwrap();
        assert_eq!((entries.len(), &page["after"]), (count, &Value::Null));
        for (number, entry) in entries.iter().enumerate() {
            assert_eq!(entry["key"], key(number));
            let bad = json!(true);
            assert_eq!(entry.get("corrupt"), is_bad(number).then_some(&bad), "{entry}");
            assert_eq!(entry["version"] == 0, is_bad(number), "{entry}");
        }
    }
    let keys: Vec<String> = (0..count).map(key).collect();
    let found = done(&client, "get_many", &json!({"keys": keys})).await;
    for (number, entry) in found["entries"].as_array().unwrap().iter().enumerate() {
        assert_eq!(entry["value"].is_null(), is_bad(number), "{entry}");
        assert_eq!(entry.get("corrupt").is_some(), is_bad(number), "{entry}");
    }
    // Checks that ask a damaged record are refused; what asks nothing may replace it.
    let checked = json!({"checks": [{"key": key(0), "version": 1}], "operations": [set(1, "v")]});
    assert_eq!(ask(&client, "batch", &checked).await.status, 500);
    done(&client, "batch", &json!({"operations": [set(0, "v")]})).await;
    let page = done(&client, "list", &json!({"limit": 1})).await;
    assert!(page["entries"][0].get("corrupt").is_none(), "{page}");
}
