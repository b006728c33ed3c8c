//! What lists and reads of many keys promise, one fact a test, on a driven clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bed;

use larder::storage::{
    DEFAULT_NAMESPACE, Error, Key, ListEnd, Listing, NAME_BYTES_MAX, Operation, Storage, Version,
};

use self::bed::{ALL, Bed, apply, configure, keys, list, put, set, set_for};

/// The namespace of most tests.
const NS: &str = DEFAULT_NAMESPACE;

fn set_all(storage: &Storage, namespace: &str, names: &[&str]) {
    let sets: Vec<Operation> = names.iter().map(|name| set(name, format!("of {name}"))).collect();
    apply(storage, namespace, sets).unwrap();
}

#[test]
fn a_list_has_all_of_a_namespace_in_the_order_of_bytes_and_nothing_of_its_neighbours() {
    let bed = Bed::new();
    let storage = bed.open();
    for namespace in ["before", "ns", "behind"] {
        configure(&storage, namespace);
    }
    set_all(&storage, "ns", &["b", "a", "a/b", "B", "é", "a0", "~"]);
    for neighbour in ["before", "behind", NS] {
        set_all(&storage, neighbour, &["0", "a", "z"]);
    }
    // A key that nothing is greater than.
    let last = [u8::MAX; NAME_BYTES_MAX];
    let mut sets = vec![set("x", "")];
    if let Operation::Set { key, .. } = &mut sets[0] {
        *key = Key::new(&last).unwrap();
    }
    apply(&storage, "ns", sets).unwrap();
    let names = |listing: &Listing<'_>| {
        let names = keys(&storage, "ns", listing);
        names.into_iter().map(|name| name[..name.len().min(8)].to_owned()).collect::<Vec<_>>()
    };
    let mut wanted = vec!["B", "a", "a/b", "a0", "b", "~", r"\xc3\xa9", r"\xff\xff"];
    assert_eq!(names(&ALL), wanted);
    wanted.reverse();
    assert_eq!(names(&Listing { reverse: true, ..ALL }), wanted);
}

#[test]
fn prefixes_select_and_the_list_goes_from_one_to_the_next() {
    let bed = Bed::new();
    let storage = bed.open();
    set_all(&storage, NS, &["a", "a/1", "a/2", "a0", "b/1", "c", "c/1"]);
    let with = |prefixes, after: Option<&str>, reverse| {
        let after = after.map(str::as_bytes);
        keys(&storage, NS, &Listing { prefixes, after, reverse, ..ALL })
    };
    assert_eq!(with(&["a/"], None, false), ["a/1", "a/2"]);
    assert_eq!(with(&["a/", "c"], None, false), ["a/1", "a/2", "c", "c/1"]);
    assert_eq!(with(&["a/", "c"], None, true), ["c/1", "c", "a/2", "a/1"]);
    assert_eq!(with(&["a/", "c"], Some("a/1"), false), ["a/2", "c", "c/1"]);
    assert_eq!(with(&["a/", "c"], Some("b"), false), ["c", "c/1"]);
    assert_eq!(with(&["a/", "c"], Some("b"), true), ["a/2", "a/1"]);
    assert_eq!(with(&["a/", "c"], Some("c"), true), ["a/2", "a/1"]);
    assert_eq!(with(&["a/", "c"], Some("c/1"), false), [""; 0]);
    assert_eq!(with(&["a/", "c"], Some(""), false), ["a/1", "a/2", "c", "c/1"]);
    assert_eq!(with(&["a/", "c"], Some(""), true), [""; 0]);
    assert_eq!(with(&["a/", "c"], Some("zz"), true), ["c/1", "c", "a/2", "a/1"]);
    assert_eq!(with(&["x"], None, false), [""; 0]);
    assert_eq!(with(&[], None, false), [""; 0]);
}

/// The keys of all pages of so many entries and rows, and how many pages there were.
fn paged(storage: &Storage, listing: &Listing<'_>, limit: usize) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut after) = (Vec::new(), 0, None::<Vec<u8>>);
    loop {
        let listing = Listing { after: after.as_deref().or(listing.after), ..*listing };
        let (entries, end) = list(storage, NS, &listing, limit).unwrap();
        assert!(entries.len() <= limit);
        found.extend(entries.into_iter().map(|(key, _)| key));
        pages += 1;
        match end.after {
            None => return (found, pages),
            next => after = next,
        }
    }
}

#[test]
fn pages_join_without_a_gap_or_an_overlap() {
    let bed = Bed::new();
    let storage = bed.open();
    set_all(&storage, NS, &["a1", "a2", "a3", "b1", "c1", "c2"]);
    for reverse in [false, true] {
        let listing = Listing { prefixes: &["a", "c"], reverse, ..ALL };
        let all = keys(&storage, NS, &listing);
        assert_eq!(all.len(), 5);
        for limit in 1..=5 {
            // A page that is full tells of a next one only when there is one.
            assert_eq!(paged(&storage, &listing, limit), (all.clone(), 5_usize.div_ceil(limit)));
            let listing = Listing { rows_max: limit, ..listing };
            assert_eq!(paged(&storage, &listing, 100), (all.clone(), 5_usize.div_ceil(limit)));
        }
    }
}

