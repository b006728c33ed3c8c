//! The commands for data where the system gives less than they would like: read-only places, limits of
//! address space. Each does what it can with what it needs, says what is
//! missing, and leaves nothing behind.

use std::fs::File;
use std::process::Stdio;

use larder_tests::{Client, Larder};
use serde_json::json;

use crate::golden::store;
use crate::shell::{names, read_only, runs, said, shell, shim, until};

const SET: &str = "/api/v1.kv.set";

#[test]
fn on_a_read_only_place_what_only_reads_works_and_what_writes_says_why_it_cannot() {
    for locked in [false, true] {
        let dir = store();
        if locked {
            // As a server has left it.
            runs(dir.path(), "larder token create boss --role admin", 0, "larder_");
        }
        let before = names(&dir.path().join("data"));
        for (line, code, words) in [
            ("larder check", 0, "nothing is wrong"),
            ("larder token list", 0, "192582f20b3c06ad report: read"),
            ("larder export", 0, "212 entries in 6 namespaces"),
            ("larder export text", 0, "212 entries in 6 namespaces"),
            ("larder backup backup", 0, "212 entries in 6 namespaces"),
            ("larder export data/text", 1, "data/text: Read-only file system"),
            ("larder backup data/backup", 1, "data/backup: Read-only file system"),
            ("larder token create a --role read", 1, "Read-only file system"),
            ("larder token revoke 192582f20b3c06ad", 1, "Read-only file system"),
            ("larder restore backup --data data", 1, "Read-only file system"),
            ("larder restore backup --data data/new", 1, "data/new: Read-only file system"),
            ("larder import text --data data/new", 1, "data/new: Read-only file system"),
            ("larder serve --listen 127.0.0.1:0", 1, "Read-only file system"),
        ] {
            let Some(line) = read_only("read-only places", "data", line) else { return };
            runs(dir.path(), &line, code, words);
            assert_eq!(names(&dir.path().join("data")), before, "{line}");
        }
        assert_eq!(names(dir.path()), ["backup", "data", "text"]);
    }
}

#[test]
fn what_only_reads_makes_no_file_but_the_one_of_slots() {
    let dir = store();
    runs(dir.path(), "larder check", 0, "nothing is wrong");
    assert_eq!(names(&dir.path().join("data")), ["data.mdb"]);
    runs(dir.path(), "larder export > text && larder token list && larder backup b", 0, "");
    assert_eq!(names(&dir.path().join("data")), ["data.mdb", "lock.mdb"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_not_read_where_the_server_cannot_be_told() {
    let larder = Larder::start();
    for line in ["larder backup b", "larder export", "larder check", "larder token list"] {
        let Some(line) = read_only("read-only and served", "data", line) else { return };
        runs(larder.dir(), &line, 1, "is served, and read-only from here");
    }
}

#[test]
fn a_map_takes_as_much_address_space_as_the_data_and_too_little_is_told() {
    let dir = store();
    // In units of 1 KiB: far less than a server maps, and less than any map.
    let with = |kib: u64, line: &str| format!("ulimit -v {kib}; {line}");
    for line in [
        "larder backup backup",
        "larder export text",
        "larder check",
        "larder token list",
        "larder token create a --role read",
        "larder restore backup --data n",
        "larder import text --data m",
    ] {
        runs(dir.path(), &with(3 << 20, line), 0, "");
    }
    let serve = with(3 << 20, "larder serve --listen 127.0.0.1:0");
    for words in ["bytes of address space", "`ulimit -v`", "storage_bytes_max"] {
        runs(dir.path(), &serve, 1, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_outgrow_the_map_before_they_are_read_are_read_all_the_same() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let value = "v".repeat(6_000_000);
    for (round, line) in ["larder export text", "larder backup backup"].into_iter().enumerate() {
        let go = larder.dir().join(format!("go-{round}"));
        let mut tool = shell(larder.dir(), line);
        tool.env("LD_PRELOAD", shim()).env("SHIM_HOLD", &go);
        let tool = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let held = go.with_extension("held");
        until("the tool has looked at the file", || held.exists());
        for key in 0..24 {
            let set = json!({"key": format!("key-{round}-{key}"), "value": value});
            assert_eq!(client.post(SET, &set).await.status, 200);
        }
        File::create(&go).unwrap();
        let (code, text) = said(&tool.wait_with_output().unwrap());
        let entries = format!("{} entries", 24 * (round + 1));
        assert!(code == Some(0) && text.contains(&entries), "{line}: {code:?}, {text}");
    }
}
