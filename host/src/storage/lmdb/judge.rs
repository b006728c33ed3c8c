//! What an operation means: judges a batch against the state that it finds, and plans what it will do.
//! Owns conditions, versions, sums, quotas and counts; changes no tree.

use std::borrow::Cow;

use heed::RoTxn;

use super::database::Database;
use super::draft::{Draft, Failure};
use super::layout::{self, Counts, DEFAULT_ID, NamespaceId, NamespaceRow, Record, RecordKey};
use super::ledger::Named;
use super::plan::{Plan, Plans, Put};
use crate::clock::Millis;
use crate::storage::error::{Conflict, ConflictKind, Error, Part, WriteError};
use crate::storage::types::{NAMESPACES_MAX, Namespace, Outcome, Quota, Version, is_expired};
use crate::storage::write::{
    Batch, Behavior, Check, Key, Operation, QuotaChanges, Ttl, check_name,
};

/// Bytes of values that are stored already which one batch may write again: they take memory that nobody
/// has sent. The first is always taken.
const COPIED_BYTES_MAX: usize = 64 << 20;

/// A batch on its way, and the namespace as its operations so far leave it.
pub struct Judge<'j, 'd, 'a> {
    database: &'j Database,
    txn: &'j RoTxn<'j>,
    draft: &'j mut Draft<'d>,
    now: Millis,
    /// The newest version before the batch: what it draws itself is nobody's when it is refused.
    newest: Version,
    /// The namespace; None while it is not there.
    pub namespace: Option<Named>,
    /// What will be done.
    pub plans: Plans<'a>,
    /// Bytes of values that were copied into plans.
    copied_bytes: usize,
}

/// A key's state as the operation at hand finds it.
#[derive(Clone, Copy)]
struct Current<'c> {
    version: Version,
    /// Expired means absent.
    present: bool,
    /// What stands there, expired or not, as it is counted and indexed.
    stored: Option<Stored>,
    /// When it expires.
    expiry: Option<Millis>,
    /// Its value.
    value: &'c [u8],
}

/// What must be put right when a record goes.
#[derive(Clone, Copy)]
struct Stored {
    counted: u64,
    indexed: Option<Millis>,
}

/// Nothing, or nothing that can be known.
const ABSENT: Current<'static> =
    Current { version: Version::ABSENT, present: false, stored: None, expiry: None, value: &[] };

impl<'j, 'd, 'a> Judge<'j, 'd, 'a> {
    /// Begins to judge a batch of operations in a namespace.
    pub fn new(
        database: &'j Database,
        txn: &'j RoTxn<'j>,
        draft: &'j mut Draft<'d>,
        namespace: Option<Named>,
        now: Millis,
    ) -> Self {
        let (newest, plans, copied_bytes) = (draft.state.version, Plans::default(), 0);
        Self { database, txn, draft, now, newest, namespace, plans, copied_bytes }
    }

    /// Judges all of a batch. What is drawn and planned counts only when all of it holds.
    pub fn batch(&mut self, name: Option<&str>, batch: &'a Batch) -> Result<Vec<Outcome>, Failure> {
        for (at, check) in batch.checks.iter().enumerate() {
            self.check(check).map_err(|failure| of(failure, Part::Check(at)))?;
        }
        let before = self.namespace.as_ref().map_or(Counts::default(), |named| named.row.counts);
        let count = batch.operations.len();
        self.plans = Plans::for_operations(count);
        let mut outcomes = Vec::with_capacity(count);
        for (at, operation) in batch.operations.iter().enumerate() {
            let (plan, outcome) = self
                .operation(name, operation)
                .map_err(|failure| of(failure, Part::Operation(at)))?;
            self.plans.push(plan, at + 1 < count);
            outcomes.push(outcome);
        }
        self.check_quotas(before)?;
        Ok(outcomes)
    }

    fn check(&self, check: &Check) -> Result<(), Failure> {
        let key = self.record_key(&check.key)?;
        let current = self.current(&key, false)?;
        self.check_version(Some(check.version), current)
    }

