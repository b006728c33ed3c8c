//! Writers that load a server and know what must be there afterwards: each has keys of its own, and
//! takes what it was told for granted and what it was not told for possible. Knows operations; knows
//! nothing of how a server is stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;

use crate::op::{Behavior, Entry, Op, Outcome, Store};
use crate::rounds::Tally;

/// Far longer than any trial runs: what has it does not expire in it.
const TTL_MS: u64 = 1_000_000_000;
/// Longest value: from rows that share a page to rows with pages of their own.
const VALUE_BYTES_MAX: usize = 6000;

/// What a key holds, as its writer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// A value, with the version if it was told, and with an expiry or without.
    Present {
        /// The value.
        value: String,
        /// Its version; None when the write was never answered.
        version: Option<u64>,
        /// Whether it expires.
        expires: bool,
    },
}

impl State {
    fn of(entry: Option<&Entry>) -> Self {
        entry.map_or(State::Absent, |entry| State::Present {
            value: entry.value.clone(),
            version: Some(entry.version),
            expires: entry.expiry.is_some(),
        })
    }

    /// Whether an entry that was read is what this state says.
    #[must_use]
    pub fn fits(&self, entry: Option<&Entry>) -> bool {
        match (self, entry) {
            (State::Absent, None) => true,
            (State::Present { value, version, expires }, Some(entry)) => {
                *value == entry.value
                    && version.is_none_or(|version| version == entry.version)
                    && *expires == entry.expiry.is_some()
            }
            _ => false,
        }
    }
}

/// A key's state, and what it may have become since.
#[derive(Clone, Debug)]
struct Known {
    sure: State,
    possible: Vec<State>,
}

/// One writer's keys and what it knows of them.
#[derive(Clone, Debug)]
pub struct Writer {
    name: String,
    keys: HashMap<String, Known>,
    /// What each key has held, as far as it was acknowledged, oldest first.
    history: HashMap<String, Vec<State>>,
    count: u64,
    value_bytes_max: usize,
    rng: Rng,
    newest: Arc<AtomicU64>,
}

impl Writer {
    /// A writer of `keys` keys that hold nothing yet. `newest` is the newest version that any
    /// writer was told.
    #[must_use]
    pub fn new(name: String, keys: usize, rng: Rng, newest: Arc<AtomicU64>) -> Self {
        let known = Known { sure: State::Absent, possible: Vec::new() };
        let keys = (0..keys).map(|key| (format!("{name}/{key}"), known.clone())).collect();
        let (history, value_bytes_max) = (HashMap::new(), VALUE_BYTES_MAX);
        Self { name, keys, history, count: 0, value_bytes_max, rng, newest }
    }

    /// Writes until `stop`, or until an answer does not come.
    ///
    /// # Errors
    /// An answer that cannot be right.
    pub fn write(
        &mut self,
        store: &mut dyn Store,
        stop: &AtomicBool,
        tally: &mut Tally,
    ) -> Result<(), String> {
        while !stop.load(Ordering::Acquire) {
            if !self.step(store, tally)? {
                break;
            }
        }
        Ok(())
    }

