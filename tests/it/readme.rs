//! The README's lines do what it says, as pasted.

use std::path::Path;
use std::process::Command;

use larder_tests::{Larder, TOKEN};

/// The code block of the README that holds `mark`.
fn block(mark: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let block = readme.split("```").skip(1).step_by(2).find(|block| block.contains(mark));
    block.unwrap().split_once('\n').unwrap().1.to_owned()
}

#[test]
fn the_curl_lines_work_as_pasted() {
    let larder = Larder::start();
    std::fs::write(larder.data().join("admin-token"), TOKEN).unwrap();
    let lines = block("TOKEN=$(cat data/admin-token)");
    let lines = lines.replace("127.0.0.1:8624", &larder.address().to_string());
    let folder = larder.data().parent().unwrap().to_owned();
    let output = Command::new("bash").args(["-c", &lines]).current_dir(folder).output().unwrap();
    let first = String::from_utf8(output.stderr).unwrap();
    assert_eq!(first.trim(), r#"{"version":1}"#);
    let out = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = out.lines().collect();
    let [get, set, stale, delete] = answers[..] else { panic!("{out}") };
    assert!(get.contains(r#""value":[104,101,108,108,111],"version":1}"#), "{get}");
    assert_eq!(set, r#"{"version":2}"#);
    assert!(stale.contains(r#""code":"conflict","detail":"version mismatch""#), "{stale}");
    assert_eq!(delete, r#"{"success":true}"#);
}
