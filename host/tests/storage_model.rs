//! The store against a model: random operations on a driven clock, with restarts in between, must
//! answer exactly what a map in memory answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use bytes::Bytes;
use larder::clock::{Clock, DrivenClock, Millis};
use larder::storage::{
    Behavior, Conflict, ConflictKind, DEFAULT_NAMESPACE, Error, Key, Operation, Options, Outcome,
    Part, Storage, Ttl, Version, WriteError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const START: Millis = Millis(1_800_000_000_000);

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>),
    Get(u8),
    Advance(u64),
    WallBack(u64),
    Sweep(usize),
    Restart,
}

#[derive(Clone, Debug)]
enum Change {
    Set { key: u8, length: usize, expected: Expected, behavior: Behavior, ttl: Option<u64> },
    Delete { key: u8, expected: Expected },
}

/// The version that a write expects, told by where it comes from.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    Absent,
    Current,
    Stale,
}

#[derive(Clone, Debug, PartialEq)]
struct Held {
    version: u64,
    expiry: Option<u64>,
    value: Vec<u8>,
}

#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<u8, Held>,
    version: u64,
}

impl Model {
    fn get(&self, key: u8, now: u64) -> Option<&Held> {
        self.entries.get(&key).filter(|held| held.expiry.is_none_or(|expiry| now < expiry))
    }

    fn current(&self, key: u8, now: u64) -> u64 {
        self.get(key, now).map_or(0, |held| held.version)
    }

    fn conflict(&self, kind: ConflictKind, current: u64) -> Error {
        let newest = Version(self.version);
        Error::Conflict(Conflict { kind, current: Version(current), newest })
    }

    /// A conflict as it is told: no version that the batch drew itself, for it is nobody's.
    fn told(&self, error: Error) -> Error {
        let Error::Conflict(conflict) = error else { return error };
        let newest = Version(self.version);
        let known = conflict.current <= newest;
        let current = if known { conflict.current } else { Version::ABSENT };
        Error::Conflict(Conflict { current, newest, ..conflict })
    }

    fn write(
        &mut self,
        operations: &[Operation],
        keys: &[u8],
        now: u64,
    ) -> Result<Vec<Outcome>, WriteError> {
        let mut next = self.clone();
        let mut outcomes = Vec::new();
        for (index, (operation, key)) in operations.iter().zip(keys).enumerate() {
            let outcome = next.apply(operation, *key, now);
            let part = Some(Part::Operation(index));
            outcomes.push(outcome.map_err(|error| WriteError { part, error: self.told(error) })?);
        }
        *self = next;
        Ok(outcomes)
    }

    fn apply(&mut self, operation: &Operation, key: u8, now: u64) -> Result<Outcome, Error> {
        let current = self.current(key, now);
        let (Operation::Set { expected, .. } | Operation::Delete { expected, .. }) = operation
        else {
            unreachable!("the model has no namespaces")
        };
        if expected.is_some_and(|expected| expected.0 != current) {
            return Err(self.conflict(ConflictKind::VersionMismatch, current));
        }
        match operation {
            Operation::Set { value, behavior, ttl, .. } => {
                if *behavior == Behavior::Insert && current != 0 {
                    return Err(self.conflict(ConflictKind::AlreadyExists, current));
                }
                if *behavior == Behavior::Update && current == 0 {
                    return Err(self.conflict(ConflictKind::NotFound, current));
                }
                self.version += 1;
                let expiry = ttl.map(|ttl| ttl.expiry(Millis(now)).unwrap().0);
                let held = Held { version: self.version, expiry, value: value.to_vec() };
                self.entries.insert(key, held);
                Ok(Outcome::Set { version: Version(self.version), existed: current != 0 })
            }
            _ if current == 0 => {
                Ok(Outcome::Deleted { existed: false, version: Version(self.version) })
            }
            _ => {
                self.version += 1;
                self.entries.remove(&key);
                Ok(Outcome::Deleted { existed: true, version: Version(self.version) })
            }
        }
    }
}

