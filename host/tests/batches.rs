//! What batches, touches and adds promise, one fact a test, on a driven clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bed;

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use larder::clock::Millis;
use larder::storage::{
    Batch, Behavior, Conflict, ConflictKind, DEFAULT_NAMESPACE, Error, Operation, Outcome, Part,
    Storage, SystemTable, Ttl, Version, WriteError,
};

use self::bed::{
    Bed, START, add, apply, check, configure, delete, get, hold, insert, key, one, put, set,
    set_for, sweep_all, touch, usage, value,
};

/// The namespace of most tests.
const NS: &str = DEFAULT_NAMESPACE;

fn conflict(part: Part, kind: ConflictKind, current: u64, newest: u64) -> WriteError {
    let (current, newest) = (Version(current), Version(newest));
    WriteError { part: Some(part), error: Error::Conflict(Conflict { kind, current, newest }) }
}

#[test]
fn a_batch_that_is_refused_changes_nothing_and_draws_nothing() {
    let bed = Bed::new();
    let storage = bed.open();
    let before = put(&storage, NS, set("there", "v"));
    let had = usage(&storage, NS);
    let batch = vec![
        set_for("new", "value", Some(10)),
        delete("there"),
        add("sum", 1),
        touch("missing", None),
    ];
    let refused = apply(&storage, NS, batch);
    let part = Part::Operation(3);
    assert_eq!(refused, Err(conflict(part, ConflictKind::NotFound, 0, before.0)));
    assert_eq!(value(&storage, NS, "new"), None);
    assert_eq!(value(&storage, NS, "sum"), None);
    assert_eq!(value(&storage, NS, "there"), Some(b"v".to_vec()));
    assert_eq!(usage(&storage, NS), had);
    assert_eq!(storage.stored_rows(), Ok((1, 0)));
    assert_eq!(put(&storage, NS, set("next", "")), Version(before.0 + 1));
}

#[test]
fn checks_see_the_state_before_the_batch() {
    let bed = Bed::new();
    let storage = bed.open();
    let first = put(&storage, NS, set("a", "1")).0;
    put(&storage, NS, set_for("gone", "1", Some(10)));
    bed.driver.advance(10);
    let checks = vec![check("a", first), check("b", 0), check("gone", 0)];
    let operations = vec![set("a", "2"), set("b", "2"), set("gone", "2"), delete("a")];
    apply(&storage, NS, Batch { checks, operations }).unwrap();
    assert_eq!(value(&storage, NS, "a"), None);
    let version = get(&storage, NS, "b").unwrap().unwrap().version.0;
    let newest = put(&storage, NS, set("x", "")).0;
    // What the batch itself would make of a key is not what is checked.
    let checks = vec![check("a", 0), check("b", 0)];
    let refused = apply(&storage, NS, Batch { checks, operations: vec![delete("b")] });
    let part = Part::Check(1);
    assert_eq!(refused, Err(conflict(part, ConflictKind::VersionMismatch, version, newest)));
    assert!(value(&storage, NS, "b").is_some());
}

#[test]
fn checks_alone_are_a_batch_and_draw_no_version() {
    let bed = Bed::new();
    let storage = bed.open();
    let version = put(&storage, NS, set("a", "1")).0;
    let checks = || vec![check("a", version)];
    assert_eq!(apply(&storage, NS, Batch { checks: checks(), operations: vec![] }), Ok(vec![]));
    assert_eq!(put(&storage, NS, set("a", "2")).0, version + 1);
    assert!(apply(&storage, NS, Batch { checks: checks(), operations: vec![] }).is_err());
}

