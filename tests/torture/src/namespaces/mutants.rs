//! Histories of namespaces by hand: right ones that must pass, and for each a broken server's, one after the
//! other in time, that must not.

use super::checker::{Event, check};
use super::op::{
    Behavior, Change, Changed, Entry, Fault, Listing, Op, Outcome, Part, Quota, Row, Usage,
};

/// Operations one after the other.
fn is_right(history: &[(Op, Outcome)]) -> bool {
    at_times(history, |_| 0)
}

fn at_times(history: &[(Op, Outcome)], now: impl Fn(usize) -> u64) -> bool {
    let event = |(at, (op, outcome)): (usize, &(Op, Outcome))| Event {
        op: op.clone(),
        outcome: outcome.clone(),
        begun: 2 * at as u64,
        ended: (!matches!(outcome, Outcome::Unknown(_))).then_some(2 * at as u64 + 1),
        now: now(at),
    };
    let events: Vec<Event> = history.iter().enumerate().map(event).collect();
    check(&events).is_ok()
}

/// The beginning that all have in common, and a last operation with an answer that must be right and others
/// that must not.
fn judged(begin: &[(Op, Outcome)], op: &Op, right: &[Outcome], wrong: &[Outcome]) {
    let with = |outcome: &Outcome| [begin, &[(op.clone(), outcome.clone())]].concat();
    for outcome in right {
        assert!(is_right(&with(outcome)), "{op:?} {outcome:?}");
    }
    for outcome in wrong {
        assert!(!is_right(&with(outcome)), "{op:?} {outcome:?}");
    }
}

fn made(version: u64) -> (Op, Outcome) {
    (Op::Configure { keys_max: None, bytes_max: None }, Outcome::Configured(version))
}

fn set(key: &str, value: &str) -> Change {
    let (key, value) = (key.to_owned(), value.to_owned());
    Change::Set { key, value, ttl_ms: None, behavior: Behavior::Upsert, expected: None }
}

fn written(key: &str, value: &str, version: u64) -> (Op, Outcome) {
    (Op::One(set(key, value)), done(&[Changed::Written(version)], version))
}

fn done(results: &[Changed], newest: u64) -> Outcome {
    Outcome::Done { results: results.to_vec(), newest }
}

fn all() -> Op {
    let (prefix, after) = (String::new(), None);
    Op::List(Listing { prefix, after, limit: 100, reverse: false, values: true })
}

fn page(rows: &[(&str, &str, u64)], newest: u64) -> Outcome {
    let row = |(key, value, version): &(&str, &str, u64)| {
        let (key, value) = ((*key).to_owned(), Some((*value).to_owned()));
        Row { key, value, version: *version, expiry: None }
    };
    Outcome::Page { rows: rows.iter().map(row).collect(), after: None, newest }
}

fn entry(value: &str, version: u64) -> Entry {
    Entry { value: value.to_owned(), version, expiry: None }
}

fn many(entries: &[Option<(&str, u64)>], newest: u64) -> Outcome {
    let entry = |found: &Option<(&str, u64)>| found.map(|(value, version)| entry(value, version));
    Outcome::Many { entries: entries.iter().map(entry).collect(), newest }
}

fn add(key: &str, delta: i64) -> Op {
    let (key, initial) = (key.to_owned(), 0);
    Op::One(Change::Add { key, delta, initial, max: None, ttl_ms: None, expected: None })
}

fn used(keys: u64, bytes: u64, keys_max: Option<u64>) -> Outcome {
    Outcome::Used(Usage { keys, bytes, keys_max, bytes_max: None })
}

#[test]
fn a_page_of_two_snapshots_is_refused() {
    let begin = [made(1), written("a", "1", 2), written("b", "1", 3), written("a", "2", 4)];
    let wrong = [
        page(&[("a", "1", 2), ("b", "1", 3)], 4),
        page(&[("a", "1", 2), ("b", "1", 3)], 3),
        page(&[("a", "2", 4)], 4),
        page(&[("b", "1", 3), ("a", "2", 4)], 4),
        page(&[("a", "2", 4), ("b", "1", 3)], 3),
    ];
    judged(&begin, &all(), &[page(&[("a", "2", 4), ("b", "1", 3)], 4)], &wrong);
    // While both are written, a page has the first, or both, and never the second alone.
    let writes = [written("a", "2", 4), written("b", "2", 5)];
    for (rows, fits) in [
        ([("a", "1", 2), ("b", "1", 3)], true),
        ([("a", "2", 4), ("b", "1", 3)], true),
        ([("a", "2", 4), ("b", "2", 5)], true),
        ([("a", "1", 2), ("b", "2", 5)], false),
    ] {
        let newest = rows.iter().map(|(_, _, version)| *version).max().unwrap_or(0);
        let history = [&begin[..3], &writes[..], &[(all(), page(&rows, newest))]].concat();
        let event = |(at, (op, outcome)): (usize, (Op, Outcome))| {
            let reads = at == 5;
            let (begun, ended) = if reads { (6, 11) } else { (2 * at as u64, 2 * at as u64 + 1) };
            Event { op, outcome, begun, ended: Some(ended), now: 0 }
        };
        let events: Vec<Event> = history.into_iter().enumerate().map(event).collect();
        assert_eq!(check(&events).is_ok(), fits, "{rows:?}");
    }
}

