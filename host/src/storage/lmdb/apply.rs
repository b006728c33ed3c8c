//! What an operation means: judges it against the current state and carries it out inside the
//! writer's transaction. Owns versions, conflicts and the pairing of a record with its expiry row;
//! knows nothing of queues, threads or commits.

use heed::RwTxn;

use super::database::{Database, Tree};
use super::layout::{self, NamespaceRow, Record, RecordKey, StateRow};
use super::preallocate::Growth;
use crate::clock::Millis;
use crate::storage::error::{Conflict, ConflictKind, Error};
use crate::storage::types::{
    NAME_BYTES_MAX, NAMESPACES_MAX, Namespace, NamespaceId, Outcome, VERSION_LIMIT, Version,
    is_expired,
};
use crate::storage::write::{Behavior, Operation};

/// Bytes of expired records that a sweep reads in one transaction, so that writes do not wait for
/// a disk full of large ones.
const SWEEP_BYTES_MAX: usize = 16 << 20;
/// Mean size from which on values are written in pieces rather than in pages.
const PIECE_BYTES: usize = 64 << 10;

/// Why a list of operations was not applied.
pub enum Failure {
    /// The list was refused; the transaction is as it was before it.
    Refused(Error),
    /// The transaction is broken and must be given up.
    Broken(heed::Error),
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Failure::Broken(error)
    }
}

/// Changes of a transaction that has not been committed yet.
pub struct Draft {
    /// The counters, as they will stand after the commit.
    pub state: StateRow,
    /// Namespaces made or changed.
    pub namespaces: Vec<(String, Namespace)>,
    /// Whether anything was changed at all.
    pub dirty: bool,
    /// Lists that were applied.
    pub lists: u64,
    /// Values that were put, and the bytes of all of them.
    puts: usize,
    put_bytes: usize,
}

impl Draft {
    /// Starts from what is committed.
    pub fn new(state: StateRow) -> Self {
        Self { state, namespaces: Vec::new(), dirty: false, lists: 0, puts: 0, put_bytes: 0 }
    }

    /// What the file grew for, if it did.
    pub fn growth(&self) -> Growth {
        let mean = self.put_bytes / self.puts.max(1);
        if mean < PIECE_BYTES { Growth::Pages } else { Growth::Pieces }
    }

    fn draw_version(&mut self) -> Result<Version, Failure> {
        let next = self.state.version.0 + 1;
        if next >= VERSION_LIMIT {
            return Err(Failure::Refused(Error::Unavailable("the version counter is used up")));
        }
        self.state.version = Version(next);
        Ok(self.state.version)
    }
}

