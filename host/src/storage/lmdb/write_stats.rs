//! What the writer counts as it goes: how writes ended, commits, sweeps. Plain numbers; how they are
//! shown is not its business.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::{BATCHES, Counter, Histogram, TIMES};
use crate::storage::error::Error;
use crate::storage::ticket::WriteResult;

/// How a write that was submitted ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is on disk, or changed nothing and was right so.
    Done,
    /// A condition did not hold.
    Conflict,
    /// There was no room.
    Full,
    /// It waited too long, or could not be queued.
    Unavailable,
    /// Nobody waited for it any more.
    Abandoned,
    /// Whether it happened is unknown.
    InDoubt,
    /// It was refused for another reason.
    Refused,
}

impl WriteOutcome {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Done, "done"),
        (Self::Conflict, "conflict"),
        (Self::Full, "full"),
        (Self::Unavailable, "unavailable"),
        (Self::Abandoned, "abandoned"),
        (Self::InDoubt, "in-doubt"),
        (Self::Refused, "refused"),
    ];

    /// What a result amounts to.
    pub fn of(result: &WriteResult) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(refused) => match refused.error {
                Error::Conflict(_) => Self::Conflict,
                Error::Full => Self::Full,
                Error::Unavailable(_) => Self::Unavailable,
                Error::InDoubt => Self::InDoubt,
                _ => Self::Refused,
            },
        }
    }
}

/// What the writer's thread counts.
#[derive(Debug)]
pub struct WriterStats {
    outcomes: [Counter; WriteOutcome::ALL.len()],
    /// Writes that found no room in the queue, counted by whoever brought them.
    pub unqueued: AtomicU64,
    /// Slots of readers that died in other processes, as the caretaker cleared them.
    pub dead_readers: AtomicU64,
    /// Time that each commit took.
    pub commits: Histogram,
    /// Writes in each commit that had any.
    pub batches: Histogram,
    /// Transactions that removed expired entries, or looked for them.
    pub sweeps: Counter,
    /// Rows of the expiry index that they removed.
    pub swept_rows: Counter,
    /// Entries that they removed because they had expired.
    pub expired_entries: Counter,
    /// Entries that they removed because their namespace was deleted.
    pub emptied_entries: Counter,
}

impl Default for WriterStats {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            unqueued: AtomicU64::new(0),
            dead_readers: AtomicU64::new(0),
            commits: Histogram::new(&TIMES),
            batches: Histogram::new(&BATCHES),
            sweeps: Counter::default(),
            swept_rows: Counter::default(),
            expired_entries: Counter::default(),
            emptied_entries: Counter::default(),
        }
    }
}

impl WriterStats {
    /// Counts how a write ended; on the writer's thread.
    pub fn count(&self, outcome: WriteOutcome) {
        self.outcomes[outcome as usize].increment();
    }

    /// How many writes ended so.
    pub fn outcome(&self, outcome: WriteOutcome) -> u64 {
        let unqueued = match outcome {
            WriteOutcome::Unavailable => self.unqueued.load(Ordering::Relaxed),
            _ => 0,
        };
        self.outcomes[outcome as usize].get() + unqueued
    }
}