    /// One write; false when its answer did not come.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn step(&mut self, store: &mut dyn Store, tally: &mut Tally) -> Result<bool, String> {
        let number = self.rng.usize(..self.keys.len());
        let key = format!("{}/{number}", self.name);
        let op = self.draw(&key);
        let before = self.newest.load(Ordering::Acquire);
        let outcome = store.call(&key, &op);
        let wrong = |what: &str| Err(format!("{key}: {op:?} was answered {outcome:?}: {what}"));
        let Some(known) = self.keys.get_mut(&key) else { return Ok(true) };
        let after = after(&op);
        match &outcome {
            Outcome::Written(version) if *version <= before => {
                return wrong(&format!("version {before} had been given out before"));
            }
            Outcome::Written(version) => {
                self.newest.fetch_max(*version, Ordering::AcqRel);
                known.sure = with_version(after, *version);
                known.possible.clear();
                self.history.entry(key).or_default().push(known.sure.clone());
                tally.add("acknowledgements", 1);
            }
            Outcome::Deleted(existed) => {
                if known.possible.is_empty() && *existed != (known.sure != State::Absent) {
                    return wrong(&format!("it holds {:?}", known.sure));
                }
                known.sure = State::Absent;
                known.possible.clear();
                self.history.entry(key).or_default().push(State::Absent);
                tally.add("acknowledgements", 1);
            }
            Outcome::Conflict(_) => return wrong(&format!("it holds {:?}", known.sure)),
            Outcome::Refused(..) => tally.add("refusals", 1),
            Outcome::Truncated(_) => return wrong("the answer is not whole"),
            Outcome::Unknown(_) => {
                known.possible.push(after);
                tally.add("unanswered", 1);
                return Ok(false);
            }
            Outcome::Got(_) => return wrong("nothing was asked"),
        }
        Ok(true)
    }

    /// A write that must succeed, as far as the key is known.
    fn draw(&mut self, key: &str) -> Op {
        self.count += 1;
        let known = &self.keys[key];
        let sure = known.possible.is_empty().then_some(&known.sure);
        let version = match sure {
            Some(State::Absent) => Some(0),
            Some(State::Present { version, .. }) => *version,
            None => None,
        };
        let kind = self.rng.u8(..10);
        if kind < 2 {
            return Op::Delete { expected: version.filter(|_| kind == 0) };
        }
        let id = format!("{}-{}", self.name, self.count);
        let value = value(&id, self.value_bytes_max, &mut self.rng);
        let behavior = match sure {
            Some(State::Absent) if kind == 2 => Behavior::Insert,
            Some(State::Present { .. }) if kind == 3 => Behavior::Update,
            _ => Behavior::Upsert,
        };
        let ttl_ms = (kind > 7).then_some(TTL_MS);
        Op::Set { value, ttl_ms, behavior, expected: version.filter(|_| kind == 4 || kind == 5) }
    }

    /// Reads every key and finds out whether what must be there is. What was read is known then.
    ///
    /// # Errors
    /// The first key that holds something else.
    pub fn verify(&mut self, store: &mut dyn Store) -> Result<(), String> {
        for (key, known) in &mut self.keys {
            let outcome = store.call(key, &Op::Get);
            let Outcome::Got(entry) = outcome else {
                return Err(format!("{key}: the get was answered {outcome:?}"));
            };
            let entry = entry.as_ref();
            let fits = known.sure.fits(entry) || known.possible.iter().any(|may| may.fits(entry));
            if !fits {
                return Err(format!("{key} holds {entry:?}, but must hold {known:?}"));
            }
            if let Some(entry) = entry {
                self.newest.fetch_max(entry.version, Ordering::AcqRel);
            }
            *known = Known { sure: State::of(entry), possible: Vec::new() };
        }
        Ok(())
    }
}

/// What a store that was restored holds must be one commit's: for each key what was known `before` or
/// what was written since, and nothing older than what another key holds.
///
/// # Errors
/// The first key that holds something else.
pub fn verify_one_commit(
    before: &[Writer],
    since: &[Writer],
    store: &mut dyn Store,
) -> Result<(), String> {
    let mut found = Vec::new();
    for (before, since) in before.iter().zip(since) {
        for (key, known) in &before.keys {
            let outcome = store.call(key, &Op::Get);
            let Outcome::Got(entry) = outcome else {
                return Err(format!("{key}: the get was answered {outcome:?}"));
            };
            let behind = before.history.get(key).map_or(0, Vec::len);
            let later = since.history.get(key).map_or(&[][..], |states| &states[behind..]);
            let fits = |state: &State| state.fits(entry.as_ref());
            if !fits(&known.sure) && !later.iter().any(fits) {
                return Err(format!("{key} holds {entry:?}, not {known:?} nor any of {later:?}"));
            }
            found.push((key, entry.map_or(0, |entry| entry.version), later));
        }
    }
    let commit = found.iter().map(|(_, version, _)| *version).max().unwrap_or(0);
    for (key, version, later) in found {
        let missed = later.iter().find(|state| {
            matches!(state, State::Present { version: Some(written), .. }
                if version > 0 && (version + 1..=commit).contains(written))
        });
        if let Some(missed) = missed {
            return Err(format!(
                "{key} holds version {version}, and not {missed:?}, though there is version {commit}"
            ));
        }
    }
    Ok(())
}