#[test]
fn operations_find_what_stands_before_them() {
    let bed = Bed::new();
    let storage = bed.open();
    put(&storage, NS, set_for("a", "1", Some(10)));
    let batch = vec![
        delete("a"),
        delete("a"),
        insert("a", b"41"),
        touch("a", Some(1000)),
        add("a", 1),
        add("b", -5),
        add("b", 7),
    ];
    let set = |version, existed| Outcome::Set { version: Version(version), existed };
    let added = |sum, version| Outcome::Added { sum, version: Version(version) };
    let deleted = |version, existed| Outcome::Deleted { version: Version(version), existed };
    let wanted = [
        deleted(2, true),
        deleted(2, false),
        set(3, false),
        set(4, true),
        added(42, 5),
        added(-5, 6),
        added(2, 7),
    ];
    assert_eq!(apply(&storage, NS, batch).unwrap(), wanted);
    let held = get(&storage, NS, "a").unwrap().unwrap();
    assert_eq!((held.value, held.version), (b"42".to_vec(), Version(5)));
    assert_eq!(held.expiry, Some(Millis(START.0 + 1000)));
    assert_eq!(usage(&storage, NS), (2, 5));
    assert_eq!(storage.stored_rows(), Ok((2, 1)));
    bed.driver.advance(10);
    sweep_all(&storage);
    assert_eq!(value(&storage, NS, "a"), Some(b"42".to_vec()));
}

#[test]
fn a_conflict_tells_no_version_that_its_own_batch_drew() {
    let bed = Bed::new();
    let storage = bed.open();
    let newest = put(&storage, NS, set("a", "1")).0;
    let refused = apply(&storage, NS, vec![set("a", "2"), insert("a", b"3")]);
    let part = Part::Operation(1);
    assert_eq!(refused, Err(conflict(part, ConflictKind::AlreadyExists, 0, newest)));
    let refused = apply(&storage, NS, vec![set("b", "2"), insert("a", b"3")]);
    assert_eq!(refused, Err(conflict(part, ConflictKind::AlreadyExists, newest, newest)));
}

#[test]
fn a_touch_sets_an_expiry_and_lifts_it_and_keeps_the_value() {
    let bed = Bed::new();
    let storage = bed.open();
    let first = put(&storage, NS, set_for("k", "value", Some(10)));
    let second = put(&storage, NS, touch("k", Some(100)));
    assert!(second > first);
    let held = get(&storage, NS, "k").unwrap().unwrap();
    assert_eq!((held.value, held.version), (b"value".to_vec(), second));
    assert_eq!(held.expiry, Some(Millis(START.0 + 100)));
    bed.driver.advance(10);
    assert_eq!(storage.sweep(100), Ok(0), "the row of the old expiry is gone");
    assert!(value(&storage, NS, "k").is_some());
    put(&storage, NS, touch("k", None));
    assert_eq!(storage.stored_rows(), Ok((1, 0)));
    bed.driver.advance(1000);
    assert_eq!(storage.sweep(100), Ok(0));
    assert_eq!(get(&storage, NS, "k").unwrap().unwrap().expiry, None);
    put(&storage, NS, touch("k", Some(5)));
    assert_eq!(storage.stored_rows(), Ok((1, 1)));
    bed.driver.advance(5);
    assert_eq!(value(&storage, NS, "k"), None);
    let refused = one(&storage, NS, touch("k", None));
    assert!(matches!(
        refused,
        Err(Error::Conflict(Conflict { kind: ConflictKind::NotFound, current: Version(0), .. }))
    ));
    assert_eq!(storage.sweep(100), Ok(1));
    assert_eq!(usage(&storage, NS), (0, 0));
}

#[test]
fn a_touch_judges_the_version_and_then_whether_there_is_a_key() {
    let bed = Bed::new();
    let storage = bed.open();
    let version = put(&storage, NS, set("k", "v")).0;
    let touch = |name: &str, expected: u64| {
        let expected = Some(Version(expected));
        apply(&storage, NS, vec![Operation::Touch { key: key(name), expected, ttl: None }])
    };
    let refused = |kind, current| Err(conflict(Part::Operation(0), kind, current, version));
    assert_eq!(touch("k", version + 1), refused(ConflictKind::VersionMismatch, version));
    assert_eq!(touch("none", version), refused(ConflictKind::VersionMismatch, 0));
    assert_eq!(touch("none", 0), refused(ConflictKind::NotFound, 0));
    assert!(touch("k", version).is_ok());
}

