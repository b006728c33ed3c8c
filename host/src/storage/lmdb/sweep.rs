//! What a sweep does inside the writer's transaction: removes expired records with their index rows. Knows
//! nothing of queues, threads or commits.

use heed::RwTxn;

use super::apply::{Draft, Failure};
use super::database::Database;
use super::layout::{self, Record};
use crate::clock::Millis;

/// Bytes of expired records that a sweep reads in one transaction, so that writes do not wait for
/// a disk full of large ones.
const SWEEP_BYTES_MAX: usize = 16 << 20;

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
