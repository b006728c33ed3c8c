//! A store in memory: maps that answer what the store must answer, as simply as can be. Knows no file, thread or
//! transaction. What is read of it is `reads`'s, and what it is asked `history`'s.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod history;
pub mod reads;

use std::collections::BTreeMap;

use larder::clock::Millis;
use larder::storage::{
    Batch, Behavior, Conflict, ConflictKind, DEFAULT_NAMESPACE, Error, Key, Namespace, Operation,
    Outcome, Part, Quota, QuotaChanges, Quotas, Ttl, Version, WriteError, WriteResult,
};

/// What a key holds, expired or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub version: u64,
    pub expiry: Option<u64>,
    pub value: Vec<u8>,
}

impl Held {
    pub fn is_live(&self, now: u64) -> bool {
        self.expiry.is_none_or(|expiry| now < expiry)
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    pub id: u32,
    pub namespace: Namespace,
    pub quotas: Quotas,
    /// Expired ones too, until they are swept.
    pub entries: BTreeMap<Vec<u8>, Held>,
}

impl Space {
    fn new(id: u32, now: u64) -> Self {
        let namespace = Namespace { created: Millis(now), updated: Millis(now) };
        Self { id, namespace, quotas: Quotas::default(), entries: BTreeMap::new() }
    }

    /// A full count: keys, and bytes of keys and values.
    pub fn count(&self) -> (u64, u64) {
        let bytes = self.entries.iter().map(|(key, held)| (key.len() + held.value.len()) as u64);
        (self.entries.len() as u64, bytes.sum())
    }

    pub fn get(&self, key: &[u8], now: u64) -> Option<&Held> {
        self.entries.get(key).filter(|held| held.is_live(now))
    }
}

/// What a batch is meant for, as it is known when it is submitted.
#[derive(Clone, Debug)]
pub enum Target {
    Id(u32),
    Name(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub spaces: BTreeMap<String, Space>,
    /// Those that were deleted and are not empty yet.
    pub gone: BTreeMap<u32, Space>,
    pub version: u64,
    next_id: u32,
}

impl Model {
    pub fn new(now: u64) -> Self {
        let spaces = [(DEFAULT_NAMESPACE.to_owned(), Space::new(1, now))].into();
        Self { spaces, gone: BTreeMap::new(), version: 0, next_id: 2 }
    }

    /// What a batch in a namespace is meant for.
    pub fn target(&self, name: &str, batch: &Batch) -> Result<Target, WriteError> {
        let by_name =
            |op: &Operation| matches!(op, Operation::Configure(_) | Operation::DeleteNamespace);
        if batch.operations.iter().any(by_name) {
            return Ok(Target::Name(name.to_owned()));
        }
        let space = self.spaces.get(name).ok_or(Error::NoSuchNamespace)?;
        Ok(Target::Id(space.id))
    }

    /// Applies a batch, whole or not at all.
    pub fn write(&mut self, target: &Target, batch: &Batch, now: u64) -> WriteResult {
        let name = match target {
            Target::Name(name) => name.clone(),
            Target::Id(id) => {
                let named = self.spaces.iter().find(|(_, space)| space.id == *id);
                named.map_or(String::new(), |(name, _)| name.clone())
            }
        };
        let mut next = Change { model: self.clone(), newest: self.version, name, now };
        let had = next.space().map_or((0, 0), Space::count);
        for (index, check) in batch.checks.iter().enumerate() {
            let part = Some(Part::Check(index));
            let current = next.current(&check.key).map(|held| held.map_or(0, |held| held.version));
            let holds = current.and_then(|current| next.expect(Some(check.version), current));
            holds.map_err(|error| WriteError { part, error })?;
        }
        let mut outcomes = Vec::new();
        for (index, operation) in batch.operations.iter().enumerate() {
            let part = Some(Part::Operation(index));
            let outcome = next.apply(operation);
            outcomes.push(outcome.map_err(|error| WriteError { part, error })?);
        }
        if let Ok(space) = next.space() {
            let has = space.count();
            let over =
                |has: u64, had: u64, most: Option<u64>| has > had && has > most.unwrap_or(u64::MAX);
            if over(has.0, had.0, space.quotas.keys_max) {
                return Err(Error::OverQuota(Quota::Keys).into());
            }
            if over(has.1, had.1, space.quotas.bytes_max) {
                return Err(Error::OverQuota(Quota::Bytes).into());
            }
        }
        *self = next.model;
        Ok(outcomes)
    }
}

/// A copy of the model on which a batch is tried.
struct Change {
    model: Model,
    /// The newest version before the batch.
    newest: u64,
    name: String,
    now: u64,
}

impl Change {
    fn space(&self) -> Result<&Space, Error> {
        self.model.spaces.get(&self.name).ok_or(Error::NoSuchNamespace)
    }

    /// What a key holds that has not expired.
    fn current(&self, key: &Key) -> Result<Option<Held>, Error> {
        Ok(self.space()?.get(key.as_bytes(), self.now).cloned())
    }