struct Bed {
    dir: tempfile::TempDir,
    driver: DrivenClock,
    /// The highest instant that the store must go by.
    now: u64,
    storage: Option<Storage>,
    model: Model,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let driver = DrivenClock::at(START);
        let mut bed = Self { dir, driver, now: START.0, storage: None, model: Model::default() };
        bed.open();
        bed
    }

    fn open(&mut self) {
        let options = Options { sweep_interval: None, ..Options::default() };
        let clock = Clock::driven(&self.driver);
        self.storage = Some(Storage::open(&self.dir.path().join("data"), options, clock).unwrap());
    }

    fn storage(&self) -> &Storage {
        self.storage.as_ref().unwrap()
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Write(changes) => self.write(changes),
            Step::Get(key) => self.check(*key),
            Step::Advance(ms) => {
                self.driver.advance(*ms);
                self.now += ms;
            }
            Step::WallBack(ms) => self.driver.step_wall_to(Millis(START.0 - ms)),
            Step::Sweep(rows) => {
                self.storage().sweep(*rows).unwrap();
            }
            Step::Restart => {
                self.storage().close();
                self.storage = None;
                self.open();
            }
        }
    }

    fn write(&mut self, changes: &[Change]) {
        let keys: Vec<u8> = changes
            .iter()
            .map(|(Change::Set { key, .. } | Change::Delete { key, .. })| *key)
            .collect();
        let operations: Vec<Operation> =
            changes.iter().map(|change| self.operation(change)).collect();
        let wanted = self.model.write(&operations, &keys, self.now);
        let got = self.storage().submit(DEFAULT_NAMESPACE, operations).unwrap().wait();
        assert_eq!(got, wanted);
    }

    fn operation(&self, change: &Change) -> Operation {
        match change {
            Change::Set { key, length, expected, behavior, ttl } => Operation::Set {
                key: Key::new(&name(*key)).unwrap(),
                value: Bytes::from(vec![*key; *length]),
                expected: self.expected(*key, *expected),
                behavior: *behavior,
                ttl: ttl.map(|ms| Ttl::new(ms).unwrap()),
            },
            Change::Delete { key, expected } => Operation::Delete {
                key: Key::new(&name(*key)).unwrap(),
                expected: self.expected(*key, *expected),
            },
        }
    }

    fn expected(&self, key: u8, expected: Expected) -> Option<Version> {
        let current = self.model.current(key, self.now);
        match expected {
            Expected::Any => None,
            Expected::Absent => Some(Version::ABSENT),
            Expected::Current => Some(Version(current)),
            Expected::Stale => Some(Version(current.saturating_sub(1))),
        }
    }

    fn check(&self, key: u8) {
        let got = self.storage().get(DEFAULT_NAMESPACE, &name(key), |entry| Held {
            version: entry.version.0,
            expiry: entry.expiry.map(|expiry| expiry.0),
            value: entry.value.to_vec(),
        });
        assert_eq!(got.unwrap().as_ref(), self.model.get(key, self.now), "key {key}");
    }

    /// After a full sweep exactly the live entries are stored, each expiring one with one row.
    fn check_rows(&self) {
        while self.storage().sweep(100).unwrap() > 0 {}
        let live = (0..=u8::MAX).filter_map(|key| self.model.get(key, self.now));
        let (all, expiring) = live.fold((0, 0), |(all, expiring), held| {
            (all + 1, expiring + u64::from(held.expiry.is_some()))
        });
        assert_eq!(self.storage().stored_rows().unwrap(), (all, expiring));
    }
}

fn name(key: u8) -> Vec<u8> {
    format!("key-{key}").into_bytes()
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        3 => Just(Expected::Any),
        1 => Just(Expected::Absent),
        2 => Just(Expected::Current),
        1 => Just(Expected::Stale),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let behavior = prop_oneof![
        3 => Just(Behavior::Upsert), 1 => Just(Behavior::Insert), 1 => Just(Behavior::Update),
    ];
    let set = (0..6_u8, 0..5000_usize, expected(), behavior, proptest::option::of(1..2000_u64));
    prop_oneof![
        3 => set.prop_map(|(key, length, expected, behavior, ttl)| {
            Change::Set { key, length, expected, behavior, ttl }
        }),
        1 => (0..6_u8, expected()).prop_map(|(key, expected)| Change::Delete { key, expected }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(change(), 1..4).prop_map(Step::Write),
        6 => (0..6_u8).prop_map(Step::Get),
        4 => (1..1500_u64).prop_map(Step::Advance),
        1 => (1..1_000_000_000_u64).prop_map(Step::WallBack),
        2 => (1..10_usize).prop_map(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(8624), ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_what_the_model_answers(steps in vec(step(), 1..60)) {
        let mut bed = Bed::new();
        for step in &steps {
            bed.run(step);
        }
        for key in 0..6 {
            bed.check(key);
        }
        bed.check_rows();
    }
}
