//! A store in a directory of its own on a driven clock, and short forms of what is asked of it. Knows no test.
#![allow(dead_code, reason = "each file of tests uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::mpsc;

use bytes::Bytes;
use larder::clock::{Clock, DrivenClock, Millis};
use larder::storage::{
    Batch, Behavior, Check, Error, Key, ListEnd, Listing, Operation, Options, Outcome, QuotaChange,
    QuotaChanges, Storage, SystemTable, Ttl, Version, WriteResult,
};

pub const START: Millis = Millis(1_800_000_000_000);

pub struct Bed {
    pub driver: DrivenClock,
    pub options: Options,
    pub path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Bed {
    pub fn new() -> Self {
        Self::at(START)
    }

    fn at(instant: Millis) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let options = Options { sweep_interval: None, ..Options::default() };
        Self { driver: DrivenClock::at(instant), options, path, _dir: dir }
    }

    pub fn open(&self) -> Storage {
        Storage::open(&self.path, self.options.clone(), Clock::driven(&self.driver)).unwrap()
    }

    /// The data as a process leaves them that is killed now, while nothing is written.
    pub fn crashed(&self) -> Self {
        let image = Self::at(START);
        fs::create_dir(&image.path).unwrap();
        for file in ["data.mdb", "store"] {
            fs::copy(self.path.join(file), image.path.join(file)).unwrap();
        }
        image
    }

    /// Changes a byte so far from where `value` begins, wherever it stands in the file.
    pub fn damage(&self, value: &[u8], offset: isize) {
        let path = self.path.join("data.mdb");
        let bytes = fs::read(&path).unwrap();
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        let mut found = 0;
        for (at, _) in bytes.windows(value.len()).enumerate().filter(|(_, some)| *some == value) {
            let at = at.checked_add_signed(offset).unwrap() as u64;
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"X").unwrap();
            found += 1;
        }
        assert!(found > 0, "the value is not in the file");
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub value: Vec<u8>,
    pub version: Version,
    pub expiry: Option<Millis>,
}

pub fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).unwrap()
}

fn ttl(ms: Option<u64>) -> Option<Ttl> {
    ms.map(|ms| Ttl::new(ms).unwrap())
}

pub fn set(name: &str, value: impl AsRef<[u8]>) -> Operation {
    set_for(name, value, None)
}

pub fn set_for(name: &str, value: impl AsRef<[u8]>, ms: Option<u64>) -> Operation {
    let value = Bytes::copy_from_slice(value.as_ref());
    Operation::Set {
        key: key(name),
        value,
        expected: None,
        behavior: Behavior::Upsert,
        ttl: ttl(ms),
    }
}

pub fn insert(name: &str, value: &[u8]) -> Operation {
    let value = Bytes::copy_from_slice(value);
    Operation::Set { key: key(name), value, expected: None, behavior: Behavior::Insert, ttl: None }
}

pub fn delete(name: &str) -> Operation {
    Operation::Delete { key: key(name), expected: None }
}

pub fn touch(name: &str, ms: Option<u64>) -> Operation {
    Operation::Touch { key: key(name), expected: None, ttl: ttl(ms) }
}

pub fn add(name: &str, delta: i64) -> Operation {
    Operation::Add {
        key: key(name),
        delta,
        initial: 0,
        bounds: i64::MIN..=i64::MAX,
        expected: None,
        ttl: None,
    }
}

pub fn check(name: &str, version: u64) -> Check {
    Check { key: key(name), version: Version(version) }
}

pub fn apply(storage: &Storage, namespace: &str, batch: impl Into<Batch>) -> WriteResult {
    storage.submit(namespace, batch)?.wait()
}

/// Applies one operation.
pub fn one(storage: &Storage, namespace: &str, operation: Operation) -> Result<Outcome, Error> {
    let outcomes = apply(storage, namespace, vec![operation])?;
    assert_eq!(outcomes.len(), 1);
    Ok(outcomes[0])
}

/// The version of what is set.
pub fn put(storage: &Storage, namespace: &str, operation: Operation) -> Version {
    match one(storage, namespace, operation) {
        Ok(Outcome::Set { version, .. }) => version,
        other => panic!("{other:?}"),
    }
}

pub fn get(storage: &Storage, namespace: &str, name: &str) -> Result<Option<Held>, Error> {
    storage.get(namespace, name.as_bytes(), |entry| Held {
        value: entry.value.to_vec(),
        version: entry.version,
        expiry: entry.expiry,
    })
}

/// The value of a key.
pub fn value(storage: &Storage, namespace: &str, name: &str) -> Option<Vec<u8>> {
    get(storage, namespace, name).unwrap().map(|held| held.value)
}

/// A change of quotas that leaves none but these.
pub fn limits(keys_max: Option<u64>, bytes_max: Option<u64>) -> Operation {
    let change = |most: Option<u64>| most.map_or(QuotaChange::Lift, QuotaChange::Limit);
    Operation::Configure(QuotaChanges { keys: change(keys_max), bytes: change(bytes_max) })
}

pub fn configure(storage: &Storage, name: &str) {
    let made = one(storage, name, Operation::Configure(QuotaChanges::default()));
    assert!(matches!(made, Ok(Outcome::Configured { .. })), "{made:?}");
}

/// Deletes a namespace; returns whether there was one.
pub fn delete_namespace(storage: &Storage, name: &str) -> Result<bool, Error> {
    match one(storage, name, Operation::DeleteNamespace)? {
        Outcome::Deleted { existed, .. } => Ok(existed),
        other => panic!("{other:?}"),
    }
}

/// Keys and bytes of a namespace.
pub fn usage(storage: &Storage, name: &str) -> (u64, u64) {
    let usage = storage.usage(name).unwrap();
    (usage.keys, usage.bytes)
}

pub fn sweep_all(storage: &Storage) {
    while storage.sweep(100).unwrap() > 0 {}
}

/// Holds the writer up until what is returned is dropped: what is submitted meanwhile waits, and is
/// one group then.
pub fn hold(storage: &Storage) -> mpsc::Sender<()> {
    let (hold, let_go) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let wait = move |_| {
        begin.send(()).unwrap();
        // Fails when the other end goes, which is what is waited for.
        let _ = let_go.recv();
    };
    storage.write_system_row(SystemTable::Tokens, "none".to_owned(), None, wait).unwrap();
    begun.recv().unwrap();
    hold
}

/// All of a namespace, forwards, with values.
pub const ALL: Listing<'static> =
    Listing { prefixes: &[""], after: None, reverse: false, values: true, rows_max: 10_000 };

/// Keys and values of a part of a list of so many entries at most; `!` stands for a damaged record.
pub fn list(
    storage: &Storage,
    namespace: &str,
    listing: &Listing<'_>,
    limit: usize,
) -> Result<(Vec<(String, String)>, ListEnd), Error> {
    let mut entries = Vec::new();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let end = storage.list(namespace, listing, &mut |listed| {
        if entries.len() == limit {
            return false;
        }
        let value = listed.entry.map_or("!".to_owned(), |entry| text(entry.value));
        entries.push((text(listed.key), value));
        true
    })?;
    Ok((entries, end))
}

/// The keys of the same.
pub fn keys(storage: &Storage, namespace: &str, listing: &Listing<'_>) -> Vec<String> {
    let (entries, _) = list(storage, namespace, listing, usize::MAX).unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}
