//! What the store tells of itself: what the writer counts as it goes, and what is looked up when
//! somebody asks. Plain numbers; how they are shown is not its business.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heed::DatabaseStat;

use super::env::{Database, Tree};
use super::layout;
use super::queue::Answer;
use crate::metrics::{BATCHES, Counter, Distribution, Histogram, TIMES};
use crate::storage::Inner;
use crate::storage::error::Error;

/// Pages at the file's start that describe the rest.
const META_PAGES: u64 = 2;

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

    /// What an answer amounts to.
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Ok(_) => Self::Done,
            Err(Error::Conflict(_)) => Self::Conflict,
            Err(Error::Full) => Self::Full,
            Err(Error::Unavailable(_)) => Self::Unavailable,
            Err(Error::InDoubt) => Self::InDoubt,
            Err(_) => Self::Refused,
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
    /// Entries that they removed.
    pub expired_entries: Counter,
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
        }
    }
}

impl WriterStats {
    /// Counts how a write ended; on the writer's thread.
    pub fn count(&self, outcome: WriteOutcome) {
        self.outcomes[outcome as usize].increment();
    }

    fn outcome(&self, outcome: WriteOutcome) -> u64 {
        let unqueued = match outcome {
            WriteOutcome::Unavailable => self.unqueued.load(Ordering::Relaxed),
            _ => 0,
        };
        self.outcomes[outcome as usize].get() + unqueued
    }
}

/// What is known without touching the file.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Writes by how they ended, by name.
    pub writes: [(&'static str, u64); WriteOutcome::ALL.len()],
    /// Times of commits.
    pub commits: Distribution,
    /// Writes in a commit.
    pub batches: Distribution,
    /// Writes that wait, and how many may.
    pub queue_writes: (u64, u64),
    /// Bytes that wait, and how many may.
    pub queue_bytes: (u64, u64),
    /// How long the transaction at hand has taken so far.
    pub writing_for: Duration,
    /// Sweeps, index rows and entries that they removed.
    pub sweeps: (u64, u64, u64),
    /// Threads that read now, and transactions of other processes.
    pub readers: u64,
    /// How many transactions the oldest of them is behind.
    pub oldest_reader_lag: u64,
    /// Slots that were cleared after readers in other processes had died.
    pub dead_readers: u64,
    /// Slots that LMDB has given to threads, and how many there are.
    pub reader_slots: (u64, u64),
    /// Namespaces.
    pub namespaces: u64,
}

/// What is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Bytes of pages that hold data: what the quota is compared with.
    pub used_bytes: u64,
    /// Bytes of pages in the file that hold none, among them LMDB's list of these pages.
    pub free_bytes: u64,
    /// The file's length.
    pub file_bytes: u64,
    /// Above this nothing is written: the quota, or else the map.
    pub limit_bytes: u64,
    /// What the file system has left for this user.
    pub disk_free_bytes: u64,
    /// Entries, those that expired and were not swept yet included.
    pub entries: u64,
    /// Entries with an expiry.
    pub expiring_entries: u64,
    /// How long ago the oldest expired entry should have gone.
    pub sweep_lag: Duration,
}

/// Bytes of the pages that hold data.
pub fn used_bytes(database: &Database) -> Result<u64, heed::Error> {
    let txn = database.read()?;
    let stats = trees(database).map(|tree| tree.stat(&txn));
    stats.into_iter().try_fold(0, |used, stat| Ok(used + bytes(&stat?)))
}

fn trees(database: &Database) -> [Tree; 5] {
    let Database { main, expiry, namespaces, meta, tokens, .. } = *database;
    [main, expiry, namespaces, meta, tokens]
}

fn bytes(stat: &DatabaseStat) -> u64 {
    let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
    pages as u64 * u64::from(stat.page_size)
}

impl Inner {
    /// What is known at once.
    pub fn activity(&self) -> Activity {
        let (queue, options) = (self.writer.queue(), &self.options);
        let (shared, stats) = (&queue.shared, &queue.shared.stats);
        let info = self.database.env.info();
        let newest = info.last_txn_id as u64;
        // Looked at last: who begins to read in between does not lag.
        let (readers, oldest) = self.database.readers.oldest();
        let others = self.database.reader_table.others();
        let others = others.inspect_err(|error| {
            tracing::warn!(%error, "other processes that read cannot be counted");
        });
        let others = others.unwrap_or_default();
        let oldest = oldest.into_iter().chain(others.oldest).min();
        Activity {
            writes: WriteOutcome::ALL.map(|(outcome, name)| (name, stats.outcome(outcome))),
            commits: Distribution::from(&stats.commits),
            batches: Distribution::from(&stats.batches),
            queue_writes: (
                shared.waiting_lists.load(Ordering::Relaxed) as u64,
                options.queue_lists_max as u64,
            ),
            queue_bytes: (
                shared.waiting_bytes.load(Ordering::Relaxed) as u64,
                options.queue_bytes_max as u64,
            ),
            writing_for: self.writer.writing_for(),
            sweeps: (stats.sweeps.get(), stats.swept_rows.get(), stats.expired_entries.get()),
            readers: readers + others.count,
            dead_readers: stats.dead_readers.load(Ordering::Relaxed),
            oldest_reader_lag: oldest.map_or(0, |oldest| newest.saturating_sub(oldest)),
            reader_slots: (info.number_of_readers.into(), info.maximum_number_of_readers.into()),
            namespaces: self.namespaces.count() as u64,
        }
    }

    /// What is looked up in the file and its file system; may wait for the disk.
    pub fn contents(&self) -> Result<Contents, Error> {
        let Database { env, main, expiry, .. } = &self.database;
        let failed = |error: std::io::Error| Error::Failed(error.to_string());
        let disk = rustix::fs::statvfs(env.path()).map_err(|error| failed(error.into()))?;
        let file_bytes = env.real_disk_size()?;
        let txn = self.database.read()?;
        let mut used_bytes = 0;
        for tree in trees(&self.database) {
            used_bytes += bytes(&tree.stat(&txn)?);
        }
        let info = env.info();
        let names = env.unnamed_database_stat();
        let all_bytes = (info.last_page_number as u64 + 1) * u64::from(names.page_size);
        let held = used_bytes + bytes(&names) + META_PAGES * u64::from(names.page_size);
        let overdue = match expiry.first(&txn)?.map(|(row, _)| layout::decode_expiry_key(row)) {
            Some(Ok((due, _))) => self.clock.now().0.saturating_sub(due.0),
            _ => 0,
        };
        Ok(Contents {
            used_bytes,
            free_bytes: all_bytes.saturating_sub(held),
            file_bytes,
            limit_bytes: self.options.bytes_max.unwrap_or(info.map_size as u64),
            disk_free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            entries: main.len(&txn)?,
            expiring_entries: expiry.len(&txn)?,
            sweep_lag: Duration::from_millis(overdue),
        })
    }
}
