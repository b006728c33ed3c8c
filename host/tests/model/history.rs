//! The steps of random histories. Knows neither the store nor what it must answer.

use larder::storage::{Behavior, DEFAULT_NAMESPACE, QuotaChange, QuotaChanges};
use proptest::collection::vec;
use proptest::prelude::*;

pub const SPACES: [&str; 4] = [DEFAULT_NAMESPACE, "a", "ab", "b"];
pub const KEYS: [&[u8]; 8] =
    [b"a", b"a/", b"a/1", b"a0", b"b", b"b\xff", b"b\xff\xff", "é".as_bytes()];
/// What an add refuses to add to.
const NO_NUMBERS: &[&str] = &["", "+1", " 1", "007", "-0", "1.0", "99999999999999999999"];
/// Sets of prefixes of which none begins with another, in order.
pub const PREFIXES: [&[&str]; 6] = [&[""], &["a"], &["a/", "b"], &["a0", "é"], &["b", "x"], &[]];

#[derive(Clone, Debug)]
pub enum Step {
    /// Several at once are one group, which is judged one after the other.
    Write(Vec<Write>),
    Get(usize, usize),
    Many(usize, Vec<usize>, usize),
    List(usize, Vec<List>),
    Namespaces(usize, Option<usize>),
    Advance(u64),
    WallBack(u64),
    Sweep(usize),
    Restart,
}

#[derive(Clone, Debug)]
pub enum Write {
    Batch { space: usize, checks: Vec<(usize, Expected)>, changes: Vec<Change> },
    Configure { space: usize, quotas: QuotaChanges, changes: Vec<Change> },
    Delete { space: usize },
}

#[derive(Clone, Debug)]
pub struct List {
    pub prefixes: usize,
    pub after: Option<Vec<u8>>,
    pub reverse: bool,
    pub values: bool,
    pub rows_max: usize,
    pub limit: usize,
}

#[derive(Clone, Debug)]
pub struct Change {
    pub key: usize,
    pub expected: Expected,
    pub ttl: Option<u64>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Set { value: Vec<u8>, behavior: Behavior },
    Delete,
    Touch,
    Add { delta: i64, initial: i64, bounds: (i64, i64) },
}

/// The version that a write expects, told by where it comes from.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    Any,
    Absent,
    Current,
    Stale,
    /// One that the batch may draw itself.
    Drawn(u64),
}

/// Mostly the first two, so that they have entries.
fn space() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..2_usize, 1 => 0..SPACES.len()]
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        24 => Just(Expected::Any),
        1 => Just(Expected::Absent),
        3 => Just(Expected::Current),
        1 => Just(Expected::Stale),
        1 => (1..4_u64).prop_map(Expected::Drawn),
    ]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![6 => -20..20_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (any::<u8>(), 0..300_usize).prop_map(|(byte, length)| vec![byte; length]),
        4 => number().prop_map(|number| number.to_string().into_bytes()),
        1 => proptest::sample::select(NO_NUMBERS).prop_map(|text| text.into()),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let behavior = prop_oneof![
        12 => Just(Behavior::Upsert), 1 => Just(Behavior::Insert), 1 => Just(Behavior::Update),
    ];
    let bounds = prop_oneof![3 => Just((i64::MIN, i64::MAX)), 1 => (-15..0_i64, 0..15_i64)];
    prop_oneof![
        10 => (value(), behavior).prop_map(|(value, behavior)| Kind::Set { value, behavior }),
        2 => Just(Kind::Delete),
        1 => Just(Kind::Touch),
        3 => (number(), number(), bounds)
            .prop_map(|(delta, initial, bounds)| Kind::Add { delta, initial, bounds }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let ttl = proptest::option::weighted(0.3, 1..5000_u64);
    (0..KEYS.len(), expected(), ttl, kind()).prop_map(|(key, expected, ttl, kind)| Change {
        key,
        expected,
        ttl,
        kind,
    })
}

/// Mostly few, so that many batches hold.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop_oneof![6 => vec(change(), 1..4), 1 => vec(change(), 1..20)]
}

fn quota(most: u64) -> impl Strategy<Value = QuotaChange> {
    prop_oneof![
        6 => Just(QuotaChange::Keep),
        1 => Just(QuotaChange::Lift),
        1 => (0..most).prop_map(QuotaChange::Limit),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let checks = prop_oneof![3 => Just(vec![]), 1 => vec((0..KEYS.len(), expected()), 1..4)];
    let quotas = (quota(8), quota(1000)).prop_map(|(keys, bytes)| QuotaChanges { keys, bytes });
    let more = prop_oneof![2 => Just(vec![]), 1 => vec(change(), 1..4)];
    prop_oneof![
        20 => (space(), checks, changes())
            .prop_map(|(space, checks, changes)| Write::Batch { space, checks, changes }),
        3 => (space(), quotas, more)
            .prop_map(|(space, quotas, changes)| Write::Configure { space, quotas, changes }),
        1 => space().prop_map(|space| Write::Delete { space }),
    ]
}

fn list() -> impl Strategy<Value = List> {
    let others: [&[u8]; 4] = [b"", b"a/0", b"b\xff\xff\xff", b"zz"];
    let after = proptest::sample::select([KEYS.as_slice(), &others].concat());
    let after = proptest::option::of(after.prop_map(<[u8]>::to_vec));
    let few = prop_oneof![2 => Just(100_usize), 1 => 1..4_usize];
    (0..PREFIXES.len(), after, any::<bool>(), any::<bool>(), few.clone(), few).prop_map(
        |(prefixes, after, reverse, values, rows_max, limit)| List {
            prefixes,
            after,
            reverse,
            values,
            rows_max,
            limit,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let keys = vec(0..KEYS.len(), 0..6);
    prop_oneof![
        12 => vec(write(), 1..4).prop_map(Step::Write),
        2 => (space(), 0..KEYS.len()).prop_map(|(space, key)| Step::Get(space, key)),
        2 => (space(), keys, 1..6_usize)
            .prop_map(|(space, keys, limit)| Step::Many(space, keys, limit)),
        6 => (space(), vec(list(), 1..6)).prop_map(|(space, lists)| Step::List(space, lists)),
        1 => (0..4_usize, proptest::option::of(space()))
            .prop_map(|(prefix, after)| Step::Namespaces(prefix, after)),
        4 => (1..1500_u64).prop_map(Step::Advance),
        1 => (1..1_000_000_000_u64).prop_map(Step::WallBack),
        3 => (1..10_usize).prop_map(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

/// A history, in which the second namespace is there from the start.
pub fn history() -> impl Strategy<Value = Vec<Step>> {
    let quotas = QuotaChanges::default();
    let first = Step::Write(vec![Write::Configure { space: 1, quotas, changes: vec![] }]);
    vec(step(), 1..80).prop_map(move |steps| [vec![first.clone()], steps].concat())
}
