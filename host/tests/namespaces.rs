//! What namespaces promise beside their entries: counts, quotas and deletion, one fact a test, on a driven clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bed;

use std::time::Duration;

use larder::storage::{
    Batch, DEFAULT_NAMESPACE, Error, Operation, Outcome, Part, Quota, QuotaChange, QuotaChanges,
    Storage, WriteError,
};

use self::bed::{
    ALL, Bed, add, apply, check, configure, delete, delete_namespace, get, hold, keys, limits,
    list, one, put, set, set_for, sweep_all, touch, usage, value,
};

const NS: &str = "ns";

fn over(quota: Quota) -> Result<Vec<Outcome>, WriteError> {
    Err(WriteError { part: None, error: Error::OverQuota(quota) })
}

/// A namespace with these quotas.
fn limited(storage: &Storage, keys_max: Option<u64>, bytes_max: Option<u64>) {
    one(storage, NS, limits(keys_max, bytes_max)).unwrap();
}

#[test]
fn usage_counts_keys_and_the_bytes_of_keys_and_values() {
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, NS);
    assert_eq!(usage(&storage, NS), (0, 0));
    put(&storage, NS, set("key", "value"));
    assert_eq!(usage(&storage, NS), (1, 8));
    put(&storage, NS, set_for("key", "v", Some(10)));
    assert_eq!(usage(&storage, NS), (1, 4));
    put(&storage, NS, touch("key", Some(20)));
    one(&storage, NS, add("n", 100)).unwrap();
    assert_eq!(usage(&storage, NS), (2, 8));
    one(&storage, NS, add("n", -99)).unwrap();
    assert_eq!(usage(&storage, NS), (2, 6));
    one(&storage, NS, delete("n")).unwrap();
    one(&storage, NS, delete("n")).unwrap();
    assert_eq!(usage(&storage, NS), (1, 4));
    assert_eq!(usage(&storage, DEFAULT_NAMESPACE), (0, 0));
    // What has expired counts until it is swept.
    bed.driver.advance(20);
    one(&storage, NS, delete("key")).unwrap();
    assert_eq!(usage(&storage, NS), (1, 4));
    assert_eq!(storage.sweep(100), Ok(1));
    assert_eq!(usage(&storage, NS), (0, 0));
    drop(storage);
    assert_eq!(usage(&bed.open(), NS), (0, 0));
}

#[test]
fn an_expired_key_that_is_written_again_counts_once() {
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, NS);
    for operation in [set("k", "four"), add("k", 1)] {
        put(&storage, NS, set_for("k", "some value", Some(10)));
        bed.driver.advance(10);
        one(&storage, NS, operation).unwrap();
        let length = value(&storage, NS, "k").unwrap().len() as u64;
        assert_eq!(usage(&storage, NS), (1, 1 + length));
        sweep_all(&storage);
        assert_eq!(usage(&storage, NS), (1, 1 + length));
    }
}

#[test]
fn quotas_are_judged_on_the_sum_of_a_batch() {
    let bed = Bed::new();
    let storage = bed.open();
    limited(&storage, Some(2), Some(10));
    apply(&storage, NS, vec![set("a", "1"), set("b", "2")]).unwrap();
    assert_eq!(apply(&storage, NS, vec![set("c", "3")]), over(Quota::Keys));
    // In between there are three.
    apply(&storage, NS, vec![set("c", "3"), delete("a")]).unwrap();
    assert_eq!(apply(&storage, NS, vec![set("c", "12345678")]), over(Quota::Bytes));
    apply(&storage, NS, vec![set("c", "12345678"), delete("b")]).unwrap();
    assert_eq!(usage(&storage, NS), (1, 9));
    apply(&storage, NS, vec![set("c", "123456789")]).unwrap();
    assert_eq!(usage(&storage, NS), (1, 10), "all of a quota may be used");
    assert_eq!(value(&storage, NS, "a"), None);
    let refused = apply(&storage, NS, vec![delete("c"), set("x", "1234567890")]);
    assert_eq!(refused, over(Quota::Bytes));
    assert!(value(&storage, NS, "c").is_some());
    // The others have room.
    put(&storage, DEFAULT_NAMESPACE, set("k", [0; 100]));
}