/// Adds to a key that holds `before`, if anything.
fn added(before: Option<&str>, delta: i64) -> Result<i64, ConflictKind> {
    let bed = Bed::new();
    let storage = bed.open();
    if let Some(before) = before {
        put(&storage, NS, set("k", before));
    }
    let sum = match one(&storage, NS, add("k", delta)) {
        Ok(Outcome::Added { sum, .. }) => Ok(sum),
        Err(Error::Conflict(conflict)) => Err(conflict.kind),
        other => panic!("{other:?}"),
    };
    let holds = sum.map_or(before.map(str::to_owned), |sum| Some(sum.to_string()));
    assert_eq!(value(&storage, NS, "k"), holds.map(String::into_bytes));
    sum
}

#[test]
fn an_add_counts_in_64_bits_and_keeps_decimal_text() {
    assert_eq!(added(None, 5), Ok(5));
    assert_eq!(added(Some("37"), 5), Ok(42));
    assert_eq!(added(Some("-37"), 5), Ok(-32));
    assert_eq!(added(Some("9223372036854775806"), 1), Ok(i64::MAX));
    assert_eq!(added(Some("-9223372036854775807"), -1), Ok(i64::MIN));
    assert_eq!(added(Some("-1"), i64::MIN), Err(ConflictKind::Overflow));
    assert_eq!(added(Some("9223372036854775807"), 1), Err(ConflictKind::Overflow));
    assert_eq!(added(Some("-9223372036854775808"), -1), Err(ConflictKind::Overflow));
    assert_eq!(added(Some("-9223372036854775808"), i64::MAX), Ok(-1));
}

#[test]
fn what_an_add_would_not_write_itself_is_no_number() {
    let others = [
        "",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1.0",
        "1e3",
        "0x10",
        "-",
        "--1",
        "-0",
        "007",
        "00",
        "one",
        "12345678901234567890",
        "9223372036854775808",
        "-9223372036854775809",
    ];
    for other in others {
        assert_eq!(added(Some(other), 1), Err(ConflictKind::NotANumber), "{other:?}");
    }
    let bed = Bed::new();
    let storage = bed.open();
    put(&storage, NS, set("k", [0xff, 0xfe]));
    assert!(one(&storage, NS, add("k", 1)).is_err());
}

