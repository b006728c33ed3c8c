//! What an operation means: judges it against the current state and carries it out inside the
//! writer's transaction. Owns versions, conflicts and the pairing of a record with its expiry row;
//! knows nothing of queues, threads or commits.

use heed::RwTxn;

use super::database::{Database, Tree};
use super::layout::{self, NamespaceId, NamespaceRow, Record, RecordKey, StateRow};
use super::preallocate::Growth;
use super::queue::Work;
use crate::clock::Millis;
use crate::storage::error::{Conflict, ConflictKind, Error, WriteError};
use crate::storage::types::{
    NAMESPACES_MAX, Namespace, Outcome, VERSION_LIMIT, Version, is_expired,
};
use crate::storage::write::{Behavior, Key, Operation, check_name};

/// Mean size from which on values are written in pieces rather than in pages.
const PIECE_BYTES: usize = 64 << 10;

/// Why a list of operations was not applied.
pub enum Failure {
    /// The list was refused; the transaction is as it was before it.
    Refused(WriteError),
    /// The transaction is broken and must be given up.
    Broken(heed::Error),
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Failure::Broken(error)
    }
}

fn refused(error: Error) -> Failure {
    Failure::Refused(error.into())
}

/// Changes of a transaction that has not been committed yet.
pub struct Draft {
    /// The counters, as they will stand after the commit.
    pub state: StateRow,
    /// Namespaces made or changed.
    pub namespaces: Vec<(String, NamespaceRow)>,
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
            return Err(refused(Error::Unavailable("the version counter is used up")));
        }
        self.state.version = Version(next);
        Ok(self.state.version)
    }
}

/// What one operation will do, once the whole list is known to hold.
enum Plan<'a> {
    Put { key: RecordKey, record: Record<'a>, old: Option<Millis> },
    Remove { key: RecordKey, old: Option<Millis> },
    Namespace { name: &'a str, row: NamespaceRow },
    SystemRow { tree: Tree, id: &'a str, content: Option<&'a [u8]> },
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

/// The namespace that a list of operations works in.
#[derive(Clone, Copy)]
struct Target<'a> {
    id: Option<NamespaceId>,
    name: Option<&'a str>,
}

impl Target<'_> {
    /// The stored form of a key in it, once it is there or planned.
    fn record_key(self, earlier: &[Plan<'_>], key: &Key) -> Result<RecordKey, Failure> {
        let planned = || {
            earlier.iter().find_map(|plan| match plan {
                Plan::Namespace { row, .. } => Some(row.id),
                _ => None,
            })
        };
        let id = self.id.or_else(planned).ok_or_else(|| refused(Error::NoSuchNamespace))?;
        RecordKey::new(id, key.as_bytes()).ok_or_else(|| refused(Error::InvalidName))
    }
}

/// Applies a piece of work, whole or not at all; operations in their order.
pub fn apply(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft,
    work: &Work,
    now: Millis,
) -> Result<Vec<Outcome>, Failure> {
    let outcomes = match work {
        Work::Operations { namespace, name, list } => {
            let target = Target { id: *namespace, name: name.as_deref() };
            apply_list(database, txn, draft, target, list, now)?
        }
        Work::SystemRow { table, id, content } => {
            let tree = database.system_tree(*table);
            let (plan, existed) = judge_row(tree, txn, id, content.as_deref())?;
            carry_out(database, txn, draft, plan)?;
            vec![Outcome::SystemRow { existed }]
        }
    };
    draft.lists += 1;
    Ok(outcomes)
}

fn apply_list(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft,
    target: Target<'_>,
    operations: &[Operation],
    now: Millis,
) -> Result<Vec<Outcome>, Failure> {
    let before = draft.state;
    let mut plans = Vec::with_capacity(operations.len());
    let mut outcomes = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        match judge(database, txn, draft, target, &plans, operation, now) {
            Ok((plan, outcome)) => {
                plans.push(plan);
                outcomes.push(outcome);
            }
            Err(failure) => {
                draft.state = before;
                return Err(match failure {
                    Failure::Refused(WriteError { error, .. }) => {
                        Failure::Refused(WriteError { operation: Some(index), error })
                    }
                    broken @ Failure::Broken(_) => broken,
                });
            }
        }
    }
    for plan in plans {
        carry_out(database, txn, draft, plan)?;
    }
    Ok(outcomes)
}

