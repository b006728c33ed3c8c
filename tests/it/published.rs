//! Backups and exports have their name once they are whole, and never another's: two at once, killed ones,
//! names that are taken, and file systems that have no links.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use larder_tests::{Client, Larder, program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::golden::store;
use crate::shell::{names, runs, said, shell, shim, until};

const SET: &str = "/api/v1.kv.set";

/// A server whose data take a while to be copied.
async fn large() -> Larder {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let value = "v".repeat(6_000_000);
    for key in 0..12 {
        let set = json!({"key": format!("key-{key}"), "value": value});
        assert_eq!(client.post(SET, &set).await.status, 200);
    }
    larder
}

/// Waits until a process has written to a file below `dir`, with a name or without one.
fn until_it_writes(child: &Child, dir: &Path) {
    let descriptors = PathBuf::from(format!("/proc/{}/fd", child.id()));
    until("a file that grows", || {
        fs::read_dir(&descriptors).unwrap().flatten().any(|entry| {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let data = link.starts_with(dir.join("data"));
            let made = link.starts_with(dir) && !data;
            made && fs::metadata(entry.path()).is_ok_and(|file| file.is_file() && file.len() > 0)
        })
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_backups_or_exports_to_one_name_the_first_to_end_has_it_and_is_whole() {
    let larder = large().await;
    for (command, back, words) in
        [("backup", "restore", "bytes"), ("export", "import", "12 entries")]
    {
        let start = || {
            let line = format!("exec {:?} {command} {command}.made", program());
            let mut command = shell(larder.dir(), &line);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        // Both at work: neither can end before the other has begun.
        let first = start();
        until_it_writes(&first, larder.dir());
        stop(&first, Signal::STOP);
        let second = start();
        until_it_writes(&second, larder.dir());
        stop(&first, Signal::CONT);
        let mut ends: Vec<_> =
            [first, second].map(|child| said(&child.wait_with_output().unwrap())).into();
        ends.sort();
        let [(Some(0), made), (Some(1), refused)] = &ends[..] else { panic!("{ends:?}") };
        assert!(made.contains(words), "{made}");
        assert!(refused.contains("is there already; name another file"), "{refused}");
        let line = format!("larder {back} {command}.made --data {back}");
        runs(larder.dir(), &line, 0, "12 entries");
        let left: Vec<_> = names(larder.dir());
        assert!(!left.iter().any(|name| name.contains("partial")), "{left:?}");
    }
}

fn stop(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_leaves_nothing_and_without_nameless_files_the_next_one_removes_it() {
    let larder = large().await;
    for (command, signal) in
        [("backup", Signal::TERM), ("backup", Signal::KILL), ("export", Signal::INT)]
    {
        for poor in [false, true] {
            let before = names(larder.dir());
            let mut run = shell(larder.dir(), &format!("exec {:?} {command} made", program()));
            if poor {
                run.env("LD_PRELOAD", shim()).env("SHIM_POOR", "1");
            }
            let mut child = run.stdout(Stdio::null()).spawn().unwrap();
            until_it_writes(&child, larder.dir());
            stop(&child, signal);
            assert_eq!(child.wait().unwrap().code(), None);
            let left = if poor { vec!["made.partial-0".to_owned()] } else { Vec::new() };
            let now = names(larder.dir());
            let new: Vec<_> = now.into_iter().filter(|name| !before.contains(name)).collect();
            assert_eq!(new, left, "{command}");
            runs(larder.dir(), &format!("larder {command} made"), 0, "12 entries");
            assert!(!larder.dir().join("made.partial-0").exists());
            fs::remove_file(larder.dir().join("made")).unwrap();
        }
    }
}

#[test]
fn targets_that_are_taken_are_refused_before_the_work_and_stay_as_they_are() {
    let dir = store();
    let at = |name: &str| dir.path().join(name);
    symlink("nowhere", at("dangling")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("file"), "what was there").unwrap();
    runs(dir.path(), "mkfifo pipe", 0, "");
    let before = names(dir.path());
    for command in ["backup", "export"] {
        for target in ["dangling", "folder", "file", "pipe"] {
            let words = format!("{target} is there already; name another file");
            runs(dir.path(), &format!("larder {command} {target}"), 1, &words);
        }
        runs(dir.path(), &format!("larder {command} new/"), 1, "is no name of a file");
        runs(dir.path(), &format!("larder {command} absent/file"), 1, "No such file");
    }
    runs(dir.path(), "larder backup -", 1, "a backup is a file");
    assert_eq!(names(dir.path()), before);
    assert!(!at("nowhere").exists());
    assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::read(at("file")).unwrap(), b"what was there");
}

#[test]
fn without_links_and_nameless_files_what_is_made_is_the_same() {
    let dir = store();
    let poor = format!("export LD_PRELOAD={:?} SHIM_POOR=1; ", shim());
    for (command, back) in [("backup", "restore"), ("export", "import")] {
        runs(dir.path(), &format!("{poor} larder {command} {command}.made"), 0, "212 entries");
        runs(dir.path(), &format!("larder {back} {command}.made --data {back}"), 0, "entries");
        let words = "is there already; name another file";
        runs(dir.path(), &format!("{poor} larder {command} {command}.made"), 1, words);
    }
    assert_eq!(names(dir.path()), ["backup.made", "data", "export.made", "import", "restore"]);
}
