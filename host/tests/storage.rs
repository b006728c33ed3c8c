//! What the store promises, one fact a test, on a driven clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use larder::clock::{Clock, DrivenClock, Millis};
use larder::storage::{
    Behavior, Contents, DEFAULT_NAMESPACE, EXPIRY_MAX, Error, Key, NAMESPACES_MAX, OpenError,
    Operation, Options, Outcome, Part, QuotaChanges, Storage, Ttl, Version, WriteError,
};

const START: Millis = Millis(1_800_000_000_000);

struct Bed {
    driver: DrivenClock,
    options: Options,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let options = Options { sweep_interval: None, ..Options::default() };
        Self { driver: DrivenClock::at(START), options, path, _dir: dir }
    }

    fn try_open(&self) -> Result<Storage, OpenError> {
        Storage::open(&self.path, self.options.clone(), Clock::driven(&self.driver))
    }

    fn open(&self) -> Storage {
        self.try_open().unwrap()
    }
}

fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).unwrap()
}

fn set(storage: &Storage, name: &str, value: &[u8], ttl: Option<u64>) -> Result<Version, Error> {
    let operation = Operation::Set {
        key: key(name),
        value: Bytes::copy_from_slice(value),
        expected: None,
        behavior: Behavior::Upsert,
        ttl: ttl.map(|ms| Ttl::new(ms).unwrap()),
    };
    match storage.submit(DEFAULT_NAMESPACE, vec![operation])?.wait()?.as_slice() {
        [Outcome::Set { version, .. }] => Ok(*version),
        other => panic!("{other:?}"),
    }
}

fn delete(storage: &Storage, name: &str) -> Result<bool, Error> {
    let operation = Operation::Delete { key: key(name), expected: None };
    match storage.submit(DEFAULT_NAMESPACE, vec![operation])?.wait()?.as_slice() {
        [Outcome::Deleted { existed, .. }] => Ok(*existed),
        other => panic!("{other:?}"),
    }
}

fn get(storage: &Storage, name: &str) -> Result<Option<Vec<u8>>, Error> {
    storage.get(DEFAULT_NAMESPACE, name.as_bytes(), |entry| entry.value.to_vec())
}

#[test]
fn an_entry_is_absent_from_the_very_millisecond_of_its_expiry() {
    let bed = Bed::new();
    let storage = bed.open();
    set(&storage, "k", b"v", Some(1000)).unwrap();
    bed.driver.advance(999);
    assert_eq!(get(&storage, "k"), Ok(Some(b"v".to_vec())));
    bed.driver.advance(1);
    assert_eq!(get(&storage, "k"), Ok(None));
    assert_eq!(delete(&storage, "k"), Ok(false));
}

#[test]
fn an_expired_key_set_again_survives_the_sweep_of_its_old_expiry() {
    let bed = Bed::new();
    let storage = bed.open();
    set(&storage, "k", b"old", Some(10)).unwrap();
    bed.driver.advance(10);
    set(&storage, "k", b"new", None).unwrap();
    storage.sweep(100).unwrap();
    assert_eq!(get(&storage, "k"), Ok(Some(b"new".to_vec())));
    assert_eq!(storage.stored_rows(), Ok((1, 0)));
}

#[test]
fn a_single_expired_key_is_swept_and_the_sweep_then_rests() {
    let bed = Bed::new();
    let storage = bed.open();
    set(&storage, "k", b"v", Some(10)).unwrap();
    bed.driver.advance(10);
    assert_eq!(storage.sweep(100), Ok(1));
    assert_eq!(storage.stored_rows(), Ok((0, 0)));
    assert_eq!(storage.sweep(100), Ok(0));
}

#[test]
fn the_sweeper_removes_expired_entries_by_itself() {
    let mut bed = Bed::new();
    bed.options.sweep_interval = Some(std::time::Duration::from_millis(1));
    let storage = bed.open();
    for n in 0..2000 {
        set(&storage, &format!("k{n}"), b"v", Some(1000)).unwrap();
    }
    bed.driver.advance(1000);
    // Waits for the event; a sweeper that does not work is ended by the test runner.
    while storage.stored_rows() != Ok((0, 0)) {
        std::thread::yield_now();
    }
}

