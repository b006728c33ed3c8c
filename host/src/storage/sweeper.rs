//! Wakes up now and then, looks whether anything has expired, and asks the writer to remove it in
//! small batches; and, when there was no room, to look whether there is some again. Opens read transactions only; exactness on read does not depend on it.

use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::env::Database;
use super::error::Error;
use super::layout;
use super::queue::Queue;
use crate::clock::Clock;

/// Index rows a commit: small, so that writes hardly wait for a sweep.
const ROWS_MAX: usize = 512;

/// How often it is looked whether a full disk has room again.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The sweeper's thread.
pub struct Sweeper {
    running: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

impl Sweeper {
    /// Starts the thread.
    pub fn start(interval: Duration, database: Database, queue: Queue, clock: Clock) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("larder-sweeper".to_owned()).spawn(move || {
            let mut waited = Duration::ZERO;
            let step = interval.min(LOOK_INTERVAL);
            while stopped.recv_timeout(step) == Err(RecvTimeoutError::Timeout) {
                queue.look_for_room();
                waited += step;
                if waited < interval {
                    continue;
                }
                waited = Duration::ZERO;
                if let Err(error) = sweep_all(&database, &queue, &clock, &stopped) {
                    tracing::warn!(%error, "expired entries could not be removed; trying again");
                }
            }
        });
        let running = match thread {
            Ok(thread) => Some((stop, thread)),
            Err(error) => {
                // Expiry stays exact on read; only the space is not given back.
                tracing::error!(%error, "the sweeper could not be started");
                None
            }
        };
        Self { running: Mutex::new(running) }
    }

    /// Stops the thread and waits for it.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the sweeper had stopped with a panic");
            }
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn sweep_all(
    database: &Database,
    queue: &Queue,
    clock: &Clock,
    stopped: &mpsc::Receiver<()>,
) -> Result<(), Error> {
    // However much is left, a shutdown waits for one batch at most.
    while stopped.try_recv() == Err(TryRecvError::Empty) && anything_due(database, clock)? {
        queue.sweep(ROWS_MAX)?;
    }
    Ok(())
}

fn anything_due(database: &Database, clock: &Clock) -> Result<bool, Error> {
    let txn = database.read()?;
    let Some((row, _)) = database.expiry.first(&txn)? else {
        return Ok(false);
    };
    // A row that cannot be read is due as well: the writer drops it.
    Ok(layout::decode_expiry_key(row).map_or(true, |(expiry, _)| expiry <= clock.now()))
}
