//! Where writes line up for the writer. Owns the limits of what may wait; knows nothing of
//! transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::layout::NamespaceId;
use super::site::Displaced;
use super::write_stats::WriterStats;
use crate::clock::Clock;
use crate::storage::error::Error;
use crate::storage::ticket::Reply;
use crate::storage::types::SystemTable;
use crate::storage::write::{Batch, Operation};

/// The store takes no more writes.
const STOPPED: Error = Error::Unavailable("the store is closed");
/// The writer has ended, after a failure.
pub const FAILED: Error = Error::Unavailable("the store has failed");

/// No transaction is at hand.
pub const IDLE: u64 = u64::MAX;

/// A namespace, as work is meant for it.
pub enum Target {
    /// One that was there when the work was queued, and no other.
    Id(NamespaceId),
    /// The one that has the name when its turn comes, for what makes or deletes a namespace.
    Name(String),
}

/// What is applied whole or not at all.
pub enum Work {
    /// Operations in one namespace.
    Batch {
        /// The namespace.
        target: Target,
        /// The operations, in order, and what they depend on.
        batch: Batch,
    },
    /// Writes a row of the host's own, or removes it.
    SystemRow {
        /// Its table.
        table: SystemTable,
        /// Its id: 1 to 256 bytes.
        id: String,
        /// What it is to say.
        content: Option<Bytes>,
    },
}

impl Work {
    /// Bytes of memory that it takes while it waits, roughly.
    fn weight(&self) -> usize {
        match self {
            Self::Batch { batch, .. } => batch.weight(),
            Self::SystemRow { .. } => size_of::<Operation>(),
        }
    }
}

/// What the writer is asked to do.
pub enum Job {
    /// A piece of work, queued at an instant of the monotonic clock.
    Apply { work: Work, weight: usize, queued: Duration, reply: Reply },
    /// Remove up to so many expired rows.
    Sweep { rows_max: usize, answer: oneshot::Sender<Result<usize, Error>> },
    /// Check whether there is space again.
    CheckSpace,
    /// Store the present instant and end.
    Stop,
}

/// Where writes line up.
#[derive(Clone)]
pub struct Queue {
    /// The writer's end of it has the other half.
    pub jobs: SyncSender<Job>,
    /// What the writer tells.
    pub shared: Arc<Shared>,
    /// Tells when a list was queued.
    pub clock: Clock,
    /// Most bytes that may wait.
    pub bytes_max: usize,
}

/// What the writer's thread and the callers both see.
pub struct Shared {
    /// When the transaction at hand began, in milliseconds of the monotonic clock, or [`IDLE`].
    pub writing_since_ms: AtomicU64,
    /// Bytes that wait, roughly.
    pub waiting_bytes: AtomicUsize,
    /// Lists that wait.
    pub waiting_lists: AtomicUsize,
    /// The store takes no more writes.
    pub closed: AtomicBool,
    /// There is no room for what grows.
    pub full: AtomicBool,
    /// What was done to the files of the store while it was open: a [`Displaced`], or 0.
    pub displaced: AtomicU8,
    /// Why the writer ended, if it failed.
    pub failed: watch::Sender<Option<String>>,
    /// What the writer counts.
    pub stats: WriterStats,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            writing_since_ms: AtomicU64::new(IDLE),
            waiting_bytes: AtomicUsize::new(0),
            waiting_lists: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            full: AtomicBool::new(false),
            displaced: AtomicU8::new(0),
            failed: watch::Sender::new(None),
            stats: WriterStats::default(),
        }
    }
}

impl Shared {
    /// Counts a list down that no longer waits.
    pub fn leave(&self, weight: usize) {
        self.waiting_bytes.fetch_sub(weight, Ordering::AcqRel);
        self.waiting_lists.fetch_sub(1, Ordering::AcqRel);
    }

    /// The same for one that found no room.
    fn give_back(&self, weight: usize) {
        self.leave(weight);
        self.stats.unqueued.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses writes as long as the store's files are not where they were, and says so once.
    pub fn set_displaced(&self, found: Option<Displaced>) {
        let number = found.map_or(0, |displaced| displaced as u8);
        if self.displaced.swap(number, Ordering::AcqRel) == number {
            return;
        }
        match found {
            Some(displaced) => tracing::error!(why = displaced.advice(), "writes are refused"),
            None => tracing::info!("the store's files are back in their place; writes go on"),
        }
    }
}

impl Queue {
    /// Queues a piece of work whose result goes to `reply`.
    pub fn push(&self, work: Work, reply: Reply) -> Result<(), Error> {
        self.check_open()?;
        let weight = work.weight();
        let waiting = self.shared.waiting_bytes.fetch_add(weight, Ordering::AcqRel);
        self.shared.waiting_lists.fetch_add(1, Ordering::AcqRel);
        // One list always fits, however large, so that nothing waits for room that never comes.
        if waiting > 0 && waiting + weight > self.bytes_max {
            self.shared.give_back(weight);
            return Err(Error::Unavailable("too many bytes are waiting to be written"));
        }
        let queued = self.clock.monotonic();
        match self.jobs.try_send(Job::Apply { work, weight, queued, reply }) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.shared.give_back(weight);
                Err(match error {
                    TrySendError::Full(_) => Error::Unavailable("too many writes are waiting"),
                    TrySendError::Disconnected(_) => FAILED,
                })
            }
        }
    }

    /// How long the transaction at hand has taken so far; zero when there is none. One that takes
    /// very long hangs, with a disk that no longer answers.
    pub fn writing_for(&self) -> Duration {
        let since = self.shared.writing_since_ms.load(Ordering::Acquire);
        if since == IDLE {
            return Duration::ZERO;
        }
        self.clock.monotonic().saturating_sub(Duration::from_millis(since))
    }

    /// Has the writer look at up to `rows_max` expired rows, and waits for it.
    pub fn sweep(&self, rows_max: usize) -> Result<usize, Error> {
        self.check_open()?;
        let (sender, answer) = oneshot::channel();
        self.jobs.send(Job::Sweep { rows_max, answer: sender }).map_err(|_| FAILED)?;
        answer.blocking_recv().unwrap_or(Err(FAILED))
    }

    /// Has the writer check whether there is space again, if there was none.
    pub fn check_space(&self) {
        if self.shared.full.load(Ordering::Acquire) {
            // A queue that is full has work that checks as well.
            let _ = self.jobs.try_send(Job::CheckSpace);
        }
    }

    /// Refuses what comes after the close, and while what is written would not be found again.
    pub fn check_open(&self) -> Result<(), Error> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(STOPPED);
        }
        match Displaced::of_number(self.shared.displaced.load(Ordering::Acquire)) {
            Some(displaced) => Err(Error::Unavailable(displaced.advice())),
            None => Ok(()),
        }
    }
}