#[test]
fn keys_that_were_read_at_two_instants_are_refused() {
    let begin = [made(1), written("a", "1", 2), written("b", "1", 3), written("a", "2", 4)];
    let op = Op::GetMany(["b", "a", "x"].map(str::to_owned).to_vec());
    let right = [many(&[Some(("1", 3)), Some(("2", 4)), None], 4)];
    let wrong = [
        many(&[Some(("1", 3)), Some(("1", 2)), None], 4),
        many(&[None, Some(("2", 4)), None], 4),
        many(&[Some(("1", 3)), Some(("2", 4)), None], 3),
        many(&[Some(("1", 3)), Some(("2", 4))], 4),
    ];
    judged(&begin, &op, &right, &wrong);
}

#[test]
fn a_batch_that_is_half_applied_is_refused() {
    let (checks, changes) = (Vec::new(), vec![set("a", "1"), set("b", "1")]);
    let batch = Op::Batch { checks, changes };
    let both = done(&[Changed::Written(2), Changed::Written(3)], 3);
    let begin = [made(1), (batch.clone(), both)];
    let wrong = [page(&[("a", "1", 2)], 3), page(&[("b", "1", 3)], 3), page(&[], 3)];
    judged(&begin, &all(), &[page(&[("a", "1", 2), ("b", "1", 3)], 3)], &wrong);
    // One that nobody was told of is there whole, or not at all.
    let begin = [made(1), (batch, Outcome::Unknown(String::new()))];
    let right = [page(&[], 1), page(&[("a", "1", 2), ("b", "1", 3)], 3)];
    let wrong = [page(&[("a", "1", 2)], 2), page(&[("a", "1", 3), ("b", "1", 3)], 2)];
    judged(&begin, &all(), &right, &wrong);
}

#[test]
fn a_check_that_is_judged_after_the_changes_is_refused() {
    let begin = [made(1), written("a", "1", 2)];
    let with = |version: u64| Op::Batch {
        checks: vec![("a".to_owned(), version)],
        changes: vec![Change::Delete { key: "a".to_owned(), expected: None }],
    };
    let did = done(&[Changed::Deleted(true)], 3);
    let refused = |part, fault| Outcome::Conflict { part, fault, newest: 2 };
    let conflict = refused(Part::Check(0), Fault::Version);
    // Before the changes it has version 2, after them none.
    judged(&begin, &with(2), std::slice::from_ref(&did), std::slice::from_ref(&conflict));
    judged(&begin, &with(0), &[conflict], &[did, refused(Part::Change(0), Fault::Version)]);
}

#[test]
fn an_add_that_is_lost_is_refused() {
    let added = |sum, version| done(&[Changed::Added(sum, version)], version);
    let begin = [made(1), (add("n", 2), added(2, 2)), (add("n", 3), added(5, 3))];
    judged(&begin, &add("n", -1), &[added(4, 4)], &[added(1, 4), added(2, 4), added(4, 3)]);
    let get = Op::Get("n".to_owned());
    let got = |value, version| Outcome::Got(Some(entry(value, version)));
    judged(&begin, &get, &[got("5", 3)], &[got("2", 2), got("3", 3), Outcome::Got(None)]);
    let conflict = |fault| Outcome::Conflict { part: Part::Change(0), fault, newest: 3 };
    judged(&begin, &add("n", i64::MAX), &[conflict(Fault::Overflow)], &[added(4, 4)]);
    let begin = [made(1), written("n", "x", 3)];
    let right = [conflict(Fault::NotANumber)];
    judged(&begin, &add("n", 1), &right, &[added(1, 4), conflict(Fault::NotFound)]);
}

