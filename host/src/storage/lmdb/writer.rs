//! The one thread that opens write transactions. Owns the grouping of what waits into one commit,
//! and the rule that an answer follows its commit; what an operation means is `apply`'s.
//!
//! No timed window: while one commit syncs, the next group gathers in the queue.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use heed::RwTxn;

use super::apply;
use super::database::Database;
use super::draft::{Draft, Failure};
use super::layout::{self, StateRow};
use super::ledger::{self, Ledger};
use super::namespaces::Namespaces;
use super::preallocate::{Growth, Preallocation};
use super::queue::{FAILED, IDLE, Job, Queue, Shared, Work};
use super::site::{Displaced, Site};
use super::sweep::sweep;
use super::write_stats::WriteOutcome;
use crate::clock::{Clock, Millis};
use crate::storage::error::{Error, Part, WriteError};
use crate::storage::options::Options;
use crate::storage::ticket::{Reply, WriteResult};
use crate::storage::write::Operation;

/// Most batches in one commit: bounds how long the first of a group waits.
const GROUP_BATCHES_MAX: usize = 1024;
/// Most bytes of values in one commit: bounds the dirty pages of a transaction, as the next does.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Most records that one commit changes, but for those of its last batch: each may dirty a page of its own
/// in two trees, and pages are copied in memory.
const GROUP_RECORDS_MAX: usize = 8192;

/// A transaction that takes longer than this makes the store unready.
const WRITING_TIME_USUAL: Duration = Duration::from_secs(5);

/// What the newest commit holds beside its records.
pub struct Committed {
    /// The counters.
    pub state: StateRow,
    /// The namespaces.
    pub ledger: Ledger,
}

/// Owns the writer's thread.
pub struct Writer {
    queue: Queue,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(
        database: &Database,
        committed: Committed,
        namespaces: &Arc<Namespaces>,
        clock: &Clock,
        options: &Options,
        space: Preallocation,
        site: Arc<Site>,
    ) -> Self {
        let (jobs, waiting) = sync_channel(options.queue_lists_max);
        let shared = Arc::new(Shared::default());
        let mut committer = Committer {
            database: database.clone(),
            state: committed.state,
            ledger: committed.ledger,
            namespaces: Arc::clone(namespaces),
            clock: clock.clone(),
            bytes_max: options.bytes_max,
            no_space: false,
            space,
            site,
            queue_wait_max: options.queue_wait_max,
            shared: Arc::clone(&shared),
        };
        let alarm = Alarm { shared: Arc::clone(&shared), disarmed: false };
        let thread = thread::Builder::new().name("larder-writer".to_owned()).spawn(move || {
            let mut alarm = alarm;
            match committer.run(&waiting) {
                Ok(()) => alarm.disarmed = true,
                Err(error) => alarm.raise(error.to_string()),
            }
        });
        // Without the thread the alarm has been dropped, and every write answers `Unavailable`.
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no writer thread")).ok();
        let bytes_max = options.queue_bytes_max;
        let queue = Queue { jobs, shared, clock: clock.clone(), bytes_max };
        Self { queue, thread: Mutex::new(thread) }
    }

    /// The queue's entrance.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether writes can be served now.
    pub fn writable(&self) -> Result<(), Error> {
        self.queue.check_open()?;
        if self.queue.shared.failed.borrow().is_some() {
            return Err(FAILED);
        }
        if self.queue.writing_for() > WRITING_TIME_USUAL {
            return Err(Error::Unavailable("a commit takes long"));
        }
        if self.queue.shared.full.load(Ordering::Acquire) { Err(Error::Full) } else { Ok(()) }
    }

