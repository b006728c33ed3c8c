//! What the store makes of its directory: which one is new, which is refused, and what is done to it
//! while it is open.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use larder::clock::Clock;
use larder::storage::{
    Behavior, DEFAULT_NAMESPACE, Error, Key, OpenError, Operation, Options, Outcome, Storage,
    Version,
};
use tempfile::TempDir;

/// How long the caretaker may take to notice: it looks four times a second.
const PATIENCE: Duration = Duration::from_secs(10);

fn bed() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    (dir, data)
}

fn try_open(data: &Path) -> Result<Storage, OpenError> {
    Storage::open(data, Options::default(), Clock::system())
}

fn open(data: &Path) -> Storage {
    try_open(data).unwrap()
}

fn set(storage: &Storage) -> Result<Version, Error> {
    let (key, value) = (Key::new(b"k")?, Bytes::from_static(b"v"));
    let (expected, behavior, ttl) = (None, Behavior::Upsert, None);
    let operation = Operation::Set { key, value, expected, behavior, ttl };
    match storage.submit(DEFAULT_NAMESPACE, vec![operation])?.wait()?.as_slice() {
        [Outcome::Set { version, .. }] => Ok(*version),
        other => panic!("{other:?}"),
    }
}

fn has_key(storage: &Storage) -> bool {
    storage.get(DEFAULT_NAMESPACE, b"k", |_| ()).unwrap().is_some()
}

/// Makes a store that holds a key.
fn filled(data: &Path) {
    let storage = open(data);
    set(&storage).unwrap();
    storage.close();
}

/// Waits until the store says that it can be written, or cannot.
fn until_writable(storage: &Storage, is: bool) {
    let steps = PATIENCE.as_millis() / 5;
    for _ in 0..steps {
        if storage.writable().is_ok() == is {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", storage.writable());
}

#[test]
fn a_data_file_of_length_0_is_no_new_store() {
    let (_dir, data) = bed();
    filled(&data);
    let file = data.join("data.mdb");
    OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    assert!(matches!(try_open(&data), Err(OpenError::Empty(path)) if path == file));
    // Also where nothing else tells of a store.
    for name in ["store", "lock.mdb"] {
        fs::remove_file(data.join(name)).unwrap();
    }
    assert!(matches!(try_open(&data), Err(OpenError::Empty(_))));
    assert_eq!(fs::metadata(&file).unwrap().len(), 0, "a start that is refused changes nothing");
}

#[test]
fn a_data_file_that_is_gone_is_missed() {
    let (_dir, data) = bed();
    filled(&data);
    fs::remove_file(data.join("data.mdb")).unwrap();
    assert!(matches!(try_open(&data), Err(OpenError::Missing { .. })));
    // As the refusal says.
    fs::remove_file(data.join("store")).unwrap();
    assert!(!has_key(&open(&data)));
}

#[test]
fn a_link_to_a_data_file_that_is_not_there_is_not_replaced() {
    let (dir, data) = bed();
    filled(&data);
    let (file, elsewhere) = (data.join("data.mdb"), dir.path().join("elsewhere"));
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(has_key(&open(&data)));
    fs::rename(&elsewhere, dir.path().join("unmounted")).unwrap();
    assert!(matches!(try_open(&data), Err(OpenError::Io { .. })));
    assert!(file.is_symlink());
}

#[test]
fn what_an_interrupted_first_start_leaves_is_begun_anew() {
    let (_dir, data) = bed();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    // Each step of a first start leaves one thing more.
    for step in ["lock", "new", "new/data.mdb", "new/lock.mdb", "lock.mdb", "admin-token"] {
        let path = data.join(step);
        if step == "new" {
            fs::create_dir(path).unwrap()
        } else {
            fs::write(path, "").unwrap()
        }
        let copy = data.with_extension(step.replace('/', "-"));
        fs::create_dir_all(copy.join("new")).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o700)).unwrap();
        for name in ["lock", "new/data.mdb", "new/lock.mdb", "lock.mdb", "admin-token"] {
            let _ = fs::copy(data.join(name), copy.join(name));
        }
        let storage = open(&copy);
        assert!(!has_key(&storage));
        set(&storage).unwrap();
        drop(storage);
        assert!(!copy.join("new").exists());
        assert!(has_key(&open(&copy)), "after {step}");
    }
}

#[test]
fn a_store_that_is_kept_where_a_first_start_makes_one_is_left_alone() {
    let (_dir, data) = bed();
    filled(&data);
    filled(&data.join("new"));
    assert!(has_key(&open(&data)));
    assert!(has_key(&open(&data.join("new"))));
}

#[test]
fn a_store_that_nobody_marked_is_opened_and_marked() {
    let (_dir, data) = bed();
    filled(&data);
    fs::remove_file(data.join("store")).unwrap();
    assert!(has_key(&open(&data)));
    assert!(data.join("store").exists());
}

#[test]
fn a_store_s_directory_that_was_opened_to_others_is_closed_again() {
    let (_dir, data) = bed();
    filled(&data);
    // As Kubernetes does to volumes that have an `fsGroup`, at each mount.
    fs::set_permissions(&data, Permissions::from_mode(0o2770)).unwrap();
    assert!(has_key(&open(&data)));
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_directory_that_is_shared_for_another_purpose_is_refused_and_stays_shared() {
    let (_dir, data) = bed();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("something"), "").unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(try_open(&data), Err(OpenError::NotPrivate { mode: 0o755, .. })));
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o755);
    // A place for temporary files of all users, though it is empty.
    fs::remove_file(data.join("something")).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o1777)).unwrap();
    assert!(matches!(try_open(&data), Err(OpenError::NotPrivate { .. })));
}

#[test]
fn a_data_file_that_is_moved_away_refuses_writes_until_it_is_back() {
    let (_dir, data) = bed();
    let storage = open(&data);
    set(&storage).unwrap();
    let (file, aside) = (data.join("data.mdb"), data.join("aside"));
    fs::rename(&file, &aside).unwrap();
    // Either the caretaker was first, or the writer finds out before it acknowledges.
    assert!(matches!(set(&storage), Err(Error::InDoubt | Error::Unavailable(_))));
    until_writable(&storage, false);
    assert!(matches!(set(&storage), Err(Error::Unavailable(why)) if why.contains("data.mdb")));
    assert!(has_key(&storage), "what was read goes on being read");
    fs::rename(&aside, &file).unwrap();
    until_writable(&storage, true);
    set(&storage).unwrap();
}

#[test]
fn locks_that_are_deleted_refuse_writes() {
    for name in ["lock", "lock.mdb"] {
        let (_dir, data) = bed();
        let storage = open(&data);
        fs::remove_file(data.join(name)).unwrap();
        until_writable(&storage, false);
        assert!(matches!(set(&storage), Err(Error::Unavailable(why)) if why.contains(name)));
    }
}

#[test]
fn a_directory_that_is_replaced_refuses_writes() {
    let (dir, data) = bed();
    let storage = open(&data);
    let aside = dir.path().join("aside");
    fs::rename(&data, &aside).unwrap();
    fs::create_dir(&data).unwrap();
    for name in ["data.mdb", "lock.mdb", "lock"] {
        fs::copy(aside.join(name), data.join(name)).unwrap();
    }
    until_writable(&storage, false);
    assert!(matches!(set(&storage), Err(Error::Unavailable(_))));
}