#[test]
fn an_expired_key_stays_absent_when_the_wall_clock_steps_back_even_over_a_restart() {
    let bed = Bed::new();
    let storage = bed.open();
    set(&storage, "k", b"v", Some(1000)).unwrap();
    bed.driver.advance(5000);
    set(&storage, "other", b"v", None).unwrap();
    bed.driver.step_wall_to(START);
    assert_eq!(get(&storage, "k"), Ok(None));
    drop(storage);
    let storage = bed.open();
    assert_eq!(get(&storage, "k"), Ok(None));
}

#[test]
fn the_last_storable_expiry_is_taken_and_the_next_refused() {
    let bed = Bed::new();
    let storage = bed.open();
    let longest = EXPIRY_MAX.0 - START.0;
    set(&storage, "k", b"v", Some(longest)).unwrap();
    for ms in [longest + 1, u64::MAX] {
        assert_eq!(set(&storage, "k", b"v", Some(ms)), Err(Error::ExpiryOutOfRange));
        assert_eq!(storage.check_ttl(Ttl::new(ms).unwrap()), Err(Error::ExpiryOutOfRange));
    }
    bed.driver.advance(longest - 1);
    assert_eq!(get(&storage, "k"), Ok(Some(b"v".to_vec())));
}

#[test]
fn versions_rise_over_deletes_and_restarts() {
    let bed = Bed::new();
    let storage = bed.open();
    let first = set(&storage, "k", b"v", None).unwrap();
    delete(&storage, "k").unwrap();
    let second = set(&storage, "k", b"v", None).unwrap();
    assert!(second.0 > first.0 + 1, "the delete drew a version of its own");
    drop(storage);
    let third = set(&bed.open(), "k", b"v", None).unwrap();
    assert!(third > second);
}

#[test]
fn a_list_of_operations_is_applied_whole_or_not_at_all() {
    let bed = Bed::new();
    let storage = bed.open();
    let put = |name: &str, behavior| Operation::Set {
        key: key(name),
        value: Bytes::from_static(b"v"),
        expected: None,
        behavior,
        ttl: None,
    };
    let list = vec![put("a", Behavior::Upsert), put("b", Behavior::Update)];
    assert!(matches!(
        storage.submit(DEFAULT_NAMESPACE, list).unwrap().wait(),
        Err(WriteError { part: Some(Part::Operation(1)), error: Error::Conflict(_) })
    ));
    assert_eq!(get(&storage, "a"), Ok(None));
    let list = vec![put("a", Behavior::Insert), put("a", Behavior::Update)];
    let outcomes = storage.submit(DEFAULT_NAMESPACE, list).unwrap().wait().unwrap();
    assert_eq!(
        outcomes,
        [1, 2].map(|version| Outcome::Set { version: Version(version), existed: version == 2 })
    );
}

#[test]
fn namespaces_keep_created_and_data_and_are_separate() {
    let bed = Bed::new();
    let storage = bed.open();
    let configure = |name: &str| match storage
        .submit(name, vec![Operation::Configure(QuotaChanges::default())])
        .unwrap()
        .wait()
        .unwrap()
        .as_slice()
    {
        [Outcome::Configured { namespace, .. }] => *namespace,
        other => panic!("{other:?}"),
    };
    assert_eq!(storage.namespace("ns"), Err(Error::NoSuchNamespace));
    assert_eq!(storage.check_namespace("ns"), Err(Error::NoSuchNamespace));
    let first = configure("ns");
    let elsewhere = |name: &str| storage.get(name, b"k", |entry| entry.value.to_vec());
    let put = Operation::Set {
        key: key("k"),
        value: Bytes::from_static(b"in ns"),
        expected: None,
        behavior: Behavior::Upsert,
        ttl: None,
    };
    storage.submit("ns", vec![put]).unwrap().wait().unwrap();
    bed.driver.advance(10);
    let again = configure("ns");
    // It goes by the same id in stored keys, and the others by others.
    assert_eq!(elsewhere("ns"), Ok(Some(b"in ns".to_vec())));
    assert_eq!(again.created, first.created);
    assert_eq!(again.updated.0, first.updated.0 + 10);
    configure("other");
    assert_eq!(elsewhere("other"), Ok(None));
    assert_eq!(get(&storage, "k"), Ok(None));
    set(&storage, "k", b"in default", None).unwrap();
    assert_eq!(elsewhere("ns"), Ok(Some(b"in ns".to_vec())));
    assert_eq!(elsewhere("other"), Ok(None));
    storage.close();
    drop(storage);
    assert_eq!(bed.open().namespace("ns"), Ok(again));
}

