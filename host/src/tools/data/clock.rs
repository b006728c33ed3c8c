//! The store's time against this machine's clock: how far it is ahead, and setting it back after the
//! clock had been wrong. Owns the rule that nothing comes back that had expired meanwhile.

use std::path::Path;

use super::error::{ToolError, failed};
use super::owner;
use super::reader::Reader;
use super::tokens::few_rows;
use crate::clock::{Clock, Millis};
use crate::storage::lmdb::database::Database;
use crate::storage::lmdb::draft::{Draft, Failure};
use crate::storage::lmdb::env;
use crate::storage::lmdb::layout::{self, StateRow};
use crate::storage::lmdb::ledger::Ledger;
use crate::storage::lmdb::sweep;

/// Index rows in one transaction.
const ROWS_MAX: usize = 4096;

/// The store's time and this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The highest instant that the store has seen.
    pub seen: Millis,
    /// This machine's clock.
    pub clock: Millis,
}

/// What setting the time back did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// The times before.
    pub before: Times,
    /// Entries that had expired by the store's time, and were removed.
    pub removed: u64,
    /// Entries that are to expire later. Those written while the clock was ahead do so that much too late.
    pub expiring: u64,
}

/// How the times of the data directory `dir` stand, beside a server or without one.
///
/// # Errors
/// What could not be read.
pub fn times(dir: &Path, clock: &Clock) -> Result<Times, ToolError> {
    let reader = Reader::open(dir)?;
    let unreadable = |error| reader.unreadable(&error);
    let state = reader.trees.meta.get(&reader.txn, layout::META_STATE).map_err(unreadable)?;
    let state = state.and_then(|state| StateRow::decode(state).ok()).ok_or_else(|| {
        failed(format!("{}: the state row is damaged; run: larder check", dir.display()))
    })?;
    Ok(Times { seen: state.instant, clock: clock.now() })
}

/// Has the time of the data directory `dir` go on from this machine's clock, where it is ahead of it.
/// What has expired by the store's time is removed first, so that it does not come back.
///
/// # Errors
/// Why it was not set back: a server runs, or what could not be written.
pub fn set_back(dir: &Path, clock: &Clock) -> Result<SetBack, ToolError> {
    // Asked first, so that no store is made here.
    times(dir, clock)?;
    let (database, found) = env::open(dir, &few_rows(dir)?, clock)?;
    owner::hand_over(dir)?;
    let before = Times { seen: found.state.instant, clock: clock.now() };
    let broken = |error: heed::Error| failed(format!("cannot write: {error}"));
    let mut removed = 0;
    let mut ledger = Ledger::new(found.namespaces, found.emptying);
    while let Some(batch) = sweep(&database, &mut ledger, found.state).map_err(broken)? {
        removed += batch;
    }
    if before.seen > before.clock {
        let mut txn = database.env.write_txn().map_err(broken)?;
        let state = StateRow { instant: before.clock, ..found.state }.encode();
        database.meta.put(&mut txn, layout::META_STATE, &state).map_err(broken)?;
        txn.commit().map_err(broken)?;
    }
    let txn = database.env.read_txn().map_err(broken)?;
    let expiring = database.expiry.len(&txn).map_err(broken)?;
    Ok(SetBack { before, removed, expiring })
}

/// Removes some of what has expired by the store's time; None when nothing has.
fn sweep(
    database: &Database,
    ledger: &mut Ledger,
    state: StateRow,
) -> Result<Option<u64>, heed::Error> {
    let mut txn = database.env.write_txn()?;
    let mut draft = Draft::new(state, ledger);
    match sweep::sweep(database, &mut txn, &mut draft, ROWS_MAX, state.instant) {
        Ok(swept) if swept.total() == 0 => Ok(None),
        Ok(swept) => {
            let changes = draft.ledger.into_changes();
            changes.write(database, &mut txn)?;
            txn.commit()?;
            changes.publish_to(ledger);
            Ok(Some(swept.records as u64))
        }
        Err(Failure::Broken(error)) => Err(error),
        Err(Failure::Refused(refused)) => {
            Err(heed::Error::Io(std::io::Error::other(refused.error)))
        }
    }
}
