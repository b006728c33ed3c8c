//! The commands for data, called: what they refuse, and with which words.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use larder::clock::{Clock, DrivenClock, Millis};
use larder::storage::tools::{self, ToolError, text::Line};
use larder::storage::NAMESPACES_MAX;
use sha2::{Digest, Sha256};

fn clock() -> Clock {
    Clock::driven(&DrivenClock::at(Millis(1_000_000)))
}

/// An export of these lines between a first and a last one that fit.
fn export(version: u64, lines: &[Line<'_>]) -> Vec<u8> {
    let mut text = Line::Begin { version, instant: 1 }.encode();
    let namespaces = lines.iter().filter(|line| matches!(line, Line::Namespace { .. })).count();
    lines.iter().for_each(|line| text.extend(line.encode()));
    let digest = Sha256::digest(&text);
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (namespaces, entries) = (namespaces as u64, (lines.len() - namespaces) as u64);
    text.extend(Line::End { namespaces, entries, sha256: sha256.into() }.encode());
    text
}

fn import(text: &[u8]) -> Result<tools::Imported, ToolError> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let imported = tools::import(&mut &*text, &data, &clock());
    assert_eq!(imported.is_ok(), data.join("data.mdb").exists());
    imported
}

fn namespace(name: String) -> Line<'static> {
    Line::Namespace { name: name.into(), created: 1, updated: 1 }
}

fn entry(key: &'static str) -> Line<'static> {
    Line::Entry {
        key: key.as_bytes().into(),
        value: b"".as_slice().into(),
        version: 1,
        expiry: None,
    }
}

#[test]
fn what_comes_twice_is_refused_by_its_line_whatever_it_is() {
    let name = |name: &str| namespace(name.to_owned());
    for (lines, said) in [
        (
            vec![name("default"), name("n"), name("default")],
            "line 4: the namespace default comes twice; nothing was imported",
        ),
        (
            vec![name("n"), name("default"), name("n")],
            "line 4: the namespace n comes twice; nothing was imported",
        ),
        (
            vec![name("default"), entry("k"), entry("l"), entry("k")],
            "line 5: the key comes twice; nothing was imported",
        ),
    ] {
        assert_eq!(import(&export(1, &lines)).unwrap_err().to_string(), said);
    }
    // One key in two namespaces is not twice the same.
    import(&export(1, &[name("default"), entry("k"), name("n"), entry("k")])).unwrap();
}

#[test]
fn more_namespaces_than_a_server_takes_are_refused_by_the_line_of_the_first() {
    // `default` is among them, whether it comes or not.
    let mut lines: Vec<Line<'_>> =
        (1..NAMESPACES_MAX).map(|number| namespace(format!("n-{number}"))).collect();
    lines.push(namespace("default".to_owned()));
    assert_eq!(import(&export(1, &lines)).unwrap().findings.namespaces, NAMESPACES_MAX);
    lines.push(namespace("one-more".to_owned()));
    let error = import(&export(1, &lines)).unwrap_err().to_string();
    assert_eq!(error, "line 100002: there are more than 100000 namespaces; nothing was imported");
}

#[test]
fn versions_that_run_out_are_refused_by_the_line() {
    const LAST: u64 = (1 << 53) - 1;
    let entries = [namespace("default".to_owned()), entry("k"), entry("l")];
    let begin = LAST - tools::VERSION_JUMP;
    import(&export(begin - 2, &entries)).unwrap();
    let error = import(&export(begin - 1, &entries)).unwrap_err().to_string();
    assert_eq!(error, "line 4: no version is left for it; nothing was imported");
    let error = import(&export(begin + 1, &entries)).unwrap_err().to_string();
    let said = "line 1: the version counter stands at 9006099743113216 and cannot be moved on; \
                nothing was imported";
    assert_eq!(error, said);
}