#[test]
fn a_full_store_refuses_sets_reads_and_deletes_on_and_recovers() {
    let mut bed = Bed::new();
    bed.options.bytes_max = Some(2 << 20);
    let storage = bed.open();
    let value = vec![7; 100_000];
    let mut stored = 0;
    while set(&storage, &format!("k{stored}"), &value, None).is_ok() {
        stored += 1;
    }
    assert!((15..25).contains(&stored), "{stored} values of 100 kB fit 2 MiB");
    assert_eq!(set(&storage, "more", &value, None), Err(Error::Full));
    assert_eq!(storage.writable(), Err(Error::Full));
    for n in 0..stored {
        assert_eq!(get(&storage, &format!("k{n}")).unwrap().unwrap(), value);
    }
    for n in 0..stored {
        assert_eq!(delete(&storage, &format!("k{n}")), Ok(true));
    }
    set(&storage, "more", &value, None).unwrap();
    assert_eq!(storage.writable(), Ok(()));
}

#[test]
fn a_full_store_is_ready_again_when_a_sweep_has_made_room() {
    let mut bed = Bed::new();
    bed.options.bytes_max = Some(2 << 20);
    let storage = bed.open();
    let mut stored = 0;
    while set(&storage, &format!("k{stored}"), &[7; 100_000], Some(1000)).is_ok() {
        stored += 1;
    }
    assert_eq!(storage.writable(), Err(Error::Full));
    bed.driver.advance(1000);
    assert_eq!(storage.sweep(1000), Ok(stored));
    assert_eq!(storage.writable(), Ok(()));
}

#[test]
fn a_value_over_the_limit_is_refused() {
    let mut bed = Bed::new();
    bed.options.value_bytes_max = 10;
    let storage = bed.open();
    set(&storage, "k", &[0; 10], None).unwrap();
    assert_eq!(set(&storage, "k", &[0; 11], None), Err(Error::TooLarge));
}

#[test]
fn a_closed_store_refuses_writes_and_still_reads() {
    let bed = Bed::new();
    let storage = bed.open();
    set(&storage, "k", b"v", None).unwrap();
    storage.close();
    assert!(matches!(set(&storage, "k", b"w", None), Err(Error::Unavailable(_))));
    assert!(matches!(storage.writable(), Err(Error::Unavailable(_))));
    assert_eq!(get(&storage, "k"), Ok(Some(b"v".to_vec())));
}

#[test]
fn a_second_opener_of_the_directory_is_refused() {
    let bed = Bed::new();
    let _storage = bed.open();
    assert!(matches!(bed.try_open(), Err(OpenError::InUse(_))));
}

#[test]
fn a_file_that_was_cut_short_is_refused_before_it_is_read() {
    let bed = Bed::new();
    let storage = bed.open();
    for n in 0..50 {
        set(&storage, &format!("k{n}"), &[1; 10_000], None).unwrap();
    }
    // The file itself is longer: it is laid out ahead of its last page.
    let used = storage.contents().unwrap().used_bytes;
    drop(storage);
    let file = OpenOptions::new().write(true).open(data_file(&bed.path)).unwrap();
    file.set_len(used / 2).unwrap();
    assert!(matches!(bed.try_open(), Err(OpenError::Truncated { .. })));
}