    /// Waits for the failure that ends all writing.
    pub async fn failed(&self) -> String {
        let mut failed = self.queue.shared.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes no more writes, lets the queue run empty, and waits for the thread.
    pub fn stop(&self) {
        self.queue.shared.closed.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Fails only when the thread is gone already.
            let _ = self.queue.jobs.send(Job::Stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells everyone when the writer's thread ends in any other way than by being stopped.
struct Alarm {
    shared: Arc<Shared>,
    disarmed: bool,
}

impl Alarm {
    fn raise(&mut self, error: String) {
        self.disarmed = true;
        tracing::error!(error, "the writer has failed; nothing more is written");
        self.shared.failed.send_replace(Some(error));
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.disarmed {
            self.raise("the writer's thread ended unexpectedly".to_owned());
        }
    }
}

/// A piece of work whose turn has come.
struct Waiting {
    work: Work,
    reply: Reply,
}

/// Everything that a commit needs.
struct Committer {
    database: Database,
    state: StateRow,
    ledger: Ledger,
    namespaces: Arc<Namespaces>,
    clock: Clock,
    bytes_max: Option<u64>,
    no_space: bool,
    space: Preallocation,
    site: Arc<Site>,
    queue_wait_max: Duration,
    shared: Arc<Shared>,
}

impl Committer {
    /// Serves the queue until it is stopped; an error means that storage cannot be trusted.
    fn run(&mut self, jobs: &Receiver<Job>) -> Result<(), heed::Error> {
        self.check_space(Growth::Pages)?;
        let mut next = jobs.recv().ok();
        while let Some(job) = next.take() {
            self.begin();
            match job {
                Job::Apply { .. } => {
                    let mut group = Vec::new();
                    let mut bytes = 0;
                    let mut job = Some(job);
                    while let Some(Job::Apply { work, weight, queued, reply }) = job {
                        bytes += weight;
                        self.shared.leave(weight);
                        let waited = self.clock.monotonic().saturating_sub(queued);
                        match admit(reply, waited, self.queue_wait_max) {
                            Ok(reply) => group.push(Waiting { work, reply }),
                            Err(outcome) => self.shared.stats.count(outcome),
                        }
                        job = None;
                        if group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
                            job = jobs.try_recv().ok();
                        }
                    }
                    next = job;
                    self.commit_group(group)?;
                }
                Job::Sweep { rows_max, answer } => {
                    let swept = self.commit_sweep(rows_max)?;
                    let _ = answer.send(swept);
                }
                Job::CheckSpace => self.check_space(Growth::Pages)?,
                Job::Stop => return self.commit_instant(),
            }
            if next.is_none() {
                self.shared.writing_since_ms.store(IDLE, Ordering::Release);
                next = jobs.recv().ok();
            }
        }
        Ok(())
    }

    /// Tells that a transaction begins.
    fn begin(&self) {
        let since = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(IDLE);
        self.shared.writing_since_ms.store(since, Ordering::Release);
    }

    /// Commits a group, in several transactions when it turns out to be large, and answers it. When there is
    /// no room, what only deletes is tried alone.
    fn commit_group(&mut self, group: Vec<Waiting>) -> Result<(), heed::Error> {
        let (replies, works): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.reply, waiting.work)).unzip();
        let mut replies = replies.into_iter();
        let mut rest = works.as_slice();
        while !rest.is_empty() {
            let mut result = self.try_commit(rest, self.no_space);
            if result.as_ref().is_err_and(|error| self.space.is_out_of_space(error)) {
                self.space.exhaust();
                result = self.shrink(rest);
            }
            let (outcomes, failure) = match result {
                // What is on disk in a file that a restart does not find is as good as lost.
                Ok(outcomes) if !self.site.has_data() => {
                    self.shared.set_displaced(Some(Displaced::Data));
                    (outcomes.into_iter().map(doubted).collect(), None)
                }
                Ok(outcomes) => (outcomes, None),
                // Whether the commit reached the disk is not known.
                Err(error) => (vec![Err(Error::InDoubt.into()); rest.len()], Some(error)),
            };
            if outcomes.iter().any(is_full) {
                self.shared.full.store(true, Ordering::Release);
            }
            rest = &rest[outcomes.len()..];
            // The outcomes first: what ends the loop must not have taken a reply.
            for (outcome, reply) in outcomes.into_iter().zip(replies.by_ref()) {
                self.shared.stats.count(WriteOutcome::of(&outcome));
                reply.send(outcome);
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Does what only deletes, in smaller and smaller transactions while there is no room for larger
    /// ones: each gives back more than it takes.
    fn shrink(&mut self, works: &[Work]) -> Result<Vec<WriteResult>, heed::Error> {
        match self.try_commit(works, true) {
            Err(error) if self.space.is_out_of_space(&error) && works.len() > 1 => {
                let (first, second) = works.split_at(works.len() / 2);
                let mut answers = self.shrink(first)?;
                answers.extend(self.shrink(second)?);
                Ok(answers)
            }
            Err(error) if self.space.is_out_of_space(&error) => {
                Ok(works.iter().map(|work| Err(no_space_for(work))).collect())
            }
            other => other,
        }
    }

    /// One transaction: all work in order, as far as its bytes and records are not too many, then the rows, then the
    /// disk. Returns what became of each that it came to.
    fn try_commit(&mut self, works: &[Work], full: bool) -> Result<Vec<WriteResult>, heed::Error> {
        self.transact(|database, txn, draft, now| {
            let mut results = Vec::with_capacity(works.len());
            for work in works {
                if draft.put_bytes() > GROUP_BYTES_MAX || draft.records() > GROUP_RECORDS_MAX {
                    break;
                }
                results.push(if full && grows(work) {
                    Err(no_space_for(work))
                } else {
                    settle(apply::apply(database, txn, draft, work, now))?
                });
            }
            Ok(results)
        })
    }

    /// Sweeps as many rows as there is room to remove at once.
    fn commit_sweep(&mut self, mut rows_max: usize) -> Result<Result<usize, Error>, heed::Error> {
        let swept = loop {
            let result = self.transact(|database, txn, draft, now| {
                settle(sweep(database, txn, draft, rows_max, now))
            });
            match result {
                Err(error) if self.space.is_out_of_space(&error) && rows_max > 1 => rows_max /= 2,
                Err(error) if self.space.is_out_of_space(&error) => return Ok(Err(Error::Full)),
                other => break other?,
            }
        };
        let stats = &self.shared.stats;
        stats.sweeps.increment();
        Ok(swept.map_err(Error::from).map(|swept| {
            stats.swept_rows.add(swept.rows as u64);
            stats.expired_entries.add(swept.records as u64);
            stats.emptied_entries.add(swept.emptied as u64);
            swept.total()
        }))
    }

    /// Stores the present instant, so that the clock goes on from it after a restart.
    fn commit_instant(&mut self) -> Result<(), heed::Error> {
        let result = self.transact(|_, _, draft, _| {
            draft.dirty = true;
            Ok(())
        });
        if result.as_ref().is_err_and(|error| self.space.is_out_of_space(error)) {
            Ok(())
        } else {
            result
        }
    }

    /// Runs `work` in a transaction of its own, and commits what it changed.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Database, &mut RwTxn<'_>, &mut Draft<'_>, Millis) -> Result<T, heed::Error>,
    ) -> Result<T, heed::Error> {
        self.begin();
        let now = self.clock.now();
        let database = self.database.clone();
        let mut txn = database.env.write_txn()?;
        let mut draft = Draft::new(self.state, &self.ledger);
        let done = work(&database, &mut txn, &mut draft, now)?;
        // Commits durably and publishes, or does nothing when nothing was changed.
        if draft.dirty {
            let (growth, batches) = (draft.growth(), draft.batches);
            let state = StateRow { instant: now, ..draft.state };
            let changes = draft.ledger.into_changes();
            self.commit(txn, state, changes, batches)?;
            self.check_space(growth)?;
        }
        Ok(done)
    }

    /// Writes the rows that tell of what was changed, commits durably, and publishes.
    fn commit(
        &mut self,
        mut txn: RwTxn<'_>,
        state: StateRow,
        changes: ledger::Changes,
        batches: u64,
    ) -> Result<(), heed::Error> {
        changes.write(&self.database, &mut txn)?;
        self.database.meta.put(&mut txn, layout::META_STATE, &state.encode())?;
        let began = self.clock.monotonic();
        txn.commit()?;
        let took = self.clock.monotonic().saturating_sub(began);
        self.shared.stats.commits.observe_time(took);
        if batches > 0 {
            self.shared.stats.batches.observe(batches);
        }
        self.state = state;
        let told = changes.publish_to(&mut self.ledger);
        if !told.is_empty() {
            self.namespaces.publish(told);
        }
        Ok(())
    }

    /// Finds out whether there is space for what grows: on the disk, and below the quota. Every commit
    /// may have made some, or taken the last.
    fn check_space(&mut self, growth: Growth) -> Result<(), heed::Error> {
        let info = self.database.env.info();
        let page = u64::from(self.database.env.unnamed_database_stat().page_size);
        let end = (info.last_page_number as u64 + 1) * page;
        let used = || self.database.used_bytes();
        self.no_space = !self.space.has_space(end, growth, used)?;
        if let Some(bytes_max) = self.bytes_max {
            self.no_space |= used()? >= bytes_max;
        }
        self.shared.full.store(self.no_space, Ordering::Release);
        Ok(())
    }
}

/// Gives the reply back, unless it is abandoned or the list has waited too long.
fn admit(reply: Reply, waited: Duration, wait_max: Duration) -> Result<Reply, WriteOutcome> {
    if reply.is_abandoned() {
        return Err(WriteOutcome::Abandoned);
    }
    if waited > wait_max {
        reply.send(Err(Error::Unavailable("the write waited too long").into()));
        return Err(WriteOutcome::Unavailable);
    }
    Ok(reply)
}

fn grows(work: &Work) -> bool {
    match work {
        Work::Batch { batch, .. } => batch.operations.iter().any(operation_grows),
        Work::SystemRow { content, .. } => content.is_some(),
    }
}

fn operation_grows(operation: &Operation) -> bool {
    !matches!(operation, Operation::Delete { .. } | Operation::DeleteNamespace)
}

/// Refuses work for which there is no space, by the first operation that needs any.
fn no_space_for(work: &Work) -> WriteError {
    let operation = match work {
        Work::Batch { batch, .. } => batch.operations.iter().position(operation_grows),
        Work::SystemRow { .. } => None,
    };
    WriteError { part: operation.map(Part::Operation), error: Error::Full }
}

/// What became of work whose commit is on a disk, but not where it would be looked for.
fn doubted(outcome: WriteResult) -> WriteResult {
    outcome.and(Err(Error::InDoubt.into()))
}

fn is_full(result: &WriteResult) -> bool {
    matches!(result, Err(WriteError { error: Error::Full, .. }))
}

/// Tells what was refused, which is an answer, from what breaks the transaction.
fn settle<T>(result: Result<T, Failure>) -> Result<Result<T, WriteError>, heed::Error> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(Failure::Refused(error)) => Ok(Err(error)),
        Err(Failure::Broken(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_list_that_nobody_waits_for_is_not_written() {
        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        let reply = Reply::Ticket(sender);
        assert_eq!(admit(reply, Duration::ZERO, SECOND).err(), Some(WriteOutcome::Abandoned));
    }

    #[test]
    fn a_list_that_must_be_finished_is_written_whoever_waits() {
        let reply = Reply::Callback(Box::new(drop));
        assert!(admit(reply, Duration::ZERO, SECOND).is_ok());
    }

    #[test]
    fn a_list_that_waited_too_long_is_refused_before_it_is_written() {
        let (sender, mut receiver) = oneshot::channel();
        assert!(admit(Reply::Ticket(sender), SECOND + SECOND, SECOND).is_err());
        assert!(matches!(
            receiver.try_recv(),
            Ok(Err(WriteError { error: Error::Unavailable(_), .. }))
        ));
        let (sender, _receiver) = oneshot::channel();
        assert!(admit(Reply::Ticket(sender), SECOND, SECOND).is_ok());
    }
}