/// A value that begins with `id`, of any length, short ones more often.
fn value(id: &str, bytes_max: usize, rng: &mut Rng) -> String {
    let length = rng.usize(..bytes_max) >> rng.u32(..8);
    let letter = rng.lowercase();
    format!("{id} {}", String::from(letter).repeat(length))
}

fn after(op: &Op) -> State {
    match op {
        Op::Set { value, ttl_ms, .. } => {
            State::Present { value: value.clone(), version: None, expires: ttl_ms.is_some() }
        }
        Op::Delete { .. } | Op::Get => State::Absent,
    }
}

fn with_version(state: State, told: u64) -> State {
    match state {
        State::Present { value, expires, .. } => {
            State::Present { value, version: Some(told), expires }
        }
        State::Absent => State::Absent,
    }
}

/// Several writers and what they share.
pub struct Crew {
    /// The writers.
    pub writers: Vec<Writer>,
    newest: Arc<AtomicU64>,
}

impl Crew {
    /// So many writers with so many keys each. `name` keeps their keys apart from other crews'.
    #[must_use]
    pub fn new(name: &str, writers: usize, keys: usize, rng: &mut Rng) -> Self {
        let newest = Arc::new(AtomicU64::new(0));
        let writer =
            |number| Writer::new(format!("{name}{number}"), keys, rng.fork(), Arc::clone(&newest));
        Self { writers: (0..writers).map(writer).collect(), newest: Arc::clone(&newest) }
    }

    /// Has values be no longer than this, so that a store stays small.
    pub fn limit_values(&mut self, bytes_max: usize) {
        self.writers.iter_mut().for_each(|writer| writer.value_bytes_max = bytes_max);
    }

    /// What each key has held, as far as it was acknowledged, and what was on its way at the end.
    #[must_use]
    pub fn histories(&self) -> HashMap<String, Vec<State>> {
        let all = self.writers.iter().flat_map(|writer| &writer.keys);
        let history = |key: &str| {
            self.writers.iter().find_map(|writer| writer.history.get(key)).into_iter().flatten()
        };
        all.map(|(key, known)| {
            (key.clone(), history(key).chain(&known.possible).cloned().collect())
        })
        .collect()
    }

    /// The newest version that any of them was told.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Has all of them write, each through a store of its own, while `meanwhile` runs; ends them
    /// when it has ended, or when their answers do not come any more.
    ///
    /// # Errors
    /// The first answer that cannot be right.
    pub fn write<S: Store + Send, T>(
        &mut self,
        store: impl Fn() -> S,
        tally: &mut Tally,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<T, String> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let started: Vec<_> = self
                .writers
                .iter_mut()
                .map(|writer| {
                    let (mut store, stop) = (store(), &stop);
                    scope.spawn(move || {
                        let mut tally = Tally::default();
                        let result = writer.write(&mut store, stop, &mut tally);
                        (result, tally)
                    })
                })
                .collect();
            let done = meanwhile();
            stop.store(true, Ordering::Release);
            let mut failed = Ok(());
            for thread in started {
                let Ok((result, counted)) = thread.join() else {
                    return Err("a writer panicked".to_owned());
                };
                tally.merge(&counted);
                failed = failed.and(result);
            }
            failed.map(|()| done)
        })
    }

    /// Has all of them verify.
    ///
    /// # Errors
    /// The first key that does not hold what it must.
    pub fn verify(&mut self, store: &mut dyn Store) -> Result<(), String> {
        self.writers.iter_mut().try_for_each(|writer| writer.verify(store))
    }
}
