//! The commands for data, called: what they refuse, and with which words.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use larder::clock::{Clock, DrivenClock, Millis};
use larder::storage::{NAMESPACES_MAX, Options, Storage};
use larder::tools::data::text::Line;
use larder::tools::data::{self, ToolError};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// What the format row looks like in a page: its key, and its value behind it.
const FORMAT_ROW: &[u8] = b"format\0\0\0\x02";
const NEWER: u8 = 3;
const SEAL_BYTES: usize = 64;

fn clock() -> Clock {
    Clock::driven(&DrivenClock::at(Millis(1_000_000)))
}

/// A store that nobody has open.
fn store() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Storage::open(&data, Options::default(), clock()).unwrap().close();
    (dir, data)
}

/// Has every format row in `bytes` tell another format.
fn of_newer_format(bytes: &mut [u8]) {
    let at = |bytes: &[u8]| bytes.windows(FORMAT_ROW.len()).position(|found| found == FORMAT_ROW);
    assert!(at(bytes).is_some());
    while let Some(at) = at(bytes) {
        bytes[at + FORMAT_ROW.len() - 1] = NEWER;
    }
}

fn assert_newer<T>(outcome: Result<T, impl std::fmt::Display>, path: &Path) {
    let error = outcome.err().expect("a refusal").to_string();
    let shown = path.display();
    let said = "has storage format 3, this larder knows up to 2; use a newer larder";
    assert_eq!(error, format!("{shown} {said}"));
}

#[test]
fn a_newer_format_is_refused_by_all_with_both_numbers_and_nothing_is_changed() {
    let (dir, data) = store();
    let (file, sound) = (data.join("data.mdb"), dir.path().join("sound"));
    data::backup(&data, &sound).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    of_newer_format(&mut bytes);
    fs::write(&file, &bytes).unwrap();
    assert_newer(data::check(&data), &file);
    assert_newer(data::backup(&data, &dir.path().join("made")), &data);
    assert_newer(data::export(&data, &mut Vec::new(), true), &data);
    assert_newer(data::token_rows(&data), &data);
    assert_newer(data::open_alone(&data, clock()), &data);
    assert_newer(data::times(&data, &clock()), &data);
    assert_newer(data::set_back(&data, &clock()), &data);
    assert_newer(Storage::open(&data, Options::default(), clock()), &data);
    assert!(!dir.path().join("made").exists());
    assert!(fs::read(&file).unwrap() == bytes);
    // The same where what newer data lack would be made anew.
    let mut lacking = bytes;
    while let Some(at) = lacking.windows(6).position(|found| found == b"expiry") {
        lacking[at..at + 6].copy_from_slice(b"expirz");
    }
    fs::write(&file, &lacking).unwrap();
    assert_newer(Storage::open(&data, Options::default(), clock()), &data);
    assert!(fs::read(&file).unwrap() == lacking);
    // And for a backup that holds such data.
    let mut backup = fs::read(&sound).unwrap();
    backup.truncate(backup.len() - SEAL_BYTES);
    of_newer_format(&mut backup);
    let mut seal = b"larder-backup-1\n".to_vec();
    seal.extend_from_slice(&(backup.len() as u64).to_be_bytes());
    seal.extend_from_slice(&Sha256::digest(&backup));
    let sum = xxh3_64(&seal);
    seal.extend_from_slice(&sum.to_be_bytes());
    let newer = dir.path().join("newer");
    fs::write(&newer, [backup, seal].concat()).unwrap();
    let new = dir.path().join("new");
    assert_newer(data::restore(&newer, &new), &newer);
    assert!(!new.join("data.mdb").exists());
    data::restore(&sound, &dir.path().join("other")).unwrap();
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

fn import(text: &[u8]) -> Result<data::Imported, ToolError> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let imported = data::import(&mut &*text, &data, &clock());
    assert_eq!(imported.is_ok(), data.join("data.mdb").exists());
    imported
}

fn namespace(name: String) -> Line<'static> {
    Line::Namespace { name: name.into(), created: 1, updated: 1, keys_max: None, bytes_max: None }
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
fn an_import_counts_what_it_takes_and_an_export_has_its_quotas() {
    let limited = |name: &'static str, keys_max, bytes_max| Line::Namespace {
        name: name.into(),
        created: 1,
        updated: 1,
        keys_max,
        bytes_max,
    };
    let named = |key: &'static str, value: &'static str| Line::Entry {
        key: key.as_bytes().into(),
        value: value.as_bytes().into(),
        version: 1,
        expiry: None,
    };
    let lines = [
        limited("default", None, Some(7)),
        named("k", "four"),
        limited("n", Some(0), None),
        limited("o", None, None),
        named("k", ""),
        named("longer", "value"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    data::import(&mut &*export(1, &lines), &data, &clock()).unwrap();
    let mut text = Vec::new();
    data::export(&data, &mut text, false).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [&lines[0], &lines[2], &lines[3]] {
        let line = String::from_utf8(line.encode()).unwrap();
        assert!(text.contains(&line), "{line}: {text}");
    }
    // Nothing is counted anew where a store is of the present format.
    let storage = Storage::open(&data, Options::default(), clock()).unwrap();
    for (name, counts) in [("default", (1, 5)), ("n", (0, 0)), ("o", (2, 12))] {
        let usage = storage.usage(name).unwrap();
        assert_eq!((usage.keys, usage.bytes), counts, "{name}");
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
    let begin = LAST - data::VERSION_JUMP;
    import(&export(begin - 2, &entries)).unwrap();
    let error = import(&export(begin - 1, &entries)).unwrap_err().to_string();
    assert_eq!(error, "line 4: no version is left for it; nothing was imported");
    let error = import(&export(begin + 1, &entries)).unwrap_err().to_string();
    let said = "line 1: the version counter stands at 9006099743113216 and cannot be moved on; \
                nothing was imported";
    assert_eq!(error, said);
}