#[test]
fn a_page_tells_where_it_ends_and_the_newest_version() {
    let bed = Bed::new();
    let storage = bed.open();
    let end = |after: Option<&str>, newest| ListEnd {
        after: after.map(|after| after.as_bytes().to_vec()),
        newest: Version(newest),
    };
    assert_eq!(list(&storage, NS, &ALL, 1), Ok((vec![], end(None, 0))));
    set_all(&storage, NS, &["a", "b"]);
    let a = ("a".to_owned(), "of a".to_owned());
    assert_eq!(list(&storage, NS, &ALL, 1), Ok((vec![a.clone()], end(Some("a"), 2))));
    // Of everybody.
    configure(&storage, "other");
    let b = ("b".to_owned(), "of b".to_owned());
    assert_eq!(list(&storage, NS, &ALL, 2), Ok((vec![a, b], end(None, 3))));
}

#[test]
fn a_list_without_values_has_versions_and_expiries() {
    let bed = Bed::new();
    let storage = bed.open();
    let small = put(&storage, NS, set_for("small", "v", Some(1000)));
    let large = put(&storage, NS, set_for("x large", vec![1; 100_000], Some(1000)));
    for values in [false, true] {
        let mut seen = Vec::new();
        let take = &mut |listed: larder::storage::Listed<'_>| {
            let entry = listed.entry.unwrap();
            seen.push((entry.version, entry.expiry.map(|at| at.0), entry.value.len()));
            true
        };
        storage.list(NS, &Listing { values, ..ALL }, take).unwrap();
        let at = Some(bed::START.0 + 1000);
        let length = |length| if values { length } else { 0 };
        assert_eq!(seen, [(small, at, length(1)), (large, at, length(100_000))]);
    }
    // Of neither is anything said any more.
    bed.driver.advance(1000);
    for values in [false, true] {
        assert_eq!(keys(&storage, NS, &Listing { values, ..ALL }), [""; 0]);
    }
}

#[test]
fn more_expired_rows_than_are_looked_at_end_a_page_that_goes_on_behind_them() {
    const EXPIRED: usize = 10_500;
    let bed = Bed::new();
    let storage = bed.open();
    set_all(&storage, NS, &["a", "z"]);
    for some in (0..EXPIRED).collect::<Vec<_>>().chunks(1000) {
        let sets = some.iter().map(|n| set_for(&format!("k{n:05}"), "v", Some(10)));
        apply(&storage, NS, sets.collect::<Vec<_>>()).unwrap();
    }
    bed.driver.advance(10);
    let (entries, end) = list(&storage, NS, &ALL, 1000).unwrap();
    assert_eq!(entries, [("a".to_owned(), "of a".to_owned())]);
    let after = end.after.expect("there is more");
    assert_eq!(after, b"k09998");
    let listing = Listing { after: Some(&after), ..ALL };
    assert_eq!(keys(&storage, NS, &listing), ["z"]);
    // The same from behind, where a page may have no entries at all.
    let listing = Listing { reverse: true, after: Some(b"k10499"), ..ALL };
    let (entries, end) = list(&storage, NS, &listing, 1000).unwrap();
    assert_eq!((entries.len(), end.after.as_deref()), (0, Some(b"k00499".as_slice())));
    assert_eq!(paged(&storage, &listing, 1000), (vec!["a".to_owned()], 2));
}

#[test]
fn a_page_that_reads_many_large_expired_values_ends_early() {
    let bed = Bed::new();
    let storage = bed.open();
    for n in 0..20 {
        put(&storage, NS, set_for(&format!("k{n:02}"), vec![1; 8 << 20], Some(10)));
    }
    set_all(&storage, NS, &["z"]);
    bed.driver.advance(10);
    let (entries, end) = list(&storage, NS, &ALL, 1000).unwrap();
    assert_eq!((entries.len(), end.after), (0, Some(b"k07".to_vec())));
    assert_eq!(paged(&storage, &ALL, 1000), (vec!["z".to_owned()], 3));
    // Without values none of them is read.
    assert_eq!(keys(&storage, NS, &Listing { values: false, ..ALL }), ["z"]);
    let mut seen = 0;
    let names: Vec<String> = (0..20).map(|n| format!("k{n:02}")).collect();
    let names = names.iter().map(String::as_bytes);
    let newest = storage.get_many(NS, names, &mut |found| {
        assert!(matches!(found, Ok(None)));
        seen += 1;
        true
    });
    assert_eq!((seen, newest), (8, Ok(Version(21))));
}