/// What writing a row of the host's own will do, and whether it is there.
fn judge_row<'a>(
    tree: Tree,
    txn: &RwTxn<'_>,
    id: &'a str,
    content: Option<&'a [u8]>,
) -> Result<(Plan<'a>, bool), Failure> {
    check_name(id.as_bytes()).map_err(refused)?;
    let existed = tree.get(txn, id.as_bytes())?.is_some();
    let changes = existed || content.is_some();
    let plan = if changes { Plan::SystemRow { tree, id, content } } else { Plan::Nothing };
    Ok((plan, existed))
}

fn judge<'a>(
    database: &Database,
    txn: &RwTxn<'_>,
    draft: &mut Draft,
    target: Target<'a>,
    earlier: &[Plan<'_>],
    operation: &'a Operation,
    now: Millis,
) -> Result<(Plan<'a>, Outcome), Failure> {
    match operation {
        Operation::Set { key, value, expected, behavior, ttl } => {
            let expiry = ttl.map(|ttl| ttl.expiry(now)).transpose().map_err(refused)?;
            let unconditional = expected.is_none() && *behavior == Behavior::Upsert;
            let key = target.record_key(earlier, key)?;
            let current = current(database, txn, earlier, &key, now, unconditional)?;
            check_version(*expected, current, draft)?;
            check_behavior(*behavior, current, draft)?;
            let version = draft.draw_version()?;
            let old = current.stored_expiry;
            let record = Record { version, expiry, value };
            Ok((Plan::Put { key, record, old }, Outcome::Set(version)))
        }
        Operation::Delete { key, expected } => {
            let key = target.record_key(earlier, key)?;
            let current = current(database, txn, earlier, &key, now, expected.is_none())?;
            check_version(*expected, current, draft)?;
            if !current.present {
                let version = draft.state.version;
                return Ok((Plan::Nothing, Outcome::Deleted { existed: false, version }));
            }
            let version = draft.draw_version()?;
            let plan = Plan::Remove { key, old: current.stored_expiry };
            Ok((plan, Outcome::Deleted { existed: true, version }))
        }
        Operation::Configure => {
            let name = target.name.ok_or_else(|| refused(Error::InvalidName))?;
            let row = configured(database, txn, draft, earlier, name, now)?;
            let version = draft.draw_version()?;
            let namespace = Namespace { created: row.created, updated: row.updated };
            Ok((Plan::Namespace { name, row }, Outcome::Configured { namespace, version }))
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
            Plan::Put { key: planned, record, .. } if planned == key => {
                let Record { version, expiry, .. } = *record;
                return Ok(Current { version, stored_expiry: expiry, present: true });
            }
            Plan::Remove { key: planned, .. } if planned == key => return Ok(ABSENT),
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
        return Err(refused(Error::Corrupt));
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
    Err(refused(Error::Conflict(conflict)))
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
) -> Result<NamespaceRow, Failure> {
    let planned = earlier.iter().rev().find_map(|plan| match plan {
        Plan::Namespace { row, .. } => Some(*row),
        _ => None,
    });
    if let Some(row) = planned {
        return Ok(NamespaceRow { updated: now, ..row });
    }
    if let Some(stored) = database.namespaces.get(txn, name.as_bytes())? {
        let row = NamespaceRow::decode(name.as_bytes(), stored);
        let row = row.map_err(|_| refused(Error::Corrupt))?;
        return Ok(NamespaceRow { updated: now, ..row });
    }
    if database.namespaces.len(txn)? >= NAMESPACES_MAX {
        tracing::warn!(NAMESPACES_MAX, "there are as many namespaces as there may be");
        return Err(refused(Error::TooManyNamespaces));
    }
    let id = draft.state.next_namespace;
    let Some(next) = id.0.checked_add(1) else {
        return Err(refused(Error::Unavailable("namespace ids are used up")));
    };
    draft.state.next_namespace = NamespaceId(next);
    Ok(NamespaceRow { id, created: now, updated: now })
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
            put(database, txn, &key, &record, old)?;
        }
        Plan::Remove { key, old } => remove(database, txn, &key, old)?,
        Plan::Namespace { name, row } => {
            database.namespaces.put(txn, name.as_bytes(), &row.encode(name.as_bytes()))?;
            draft.namespaces.push((name.to_owned(), row));
        }
        Plan::SystemRow { tree, id, content: Some(content) } => {
            tree.put(txn, id.as_bytes(), &layout::encode_system_row(id.as_bytes(), content))?;
        }
        Plan::SystemRow { tree, id, content: None } => {
            tree.delete(txn, id.as_bytes())?;
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
