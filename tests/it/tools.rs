//! The commands for data without a server, beside a running one and alone: check, backup, restore,
//! export, import. What they do to data that is being written is the torture tests'.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use larder_tests::{Client, Larder, Options, TOKEN};
use serde_json::{Value, json};

const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
/// How far a restore and an import move the versions on.
const JUMP: u64 = 1 << 40;

/// What the program printed, on both ways, after a run that ended with `code`.
fn said(output: &Output, code: i32) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

async fn set(client: &Client, body: Value) -> u64 {
    let reply = client.post(SET, &body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["version"].as_u64().unwrap()
}

/// A server with entries of every kind: small, empty, of many pages, not text, with a ttl, deleted,
/// and in two namespaces.
async fn filled() -> (Larder, Client) {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let made = client.post("/api/v1.kv.namespace.configure", &json!({"name": "other"})).await;
    assert_eq!(made.status, 200);
    for number in 0..200 {
        let value = "v".repeat(number * 40);
        set(&client, json!({"key": format!("key-{number}"), "value": value})).await;
    }
    set(&client, json!({"key": "empty", "value": ""})).await;
    set(&client, json!({"key": "bytes", "value": [0, 255, 10]})).await;
    set(&client, json!({"key": "long", "value": "l".repeat(1 << 20)})).await;
    set(&client, json!({"key": "ttl", "value": "t", "ttl_ms": 1_000_000_000})).await;
    set(&client, json!({"key": "key-1", "value": "of the other", "namespace": "other"})).await;
    client.post("/api/v1.kv.delete", &json!({"key": "key-7"})).await;
    (larder, client)
}

/// A few entries of every kind, without their versions.
async fn entries(client: &Client) -> Vec<Value> {
    let mut entries = Vec::new();
    for key in ["key-100", "empty", "bytes", "long", "ttl", "key-7"] {
        entries.push(client.post(GET, &json!({"key": key})).await.json());
    }
    entries.push(client.post(GET, &json!({"key": "key-1", "namespace": "other"})).await.json());
    for entry in &mut entries {
        entry["version"].take();
    }
    entries
}

/// Serves what stands in `data` under the server's directory; its entries, and the version of a
/// new one.
async fn served(larder: &Larder, data: &str) -> (Vec<Value>, u64) {
    let other = Larder::start_in(&larder.dir().join(data), Options::default());
    let client = Client::new(other.address());
    (entries(&client).await, set(&client, json!({"key": "new", "value": ""})).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_restores_with_versions_that_rise() {
    let (larder, client) = filled().await;
    let newest = set(&client, json!({"key": "last", "value": "acknowledged"})).await;
    let made = said(&larder.tool(&["backup", "backup"]), 0);
    assert!(made.contains("in 2 namespaces"), "{made}");
    assert!(!larder.dir().join("backup.partial").exists());
    said(&larder.tool(&["restore", "backup", "--data", "restored/data"]), 0);
    assert!(
        said(&larder.tool(&["check", "--data", "restored/data"]), 0).contains("nothing is wrong")
    );
    let (restored, version) = served(&larder, "restored").await;
    assert_eq!(restored, entries(&client).await);
    assert!(version > newest + JUMP, "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_text_that_imports_again() {
    let (larder, client) = filled().await;
    said(&larder.tool(&["export", "text"]), 0);
    let text = fs::read_to_string(larder.dir().join("text")).unwrap();
    assert!(text.starts_with(r#"{"larder_export":1,"version":"#), "{text:.100}");
    assert!(text.contains(r#"{"key":"empty","value":"","version":"#));
    assert!(text.contains(r#""value_base64":"AP8K""#));
    said(&larder.tool(&["import", "text", "--data", "imported/data"]), 0);
    said(&larder.tool(&["check", "--data", "imported/data"]), 0);
    let (imported, version) = served(&larder, "imported").await;
    assert_eq!(imported, entries(&client).await);
    assert!(version > JUMP, "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_or_export_is_refused_and_leaves_nothing_to_serve() {
    let (larder, _) = filled().await;
    said(&larder.tool(&["backup", "backup"]), 0);
    said(&larder.tool(&["export", "text"]), 0);
    let cut = |name: &str, from: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(larder.dir().join(from)).unwrap();
        change(&mut bytes);
        fs::write(larder.dir().join(name), bytes).unwrap();
    };
    let refused = |command: &str, file: &str, reason: &str| {
        let error = said(&larder.tool(&[command, file, "--data", "new"]), 1);
        assert!(error.contains(reason), "{error}");
        assert!(!larder.dir().join("new/data.mdb").exists(), "{file}");
    };
    cut("short", "backup", &|bytes| bytes.truncate(bytes.len() - 1));
    refused("restore", "short", "not a complete one");
    cut("flipped", "backup", &|bytes| bytes[5000] ^= 1);
    refused("restore", "flipped", "does not match its seal");
    refused("restore", "text", "no larder backup");
    cut("short", "text", &|bytes| bytes.truncate(bytes.len() - 1));
    refused("import", "short", "cut short");
    cut("endless", "text", &|bytes| {
        let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
        bytes.truncate(end + 1);
    });
    refused("import", "endless", "the last line is missing");
    cut("flipped", "text", &|bytes| {
        let at =
            bytes.windows(8).position(|bytes| bytes == b"\"l\x6c\x6c\x6c\x6c\x6c\x6c").unwrap();
        bytes[at + 4] = b'm';
    });
    refused("import", "flipped", "not what was exported");
    refused("import", "backup", "line 1");
    // What a refused import has left is told by the server, and goes with the next one.
    let error = said(&larder.tool(&["serve", "--data", "new", "--listen", "127.0.0.1:0"]), 1);
    assert!(error.contains("did not end"), "{error}");
    said(&larder.tool(&["import", "text", "--data", "new"]), 0);
    assert!(!larder.dir().join("new/incoming").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten() {
    let (larder, _) = filled().await;
    said(&larder.tool(&["backup", "backup"]), 0);
    said(&larder.tool(&["export", "text"]), 0);
    for (arguments, reason) in [
        (["backup", "backup", "--data", "data"], "is there already"),
        (["export", "text", "--data", "data"], "is there already"),
        (["restore", "backup", "--data", "data"], "in use"),
        (["import", "text", "--data", "data"], "in use"),
        (["check", "--data", "nowhere", "--config=data"], "there is no nowhere/data.mdb"),
    ] {
        let error = said(&larder.tool(&arguments), 1);
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
    let mut larder = larder;
    larder.kill();
    let error = said(&larder.tool(&["restore", "backup", "--data", "data"]), 1);
    assert!(error.contains("holds data already"), "{error}");
}

/// Changes bytes of a data file at the place where `find` stands.
fn damage(file: &Path, find: &[u8], new: &[u8]) {
    let bytes = fs::read(file).unwrap();
    let at = bytes.windows(find.len()).position(|bytes| bytes == find).unwrap();
    let file = fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(new, at as u64).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_told_by_key_and_the_others_can_be_had() {
    let (mut larder, client) = filled().await;
    let unique = "a value that is nowhere else";
    set(&client, json!({"key": "damaged", "value": unique})).await;
    larder.terminate();
    // Overwritten leaves may hold the bytes too: every copy is changed.
    let file = larder.data().join("data.mdb");
    while fs::read(&file).unwrap().windows(unique.len()).any(|bytes| bytes == unique.as_bytes()) {
        damage(&file, unique.as_bytes(), b"A");
    }
    let found = said(&larder.tool(&["check"]), 1);
    assert!(found.contains("damaged does not match its checksum"), "{found}");
    assert!(found.contains("1 faults"), "{found}");
    assert!(said(&larder.tool(&["backup", "backup"]), 1).contains("run: larder check"));
    assert!(!larder.dir().join("backup").exists());
    assert!(said(&larder.tool(&["export", "text"]), 1).contains("key damaged"));
    let skipped = said(&larder.tool(&["export", "--skip-damaged", "text"]), 1);
    assert!(skipped.contains("left out") && skipped.contains("key damaged"), "{skipped}");
    said(&larder.tool(&["import", "text", "--data", "saved"]), 0);
    said(&larder.tool(&["check", "--data", "saved"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_short_while_it_is_served_ends_the_server_with_a_reason() {
    let (mut larder, client) = filled().await;
    let file = fs::File::options().write(true).open(larder.data().join("data.mdb")).unwrap();
    file.set_len(8192).unwrap();
    // Whatever is read now lies behind the end of the file.
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let body = json!({"key": "key-100"}).to_string();
    assert!(client.try_send("POST", GET, &headers, body.into()).await.is_err());
    assert_eq!(larder.wait().code(), Some(74));
    assert!(larder.log().contains("the data file is damaged"), "{}", larder.log());
    let found = said(&larder.tool(&["check"]), 1);
    assert!(found.contains("behind the end of the file"), "{found}");
}