#[test]
fn a_file_that_ends_before_pages_that_were_never_written_is_opened() {
    let bed = Bed::new();
    let storage = bed.open();
    for n in 0..10 {
        set(&storage, &format!("k{}", n % 3), &[1; 50_000], None).unwrap();
    }
    // Takes pages at the end of the file and gives them back within one transaction.
    let large = Operation::Set {
        key: key("large"),
        value: Bytes::from(vec![2; 4 << 20]),
        expected: None,
        behavior: Behavior::Upsert,
        ttl: None,
    };
    let gone = Operation::Delete { key: key("large"), expected: None };
    storage.submit(DEFAULT_NAMESPACE, vec![large, gone]).unwrap().wait().unwrap();
    drop(storage);
    let storage = bed.open();
    assert_eq!(get(&storage, "k0"), Ok(Some(vec![1; 50_000])));
    set(&storage, "k", &[3; 100_000], None).unwrap();
    drop(storage);
    assert_eq!(get(&bed.open(), "k"), Ok(Some(vec![3; 100_000])));
}

#[test]
fn a_sweep_of_large_entries_comes_in_several_transactions() {
    let bed = Bed::new();
    let storage = bed.open();
    for n in 0..6 {
        set(&storage, &format!("k{n}"), &vec![1; 6 << 20], Some(10)).unwrap();
    }
    bed.driver.advance(10);
    assert_eq!(storage.sweep(100), Ok(3));
    assert_eq!(storage.sweep(100), Ok(3));
    assert_eq!(storage.sweep(100), Ok(0));
}

#[test]
fn a_value_that_rotted_on_disk_is_told_and_never_served_and_can_be_replaced() {
    let bed = Bed::new();
    let storage = bed.open();
    let value = b"a value that is easy to find in the file".repeat(3);
    set(&storage, "k", &value, None).unwrap();
    drop(storage);
    damage(&bed.path, &value, 7);
    let storage = bed.open();
    assert_eq!(get(&storage, "k"), Err(Error::Corrupt));
    let conditional = Operation::Set {
        key: key("k"),
        value: Bytes::from_static(b"new"),
        expected: Some(Version(1)),
        behavior: Behavior::Upsert,
        ttl: None,
    };
    let refused = storage.submit(DEFAULT_NAMESPACE, vec![conditional]).unwrap().wait();
    assert_eq!(refused, Err(WriteError { part: Some(Part::Operation(0)), error: Error::Corrupt }));
    set(&storage, "k", b"new", None).unwrap();
    assert_eq!(get(&storage, "k"), Ok(Some(b"new".to_vec())));
}

#[test]
fn a_damaged_record_that_is_replaced_leaves_no_expiry_behind() {
    // What each damages: the value, the expiry that the record claims.
    for offset in [7, -9] {
        let bed = Bed::new();
        let storage = bed.open();
        let value = b"a value that is easy to find in the file".repeat(3);
        set(&storage, "k", &value, Some(1000)).unwrap();
        drop(storage);
        damage(&bed.path, &value, offset);
        let storage = bed.open();
        assert_eq!(get(&storage, "k"), Err(Error::Corrupt));
        set(&storage, "k", b"new", None).unwrap();
        bed.driver.advance(2000);
        assert_eq!(storage.sweep(100), Ok(0), "{offset}");
        assert_eq!(get(&storage, "k"), Ok(Some(b"new".to_vec())));
    }
}

#[test]
fn namespaces_have_a_number_and_being_at_it_stops_nothing_else() {
    let bed = Bed::new();
    let storage = bed.open();
    let configure = |number: u64| {
        storage
            .submit(&format!("n{number}"), vec![Operation::Configure(QuotaChanges::default())])
            .unwrap()
    };
    let numbers: Vec<u64> = (1..NAMESPACES_MAX).collect();
    for some in numbers.chunks(2000) {
        let tickets: Vec<_> = some.iter().map(|number| configure(*number)).collect();
        tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    }
    let one_more = configure(NAMESPACES_MAX).wait();
    assert_eq!(one_more.map_err(Error::from), Err(Error::TooManyNamespaces));
    configure(1).wait().unwrap();
    set(&storage, "k", b"v", None).unwrap();
    assert_eq!(storage.writable(), Ok(()));
}

fn data_file(dir: &Path) -> PathBuf {
    dir.join("data.mdb")
}