#[test]
fn quotas_are_judged_in_a_group_as_one_after_the_other() {
    let bed = Bed::new();
    let storage = bed.open();
    limited(&storage, Some(2), None);
    let held = hold(&storage);
    let tickets: Vec<_> =
        ["a", "b", "c", "d"].map(|name| storage.submit(NS, vec![set(name, "v")]).unwrap()).into();
    drop(held);
    let done: Vec<bool> = tickets.into_iter().map(|ticket| ticket.wait().is_ok()).collect();
    assert_eq!(done, [true, true, false, false]);
    assert_eq!(usage(&storage, NS), (2, 4));
}

#[test]
fn a_quota_below_what_is_there_refuses_only_what_makes_it_more() {
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, NS);
    apply(&storage, NS, vec![set("a", "1234"), set("b", "1234"), set("n", "9")]).unwrap();
    limited(&storage, Some(1), Some(4));
    assert_eq!(usage(&storage, NS), (3, 12));
    assert_eq!(apply(&storage, NS, vec![set("c", "")]), over(Quota::Keys));
    assert_eq!(apply(&storage, NS, vec![set("a", "12345")]), over(Quota::Bytes));
    assert_eq!(apply(&storage, NS, vec![add("n", 1)]), over(Quota::Bytes));
    put(&storage, NS, touch("a", Some(10)));
    put(&storage, NS, set("a", "4321"));
    one(&storage, NS, add("n", -1)).unwrap();
    put(&storage, NS, set("a", "1"));
    assert_eq!(usage(&storage, NS), (3, 9));
    apply(&storage, NS, vec![set("c", "12"), delete("b")]).unwrap();
    assert_eq!(usage(&storage, NS), (3, 7));
    // A change of quotas and what it makes room for are one batch.
    let batch = vec![limits(Some(4), None), set("d", "a longer value")];
    apply(&storage, NS, batch).unwrap();
    let batch = vec![limits(Some(5), Some(5)), set("e", "")];
    assert_eq!(apply(&storage, NS, batch), over(Quota::Bytes));
    let quotas = storage.usage(NS).unwrap().quotas;
    assert_eq!((quotas.keys_max, quotas.bytes_max), (Some(4), None), "nothing of it was done");
}

#[test]
fn deletes_and_sweeps_make_room() {
    let bed = Bed::new();
    let storage = bed.open();
    limited(&storage, Some(2), None);
    apply(&storage, NS, vec![set_for("a", "", Some(10)), set("b", "")]).unwrap();
    one(&storage, NS, delete("b")).unwrap();
    put(&storage, NS, set("b", ""));
    bed.driver.advance(10);
    assert_eq!(apply(&storage, NS, vec![set("c", "")]), over(Quota::Keys));
    // The expired one is written again without growth.
    put(&storage, NS, set_for("a", "", Some(10)));
    bed.driver.advance(10);
    sweep_all(&storage);
    put(&storage, NS, set("c", ""));
}

#[test]
fn a_quota_is_kept_lifted_or_set() {
    let bed = Bed::new();
    let storage = bed.open();
    let change = |keys, bytes| {
        one(&storage, NS, Operation::Configure(QuotaChanges { keys, bytes })).unwrap();
        let quotas = storage.usage(NS).unwrap().quotas;
        (quotas.keys_max, quotas.bytes_max)
    };
    use QuotaChange::{Keep, Lift, Limit};
    assert_eq!(change(Keep, Keep), (None, None));
    assert_eq!(change(Limit(3), Keep), (Some(3), None));
    assert_eq!(change(Keep, Limit(0)), (Some(3), Some(0)));
    assert_eq!(change(Lift, Keep), (None, Some(0)));
    assert_eq!(apply(&storage, NS, vec![set("k", "")]), over(Quota::Bytes));
    drop(storage);
    let quotas = bed.open().usage(NS).unwrap().quotas;
    assert_eq!((quotas.keys_max, quotas.bytes_max), (None, Some(0)));
}

