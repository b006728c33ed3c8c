//! The plain face by curl, as people use it from a shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use larder_tests::{Larder, TOKEN};
use tempfile::TempDir;

/// One server, and a directory for what curl sends and receives.
struct Shell {
    larder: Larder,
    dir: TempDir,
}

impl Shell {
    fn start() -> Self {
        Self { larder: Larder::start(), dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Runs curl on a path with the token; the status, and what it printed of the body.
    fn curl(&self, path: &str, arguments: &[&str]) -> (u16, Vec<u8>) {
        let output = Command::new("curl")
            .args(["-sS", "--path-as-is", "-w", "%{stderr}%{http_code}"])
            .args(["-H", &format!("authorization: Bearer {TOKEN}")])
            .args(arguments)
            .arg(self.larder.url() + path)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let status = said.parse().unwrap_or_else(|_| panic!("{path} {arguments:?}: {said}"));
        (status, output.stdout)
    }
}

/// Whether curl is there; says that the test is skipped when it is not.
fn is_there() -> bool {
    let found = Command::new("curl").arg("-V").output().is_ok();
    if !found {
        eprintln!("skipped: curl is not installed");
    }
    found
}

fn value(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[test]
fn files_go_up_and_come_back_down() {
    if !is_there() {
        return;
    }
    let shell = Shell::start();
    for (protocol, bytes) in [("--http1.1", 0), ("--http2-prior-knowledge", 5_000_000)] {
        fs::write(shell.file("up"), value(bytes)).unwrap();
        let path = format!("/kv/default/files/{bytes}");
        assert_eq!(shell.curl(&path, &[protocol, "-T", "up"]).0, 201);
        assert_eq!(shell.curl(&path, &[protocol, "-T", "up"]).0, 204);
        assert_eq!(shell.curl(&path, &[protocol, "-o", "down"]).0, 200);
        assert!(fs::read(shell.file("down")).unwrap() == value(bytes));
        let (status, head) = shell.curl(&path, &[protocol, "-I"]);
        let head = String::from_utf8(head).unwrap();
        assert!(status == 200 && head.contains(&format!("content-length: {bytes}\r\n")), "{head}");
        assert_eq!(shell.curl(&path, &[protocol, "-X", "DELETE"]).0, 204);
        assert_eq!(shell.curl(&path, &[protocol]).0, 404);
    }
    // curl adds the file's name to a path that ends with a slash.
    fs::write(shell.file("name"), "v").unwrap();
    assert_eq!(shell.curl("/kv/default/files/", &["-T", "name"]).0, 201);
    assert_eq!(shell.curl("/kv/default/files/name", &[]), (200, b"v".to_vec()));
    assert_eq!(shell.curl("/kv/default/a/../b//c", &["-d", "v", "-X", "PUT"]).0, 201);
    let (status, page) = shell.curl("/kv/default/", &["-G", "-d", "prefix=a/../b//c"]);
    let page = String::from_utf8(page).unwrap();
    assert!(status == 200 && page.starts_with(r#"{"entries":[{"key":"a/../b//c","#), "{page}");
}

#[test]
fn parts_are_fetched_and_what_was_cut_short_is_completed() {
    if !is_there() {
        return;
    }
    let shell = Shell::start();
    let whole = value(300_000);
    fs::write(shell.file("up"), &whole).unwrap();
    assert_eq!(shell.curl("/kv/default/k", &["-T", "up"]).0, 201);
    assert_eq!(shell.curl("/kv/default/k", &["-r", "100-199"]), (206, whole[100..200].to_vec()));
    assert_eq!(shell.curl("/kv/default/k", &["-r", "-5"]), (206, whole[299_995..].to_vec()));
    assert_eq!(shell.curl("/kv/default/k", &["-r", "0-1,4-5"]).0, 200);
    assert_eq!(shell.curl("/kv/default/k", &["-r", "300000-"]).0, 416);
    let part: &Path = &shell.file("part");
    fs::write(part, &whole[..123_456]).unwrap();
    assert_eq!(shell.curl("/kv/default/k", &["-C", "-", "-o", "part"]).0, 206);
    assert!(fs::read(part).unwrap() == whole);
    // An upload is not completed: the value is written whole.
    assert_eq!(shell.curl("/kv/default/k", &["-C", "5", "-T", "up"]).0, 400);
    assert!(shell.curl("/kv/default/k", &[]) == (200, whole));
}

#[test]
fn tags_that_curl_keeps_spare_what_did_not_change_and_guard_what_did() {
    if !is_there() {
        return;
    }
    let shell = Shell::start();
    fs::write(shell.file("up"), "one").unwrap();
    assert_eq!(shell.curl("/kv/default/k", &["-T", "up", "-H", "if-none-match: *"]).0, 201);
    assert_eq!(shell.curl("/kv/default/k", &["-T", "up", "-H", "if-none-match: *"]).0, 412);
    assert_eq!(shell.curl("/kv/default/k", &["--etag-save", "tag"]).0, 200);
    let tag = fs::read_to_string(shell.file("tag")).unwrap();
    assert_eq!(shell.curl("/kv/default/k", &["--etag-compare", "tag"]), (304, Vec::new()));
    let guard = format!("if-match: {}", tag.trim());
    assert_eq!(shell.curl("/kv/default/k", &["-T", "up", "-H", &guard]).0, 204);
    assert_eq!(shell.curl("/kv/default/k", &["-T", "up", "-H", &guard]).0, 412);
    assert_eq!(shell.curl("/kv/default/k", &["-X", "DELETE", "-H", &guard]).0, 412);
    assert_eq!(shell.curl("/kv/default/k", &["--etag-compare", "tag"]), (200, b"one".to_vec()));
    assert_eq!(shell.curl("/kv/default/k?ttl_ms=0", &["-T", "up"]).0, 422);
    assert_eq!(shell.curl("/kv/default/k", &["-T", "up", "-H", "ttl-ms: 60000"]).0, 204);
}
