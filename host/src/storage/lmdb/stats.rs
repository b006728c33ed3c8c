//! What the engine tells of itself when somebody asks: what it does, and what is in the file. Plain
//! numbers; how they are shown is not its business.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::database::{Database, page_bytes};
use super::layout;
use super::namespaces::Namespaces;
use super::queue::Queue;
use super::write_stats::WriteOutcome;
use crate::clock::Clock;
use crate::metrics::Distribution;
use crate::storage::error::Error;
use crate::storage::options::Options;

/// Pages at the file's start that describe the rest.
const META_PAGES: u64 = 2;

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
    /// Entries of deleted namespaces that sweeps removed.
    pub emptied_entries: u64,
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

/// What is known at once.
pub fn activity(
    database: &Database,
    queue: &Queue,
    namespaces: &Namespaces,
    options: &Options,
) -> Activity {
    let (shared, stats) = (&queue.shared, &queue.shared.stats);
    let info = database.env.info();
    let newest = info.last_txn_id as u64;
    // Looked at last: who begins to read in between does not lag.
    let (readers, oldest) = database.readers.oldest();
    let others = database.reader_table.others();
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
        writing_for: queue.writing_for(),
        sweeps: (stats.sweeps.get(), stats.swept_rows.get(), stats.expired_entries.get()),
        emptied_entries: stats.emptied_entries.get(),
        readers: readers + others.count,
        dead_readers: stats.dead_readers.load(Ordering::Relaxed),
        oldest_reader_lag: oldest.map_or(0, |oldest| newest.saturating_sub(oldest)),
        reader_slots: (info.number_of_readers.into(), info.maximum_number_of_readers.into()),
        namespaces: namespaces.count() as u64,
    }
}

/// What is looked up in the file and its file system; may wait for the disk.
pub fn contents(database: &Database, clock: &Clock, options: &Options) -> Result<Contents, Error> {
    let Database { env, main, expiry, .. } = database;
    let failed = |error: std::io::Error| Error::Failed(error.to_string());
    let disk = rustix::fs::statvfs(env.path()).map_err(|error| failed(error.into()))?;
    let file_bytes = env.real_disk_size()?;
    let txn = database.read()?;
    let used_bytes = database.used_bytes_in(&txn)?;
    let info = env.info();
    let names = env.unnamed_database_stat();
    let all_bytes = (info.last_page_number as u64 + 1) * u64::from(names.page_size);
    let taken = used_bytes + page_bytes(&names) + META_PAGES * u64::from(names.page_size);
    let overdue = match expiry.first(&txn)?.map(|(row, _)| layout::decode_expiry_key(row)) {
        Some(Ok((due, _))) => clock.now().0.saturating_sub(due.0),
        _ => 0,
    };
    Ok(Contents {
        used_bytes,
        free_bytes: all_bytes.saturating_sub(taken),
        file_bytes,
        limit_bytes: options.bytes_max.unwrap_or(info.map_size as u64),
        disk_free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        entries: main.len(&txn)?,
        expiring_entries: expiry.len(&txn)?,
        sweep_lag: Duration::from_millis(overdue),
    })
}
