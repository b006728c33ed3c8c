//! The commands for data where the system gives less than they would like: read-only places, full disks,
//! closed pipes, limits, another user's directory. Each does what it can with what it needs, says what is
//! missing, and leaves nothing behind.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;

use larder_tests::{Client, Larder};
use rustix::process::geteuid;
use serde_json::json;

use crate::golden::{golden, store};
use crate::shell::{mounted, names, read_only, runs, said, shell, shim, until};

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
            ("larder clock", 0, "the data's time is 20"),
            ("larder export", 0, "212 entries in 6 namespaces"),
            ("larder export text", 0, "212 entries in 6 namespaces"),
            ("larder backup backup", 0, "212 entries in 6 namespaces"),
            ("larder export data/text", 1, "data/text: Read-only file system"),
            ("larder backup data/backup", 1, "data/backup: Read-only file system"),
            ("larder token create a --role read", 1, "Read-only file system"),
            ("larder token revoke 192582f20b3c06ad", 1, "Read-only file system"),
            ("larder clock --set-back", 1, "Read-only file system"),
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
    for line in
        ["larder backup b", "larder export", "larder check", "larder token list", "larder clock"]
    {
        let Some(line) = read_only("read-only and served", "data", line) else { return };
        runs(larder.dir(), &line, 1, "is served, and read-only from here");
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_on_it() {
    let dir = store();
    runs(dir.path(), "larder backup backup && larder export text", 0, "");
    fs::create_dir(dir.path().join("small")).unwrap();
    for (line, left) in [
        ("larder backup small/backup", ""),
        ("larder export small/text", ""),
        // The folder says that data were wanted here.
        ("larder restore backup --data small/new", "incoming lock"),
        ("larder import text --data small/new", "incoming lock"),
    ] {
        let list = "ls small small/new small/new/incoming 2>/dev/null >&2";
        let line = format!(
            "mount -t tmpfs -o size=64k none small && {{ {line}; code=$?; {list}; \
             echo left: $(ls small/new) $(ls small/new/incoming) $(find small -type f -size +0); \
             exit $code; }}"
        );
        let Some(line) = mounted("full disks", &line) else { return };
        runs(dir.path(), &line, 1, "No space left on device");
        runs(dir.path(), &line, 1, &format!("left: {left}\n").replace(": \n", ":\n"));
    }
    for line in ["larder check", "larder export", "larder token list", "larder clock"] {
        runs(dir.path(), &format!("{line} > /dev/full"), 1, "No space left on device");
    }
}

#[test]
fn what_was_done_stands_when_it_cannot_be_told() {
    for (to, words) in [("> /dev/full", "No space left"), (">&3", "Broken pipe")] {
        // The third descriptor is a pipe whose reader has ended.
        let piped = |line: &str| format!("exec 3> >(exec true); wait $!; {line} {to}");
        let dir = store();
        for (line, stands) in [
            ("larder backup b", "b is made, whole and on disk, and this could not be told"),
            ("larder restore b --data n", "n holds the data, whole and on disk, and this could"),
        ] {
            runs(dir.path(), &piped(line), 1, stands);
            runs(dir.path(), "larder check --data data", 0, "nothing is wrong");
        }
        runs(dir.path(), "larder check --data n", 0, "nothing is wrong");
        for line in ["larder check", "larder export", "larder token list", "larder clock"] {
            runs(dir.path(), &piped(line), 1, words);
        }
        // A token whose secret nobody has seen is nobody's.
        let create = piped("larder token create unseen --role read");
        runs(dir.path(), &create, 1, "the token could not be shown, and is revoked");
        let (_, list) = said(&shell(dir.path(), "larder token list").output().unwrap());
        assert!(list.contains("report") && !list.contains("unseen"), "{list}");
        // Nor is it an accident when errors cannot be told.
        let line = "larder check --data nowhere";
        runs(dir.path(), &format!("{} 2>&1", piped(line)), 1, "");
        runs(dir.path(), &format!("{} 2>&1", piped("larder export t")), 0, "");
    }
}

#[test]
fn what_is_no_file_is_no_backup_and_is_not_waited_for() {
    let dir = store();
    runs(dir.path(), "larder backup b; mkfifo pipe", 0, "");
    for line in ["cat b | larder restore /dev/stdin", "larder restore pipe", "larder restore data"]
    {
        runs(dir.path(), &format!("{line} --data n"), 1, "is no file, which a backup is");
    }
    // An import is read from its beginning to its end.
    let text = golden("export-1.jsonl");
    let text = text.display();
    runs(dir.path(), &format!("cat {text} | larder import - --data n"), 0, "211 entries");
    runs(dir.path(), &format!("cat {text} > pipe & larder import pipe --data m"), 0, "211 entries");
    runs(dir.path(), "larder import - --data o < /dev/null", 1, "line 1: there is none");
    runs(dir.path(), "larder import data --data o", 1, "Is a directory");
    assert!(!dir.path().join("o").exists());
}

#[test]
fn a_limit_of_file_sizes_is_told_as_one_and_nothing_is_left() {
    let dir = store();
    runs(dir.path(), "larder backup backup && larder export text", 0, "");
    let before = names(dir.path());
    for line in [
        "larder backup b",
        "larder export t",
        "larder restore backup --data n",
        "larder import text --data n",
    ] {
        // In units of 1 KiB, as bash has it.
        runs(dir.path(), &format!("ulimit -f 40; {line}"), 1, "`ulimit -f`");
        let _ = fs::remove_dir_all(dir.path().join("n"));
        assert_eq!(names(dir.path()), before, "{line}");
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
        "larder clock --set-back",
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

#[test]
fn what_root_makes_in_the_directory_of_another_user_is_that_user_s() {
    const USER: u32 = 12_345;
    if !geteuid().is_root() {
        eprintln!("files of another user: NOT TRIED, for this is not root");
        return;
    }
    let dir = store();
    runs(dir.path(), "larder backup backup && larder export text", 0, "");
    let own = |name: &str| {
        let path = dir.path().join(name);
        std::os::unix::fs::chown(&path, Some(USER), Some(USER)).unwrap();
    };
    for command in ["restore backup", "import text"] {
        fs::create_dir(dir.path().join("theirs")).unwrap();
        fs::set_permissions(dir.path().join("theirs"), fs::Permissions::from_mode(0o700)).unwrap();
        own("theirs");
        // A directory that is there, and one that is made with all above it.
        for data in ["theirs", "theirs/made/data"] {
            for line in ["check", "export t-$RANDOM$RANDOM", "token create a --role read"] {
                let line = format!(
                    "test -e {data}/data.mdb || larder {command} --data {data} && larder {line} --data {data}"
                );
                runs(dir.path(), &line, 0, "");
            }
        }
        let line = format!("find theirs -not -user {USER}; find theirs -type f");
        let (_, found) = said(&shell(dir.path(), &line).output().unwrap());
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        let files = ["data.mdb", "lock", "lock.mdb", "store"];
        let all = ["theirs", "theirs/made/data"]
            .iter()
            .flat_map(|data| files.map(|file| format!("{data}/{file}")));
        let mut all: Vec<String> = all.collect();
        all.sort_unstable();
        assert_eq!(found, all, "{command}");
        fs::remove_dir_all(dir.path().join("theirs")).unwrap();
    }
    // What is another's, under a name that root would make, is not given away.
    fs::create_dir(dir.path().join("theirs")).unwrap();
    fs::set_permissions(dir.path().join("theirs"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(dir.path().join("of-root"), "").unwrap();
    symlink("../of-root", dir.path().join("theirs/lock")).unwrap();
    own("theirs");
    runs(dir.path(), "larder restore backup --data theirs", 0, "");
    assert_eq!(fs::metadata(dir.path().join("of-root")).unwrap().uid(), 0);
}

#[test]
fn a_closed_standard_error_changes_no_outcome() {
    let dir = store();
    let mut child = shell(dir.path(), "larder export text; echo ended $?");
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.wait().unwrap();
    assert_eq!(out, "ended 0\n");
}