#[test]
fn a_deleted_namespace_is_gone_at_once_and_one_of_its_name_is_new() {
    let bed = Bed::new();
    let storage = bed.open();
    limited(&storage, Some(9), None);
    apply(&storage, NS, vec![set("a", "old"), set_for("b", "old", Some(10))]).unwrap();
    let created = storage.namespace(NS).unwrap().created;
    bed.driver.advance(5);
    let before = put(&storage, DEFAULT_NAMESPACE, set("k", "v"));
    let deleted = one(&storage, NS, Operation::DeleteNamespace).unwrap();
    assert!(matches!(deleted, Outcome::Deleted { existed: true, version } if version > before));
    assert_eq!(storage.namespace(NS), Err(Error::NoSuchNamespace));
    assert_eq!(storage.usage(NS), Err(Error::NoSuchNamespace));
    assert_eq!(get(&storage, NS, "a"), Err(Error::NoSuchNamespace));
    assert_eq!(list(&storage, NS, &ALL, 9), Err(Error::NoSuchNamespace));
    let refused = storage.submit(NS, vec![set("a", "v")]).map(drop);
    assert_eq!(refused.map_err(Error::from), Err(Error::NoSuchNamespace));
    assert_eq!(delete_namespace(&storage, NS), Ok(false));
    assert_eq!(storage.stored_rows(), Ok((3, 1)), "nothing is removed yet");
    configure(&storage, NS);
    assert!(storage.namespace(NS).unwrap().created > created);
    assert_eq!(storage.usage(NS).unwrap().quotas.keys_max, None);
    assert_eq!(usage(&storage, NS), (0, 0));
    assert_eq!(keys(&storage, NS, &ALL), [""; 0]);
    put(&storage, NS, set("a", "new"));
    sweep_all(&storage);
    assert_eq!(storage.stored_rows(), Ok((2, 0)));
    assert_eq!(value(&storage, NS, "a"), Some(b"new".to_vec()));
    assert_eq!(usage(&storage, NS), (1, 4));
    assert_eq!(usage(&storage, DEFAULT_NAMESPACE), (1, 2));
    bed.driver.advance(100);
    assert_eq!(storage.sweep(100), Ok(0));
}

#[test]
fn the_default_namespace_is_not_deleted_and_one_that_is_not_there_not_either() {
    let bed = Bed::new();
    let storage = bed.open();
    let refused = delete_namespace(&storage, DEFAULT_NAMESPACE);
    assert_eq!(refused, Err(Error::InvalidName));
    assert_eq!(delete_namespace(&storage, "none"), Ok(false));
    assert_eq!(put(&storage, DEFAULT_NAMESPACE, set("k", "v")).0, 1, "neither drew a version");
}

#[test]
fn a_write_that_was_meant_for_a_deleted_namespace_does_not_land_in_one_of_its_name() {
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, NS);
    put(&storage, NS, set("k", "old"));
    let held = hold(&storage);
    let submit = |batch: Vec<Operation>| storage.submit(NS, batch).unwrap();
    let deleted = submit(vec![Operation::DeleteNamespace]);
    let made = submit(vec![Operation::Configure(QuotaChanges::default())]);
    let late = [set("k", "late"), delete("k"), touch("k", None), add("n", 1)]
        .map(|operation| submit(vec![operation]));
    let checked = Batch { checks: vec![check("k", 0)], operations: vec![] };
    let checked = storage.submit(NS, checked).unwrap();
    drop(held);
    assert!(deleted.wait().is_ok() && made.wait().is_ok());
    for late in late {
        assert_eq!(late.wait().map_err(Error::from), Err(Error::NoSuchNamespace));
    }
    let part = Some(Part::Check(0));
    assert_eq!(checked.wait(), Err(WriteError { part, error: Error::NoSuchNamespace }));
    assert_eq!(keys(&storage, NS, &ALL), [""; 0]);
    assert_eq!(usage(&storage, NS), (0, 0));
}

