//! The store against a model: random histories on a driven clock, with groups of batches, sweeps and restarts,
//! must answer exactly what maps in memory answer, and count what a full count finds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bed;
mod model;

use std::collections::BTreeMap;

use bytes::Bytes;
use larder::clock::Millis;
use larder::storage::{Batch, Check, Error, Key, Listing, Operation, Storage, Ttl, Version};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use self::model::history::{
    Change, Expected, KEYS, Kind, List, PREFIXES, SPACES, Step, Write, history,
};
use self::model::reads::Rows;
use self::model::{Held, Model};

struct Bed {
    bed: bed::Bed,
    /// The highest instant that the store must go by.
    now: u64,
    storage: Option<Storage>,
    model: Model,
}

impl Bed {
    fn new() -> Self {
        let bed = bed::Bed::new();
        let (now, storage) = (bed::START.0, Some(bed.open()));
        Self { bed, now, storage, model: Model::new(now) }
    }

    fn storage(&self) -> &Storage {
        self.storage.as_ref().unwrap()
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Write(writes) => self.write(writes),
            Step::Get(space, key) => self.check_get(SPACES[*space], KEYS[*key]),
            Step::Many(space, keys, limit) => self.check_many(SPACES[*space], keys, *limit),
            Step::List(space, lists) => {
                lists.iter().for_each(|list| self.check_list(SPACES[*space], list));
            }
            Step::Namespaces(prefix, after) => self.check_namespaces(*prefix, *after),
            Step::Advance(ms) => {
                self.bed.driver.advance(*ms);
                self.now += ms;
            }
            Step::WallBack(ms) => self.bed.driver.step_wall_to(Millis(bed::START.0 - ms)),
            Step::Sweep(rows) => {
                let swept = self.model.sweep(*rows, self.now);
                assert_eq!(self.storage().sweep(*rows), Ok(swept));
            }
            Step::Restart => {
                self.storage().close();
                self.storage = None;
                self.storage = Some(self.bed.open());
            }
        }
    }

    fn write(&mut self, writes: &[Write]) {
        let batches: Vec<_> = writes.iter().map(|write| self.batch(write)).collect();
        let held = (batches.len() > 1).then(|| bed::hold(self.storage()));
        let mut tickets = Vec::new();
        for (name, batch) in batches {
            let target = self.model.target(name, &batch);
            let ticket = self.storage().submit(name, batch.clone());
            assert_eq!(ticket.as_ref().err(), target.as_ref().err());
            tickets.extend(ticket.ok().zip(target.ok()).map(|both| (both, batch)));
        }
        drop(held);
        for ((ticket, target), batch) in tickets {
            let wanted = self.model.write(&target, &batch, self.now);
            assert_eq!(ticket.wait(), wanted);
        }
        self.check_usage();
    }

    fn batch(&self, write: &Write) -> (&'static str, Batch) {
        let operations = |space: &usize, changes: &[Change]| -> Vec<Operation> {
            changes.iter().map(|change| self.operation(SPACES[*space], change)).collect()
        };
        match write {
            Write::Batch { space, checks, changes } => {
                let checks = checks.iter().filter_map(|(key, expected)| {
                    let version = self.expected(SPACES[*space], *key, *expected)?;
                    Some(Check { key: key_of(*key), version })
                });
                let (checks, operations) = (checks.collect(), operations(space, changes));
                (SPACES[*space], Batch { checks, operations })
            }
            Write::Configure { space, quotas, changes } => {
                let mut all = vec![Operation::Configure(*quotas)];
                all.extend(operations(space, changes));
                (SPACES[*space], all.into())
            }
            Write::Delete { space } => (SPACES[*space], vec![Operation::DeleteNamespace].into()),
        }
    }

    fn operation(&self, space: &str, change: &Change) -> Operation {
        let Change { key, expected, ttl, kind } = change;
        let expected = self.expected(space, *key, *expected);
        let (key, ttl) = (key_of(*key), ttl.map(|ms| Ttl::new(ms).unwrap()));
        match kind.clone() {
            Kind::Set { value, behavior } => {
                Operation::Set { key, value: Bytes::from(value), expected, behavior, ttl }
            }
            Kind::Delete => Operation::Delete { key, expected },
            Kind::Touch => Operation::Touch { key, expected, ttl },
            Kind::Add { delta, initial, bounds: (least, most) } => {
                Operation::Add { key, delta, initial, bounds: least..=most, expected, ttl }
            }
        }
    }

    fn expected(&self, space: &str, key: usize, expected: Expected) -> Option<Version> {
        let current = self.model.get(space, KEYS[key], self.now).map_or(0, |held| held.version);
        match expected {
            Expected::Any => None,
            Expected::Absent => Some(Version::ABSENT),
            Expected::Current => Some(Version(current)),
            Expected::Stale => Some(Version(current.saturating_sub(1))),
            Expected::Drawn(nth) => Some(Version(self.model.version + nth)),
        }
    }

    fn check_get(&self, space: &str, key: &[u8]) {
        let got = self.storage().get(space, key, held);
        let wanted = match self.model.spaces.get(space) {
            None => Err(Error::NoSuchNamespace),
            Some(space) => Ok(space.get(key, self.now).cloned()),
        };
        assert_eq!(got, wanted, "{space} {key:?}");
    }

    fn check_many(&self, space: &str, keys: &[usize], limit: usize) {
        let mut found = Vec::new();
        let asked = keys.iter().map(|key| KEYS[*key]);
        let newest = self.storage().get_many(space, asked, &mut |one| {
            let has_room = found.len() < limit;
            if has_room {
                found.push(one.unwrap().map(held));
            }
            has_room
        });
        let Some(space) = self.model.spaces.get(space) else {
            assert_eq!(newest, Err(Error::NoSuchNamespace));
            return;
        };
        let wanted = keys.iter().take(limit);
        let wanted: Vec<_> = wanted.map(|key| space.get(KEYS[*key], self.now).cloned()).collect();
        assert_eq!((found, newest), (wanted, Ok(Version(self.model.version))));
    }

    fn check_list(&self, space: &str, list: &List) {
        let List { prefixes, after, reverse, values, rows_max, limit } = list;
        let (prefixes, after) = (PREFIXES[*prefixes], after.as_deref());
        let (reverse, values, rows_max) = (*reverse, *values, *rows_max);
        let listing = Listing { prefixes, after, reverse, values, rows_max };
        let mut found = Rows::new();
        let end = self.storage().list(space, &listing, &mut |listed| {
            let has_room = found.len() < *limit;
            if has_room {
                found.push((listed.key.to_vec(), held(listed.entry.unwrap())));
            }
            has_room
        });
        let wanted = self.model.list(space, &listing, *limit, self.now);
        let wanted = wanted.ok_or(Error::NoSuchNamespace);
        assert_eq!(end.map(|end| (found, end)), wanted, "{space} {listing:?}");
    }

    fn check_namespaces(&self, prefix: usize, after: Option<usize>) {
        let (prefix, after) = (["", "a", "d", "x"][prefix], after.map(|after| SPACES[after]));
        let found = self.storage().next_namespace(prefix, after);
        let found = found.map(|(name, namespace)| (name.to_string(), namespace));
        let is_next =
            |name: &str| name.starts_with(prefix) && after.is_none_or(|after| name > after);
        let wanted = self.model.spaces.iter().find(|(name, _)| is_next(name));
        assert_eq!(found, wanted.map(|(name, space)| (name.clone(), space.namespace)));
    }

    /// What is counted is what a full count finds.
    fn check_usage(&self) {
        for name in SPACES {
            let got = self.storage().usage(name);
            let got = got.map(|usage| ((usage.keys, usage.bytes), usage.quotas));
            let space = self.model.spaces.get(name);
            let wanted = space.map(|space| (space.count(), space.quotas));
            assert_eq!(got, wanted.ok_or(Error::NoSuchNamespace), "{name}");
            let namespace = space.map(|space| space.namespace);
            assert_eq!(self.storage().namespace(name), namespace.ok_or(Error::NoSuchNamespace));
        }
    }

    /// Everything is in its place, and after a full sweep nothing else is stored.
    fn check_all(&mut self) {
        for (space, key) in SPACES.iter().flat_map(|space| KEYS.map(|key| (space, key))) {
            self.check_get(space, key);
        }
        self.check_usage();
        assert_eq!(self.storage().stored_rows(), Ok(self.model.stored()));
        while self.model.sweep(7, self.now) > 0 {
            self.storage().sweep(7).unwrap();
        }
        assert_eq!(self.storage().sweep(7), Ok(0));
        self.check_usage();
        assert_eq!(self.storage().stored_rows(), Ok(self.model.stored()));
        let live: BTreeMap<_, _> = self.model.spaces.iter().collect();
        let expired = live.values().flat_map(|space| space.entries.values());
        assert_eq!(expired.filter(|held| !held.is_live(self.now)).count(), 0);
    }
}

fn held(entry: larder::storage::Entry<'_>) -> Held {
    let expiry = entry.expiry.map(|expiry| expiry.0);
    Held { version: entry.version.0, expiry, value: entry.value.to_vec() }
}

fn key_of(key: usize) -> Key {
    Key::new(KEYS[key]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(8624), ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_what_the_model_answers(steps in history()) {
        let mut bed = Bed::new();
        for step in &steps {
            bed.run(step);
        }
        bed.check_all();
    }
}
