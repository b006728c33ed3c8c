//! Wakes up now and then, looks whether anything has expired or is left of a namespace that was deleted, and
//! asks the writer to remove it in small batches. Opens read transactions only; exactness on read does not depend on it.

use std::time::Duration;

use super::database::Database;
use super::layout;
use super::periodic::{Periodic, Stop};
use super::queue::Queue;
use crate::clock::Clock;
use crate::storage::error::Error;

/// Index rows a commit: small, so that writes hardly wait for a sweep.
const ROWS_MAX: usize = 512;

/// Starts the sweeper's thread. Should it not start, expiry stays exact on read; only the space is not
/// given back.
pub fn start(interval: Duration, database: Database, queue: Queue, clock: Clock) -> Periodic {
    Periodic::start("larder-sweeper", interval, move |stop| {
        match sweep_all(&database, &queue, &clock, stop) {
            // Told already, by whoever found out.
            Ok(()) | Err(Error::Unavailable(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "expired entries could not be removed; trying again");
            }
        }
    })
}

fn sweep_all(database: &Database, queue: &Queue, clock: &Clock, stop: &Stop) -> Result<(), Error> {
    // However much is left, a shutdown waits for one batch at most.
    while !stop.is_asked() && anything_due(database, clock)? {
        queue.sweep(ROWS_MAX)?;
    }
    Ok(())
}

fn anything_due(database: &Database, clock: &Clock) -> Result<bool, Error> {
    let txn = database.read()?;
    if database.emptying.first(&txn)?.is_some() {
        return Ok(true);
    }
    let Some((row, _)) = database.expiry.first(&txn)? else {
        return Ok(false);
    };
    // A row that cannot be read is due as well: the writer drops it.
    Ok(layout::decode_expiry_key(row).map_or(true, |(expiry, _)| expiry <= clock.now()))
}
