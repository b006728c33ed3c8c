//! What a sweep does inside the writer's transaction: removes expired records with their index rows, and
//! what is left of namespaces that were deleted. Knows nothing of queues, threads or commits.

use heed::RwTxn;

use super::database::Database;
use super::draft::{Draft, Failure};
use super::layout::{self, NamespaceId, Record};
use crate::clock::Millis;

/// Bytes of records that a sweep removes in one transaction, so that writes do not wait for a disk full of
/// large ones.
const SWEEP_BYTES_MAX: usize = 16 << 20;

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    /// Rows of the expiry index.
    pub rows: usize,
    /// Records that had expired.
    pub records: usize,
    /// Records of namespaces that were deleted.
    pub emptied: usize,
}

impl Swept {
    /// How many rows that took; none when there is nothing left to do.
    pub fn total(&self) -> usize {
        self.rows + self.emptied
    }
}

/// Removes expired records, up to `rows_max` index rows, and if there are fewer, records of namespaces that
/// were deleted; returns how many there were of each.
pub fn sweep(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft<'_>,
    rows_max: usize,
    now: Millis,
) -> Result<Swept, Failure> {
    let mut bytes = 0;
    let mut swept = expire(database, txn, draft, rows_max, now, &mut bytes)?;
    while swept.total() < rows_max && bytes <= SWEEP_BYTES_MAX {
        let Some(id) = draft.ledger.first_emptying() else { break };
        swept.emptied += empty(database, txn, draft, id, rows_max - swept.total(), &mut bytes)?;
    }
    Ok(swept)
}

/// Removes expired records. Each record is read again before it goes: a row alone proves nothing.
fn expire(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft<'_>,
    rows_max: usize,
    now: Millis,
    bytes: &mut usize,
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
    let mut swept = Swept::default();
    for row in &due {
        if *bytes > SWEEP_BYTES_MAX {
            break;
        }
        if let Ok((expiry, key)) = layout::decode_expiry_key(row)
            && let Some(stored) = database.main.get(txn, key)?
        {
            *bytes += stored.len();
            let record = Record::decode(key, stored);
            if matches!(record, Ok(record) if record.expiry == Some(expiry)) {
                let counted = layout::counted_bytes(key, stored);
                database.main.delete(txn, key)?;
                if let Ok(key) = layout::decode_record_key(key) {
                    draft.ledger.count_out(key.namespace(), counted);
                }
                swept.records += 1;
            }
        }
        database.expiry.delete(txn, row)?;
        draft.dirty = true;
        swept.rows += 1;
    }
    Ok(swept)
}

/// Removes up to `rows_max` records of a namespace that was deleted, whatever they hold.
fn empty(
    database: &Database,
    txn: &mut RwTxn<'_>,
    draft: &mut Draft<'_>,
    id: NamespaceId,
    rows_max: usize,
    bytes: &mut usize,
) -> Result<usize, Failure> {
    let mut gone = Vec::new();
    let mut is_last = true;
    for row in database.main.prefix_iter(txn, &layout::namespace_prefix(id))? {
        if gone.len() == rows_max || *bytes > SWEEP_BYTES_MAX {
            is_last = false;
            break;
        }
        let (key, stored) = row?;
        *bytes += stored.len();
        let indexed = Record::decode_head(stored).ok().and_then(|record| record.expiry);
        gone.push((key.to_vec(), layout::counted_bytes(key, stored), indexed));
    }
    for (key, counted, indexed) in &gone {
        database.main.delete(txn, key)?;
        if let (Some(expiry), Ok(key)) = (indexed, layout::decode_record_key(key)) {
            database.expiry.delete(txn, &key.expiry_key(*expiry))?;
        }
        draft.ledger.count_out(id, *counted);
    }
    if is_last {
        draft.ledger.emptied(id);
    }
    draft.dirty = true;
    // An end that nothing stood before is a step as well, or whoever repeats this would stop before it.
    Ok(gone.len().max(1))
}
