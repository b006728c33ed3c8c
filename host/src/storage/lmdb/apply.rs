//! Carries work out inside the writer's transaction, whole or not at all. Owns the pairing of a record with
//! its expiry row; what an operation means is `judge`'s. Knows nothing of queues, threads or commits.

use heed::{RoTxn, RwTxn};

use super::database::{Database, Tree};
use super::draft::{Draft, Failure};
use super::judge::Judge;
use super::layout::{self, Record, RecordKey};
use super::ledger::Named;
use super::plan::{Plan, Plans, Put};
use super::queue::{Target, Work};
use crate::clock::Millis;
use crate::storage::types::Outcome;
use crate::storage::write::{Batch, check_name};

/// Applies a piece of work, whole or not at all; operations in their order.
pub fn apply(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft<'_>,
    work: &Work,
    now: Millis,
) -> Result<Vec<Outcome>, Failure> {
    let outcomes = match work {
        Work::Batch { target, batch } => apply_batch(database, txn, draft, target, batch, now)?,
        Work::SystemRow { table, id, content } => {
            check_name(id.as_bytes())?;
            let tree = database.system_tree(*table);
            let existed = tree.get(txn, id.as_bytes())?.is_some();
            if existed || content.is_some() {
                put_row(tree, txn, id.as_bytes(), content.as_deref())?;
                draft.dirty = true;
            }
            vec![Outcome::SystemRow { existed }]
        }
    };
    draft.batches += 1;
    Ok(outcomes)
}

/// Writes a row of the host's own, or removes it.
fn put_row(
    tree: Tree,
    txn: &mut RwTxn<'_>,
    id: &[u8],
    content: Option<&[u8]>,
) -> Result<(), heed::Error> {
    match content {
        Some(content) => tree.put(txn, id, &layout::encode_system_row(id, content)),
        None => tree.delete(txn, id).map(drop),
    }
}

/// A batch that is known to hold.
struct Judged<'a> {
    plans: Plans<'a>,
    /// The namespace as the batch leaves it.
    namespace: Option<Named>,
    outcomes: Vec<Outcome>,
}

fn apply_batch(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft<'_>,
    target: &Target,
    batch: &Batch,
    now: Millis,
) -> Result<Vec<Outcome>, Failure> {
    let before = draft.state;
    let (namespace, name) = match target {
        Target::Id(id) => (draft.ledger.by_id(*id), None),
        Target::Name(name) => (draft.ledger.by_name(name), Some(name.as_str())),
    };
    let namespace = namespace.cloned();
    let judged = judge(database, txn, draft, namespace.clone(), name, batch, now);
    let judged = judged.inspect_err(|_| draft.state = before)?;
    for plan in judged.plans {
        carry_out(database, txn, draft, plan)?;
    }
    // Whatever was changed drew a version.
    if draft.state.version > before.version {
        draft.dirty = true;
        match (judged.namespace, namespace) {
            (Some(named), _) => draft.ledger.put(named),
            (None, Some(gone)) => draft.ledger.delete(gone),
            (None, None) => {}
        }
    }
    Ok(judged.outcomes)
}

fn judge<'a>(
    database: &Database,
    txn: &RoTxn<'_>,
    draft: &mut Draft<'_>,
    namespace: Option<Named>,
    name: Option<&str>,
    batch: &'a Batch,
    now: Millis,
) -> Result<Judged<'a>, Failure> {
    let mut judge = Judge::new(database, txn, draft, namespace, now);
    let outcomes = judge.batch(name, batch)?;
    let Judge { plans, namespace, .. } = judge;
    Ok(Judged { plans, namespace, outcomes })
}

fn carry_out(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft<'_>,
    plan: Plan<'_>,
) -> Result<(), heed::Error> {
    match plan {
        Plan::Put(record) => {
            draft.count_put(record.value.len());
            put(database, txn, &record)
        }
        Plan::Remove { key, indexed } => {
            draft.count_removed();
            database.main.delete(txn, key.as_bytes())?;
            unindex(database, txn, &key, indexed)
        }
        Plan::Nothing => Ok(()),
    }
}

/// Writes a record together with its expiry row, and drops the row of what it replaces.
fn put(database: &Database, txn: &mut RwTxn<'_>, put: &Put<'_>) -> Result<(), heed::Error> {
    let Put { key, version, expiry, value, replaced } = put;
    let (version, expiry, replaced) = (*version, *expiry, *replaced);
    let header = Record { version, expiry, value }.header(key.as_bytes());
    put_joined(database.main, txn, key.as_bytes(), header.as_bytes(), value)?;
    if replaced == expiry {
        return Ok(());
    }
    unindex(database, txn, key, replaced)?;
    if let Some(expiry) = expiry {
        database.expiry.put(txn, &key.expiry_key(expiry), &[])?;
    }
    Ok(())
}

/// Drops the expiry row of a record.
fn unindex(
    database: &Database,
    txn: &mut RwTxn<'_>,
    key: &RecordKey,
    indexed: Option<Millis>,
) -> Result<(), heed::Error> {
    if let Some(expiry) = indexed {
        database.expiry.delete(txn, &key.expiry_key(expiry))?;
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