/// Changes a byte so far from where `value` begins, wherever it stands in the file.
fn damage(dir: &Path, value: &[u8], offset: i64) {
    let bytes = std::fs::read(data_file(dir)).unwrap();
    let mut file = OpenOptions::new().write(true).open(data_file(dir)).unwrap();
    for (at, _) in bytes.windows(value.len()).enumerate().filter(|(_, window)| *window == value) {
        file.seek(SeekFrom::Start(at.checked_add_signed(offset as isize).unwrap() as u64)).unwrap();
        file.write_all(b"X").unwrap();
    }
}

#[test]
fn a_reader_that_lags_is_told_while_it_reads() {
    let bed = Bed::new();
    let storage = bed.open();
    set(&storage, "k", b"v", None).unwrap();
    let write_twice = || {
        set(&storage, "k", b"v", None).unwrap();
        set(&storage, "k", b"v", None).unwrap();
    };
    let during = storage.get(DEFAULT_NAMESPACE, b"k", |_| {
        std::thread::scope(|scope| scope.spawn(write_twice).join().unwrap());
        storage.activity()
    });
    let during = during.unwrap().unwrap();
    assert_eq!((during.readers, during.oldest_reader_lag), (1, 2));
    let after = storage.activity();
    assert_eq!((after.readers, after.oldest_reader_lag), (0, 0));
}

#[test]
fn pages_that_are_freed_are_told_and_used_again() {
    let bed = Bed::new();
    let storage = bed.open();
    let value = vec![0; 1 << 20];
    for name in ["a", "b", "c"] {
        set(&storage, name, &value, None).unwrap();
    }
    let full = storage.contents().unwrap();
    assert!(full.used_bytes > 3 << 20 && full.free_bytes < 1 << 20, "{full:?}");
    for name in ["a", "b", "c"] {
        delete(&storage, name).unwrap();
    }
    let freed = storage.contents().unwrap();
    assert!(freed.used_bytes < 1 << 20 && freed.free_bytes > 3 << 20, "{freed:?}");
    assert_eq!((full.entries, freed.entries), (3, 0));
    for name in ["a", "b"] {
        set(&storage, name, &value, None).unwrap();
    }
    let again = storage.contents().unwrap();
    let pages = |contents: &Contents| contents.used_bytes + contents.free_bytes;
    assert!(pages(&again) < pages(&full) + (1 << 20), "{again:?}");
}

#[test]
fn time_that_is_set_back_goes_on_from_the_clock_and_brings_nothing_back() {
    use larder::tools::data::{SetBack, Times, set_back, times};
    const YEARS: u64 = 10 * 366 * 24 * 60 * 60 * 1000;
    let bed = Bed::new();
    let clock = || Clock::driven(&bed.driver);
    let storage = bed.open();
    set(&storage, "expired", b"v", Some(1000)).unwrap();
    set(&storage, "kept", b"v", None).unwrap();
    bed.driver.step_wall_to(Millis(START.0 + YEARS));
    let version = set(&storage, "late", b"v", Some(1000)).unwrap();
    drop(storage);
    bed.driver.step_wall_to(Millis(START.0 + 500));
    let seen = times(&bed.path, &clock()).unwrap();
    assert_eq!(seen, Times { seen: Millis(START.0 + YEARS), clock: Millis(START.0 + 500) });
    let storage = bed.open();
    assert_eq!(get(&storage, "expired"), Ok(None));
    drop(storage);
    let done = set_back(&bed.path, &clock()).unwrap();
    assert_eq!(done, SetBack { before: seen, removed: 1, expiring: 1 });
    assert_eq!(times(&bed.path, &clock()).unwrap().seen, Millis(START.0 + 500));
    // By the clock of now it has 500 ms left.
    let storage = bed.open();
    assert_eq!(get(&storage, "expired"), Ok(None));
    assert_eq!(get(&storage, "kept"), Ok(Some(b"v".to_vec())));
    assert_eq!(get(&storage, "late"), Ok(Some(b"v".to_vec())));
    assert!(set(&storage, "k", b"v", None).unwrap() > version);
    drop(storage);
    let again = set_back(&bed.path, &clock()).unwrap();
    assert_eq!((again.removed, again.before.seen), (0, Millis(START.0 + 500)));
}