    /// A conflict never tells a version that its own batch drew: it is nobody's.
    fn conflict(&self, kind: ConflictKind, current: u64) -> Error {
        let current = Version(if current > self.newest { 0 } else { current });
        Error::Conflict(Conflict { kind, current, newest: Version(self.newest) })
    }

    fn expect(&self, expected: Option<Version>, current: u64) -> Result<(), Error> {
        match expected {
            Some(expected) if expected.0 != current => {
                Err(self.conflict(ConflictKind::VersionMismatch, current))
            }
            _ => Ok(()),
        }
    }

    fn draw(&mut self) -> Version {
        self.model.version += 1;
        Version(self.model.version)
    }

    fn expiry(&self, ttl: Option<Ttl>) -> Option<u64> {
        ttl.map(|ttl| ttl.expiry(Millis(self.now)).unwrap().0)
    }

    fn put(&mut self, key: &Key, value: Vec<u8>, expiry: Option<u64>) -> Version {
        let version = self.draw();
        let held = Held { version: version.0, expiry, value };
        let space = self.model.spaces.get_mut(&self.name).unwrap();
        space.entries.insert(key.as_bytes().to_vec(), held);
        version
    }

    fn apply(&mut self, operation: &Operation) -> Result<Outcome, Error> {
        match operation {
            Operation::Configure(quotas) => Ok(self.configure(*quotas)),
            Operation::DeleteNamespace => self.delete_namespace(),
            Operation::Set { key, expected, .. }
            | Operation::Delete { key, expected }
            | Operation::Touch { key, expected, .. }
            | Operation::Add { key, expected, .. } => {
                let held = self.current(key)?;
                self.expect(*expected, held.as_ref().map_or(0, |held| held.version))?;
                self.apply_to(key, held, operation)
            }
        }
    }

    fn apply_to(
        &mut self,
        key: &Key,
        held: Option<Held>,
        operation: &Operation,
    ) -> Result<Outcome, Error> {
        let current = held.as_ref().map_or(0, |held| held.version);
        match operation {
            Operation::Set { value, behavior, ttl, .. } => {
                if *behavior == Behavior::Insert && held.is_some() {
                    return Err(self.conflict(ConflictKind::AlreadyExists, current));
                }
                if *behavior == Behavior::Update && held.is_none() {
                    return Err(self.conflict(ConflictKind::NotFound, current));
                }
                let version = self.put(key, value.to_vec(), self.expiry(*ttl));
                Ok(Outcome::Set { version, existed: held.is_some() })
            }
            Operation::Touch { ttl, .. } => {
                let held = held.ok_or_else(|| self.conflict(ConflictKind::NotFound, 0))?;
                let version = self.put(key, held.value, self.expiry(*ttl));
                Ok(Outcome::Set { version, existed: true })
            }
            Operation::Add { delta, initial, bounds, ttl, .. } => {
                let (before, expiry) = match held {
                    Some(held) => (number(&held.value), held.expiry),
                    None => (Some(*initial), self.expiry(*ttl)),
                };
                let refused = |kind| self.conflict(kind, current);
                let before = before.ok_or_else(|| refused(ConflictKind::NotANumber))?;
                let sum = i128::from(before) + i128::from(*delta);
                let sum = i64::try_from(sum).map_err(|_| refused(ConflictKind::Overflow))?;
                if sum < *bounds.start() || sum > *bounds.end() {
                    return Err(refused(ConflictKind::OutOfBounds));
                }
                let version = self.put(key, sum.to_string().into_bytes(), expiry);
                Ok(Outcome::Added { sum, version })
            }
            _ if held.is_none() => {
                let version = Version(self.model.version);
                Ok(Outcome::Deleted { existed: false, version })
            }
            _ => {
                let space = self.model.spaces.get_mut(&self.name).unwrap();
                space.entries.remove(key.as_bytes());
                Ok(Outcome::Deleted { existed: true, version: self.draw() })
            }
        }
    }

    fn configure(&mut self, changes: QuotaChanges) -> Outcome {
        let (now, model) = (self.now, &mut self.model);
        let space = model.spaces.entry(self.name.clone()).or_insert_with(|| {
            model.next_id += 1;
            Space::new(model.next_id - 1, now)
        });
        space.namespace.updated = Millis(now);
        space.quotas.keys_max = changes.keys.of(space.quotas.keys_max);
        space.quotas.bytes_max = changes.bytes.of(space.quotas.bytes_max);
        let namespace = space.namespace;
        Outcome::Configured { namespace, version: self.draw() }
    }

    fn delete_namespace(&mut self) -> Result<Outcome, Error> {
        if self.name == DEFAULT_NAMESPACE {
            return Err(Error::InvalidName);
        }
        let Some(space) = self.model.spaces.remove(&self.name) else {
            let version = Version(self.model.version);
            return Ok(Outcome::Deleted { existed: false, version });
        };
        if !space.entries.is_empty() {
            self.model.gone.insert(space.id, space);
        }
        Ok(Outcome::Deleted { existed: true, version: self.draw() })
    }
}

/// A number in the form in which adds write it.
fn number(value: &[u8]) -> Option<i64> {
    let text = String::from_utf8(value.to_vec()).ok()?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}