/// What one operation will do, once the whole list is known to hold.
enum Plan<'a> {
    Put { key: &'a RecordKey, record: Record<'a>, old: Option<Millis> },
    Remove { key: &'a RecordKey, old: Option<Millis> },
    Namespace { name: &'a str, namespace: Namespace },
    Token { id: &'a str, content: Option<&'a [u8]> },
    Nothing,
}

/// A key's state as the operation at hand finds it.
#[derive(Clone, Copy)]
struct Current {
    version: Version,
    /// What is stored, expired or not: its expiry row must go when it is replaced.
    stored_expiry: Option<Millis>,
    present: bool,
}

/// Applies a list of operations in order, whole or not at all.
pub fn apply(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft,
    operations: &[Operation],
    now: Millis,
) -> Result<Vec<Outcome>, Failure> {
    let before = draft.state;
    let mut plans = Vec::with_capacity(operations.len());
    let mut outcomes = Vec::with_capacity(operations.len());
    for operation in operations {
        match judge(database, txn, draft, &plans, operation, now) {
            Ok((plan, outcome)) => {
                plans.push(plan);
                outcomes.push(outcome);
            }
            Err(failure) => {
                draft.state = before;
                return Err(failure);
            }
        }
    }
    for plan in plans {
        carry_out(database, txn, draft, plan)?;
    }
    draft.lists += 1;
    Ok(outcomes)
}

fn judge<'a>(
    database: &Database,
    txn: &RwTxn<'_>,
    draft: &mut Draft,
    earlier: &[Plan<'_>],
    operation: &'a Operation,
    now: Millis,
) -> Result<(Plan<'a>, Outcome), Failure> {
    match operation {
        Operation::Set { key, value, expected, behavior, ttl } => {
            let expiry = ttl.map(|ttl| ttl.expiry(now)).transpose().map_err(Failure::Refused)?;
            let unconditional = expected.is_none() && *behavior == Behavior::Upsert;
            let current = current(database, txn, earlier, key, now, unconditional)?;
            check_version(*expected, current, draft)?;
            check_behavior(*behavior, current, draft)?;
            let version = draft.draw_version()?;
            let old = current.stored_expiry;
            let record = Record { version, expiry, value };
            Ok((Plan::Put { key, record, old }, Outcome::Set(version)))
        }
        Operation::Delete { key, expected } => {
            let current = current(database, txn, earlier, key, now, expected.is_none())?;
            check_version(*expected, current, draft)?;
            if !current.present {
                let version = draft.state.version;
                return Ok((Plan::Nothing, Outcome::Deleted { existed: false, version }));
            }
            let version = draft.draw_version()?;
            let plan = Plan::Remove { key, old: current.stored_expiry };
            Ok((plan, Outcome::Deleted { existed: true, version }))
        }
        Operation::Configure(name) => {
            let name = name.as_str();
            let namespace = configured(database, txn, draft, earlier, name, now)?;
            let version = draft.draw_version()?;
            Ok((Plan::Namespace { name, namespace }, Outcome::Configured { namespace, version }))
        }
        Operation::Token { id, content } => {
            if id.is_empty() || id.len() > NAME_BYTES_MAX {
                return Err(Failure::Refused(Error::InvalidName));
            }
            let planned = earlier.iter().rev().find_map(|plan| match plan {
                Plan::Token { id: planned, content } if planned == id => Some(content.is_some()),
                _ => None,
            });
            let existed = match planned {
                Some(existed) => existed,
                None => database.tokens.get(txn, id.as_bytes())?.is_some(),
            };
            let content = content.as_deref();
            let changes = existed || content.is_some();
            let plan = if changes { Plan::Token { id, content } } else { Plan::Nothing };
            Ok((plan, Outcome::Token { existed }))
        }
    }
}

/// Reads a key's state, as the plans before it will leave it. A damaged record may be overwritten
/// or deleted when no condition asks what is in it.
fn current(
    database: &Database,
    txn: &RwTxn<'_>,
    earlier: &[Plan<'_>],
    key: &RecordKey,
    now: Millis,
    unconditional: bool,
) -> Result<Current, Failure> {
    const ABSENT: Current =
        Current { version: Version::ABSENT, stored_expiry: None, present: false };
    for plan in earlier.iter().rev() {
        match plan {
            Plan::Put { key: planned, record, .. } if *planned == key => {
                let Record { version, expiry, .. } = *record;
                return Ok(Current { version, stored_expiry: expiry, present: true });
            }
            Plan::Remove { key: planned, .. } if *planned == key => return Ok(ABSENT),
            _ => {}
        }
    }
    let Some(stored) = database.main.get(txn, key.as_bytes())? else {
        return Ok(ABSENT);
    };
    let Ok(record) = Record::decode(key.as_bytes(), stored) else {
        if unconditional {
            let stored_expiry = indexed_expiry(database, txn, key, stored)?;
            return Ok(Current { present: true, stored_expiry, ..ABSENT });
        }
        return Err(Failure::Refused(Error::Corrupt));
    };
    if is_expired(record.expiry, now) {
        return Ok(Current { stored_expiry: record.expiry, ..ABSENT });
    }
    Ok(Current { version: record.version, stored_expiry: record.expiry, present: true })
}

/// The instant under which a damaged record stands in the expiry index: the one that it claims, or,
/// where that is damaged too, the one that a search finds.
fn indexed_expiry(
    database: &Database,
    txn: &RwTxn<'_>,
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

fn refuse(kind: ConflictKind, current: Current, draft: &Draft) -> Result<(), Failure> {
    let conflict = Conflict { kind, current: current.version, newest: draft.state.version };
    Err(Failure::Refused(Error::Conflict(conflict)))
}

fn check_version(
    expected: Option<Version>,
    current: Current,
    draft: &Draft,
) -> Result<(), Failure> {
    match expected {
        Some(expected) if expected != current.version => {
            refuse(ConflictKind::VersionMismatch, current, draft)
        }
        _ => Ok(()),
    }
}

fn check_behavior(behavior: Behavior, current: Current, draft: &Draft) -> Result<(), Failure> {
    match behavior {
        Behavior::Insert if current.present => refuse(ConflictKind::AlreadyExists, current, draft),
        Behavior::Update if !current.present => refuse(ConflictKind::NotFound, current, draft),
        _ => Ok(()),
    }
}

fn configured(
    database: &Database,
    txn: &RwTxn<'_>,
    draft: &mut Draft,
    earlier: &[Plan<'_>],
    name: &str,
    now: Millis,
) -> Result<Namespace, Failure> {
    let planned = earlier.iter().rev().find_map(|plan| match plan {
        Plan::Namespace { name: planned, namespace } if *planned == name => Some(*namespace),
        _ => None,
    });
    if let Some(namespace) = planned {
        return Ok(Namespace { updated: now, ..namespace });
    }
    if let Some(stored) = database.namespaces.get(txn, name.as_bytes())? {
        let row = NamespaceRow::decode(name.as_bytes(), stored);
        let row = row.map_err(|_| Failure::Refused(Error::Corrupt))?;
        return Ok(Namespace { id: row.id, created: row.created, updated: now });
    }
    let planned = earlier.iter().filter(|plan| matches!(plan, Plan::Namespace { .. })).count();
    if database.namespaces.len(txn)? + planned as u64 >= NAMESPACES_MAX {
        tracing::warn!(NAMESPACES_MAX, "there are as many namespaces as there may be");
        return Err(Failure::Refused(Error::TooManyNamespaces));
    }
    let id = draft.state.next_namespace;
    let Some(next) = id.0.checked_add(1) else {
        return Err(Failure::Refused(Error::Unavailable("namespace ids are used up")));
    };
    draft.state.next_namespace = NamespaceId(next);
    Ok(Namespace { id, created: now, updated: now })
}

fn carry_out(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft,
    plan: Plan<'_>,
) -> Result<(), Failure> {
    match plan {
        Plan::Put { key, record, old } => {
            draft.puts += 1;
            draft.put_bytes += record.value.len();
            put(database, txn, key, &record, old)?;
        }
        Plan::Remove { key, old } => remove(database, txn, key, old)?,
        Plan::Namespace { name, namespace } => {
            let Namespace { id, created, updated } = namespace;
            let row = NamespaceRow { id, created, updated }.encode(name.as_bytes());
            database.namespaces.put(txn, name.as_bytes(), &row)?;
            draft.namespaces.push((name.to_owned(), namespace));
        }
        Plan::Token { id, content: Some(content) } => {
            let row = layout::encode_token(id.as_bytes(), content);
            database.tokens.put(txn, id.as_bytes(), &row)?;
        }
        Plan::Token { id, content: None } => {
            database.tokens.delete(txn, id.as_bytes())?;
        }
        Plan::Nothing => return Ok(()),
    }
    draft.dirty = true;
    Ok(())
}

/// Writes a record together with its expiry row, and drops the row of what it replaces.
fn put(
    database: &Database,
    txn: &mut RwTxn<'_>,
    key: &RecordKey,
    record: &Record<'_>,
    old: Option<Millis>,
) -> Result<(), heed::Error> {
    let header = record.header(key.as_bytes());
    put_joined(database.main, txn, key.as_bytes(), header.as_bytes(), record.value)?;
    if old == record.expiry {
        return Ok(());
    }
    if let Some(old) = old {
        database.expiry.delete(txn, &key.expiry_key(old))?;
    }
    if let Some(expiry) = record.expiry {
        database.expiry.put(txn, &key.expiry_key(expiry), &[])?;
    }
    Ok(())
}

/// Writes header and value straight into the page, without joining them in memory first.
fn put_joined(
    tree: Tree,
    txn: &mut RwTxn<'_>,
    key: &[u8],
    header: &[u8],
    value: &[u8],
) -> Result<(), heed::Error> {
    tree.put_reserved(txn, key, header.len() + value.len(), |space| {
        use std::io::Write as _;
        space.write_all(header)?;
        space.write_all(value)
    })
}

/// Deletes a record together with its expiry row.
fn remove(
    database: &Database,
    txn: &mut RwTxn<'_>,
    key: &RecordKey,
    old: Option<Millis>,
) -> Result<(), heed::Error> {
    database.main.delete(txn, key.as_bytes())?;
    if let Some(old) = old {
        database.expiry.delete(txn, &key.expiry_key(old))?;
    }
    Ok(())
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    /// Rows of the expiry index.
    pub rows: usize,
    /// Records.
    pub records: usize,
}

/// Removes expired records, up to `rows_max` index rows, and returns how many of each it removed.
/// Each record is read again before it goes: a row alone proves nothing.
pub fn sweep(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft,
    rows_max: usize,
    now: Millis,
) -> Result<Swept, Failure> {
    let mut due = Vec::new();
    for row in database.expiry.iter(txn)? {
        let (row, _) = row?;
        match layout::decode_expiry_key(row) {
            Ok((expiry, _)) if expiry > now => break,
            _ => due.push(row.to_vec()),
        }
        if due.len() == rows_max {
            break;
        }
    }
    let (mut swept, mut bytes) = (Swept::default(), 0);
    for row in &due {
        if bytes > SWEEP_BYTES_MAX {
            break;
        }
        if let Ok((expiry, key)) = layout::decode_expiry_key(row) {
            let stored = database.main.get(txn, key)?;
            bytes += stored.map_or(0, <[u8]>::len);
            let record = stored.map(|stored| Record::decode(key, stored));
            if matches!(record, Some(Ok(record)) if record.expiry == Some(expiry)) {
                database.main.delete(txn, key)?;
                swept.records += 1;
            }
        }
        database.expiry.delete(txn, row)?;
        draft.dirty = true;
        swept.rows += 1;
    }
    Ok(swept)
}