#[test]
fn a_name_may_live_several_times_in_one_commit() {
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, NS);
    put(&storage, NS, set("k", "first"));
    let make = || vec![Operation::Configure(QuotaChanges::default()), set("k", "v"), set("l", "")];
    let gone = || vec![Operation::DeleteNamespace];
    for ends_alive in [true, false] {
        let mut batches = vec![gone(), make(), gone(), make()];
        if !ends_alive {
            batches.push(gone());
        }
        let held = hold(&storage);
        let tickets: Vec<_> =
            batches.into_iter().map(|batch| storage.submit(NS, batch).unwrap()).collect();
        drop(held);
        for ticket in tickets {
            let outcomes = ticket.wait().unwrap();
            let missed = matches!(outcomes[0], Outcome::Deleted { existed: false, .. });
            assert!(!missed, "{outcomes:?}");
        }
        assert_eq!(storage.check_namespace(NS).is_ok(), ends_alive);
    }
    assert_eq!(storage.next_namespace("n", None), None);
    sweep_all(&storage);
    assert_eq!(storage.stored_rows(), Ok((0, 0)));
    drop(storage);
    let storage = bed.open();
    assert_eq!(storage.check_namespace(NS), Err(Error::NoSuchNamespace));
    assert_eq!(storage.sweep(100), Ok(0));
}

