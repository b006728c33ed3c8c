//! What happens around a store while it is served: commands that are killed as they read it, files that
//! are moved away, a clock that had been wrong.

use std::fs;
use std::process::{Child, Command, Stdio};

use larder_tests::{Client, Larder, Metrics, Options, program};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const LAG: &str = "larder_storage_oldest_reader_lag";
const FILE: &str = "larder_storage_file_bytes";
/// Values that fill 4 MB: more than a pipe holds.
const VALUES: usize = 40;
const VALUE_BYTES: usize = 100_000;
const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

async fn write_all(client: &Client) {
    for number in 0..VALUES {
        let value = "v".repeat(VALUE_BYTES);
        let body = json!({"key": format!("k{number}"), "value": value});
        assert_eq!(client.post("/api/v1.kv.set", &body).await.status, 200);
    }
}

/// An export that has read something and waits for somebody to take it.
async fn waiting_export(larder: &Larder, client: &Client) -> Child {
    let export = Command::new(program())
        .args(["export", "--data"])
        .arg(larder.data())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Metrics::until(client, |metrics| metrics.sum("larder_storage_readers", &[]) > 0.0).await;
    export
}

/// Imports what the server's data directory holds into `later/data`, as of an instant that is later.
fn import_later(larder: &Larder, by_ms: u64) {
    let exported = String::from_utf8(larder.tool(&["export"]).stdout).unwrap();
    let (head, rest) = exported.split_once('\n').unwrap();
    let (items, last) = rest.trim_end().rsplit_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(head).unwrap();
    head["instant"] = (head["instant"].as_u64().unwrap() + by_ms).into();
    let lines = format!("{head}\n{items}\n");
    let mut last: Value = serde_json::from_str(last).unwrap();
    let digest = Sha256::digest(&lines);
    last["sha256"] = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    fs::write(larder.dir().join("later.jsonl"), format!("{lines}{last}\n")).unwrap();
    let imported = larder.tool(&["import", "later.jsonl", "--data", "later/data"]);
    assert!(imported.status.success(), "{imported:?}");
}

#[tokio::test]
async fn a_killed_export_lets_go_of_what_it_could_see() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    write_all(&client).await;
    let mut export = waiting_export(&larder, &client).await;
    write_all(&client).await;
    let metrics = Metrics::of(&client).await;
    assert!(metrics.sum(LAG, &[]) >= VALUES as f64, "a reader in another process lags");
    export.kill().unwrap();
    export.wait().unwrap();
    let gone = |metrics: &Metrics| metrics.sum("larder_storage_dead_readers_total", &[]) == 1.0;
    let before = Metrics::until(&client, gone).await.sum(FILE, &[]);
    // What it held is used again, before the file grows.
    for _ in 0..10 {
        write_all(&client).await;
    }
    let metrics = Metrics::of(&client).await;
    let grown = metrics.sum(FILE, &[]) - before;
    assert!(grown <= 2.0 * (VALUES * VALUE_BYTES) as f64, "the file grew by {grown} bytes");
    assert_eq!((metrics.sum(LAG, &[]), metrics.sum("larder_storage_readers", &[])), (0.0, 0.0));
    assert!(larder.log().contains("was killed"), "{}", larder.log());
}

#[tokio::test]
async fn a_data_file_that_is_moved_away_is_told_and_writes_refused_until_it_is_back() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let set = || async { client.post("/api/v1.kv.set", &json!({"key": "k", "value": "v"})).await };
    assert_eq!(set().await.status, 200);
    let (file, aside) = (larder.data().join("data.mdb"), larder.dir().join("aside"));
    fs::rename(&file, &aside).unwrap();
    Metrics::until(&client, |metrics| metrics.sum("larder_ready", &[]) == 0.0).await;
    assert_eq!(set().await.status, 503);
    let ready = client.get("/readyz").await;
    let why = String::from_utf8_lossy(&ready.body);
    assert_eq!(ready.status, 503);
    assert!(why.contains("data.mdb is not where it was opened"), "{why}");
    assert_eq!(client.post("/api/v1.kv.get", &json!({"key": "k"})).await.status, 200);
    fs::rename(&aside, &file).unwrap();
    Metrics::until(&client, |metrics| metrics.sum("larder_ready", &[]) == 1.0).await;
    assert_eq!(set().await.status, 200);
    let log = larder.log();
    assert!(log.contains("writes are refused") && log.contains("back in their place"), "{log}");
}