#[test]
fn a_damaged_record_is_marked_in_its_place_and_ends_no_page() {
    let bed = Bed::new();
    let storage = bed.open();
    let rotten = b"a value that is easy to find in the file".repeat(3);
    let large = b"a large value, of which the head alone is read ".repeat(1000);
    set_all(&storage, NS, &["a", "c", "e"]);
    put(&storage, NS, set("b", &rotten));
    put(&storage, NS, set("d", &large));
    drop(storage);
    bed.damage(&rotten, 7);
    bed.damage(&large, 7);
    let storage = bed.open();
    let marks = |values, reverse| {
        let mut marks = String::new();
        let take = &mut |listed: larder::storage::Listed<'_>| {
            marks.push_str(std::str::from_utf8(listed.key).unwrap());
            marks.push_str(if listed.entry.is_none() { "! " } else { " " });
            true
        };
        storage.list(NS, &Listing { values, reverse, ..ALL }, take).unwrap();
        marks
    };
    assert_eq!(marks(true, false), "a b! c d! e ");
    assert_eq!(marks(true, true), "e d! c b! a ");
    assert_eq!(marks(false, false), "a b! c d e ");
    let mut found = Vec::new();
    let asked = [b"e".as_slice(), b"b", b"none", b"a"];
    storage
        .get_many(NS, asked.into_iter(), &mut |one| {
            found.push(one.map(|entry| entry.map(|entry| entry.value.to_vec())));
            true
        })
        .unwrap();
    let wanted = [Ok(Some(b"of e".to_vec())), Err(Error::Corrupt), Ok(None)];
    assert_eq!(found[..3], wanted);
    assert_eq!(found[3], Ok(Some(b"of a".to_vec())));
}

#[test]
fn a_large_record_whose_head_cannot_be_is_marked_without_its_value() {
    // What each damages: the kind, the first byte of the version.
    for offset in [-22, -21] {
        let bed = Bed::new();
        let storage = bed.open();
        let large = b"a large value, of which the head alone is read ".repeat(1000);
        put(&storage, NS, set_for("k", &large, Some(1000)));
        drop(storage);
        bed.damage(&large, offset);
        let storage = bed.open();
        let mut marked = 0;
        let take = &mut |listed: larder::storage::Listed<'_>| {
            marked += u32::from(listed.entry.is_none());
            true
        };
        storage.list(NS, &Listing { values: false, ..ALL }, take).unwrap();
        assert_eq!(marked, 1, "{offset}");
    }
}

#[test]
fn many_keys_are_read_in_the_order_asked_until_one_is_refused() {
    let bed = Bed::new();
    let storage = bed.open();
    set_all(&storage, NS, &["a", "b"]);
    put(&storage, NS, set_for("gone", "v", Some(10)));
    bed.driver.advance(10);
    let read = |asked: &[&str], limit| {
        let mut found = Vec::new();
        let newest = storage.get_many(NS, asked.iter().map(|key| key.as_bytes()), &mut |one| {
            if found.len() == limit {
                return false;
            }
            found.push(one.unwrap().map(|entry| (entry.value.to_vec(), entry.version.0)));
            true
        });
        newest.map(|newest| (found, newest.0))
    };
    let (a, b) = (Some((b"of a".to_vec(), 1)), Some((b"of b".to_vec(), 2)));
    let asked = ["b", "gone", "a", "none", "b"];
    let all = vec![b.clone(), None, a, None, b];
    assert_eq!(read(&asked, 5), Ok((all.clone(), 3)));
    assert_eq!(read(&asked, 3), Ok((all[..3].to_vec(), 3)));
    assert_eq!(read(&[], 3), Ok((vec![], 3)));
    assert_eq!(read(&["a", ""], 3), Err(Error::InvalidName));
}

#[test]
fn what_is_not_there_has_no_list() {
    let bed = Bed::new();
    let storage = bed.open();
    assert_eq!(list(&storage, "none", &ALL, 1), Err(Error::NoSuchNamespace));
    assert_eq!(list(&storage, "", &ALL, 1), Err(Error::InvalidName));
    let none = storage.get_many("none", std::iter::empty(), &mut |_| true);
    assert_eq!(none, Err(Error::NoSuchNamespace));
}

#[test]
fn a_page_is_of_one_instant() {
    const ROUNDS: u32 = 300;
    let bed = Bed::new();
    let storage = bed.open();
    // A key moves from the end to the beginning and back, and exactly one is there at each instant.
    let rename = |from: &str, to: &str| {
        apply(&storage, NS, vec![bed::delete(from), set(to, "v")]).unwrap();
    };
    set_all(&storage, NS, &["a"]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..ROUNDS {
                rename("a", "z");
                rename("z", "a");
            }
        });
        let mut pages = 0;
        while !writer.is_finished() || pages == 0 {
            let mut versions = Vec::new();
            let listing = Listing { prefixes: &["a", "z"], ..ALL };
            let end = storage.list(NS, &listing, &mut |listed| {
                versions.push(listed.entry.unwrap().version);
                true
            });
            // Nobody else writes: it is the newest of all.
            assert_eq!(versions, [end.unwrap().newest]);
            pages += 1;
        }
    });
}