    fn operation(
        &mut self,
        name: Option<&str>,
        operation: &'a Operation,
    ) -> Result<(Plan<'a>, Outcome), Failure> {
        match operation {
            Operation::Set { key, value, expected, behavior, ttl } => {
                self.set(key, value, *expected, *behavior, *ttl)
            }
            Operation::Delete { key, expected } => self.delete(key, *expected),
            Operation::Touch { key, expected, ttl } => self.touch(key, *expected, *ttl),
            Operation::Add { .. } => self.add(operation),
            Operation::Configure(quotas) => self.configure(name, *quotas),
            Operation::DeleteNamespace => self.delete_namespace(),
        }
    }

    fn set(
        &mut self,
        key: &Key,
        value: &'a [u8],
        expected: Option<Version>,
        behavior: Behavior,
        ttl: Option<Ttl>,
    ) -> Result<(Plan<'a>, Outcome), Failure> {
        let expiry = self.expiry(ttl)?;
        let unconditional = expected.is_none() && behavior == Behavior::Upsert;
        let key = self.record_key(key)?;
        let current = self.current(&key, unconditional)?;
        self.check_version(expected, current)?;
        self.check_behavior(behavior, current)?;
        let (present, stored) = (current.present, current.stored);
        let (plan, version) = self.put(key, Cow::Borrowed(value), expiry, stored)?;
        Ok((plan, Outcome::Set { version, existed: present }))
    }

    fn delete(
        &mut self,
        key: &Key,
        expected: Option<Version>,
    ) -> Result<(Plan<'a>, Outcome), Failure> {
        let key = self.record_key(key)?;
        let current = self.current(&key, expected.is_none())?;
        self.check_version(expected, current)?;
        let Some(Stored { counted, indexed }) = current.stored.filter(|_| current.present) else {
            let version = self.draft.state.version;
            return Ok((Plan::Nothing, Outcome::Deleted { existed: false, version }));
        };
        self.count(Some(counted), None);
        let version = self.draft.draw_version()?;
        Ok((Plan::Remove { key, indexed }, Outcome::Deleted { existed: true, version }))
    }

    fn touch(
        &mut self,
        key: &Key,
        expected: Option<Version>,
        ttl: Option<Ttl>,
    ) -> Result<(Plan<'a>, Outcome), Failure> {
        let expiry = self.expiry(ttl)?;
        let key = self.record_key(key)?;
        let current = self.current(&key, false)?;
        self.check_version(expected, current)?;
        self.check_behavior(Behavior::Update, current)?;
        let (value, stored) = (current.value.to_vec(), current.stored);
        if self.copied_bytes > 0 && self.copied_bytes + value.len() > COPIED_BYTES_MAX {
            return Err(Error::TooLarge.into());
        }
        self.copied_bytes += value.len();
        let (plan, version) = self.put(key, Cow::Owned(value), expiry, stored)?;
        Ok((plan, Outcome::Set { version, existed: true }))
    }

    fn add(&mut self, operation: &Operation) -> Result<(Plan<'a>, Outcome), Failure> {
        let Operation::Add { key, delta, initial, bounds, expected, ttl } = operation else {
            return Err(Error::Failed("no add".to_owned()).into());
        };
        let made = self.expiry(*ttl)?;
        let key = self.record_key(key)?;
        let current = self.current(&key, false)?;
        self.check_version(*expected, current)?;
        let (before, expiry) = match current.present {
            true => (number(current.value), current.expiry),
            false => (Some(*initial), made),
        };
        let before = before.ok_or_else(|| self.conflict(ConflictKind::NotANumber, current))?;
        let sum = before.checked_add(*delta);
        let sum = sum.ok_or_else(|| self.conflict(ConflictKind::Overflow, current))?;
        if !bounds.contains(&sum) {
            return Err(self.conflict(ConflictKind::OutOfBounds, current));
        }
        let stored = current.stored;
        let text = sum.to_string().into_bytes();
        let (plan, version) = self.put(key, Cow::Owned(text), expiry, stored)?;
        Ok((plan, Outcome::Added { sum, version }))
    }