#[test]
fn an_add_begins_at_its_initial_value_and_stays_within_its_bounds() {
    let bed = Bed::new();
    let storage = bed.open();
    let add = |name: &str, delta, initial, bounds| {
        let operation =
            Operation::Add { key: key(name), delta, initial, bounds, expected: None, ttl: None };
        match one(&storage, NS, operation) {
            Ok(Outcome::Added { sum, .. }) => Ok(sum),
            Err(Error::Conflict(conflict)) => Err(conflict.kind),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(add("k", 1, 9, 0..=9), Err(ConflictKind::OutOfBounds));
    assert_eq!(value(&storage, NS, "k"), None);
    assert_eq!(add("k", 1, 8, 0..=9), Ok(9));
    assert_eq!(add("k", 1, 0, 0..=9), Err(ConflictKind::OutOfBounds));
    assert_eq!(add("k", -9, 0, 0..=9), Ok(0));
    assert_eq!(add("k", -1, 0, 0..=9), Err(ConflictKind::OutOfBounds));
    assert_eq!(value(&storage, NS, "k"), Some(b"0".to_vec()));
    #[expect(clippy::reversed_empty_ranges, reason = "nothing is within them")]
    let none = 1..=-1;
    assert_eq!(add("k", 0, 0, none), Err(ConflictKind::OutOfBounds));
    assert_eq!(add("other", 1, i64::MAX, i64::MIN..=i64::MAX), Err(ConflictKind::Overflow));
}

#[test]
fn an_add_gives_an_expiry_only_to_what_it_makes() {
    let bed = Bed::new();
    let storage = bed.open();
    let add = |name: &str, ms: u64| Operation::Add {
        key: key(name),
        delta: 1,
        initial: 0,
        bounds: i64::MIN..=i64::MAX,
        expected: None,
        ttl: Some(Ttl::new(ms).unwrap()),
    };
    let expiry = |name: &str| get(&storage, NS, name).unwrap().unwrap().expiry.map(|at| at.0);
    one(&storage, NS, add("made", 100)).unwrap();
    bed.driver.advance(50);
    one(&storage, NS, add("made", 100)).unwrap();
    assert_eq!(expiry("made"), Some(START.0 + 100));
    put(&storage, NS, set("for ever", "1"));
    one(&storage, NS, add("for ever", 100)).unwrap();
    assert_eq!(expiry("for ever"), None);
    bed.driver.advance(50);
    // It is absent, so that it is made anew.
    assert_eq!(
        one(&storage, NS, add("made", 7)),
        Ok(Outcome::Added { sum: 1, version: Version(5) })
    );
    assert_eq!(expiry("made"), Some(START.0 + 107));
    assert_eq!(storage.sweep(100), Ok(0));
    assert_eq!(value(&storage, NS, "made"), Some(b"1".to_vec()));
}

#[test]
fn an_add_judges_the_version_first() {
    let bed = Bed::new();
    let storage = bed.open();
    let version = put(&storage, NS, set("k", "no number")).0;
    let add = |expected: u64| {
        let (delta, initial, bounds) = (1, 0, i64::MIN..=i64::MAX);
        let expected = Some(Version(expected));
        let ttl = None;
        apply(
            &storage,
            NS,
            vec![Operation::Add { key: key("k"), delta, initial, bounds, expected, ttl }],
        )
    };
    let refused = |kind| Err(conflict(Part::Operation(0), kind, version, version));
    assert_eq!(add(version + 1), refused(ConflictKind::VersionMismatch));
    assert_eq!(add(version), refused(ConflictKind::NotANumber));
}

#[test]
fn a_damaged_record_is_neither_touched_nor_added_to_nor_checked_and_can_be_replaced() {
    let bed = Bed::new();
    let storage = bed.open();
    let rotten = b"a value that is easy to find in the file".repeat(3);
    put(&storage, NS, set_for("k", &rotten, Some(1000)));
    put(&storage, NS, set("other", "v"));
    let had = usage(&storage, NS);
    drop(storage);
    bed.damage(&rotten, 7);
    let storage = bed.open();
    let corrupt = |part| Err(WriteError { part: Some(part), error: Error::Corrupt });
    let first = || corrupt(Part::Operation(0));
    assert_eq!(apply(&storage, NS, vec![touch("k", None)]), first());
    assert_eq!(apply(&storage, NS, vec![add("k", 1)]), first());
    assert_eq!(apply(&storage, NS, vec![insert("k", b"")]), first());
    let checks = vec![check("other", 2), check("k", 0)];
    let refused = apply(&storage, NS, Batch { checks, operations: vec![delete("k")] });
    assert_eq!(refused, corrupt(Part::Check(1)));
    assert_eq!(usage(&storage, NS), had);
    // Within a batch as well it is replaced by what asks nothing of it.
    apply(&storage, NS, vec![set("k", "1"), add("k", 1), touch("k", Some(50))]).unwrap();
    assert_eq!(value(&storage, NS, "k"), Some(b"2".to_vec()));
    assert_eq!(usage(&storage, NS), (2, 8));
    assert_eq!(storage.stored_rows(), Ok((2, 1)));
    bed.driver.advance(50);
    sweep_all(&storage);
    assert_eq!(usage(&storage, NS), (1, 6));
}

#[test]
fn a_damaged_record_that_is_deleted_counts_no_more() {
    // What each damages: the value, the version, the expiry that the record claims.
    for offset in [7, -20, -9] {
        let bed = Bed::new();
        let storage = bed.open();
        let rotten = b"a value that is easy to find in the file".repeat(3);
        put(&storage, NS, set_for("k", &rotten, Some(1000)));
        put(&storage, NS, set("other", "v"));
        drop(storage);
        bed.damage(&rotten, offset);
        let storage = bed.open();
        let deleted = one(&storage, NS, delete("k"));
        assert!(matches!(deleted, Ok(Outcome::Deleted { existed: true, .. })), "{deleted:?}");
        assert_eq!(usage(&storage, NS), (1, 6), "{offset}");
        assert_eq!(storage.stored_rows(), Ok((1, 0)), "{offset}");
    }
}

#[test]
fn one_touch_of_a_huge_value_works_and_a_batch_of_many_is_refused_whole() {
    const HUGE: usize = 8 << 20;
    let bed = Bed::new();
    let storage = bed.open();
    let huge = vec![7; HUGE];
    let newest = put(&storage, NS, set("huge", &huge));
    let touches = |count: usize| vec![touch("huge", Some(100)); count];
    let refused = apply(&storage, NS, touches(9));
    let part = Some(Part::Operation(8));
    assert_eq!(refused, Err(WriteError { part, error: Error::TooLarge }));
    assert_eq!(get(&storage, NS, "huge").unwrap().unwrap().version, newest);
    let outcomes = apply(&storage, NS, touches(8)).unwrap();
    assert_eq!(outcomes.len(), 8);
    assert_eq!(value(&storage, NS, "huge"), Some(huge));
    assert_eq!(usage(&storage, NS), (1, HUGE as u64 + 4));
}

/// Submits the batches while the writer is held up, so that they are one group; returns what became of each
/// and how many commits that took.
fn grouped(storage: &Storage, batches: Vec<Vec<Operation>>) -> (Vec<Vec<Outcome>>, u64) {
    let before = storage.activity().commits.count();
    let held = hold(storage);
    let tickets: Vec<_> =
        batches.into_iter().map(|batch| storage.submit(NS, batch).unwrap()).collect();
    drop(held);
    let outcomes = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
    (outcomes, storage.activity().commits.count() - before)
}

fn rise(outcomes: &[Vec<Outcome>]) -> bool {
    let versions: Vec<Version> = outcomes
        .iter()
        .flatten()
        .map(|outcome| match outcome {
            Outcome::Set { version, .. } => *version,
            other => panic!("{other:?}"),
        })
        .collect();
    versions.is_sorted_by(|one, next| next.0 == one.0 + 1)
}

#[test]
fn a_refused_batch_leaves_nothing_to_those_that_are_committed_with_it() {
    let bed = Bed::new();
    let storage = bed.open();
    let held = hold(&storage);
    let submit = |batch| storage.submit(NS, batch).unwrap();
    let refused = submit(vec![set("a", "v"), set("b", "v"), touch("none", None)]);
    let done = submit(vec![set("c", "v")]);
    drop(held);
    assert!(refused.wait().is_err());
    assert_eq!(done.wait(), Ok(vec![Outcome::Set { version: Version(1), existed: false }]));
    assert_eq!((value(&storage, NS, "a"), usage(&storage, NS)), (None, (1, 2)));
}

#[test]
fn what_waits_is_one_commit() {
    let bed = Bed::new();
    let storage = bed.open();
    let (outcomes, commits) = grouped(&storage, vec![vec![set("k", "v")]; 50]);
    assert_eq!((outcomes.len(), commits), (50, 1));
    assert!(rise(&outcomes));
}

#[test]
fn a_group_of_many_large_touches_is_committed_in_parts_and_each_is_answered() {
    let bed = Bed::new();
    let storage = bed.open();
    put(&storage, NS, set("huge", vec![7; 8 << 20]));
    let (outcomes, commits) = grouped(&storage, vec![vec![touch("huge", Some(1000))]; 30]);
    assert_eq!(outcomes.len(), 30);
    assert!(rise(&outcomes));
    // Each part ends with the first touch beyond 64 MiB: the ninth.
    assert_eq!(commits, 4);
    assert_eq!(usage(&storage, NS), (1, (8 << 20) + 4));
}

#[test]
fn a_group_of_many_operations_is_committed_in_parts() {
    let bed = Bed::new();
    let storage = bed.open();
    let batches = |operation: &dyn Fn(usize) -> Operation| -> Vec<Vec<Operation>> {
        (0..20).map(|batch| (0..1000).map(|n| operation(1000 * batch + n)).collect()).collect()
    };
    // Each part ends with the first batch beyond 8,192 records: the ninth.
    let (outcomes, commits) = grouped(&storage, batches(&|n| set(&format!("k{n}"), "v")));
    assert!(rise(&outcomes));
    assert_eq!((outcomes.len(), commits), (20, 3));
    assert_eq!(usage(&storage, NS).0, 20_000);
    let (outcomes, commits) = grouped(&storage, batches(&|n| delete(&format!("k{n}"))));
    assert_eq!((outcomes.len(), commits), (20, 3));
    assert_eq!(usage(&storage, NS), (0, 0));
}

#[test]
fn each_part_of_a_group_is_a_transaction_whose_time_counts_by_itself() {
    const LONG: u64 = 10_000;
    let bed = Bed::new();
    let storage = bed.open();
    put(&storage, NS, set("huge", vec![7; 8 << 20]));
    let write_row = |then: Box<dyn FnOnce() + Send>| {
        let then = |_| then();
        storage.write_system_row(SystemTable::Tokens, "none".to_owned(), None, then).unwrap();
    };
    let (tell, told) = mpsc::channel();
    let held = hold(&storage);
    let driver = bed.driver.clone();
    write_row(Box::new(move || driver.advance(LONG)));
    let tickets: Vec<_> =
        (0..9).map(|_| storage.submit(NS, vec![touch("huge", None)]).unwrap()).collect();
    let observer = storage.clone();
    write_row(Box::new(move || tell.send(observer.writing_for()).unwrap()));
    drop(held);
    assert_eq!(told.recv(), Ok(Duration::ZERO));
    tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
}

#[test]
fn a_full_store_takes_batches_that_only_delete() {
    let mut bed = Bed::new();
    bed.options.bytes_max = Some(2 << 20);
    let storage = bed.open();
    let value = vec![7; 100_000];
    let mut stored = 0;
    while one(&storage, NS, set(&format!("k{stored}"), &value)).is_ok() {
        stored += 1;
    }
    for growing in [set("k0", "v"), touch("k0", None), add("n", 1)] {
        let refused = apply(&storage, NS, vec![delete("k1"), growing]);
        let part = Some(Part::Operation(1));
        assert_eq!(refused, Err(WriteError { part, error: Error::Full }));
    }
    let all: Vec<_> = (0..stored).map(|n| delete(&format!("k{n}"))).collect();
    let checks = vec![check("none", 0)];
    apply(&storage, NS, Batch { checks, operations: all }).unwrap();
    assert_eq!(usage(&storage, NS), (0, 0));
    assert_eq!(storage.writable(), Ok(()));
}

#[test]
fn a_value_over_the_limit_is_told_by_its_place() {
    let mut bed = Bed::new();
    bed.options.value_bytes_max = 10;
    let storage = bed.open();
    let refused = apply(&storage, NS, vec![set("a", [0; 10]), set("b", [0; 11])]);
    let part = Some(Part::Operation(1));
    assert_eq!(refused, Err(WriteError { part, error: Error::TooLarge }));
    assert_eq!(value(&storage, NS, "a"), None);
}

#[test]
fn an_expiry_out_of_range_refuses_the_batch_at_its_place() {
    let bed = Bed::new();
    let storage = bed.open();
    put(&storage, NS, set("k", "1"));
    for operation in [touch("k", Some(u64::MAX)), set_for("k", "", Some(u64::MAX))] {
        let refused = apply(&storage, NS, vec![set("a", ""), operation]);
        let part = Some(Part::Operation(1));
        assert_eq!(refused, Err(WriteError { part, error: Error::ExpiryOutOfRange }));
    }
    assert_eq!(value(&storage, NS, "a"), None);
}

#[test]
fn a_batch_is_seen_whole_by_every_reader() {
    const ROUNDS: u32 = 300;
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, "ns");
    let write = |round: u32| {
        let value = Bytes::from(round.to_string());
        let set = |name: &str| Operation::Set {
            key: key(name),
            value: value.clone(),
            expected: None,
            behavior: Behavior::Upsert,
            ttl: None,
        };
        apply(&storage, "ns", vec![set("a"), set("b")]).unwrap();
    };
    write(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..=ROUNDS).for_each(write));
        let mut reads = 0;
        while !writer.is_finished() || reads == 0 {
            let mut seen = Vec::new();
            let keys = [b"a".as_slice(), b"b"];
            let newest = storage.get_many("ns", keys.into_iter(), &mut |found| {
                let entry = found.unwrap().unwrap();
                seen.push((entry.value.to_vec(), entry.version));
                true
            });
            let newest = newest.unwrap();
            assert_eq!(seen[0].0, seen[1].0, "both or none");
            // Nobody else writes: the newest version is the one that the batch drew last.
            assert_eq!((seen[0].1.0 + 1, seen[1].1), (newest.0, newest));
            reads += 1;
        }
    });
}