#[test]
fn a_count_that_drifts_is_refused() {
    let delete = Op::One(Change::Delete { key: "a".to_owned(), expected: None });
    let begin = [
        made(1),
        written("a", "1", 2),
        written("bb", "1", 3),
        (delete, done(&[Changed::Deleted(true)], 4)),
        written("bb", "123", 5),
    ];
    let wrong = [used(2, 5, None), used(1, 3, None), used(1, 6, None), used(1, 5, Some(7))];
    judged(&begin, &Op::Usage, &[used(1, 5, None)], &wrong);
    // What has expired counts until it is removed, in one piece.
    let Change::Set { key, value, behavior, expected, .. } = set("a", "12") else { return };
    let expires = Op::One(Change::Set { key, value, ttl_ms: Some(5), behavior, expected });
    let begin = [made(1), (expires, done(&[Changed::Written(2)], 2)), written("b", "1", 3)];
    for (usage, fits) in [
        (used(2, 5, None), true),
        (used(1, 2, None), true),
        (used(2, 2, None), false),
        (used(1, 3, None), false),
        (used(0, 0, None), false),
    ] {
        let history = [&begin[..], &[(Op::Usage, usage.clone())]].concat();
        let late = |at| if at == 3 { 9 } else { 0 };
        assert_eq!(at_times(&history, late), fits, "{usage:?}");
    }
}

#[test]
fn a_write_that_lands_in_the_successor_of_a_deleted_namespace_is_refused() {
    let gone = (Op::DeleteNamespace, Outcome::NamespaceDeleted(true, 3));
    let begin = [made(1), written("a", "1", 2), gone.clone()];
    judged(&begin, &all(), &[Outcome::NoNamespace], &[page(&[], 3), page(&[("a", "1", 2)], 3)]);
    let begin = [made(1), written("a", "1", 2), gone, made(4)];
    let wrong = [page(&[("a", "1", 2)], 4), page(&[("a", "1", 5)], 5), Outcome::NoNamespace];
    judged(&begin, &all(), &[page(&[], 4)], &wrong);
    judged(&begin, &Op::Usage, &[used(0, 0, None)], &[used(1, 2, None)]);
    let again = [Outcome::NamespaceDeleted(true, 5)];
    judged(&begin, &Op::DeleteNamespace, &again, &[Outcome::NamespaceDeleted(false, 4)]);
}

#[test]
fn a_touch_that_loses_a_value_is_refused() {
    let touch = Op::One(Change::Touch { key: "a".to_owned(), ttl_ms: None, expected: None });
    let begin = [made(1), written("a", "1", 2), (touch.clone(), done(&[Changed::Written(3)], 3))];
    let wrong = [page(&[("a", "", 3)], 3), page(&[], 3), page(&[("a", "1", 2)], 3)];
    judged(&begin, &all(), &[page(&[("a", "1", 3)], 3)], &wrong);
    let not_found = Outcome::Conflict { part: Part::Change(0), fault: Fault::NotFound, newest: 1 };
    judged(&[made(1)], &touch, &[not_found], &[done(&[Changed::Written(2)], 2)]);
}

#[test]
fn a_quota_that_is_exceeded_is_refused() {
    let limited = (
        Op::Configure { keys_max: Some(Some(1)), bytes_max: Some(Some(4)) },
        Outcome::Configured(1),
    );
    let (full, bytes) = (Outcome::Full(Quota::Keys), Outcome::Full(Quota::Bytes));
    let did = done(&[Changed::Written(3)], 3);
    let begin = [limited, written("a", "1", 2)];
    let second = Op::One(set("b", "1"));
    judged(&begin, &second, std::slice::from_ref(&full), &[did.clone(), bytes.clone()]);
    judged(
        &begin,
        &Op::One(set("a", "123")),
        std::slice::from_ref(&did),
        &[full.clone(), bytes.clone()],
    );
    judged(&begin, &Op::One(set("a", "1234")), std::slice::from_ref(&bytes), &[did, full.clone()]);
    // The sum counts: one goes, another comes.
    let delete = Change::Delete { key: "a".to_owned(), expected: None };
    let batch = Op::Batch { checks: Vec::new(), changes: vec![set("b", "1"), delete] };
    let both = done(&[Changed::Written(3), Changed::Deleted(true)], 4);
    judged(&begin, &batch, &[both], &[full]);
    // What is there beyond a quota stays, and may become less.
    let lower = Op::Configure { keys_max: None, bytes_max: Some(Some(1)) };
    let begin = [&begin[..], &[written("a", "123", 3), (lower, Outcome::Configured(4))]].concat();
    let less = done(&[Changed::Written(5)], 5);
    judged(
        &begin,
        &Op::One(set("a", "12")),
        std::slice::from_ref(&less),
        std::slice::from_ref(&bytes),
    );
    judged(&begin, &Op::One(set("a", "1234")), &[bytes], &[less]);
}