    fn configure(
        &mut self,
        name: Option<&str>,
        quotas: QuotaChanges,
    ) -> Result<(Plan<'a>, Outcome), Failure> {
        let named = match self.namespace.take() {
            Some(named) => named,
            None => self.new_namespace(name.ok_or(Error::InvalidName)?)?,
        };
        let Named { name, mut row } = named;
        row.updated = self.now;
        row.quotas.keys_max = quotas.keys.of(row.quotas.keys_max);
        row.quotas.bytes_max = quotas.bytes.of(row.quotas.bytes_max);
        let namespace = Namespace { created: row.created, updated: row.updated };
        self.namespace = Some(Named { name, row });
        let version = self.draft.draw_version()?;
        Ok((Plan::Nothing, Outcome::Configured { namespace, version }))
    }

    fn new_namespace(&mut self, name: &str) -> Result<Named, Failure> {
        check_name(name.as_bytes())?;
        if self.draft.ledger.len() >= NAMESPACES_MAX {
            tracing::warn!(NAMESPACES_MAX, "there are as many namespaces as there may be");
            return Err(Error::TooManyNamespaces.into());
        }
        let id = self.draft.state.next_namespace;
        let next = id.0.checked_add(1).ok_or(Error::Unavailable("namespace ids are used up"))?;
        self.draft.state.next_namespace = NamespaceId(next);
        let (quotas, counts) = Default::default();
        let row = NamespaceRow { id, created: self.now, updated: self.now, quotas, counts };
        Ok(Named { name: name.into(), row })
    }

    fn delete_namespace(&mut self) -> Result<(Plan<'a>, Outcome), Failure> {
        let Some(named) = &self.namespace else {
            let version = self.draft.state.version;
            return Ok((Plan::Nothing, Outcome::Deleted { existed: false, version }));
        };
        if named.row.id == DEFAULT_ID {
            return Err(Error::InvalidName.into());
        }
        self.namespace = None;
        let version = self.draft.draw_version()?;
        Ok((Plan::Nothing, Outcome::Deleted { existed: true, version }))
    }

    /// Plans to write a record in place of what is `stored`.
    fn put(
        &mut self,
        key: RecordKey,
        value: Cow<'a, [u8]>,
        expiry: Option<Millis>,
        stored: Option<Stored>,
    ) -> Result<(Plan<'a>, Version), Failure> {
        let counted = (key.key().len() + value.len()) as u64;
        self.count(stored.map(|stored| stored.counted), Some(counted));
        let version = self.draft.draw_version()?;
        let replaced = stored.and_then(|stored| stored.indexed);
        Ok((Plan::Put(Put { key, version, expiry, value, replaced }), version))
    }

    /// Counts a record out, and another in.
    fn count(&mut self, out: Option<u64>, into: Option<u64>) {
        let Some(Named { row: NamespaceRow { counts, .. }, .. }) = &mut self.namespace else {
            return;
        };
        let Counts { keys, bytes } = counts;
        *keys = (*keys + u64::from(into.is_some())).saturating_sub(u64::from(out.is_some()));
        *bytes = (*bytes + into.unwrap_or(0)).saturating_sub(out.unwrap_or(0));
    }

    /// Quotas are judged by what all of the batch leaves, and refuse only what makes it more.
    fn check_quotas(&self, before: Counts) -> Result<(), Failure> {
        let Some(Named { row: NamespaceRow { counts, quotas, .. }, .. }) = &self.namespace else {
            return Ok(());
        };
        let over = |has: u64, had: u64, most: Option<u64>| {
            has > had && most.is_some_and(|most| has > most)
        };
        if over(counts.keys, before.keys, quotas.keys_max) {
            return Err(Error::OverQuota(Quota::Keys).into());
        }
        if over(counts.bytes, before.bytes, quotas.bytes_max) {
            return Err(Error::OverQuota(Quota::Bytes).into());
        }
        Ok(())
    }

    fn expiry(&self, ttl: Option<Ttl>) -> Result<Option<Millis>, Failure> {
        Ok(ttl.map(|ttl| ttl.expiry(self.now)).transpose()?)
    }