/// Makes a namespace of so many entries, a part of which expire.
fn fill(storage: &Storage, name: &str, entries: usize) {
    configure(storage, name);
    for some in (0..entries).collect::<Vec<_>>().chunks(500) {
        let sets = some.iter().map(|n| {
            let ms = n.is_multiple_of(3).then_some(1_000_000);
            set_for(&format!("k{n}"), "value", ms)
        });
        apply(storage, name, sets.collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn the_emptying_of_a_namespace_goes_on_in_small_steps_after_a_crash() {
    let bed = Bed::new();
    let storage = bed.open();
    fill(&storage, NS, 1500);
    fill(&storage, "other", 10);
    assert_eq!(delete_namespace(&storage, NS), Ok(true));
    assert_eq!(storage.sweep(100), Ok(100));
    assert_eq!(storage.stored_rows().unwrap().0, 1410);
    // Once as a process leaves it that is killed, and once after a restart in order.
    let crashed = bed.crashed();
    let after_crash = crashed.open();
    storage.close();
    drop(storage);
    for storage in [after_crash, bed.open()] {
        assert_eq!(storage.check_namespace(NS), Err(Error::NoSuchNamespace));
        assert_eq!(storage.stored_rows().unwrap().0, 1410);
        configure(&storage, NS);
        put(&storage, NS, set("k1", "new"));
        for left in (10..1410).rev().step_by(200).skip(1) {
            assert_eq!(storage.sweep(200), Ok(200));
            assert_eq!(storage.stored_rows().unwrap().0, left + 1 + 1);
        }
        sweep_all(&storage);
        assert_eq!(storage.stored_rows(), Ok((11, 4)));
        assert_eq!((usage(&storage, NS), usage(&storage, "other")), ((1, 5), (10, 70)));
        assert_eq!(value(&storage, NS, "k1"), Some(b"new".to_vec()));
    }
}

#[test]
fn the_sweeper_empties_deleted_namespaces_by_itself_and_after_a_restart() {
    let mut bed = Bed::new();
    let storage = bed.open();
    for name in ["a", "b", "c"] {
        fill(&storage, name, 700);
        assert_eq!(delete_namespace(&storage, name), Ok(true));
    }
    drop(storage);
    bed.options.sweep_interval = Some(Duration::from_millis(1));
    let storage = bed.open();
    // Waits for the event; a sweeper that does not work is ended by the test runner.
    while storage.stored_rows() != Ok((0, 0)) {
        std::thread::yield_now();
    }
    drop(storage);
    bed.options.sweep_interval = None;
    assert_eq!(bed.open().sweep(100), Ok(0));
}

#[test]
fn expired_entries_of_a_deleted_namespace_are_swept_with_it() {
    let bed = Bed::new();
    let storage = bed.open();
    fill(&storage, NS, 30);
    assert_eq!(delete_namespace(&storage, NS), Ok(true));
    bed.driver.advance(1_000_000);
    // Ten rows of the index first, then five of the rest.
    assert_eq!(storage.sweep(15), Ok(15));
    assert_eq!(storage.stored_rows(), Ok((15, 0)));
    sweep_all(&storage);
    assert_eq!(storage.stored_rows(), Ok((0, 0)));
    assert_eq!(storage.sweep(15), Ok(0));
}

#[test]
fn a_namespace_with_damaged_records_is_counted_and_emptied() {
    let bed = Bed::new();
    let storage = bed.open();
    configure(&storage, NS);
    let rotten = b"a value that is easy to find in the file".repeat(3);
    put(&storage, NS, set_for("bad", &rotten, Some(1000)));
    put(&storage, NS, set("good", "v"));
    let had = usage(&storage, NS);
    drop(storage);
    bed.damage(&rotten, 7);
    let storage = bed.open();
    assert_eq!(usage(&storage, NS), had);
    // A sweep does not know that it has expired.
    bed.driver.advance(1000);
    sweep_all(&storage);
    assert_eq!(usage(&storage, NS), had);
    assert_eq!(delete_namespace(&storage, NS), Ok(true));
    sweep_all(&storage);
    assert_eq!(storage.stored_rows(), Ok((0, 0)));
    assert_eq!(storage.sweep(100), Ok(0));
}

#[test]
fn a_full_store_deletes_a_namespace_and_has_room_when_it_is_emptied() {
    let mut bed = Bed::new();
    bed.options.bytes_max = Some(2 << 20);
    let storage = bed.open();
    configure(&storage, NS);
    let value = vec![7; 100_000];
    let mut stored = 0;
    while one(&storage, NS, set(&format!("k{stored}"), &value)).is_ok() {
        stored += 1;
    }
    assert_eq!(one(&storage, "more", limits(None, None)).map(drop), Err(Error::Full));
    assert_eq!(delete_namespace(&storage, NS), Ok(true));
    assert_eq!(storage.sweep(1000), Ok(stored));
    assert_eq!(storage.writable(), Ok(()));
    configure(&storage, NS);
    put(&storage, NS, set("k", &value));
}

#[test]
fn namespaces_are_found_in_the_order_of_their_names() {
    let bed = Bed::new();
    let storage = bed.open();
    for name in ["b", "a/2", "c", "a/1", "d"] {
        configure(&storage, name);
    }
    assert_eq!(delete_namespace(&storage, "c"), Ok(true));
    let all = |storage: &Storage, prefix: &str, mut after: Option<String>| {
        let mut names = Vec::new();
        while let Some((name, namespace)) = storage.next_namespace(prefix, after.as_deref()) {
            assert_eq!(storage.namespace(&name), Ok(namespace));
            after = Some(name.to_string());
            names.push(name.to_string());
        }
        names
    };
    let after = |name: &str| Some(name.to_owned());
    assert_eq!(all(&storage, "", None), ["a/1", "a/2", "b", "d", "default"]);
    assert_eq!(all(&storage, "a/", None), ["a/1", "a/2"]);
    assert_eq!(all(&storage, "", after("a/2")), ["b", "d", "default"]);
    assert_eq!(all(&storage, "d", after("c")), ["d", "default"]);
    assert_eq!(all(&storage, "a", after("b")), [""; 0]);
    drop(storage);
    assert_eq!(all(&bed.open(), "", None), ["a/1", "a/2", "b", "d", "default"]);
}

#[test]
fn a_reader_sees_a_namespace_whole_or_gone_while_it_is_deleted_and_emptied() {
    const ENTRIES: usize = 200;
    let bed = Bed::new();
    let storage = bed.open();
    for _ in 0..10 {
        fill(&storage, NS, ENTRIES);
        std::thread::scope(|scope| {
            let end = scope.spawn(|| {
                assert_eq!(delete_namespace(&storage, NS), Ok(true));
                while storage.sweep(7).unwrap() > 0 {}
            });
            while !end.is_finished() {
                let names = [b"k0".as_slice(), b"k199"];
                let mut found = 0;
                let many = storage.get_many(NS, names.into_iter(), &mut |one| {
                    found += u32::from(one.unwrap().is_some());
                    true
                });
                match many {
                    Ok(_) => assert_eq!(found, 2),
                    Err(error) => assert_eq!(error, Error::NoSuchNamespace),
                }
                match list(&storage, NS, &ALL, usize::MAX) {
                    Ok((entries, _)) => assert_eq!(entries.len(), ENTRIES),
                    Err(error) => assert_eq!(error, Error::NoSuchNamespace),
                }
                match get(&storage, NS, "k7") {
                    Ok(held) => assert!(held.is_some()),
                    Err(error) => assert_eq!(error, Error::NoSuchNamespace),
                }
            }
        });
        assert_eq!(storage.stored_rows(), Ok((0, 0)));
    }
}