#[tokio::test]
async fn a_start_tells_what_it_made_or_opened_and_what_it_misses() {
    let mut larder = Larder::start();
    assert!(larder.log().contains("a new store was made"), "{}", larder.log());
    let client = Client::new(larder.address());
    client.post("/api/v1.kv.set", &json!({"key": "k", "value": "v"})).await;
    larder.terminate();
    larder.start_again();
    let opened = larder.log();
    let opened = opened.lines().find(|line| line.contains("the store was opened")).unwrap();
    assert!(opened.contains("\"entries\":1"), "{opened}");
    larder.terminate();
    // As a store of before there were marks would be, on a volume that is not mounted.
    for name in ["data.mdb", "store"] {
        fs::remove_file(larder.data().join(name)).unwrap();
    }
    larder.start_again();
    assert!(larder.log().contains("is a volume not mounted"), "{}", larder.log());
}

#[tokio::test]
async fn a_data_file_that_is_empty_or_gone_is_refused_by_server_and_tools_alike() {
    let mut larder = Larder::start();
    larder.terminate();
    let file = larder.data().join("data.mdb");
    for empty in [true, false] {
        if empty {
            fs::write(&file, "").unwrap()
        } else {
            fs::remove_file(&file).unwrap()
        }
        for tool in [
            &["serve", "--listen=127.0.0.1:0"][..],
            &["check"],
            &["backup", "new.larder"],
            &["export", "new.jsonl"],
            &["token", "list"],
            &["clock"],
        ] {
            let done = larder.tool(tool);
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(1), "{tool:?}: {said}");
            assert!(said.contains("data.mdb"), "{tool:?}: {said}");
            if empty {
                assert!(said.contains("is empty"), "{tool:?}: {said}");
            }
        }
        for made in ["new.larder", "new.jsonl"] {
            assert!(!larder.dir().join(made).exists(), "{made}");
        }
    }
}

#[tokio::test]
async fn time_that_is_ahead_of_the_clock_is_told_and_set_back() {
    let mut larder = Larder::start();
    let client = Client::new(larder.address());
    client.post("/api/v1.kv.set", &json!({"key": "k", "value": "v"})).await;
    assert!(Metrics::of(&client).await.sum("larder_clock_ahead_seconds", &[]) < 1.0);
    larder.terminate();
    // As if the clock had been ahead by ten years for a moment.
    import_later(&larder, TEN_YEARS_MS);
    let mut later = Larder::start_in(&larder.dir().join("later"), Options::default());
    let log = later.log();
    assert!(log.contains("larder clock --set-back"), "{log}");
    let client = Client::new(later.address());
    let told = Metrics::of(&client).await.sum("larder_clock_ahead_seconds", &[]);
    assert!(told > 9.0 * 365.0 * 86_400.0, "{told}");
    let busy = later.tool(&["clock", "--set-back"]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("in use by another larder"));
    let shown = later.tool(&["clock"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("ahead by 9years"), "{shown:?}");
    later.terminate();
    let done = later.tool(&["clock", "--set-back"]);
    assert!(done.status.success(), "{done:?}");
    later.start_again();
    let client = Client::new(later.address());
    assert!(Metrics::of(&client).await.sum("larder_clock_ahead_seconds", &[]) < 60.0);
    let got = client.post("/api/v1.kv.get", &json!({"key": "k"})).await;
    assert_eq!(got.status, 200);
}