    fn record_key(&self, key: &Key) -> Result<RecordKey, Failure> {
        let named = self.namespace.as_ref().ok_or(Error::NoSuchNamespace)?;
        let key = RecordKey::new(named.row.id, key.as_bytes());
        Ok(key.ok_or(Error::InvalidName)?)
    }

    /// Reads a key's state, as the plans before it will leave it. A damaged record may be overwritten
    /// or deleted when no condition asks what is in it.
    fn current(&self, key: &RecordKey, unconditional: bool) -> Result<Current<'_>, Failure> {
        match self.plans.of(key) {
            Some(Plan::Put(put)) => {
                let counted = (key.key().len() + put.value.len()) as u64;
                let stored = Some(Stored { counted, indexed: put.expiry });
                let Put { version, expiry, value, .. } = put;
                let (version, expiry) = (*version, *expiry);
                return Ok(Current { version, present: true, stored, expiry, value });
            }
            Some(Plan::Remove { .. }) => return Ok(ABSENT),
            Some(Plan::Nothing) | None => {}
        }
        let Some(stored) = self.database.main.get(self.txn, key.as_bytes())? else {
            return Ok(ABSENT);
        };
        let counted = layout::counted_bytes(key.as_bytes(), stored);
        let Ok(record) = Record::decode(key.as_bytes(), stored) else {
            if unconditional {
                let indexed = indexed_expiry(self.database, self.txn, key, stored)?;
                let stored = Some(Stored { counted, indexed });
                return Ok(Current { present: true, stored, ..ABSENT });
            }
            return Err(Error::Corrupt.into());
        };
        let Record { version, expiry, value } = record;
        let stored = Some(Stored { counted, indexed: expiry });
        if is_expired(expiry, self.now) {
            return Ok(Current { stored, ..ABSENT });
        }
        Ok(Current { version, present: true, stored, expiry, value })
    }

    fn conflict(&self, kind: ConflictKind, current: Current<'_>) -> Failure {
        let newest = self.newest;
        let current = if current.version > newest { Version::ABSENT } else { current.version };
        Error::Conflict(Conflict { kind, current, newest }).into()
    }

    fn check_version(
        &self,
        expected: Option<Version>,
        current: Current<'_>,
    ) -> Result<(), Failure> {
        match expected {
            Some(expected) if expected != current.version => {
                Err(self.conflict(ConflictKind::VersionMismatch, current))
            }
            _ => Ok(()),
        }
    }

    fn check_behavior(&self, behavior: Behavior, current: Current<'_>) -> Result<(), Failure> {
        match behavior {
            Behavior::Insert if current.present => {
                Err(self.conflict(ConflictKind::AlreadyExists, current))
            }
            Behavior::Update if !current.present => {
                Err(self.conflict(ConflictKind::NotFound, current))
            }
            _ => Ok(()),
        }
    }
}

/// Names the part of a batch that was refused.
fn of(failure: Failure, part: Part) -> Failure {
    match failure {
        Failure::Refused(WriteError { error, .. }) => {
            Failure::Refused(WriteError { part: Some(part), error })
        }
        broken @ Failure::Broken(_) => broken,
    }
}

/// A number as adds write them, and in no other form: decimal, with no sign but a minus, no zero before
/// other digits.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next();
    let is_ours = text == "0" || matches!(first, Some(b'1'..=b'9'));
    if is_ours { text.parse().ok() } else { None }
}

/// The instant under which a damaged record stands in the expiry index: the one that it claims, or,
/// where that is damaged too, the one that a search finds.
fn indexed_expiry(
    database: &Database,
    txn: &RoTxn<'_>,
    key: &RecordKey,
    damaged: &[u8],
) -> Result<Option<Millis>, heed::Error> {
    if let Some(claimed) = layout::claimed_expiry(damaged)
        && database.expiry.get(txn, &key.expiry_key(claimed))?.is_some()
    {
        return Ok(Some(claimed));
    }
    for row in database.expiry.iter(txn)? {
        match layout::decode_expiry_key(row?.0) {
            Ok((expiry, indexed)) if indexed == key.as_bytes() => return Ok(Some(expiry)),
            _ => {}
        }
    }
    Ok(None)
}
