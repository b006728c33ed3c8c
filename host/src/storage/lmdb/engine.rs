//! The engine over LMDB: opens its parts, hands them to each other, and closes them. What each part
//! does is its own file's; what callers are promised is written at `Storage`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::database::Database;
use super::layout::{self, NamespaceId, NamespaceRow, Record, RecordKey};
use super::ledger::Ledger;
use super::lists;
use super::namespaces::{Known, Namespaces};
use super::periodic::Periodic;
use super::preallocate::Preallocation;
use super::queue::{Target, Work};
use super::site::Site;
use super::stats::{self, Activity, Contents};
use super::writer::{Committed, Writer};
use super::{caretaker, directory, env, sweeper, system_rows};
use crate::clock::Clock;
use crate::storage::error::{Error, OpenError, Part, ReadResult, WriteError};
use crate::storage::options::Options;
use crate::storage::ticket::{Reply, Ticket};
use crate::storage::types::{
    DEFAULT_NAMESPACE, Entry, ListEnd, Listed, Listing, Namespace, SystemRows, SystemTable, Usage,
    Version, is_expired,
};
use crate::storage::write::{Batch, Operation, Ttl, check_name};

/// How often a reader gives way to the writer until that has published what it committed: some microseconds.
const PUBLISH_YIELDS_MAX: u32 = 100_000;

/// A data directory that is open. Dropping it closes it.
pub struct Lmdb {
    database: Database,
    clock: Clock,
    namespaces: Arc<Namespaces>,
    options: Options,
    // Declared after what they use: both threads stop first, then the writer.
    threads: Vec<Periodic>,
    writer: Writer,
}

impl Lmdb {
    /// Opens the store in `dir`, or makes one there.
    pub fn open(dir: &Path, options: Options, clock: Clock) -> Result<Self, OpenError> {
        let (database, found) = env::open(dir, &options, &clock)?;
        clock.raise_to(found.state.instant);
        let (path, entries, version) = (dir.display(), found.entries, found.state.version);
        if found.is_new {
            tracing::info!(%path, "a new store was made");
        } else {
            tracing::info!(%path, entries, %version, "the store was opened");
        }
        let namespaces = Arc::new(Namespaces::default());
        namespaces
            .publish(found.namespaces.iter().map(|(name, row)| (name.as_str().into(), Some(*row))));
        let ledger = Ledger::new(found.namespaces, found.emptying);
        let space = Preallocation::new(dir);
        let site = Site::new(dir).map_err(directory::io_error("look at the files of", dir))?;
        let site = Arc::new(site);
        let writer = Writer::start(
            &database,
            Committed { state: found.state, ledger },
            &namespaces,
            &clock,
            &options,
            space,
            Arc::clone(&site),
        );
        let parts = || (database.clone(), writer.queue().clone(), clock.clone());
        let (of, to, by) = parts();
        let caretaker = caretaker::start(of, to, by, site);
        let sweeper = options.sweep_interval.map(|interval| {
            let (of, to, by) = parts();
            sweeper::start(interval, of, to, by)
        });
        let threads = sweeper.into_iter().chain([caretaker]).collect();
        Ok(Self { database, clock, namespaces, options, threads, writer })
    }

    /// Looks a namespace up by name.
    pub fn namespace(&self, name: &str) -> Result<Namespace, Error> {
        Ok(self.known(name)?.namespace)
    }

    /// Refuses what is no namespace's name, or no namespace.
    pub fn check_namespace(&self, name: &str) -> Result<(), Error> {
        self.namespace_id(name).map(|_| ())
    }

    /// The first namespace after `after` whose name begins with `prefix`.
    pub fn next_namespace(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Option<(Arc<str>, Namespace)> {
        self.namespaces.next(prefix, after)
    }

    /// What a namespace has and may have, as of the newest commit.
    pub fn usage(&self, name: &str) -> Result<Usage, Error> {
        let id = self.known(name)?.id;
        let row = self.database.read().map_err(Error::from);
        let row = row.and_then(|txn| lists::row(&self.database, &txn, (name, id)));
        let NamespaceRow { counts, quotas, .. } = self.known_by_all(name, id, row)?;
        Ok(Usage { keys: counts.keys, bytes: counts.bytes, quotas })
    }

    fn known(&self, name: &str) -> Result<Known, Error> {
        check_name(name.as_bytes())?;
        self.namespaces.get(name).ok_or(Error::NoSuchNamespace)
    }

    fn namespace_id(&self, name: &str) -> Result<NamespaceId, Error> {
        if name == DEFAULT_NAMESPACE { Ok(layout::DEFAULT_ID) } else { Ok(self.known(name)?.id) }
    }

    /// Tells that a namespace is gone only when everybody else would be told so too: what a commit has done is seen
    /// in the trees a moment before the writer publishes it.
    fn known_by_all<T>(
        &self,
        name: &str,
        id: NamespaceId,
        read: Result<T, Error>,
    ) -> Result<T, Error> {
        if matches!(read, Err(Error::NoSuchNamespace)) {
            let mut yields = 0..PUBLISH_YIELDS_MAX;
            while self.namespace_id(name) == Ok(id) && yields.next().is_some() {
                std::thread::yield_now();
            }
        }
        read
    }

    /// Refuses what was read of a namespace that has been deleted, and may be half empty.
    fn check_still(&self, name: &str, id: NamespaceId) -> Result<(), Error> {
        if self.namespace_id(name)? == id { Ok(()) } else { Err(Error::NoSuchNamespace) }
    }

    /// Reads an entry in a transaction of its own, inside which `take` runs.
    pub fn get<T>(
        &self,
        namespace: &str,
        key: &[u8],
        take: impl FnOnce(Entry<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let id = self.namespace_id(namespace)?;
        let key = RecordKey::new(id, key).ok_or(Error::InvalidName)?;
        let txn = self.database.read()?;
        let Some(stored) = self.database.main.get(&txn, key.as_bytes())? else {
            self.check_still(namespace, id)?;
            return Ok(None);
        };
        let record = Record::decode(key.as_bytes(), stored).map_err(|_| Error::Corrupt)?;
        // Looking at the clock takes as long as finding the record: it is left out when it can be.
        if record.expiry.is_some() && is_expired(record.expiry, self.clock.now()) {
            return Ok(None);
        }
        let Record { version, expiry, value } = record;
        Ok(Some(take(Entry { value, version, expiry })))
    }

    /// Reads a part of a list at one instant.
    pub fn list(
        &self,
        namespace: &str,
        listing: &Listing<'_>,
        take: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> Result<ListEnd, Error> {
        let id = self.namespace_id(namespace)?;
        let end = lists::list(&self.database, &self.clock, (namespace, id), listing, take);
        self.known_by_all(namespace, id, end)
    }

    /// Reads keys at one instant.
    pub fn get_many<'k>(
        &self,
        namespace: &str,
        keys: impl Iterator<Item = &'k [u8]>,
        take: &mut dyn FnMut(ReadResult<'_>) -> bool,
    ) -> Result<Version, Error> {
        let id = self.namespace_id(namespace)?;
        let newest = lists::get_many(&self.database, &self.clock, (namespace, id), keys, take);
        self.known_by_all(namespace, id, newest)
    }

    /// Whether an entry written now could live for `ttl`.
    pub fn check_ttl(&self, ttl: Ttl) -> Result<(), Error> {
        ttl.expiry(self.clock.now()).map(|_| ())
    }

    /// Queues a batch in one namespace.
    pub fn submit(&self, namespace: &str, batch: Batch) -> Result<Ticket, WriteError> {
        self.check_sizes(&batch)?;
        let of_namespace = |operation: &Operation| {
            matches!(operation, Operation::Configure(_) | Operation::DeleteNamespace)
        };
        let target = if batch.operations.iter().any(of_namespace) {
            check_name(namespace.as_bytes())?;
            Target::Name(namespace.to_owned())
        } else {
            Target::Id(self.namespace_id(namespace)?)
        };
        let (ticket, reply) = Ticket::new();
        self.writer.queue().push(Work::Batch { target, batch }, reply)?;
        Ok(ticket)
    }

    fn check_sizes(&self, batch: &Batch) -> Result<(), WriteError> {
        let too_large = |operation: &Operation| match operation {
            Operation::Set { value, .. } => value.len() > self.options.value_bytes_max,
            _ => false,
        };
        match batch.operations.iter().position(too_large) {
            Some(at) => Err(WriteError { part: Some(Part::Operation(at)), error: Error::TooLarge }),
            None => Ok(()),
        }
    }

    /// Queues the writing of a row of the host's own, or its removal.
    pub fn write_system_row(
        &self,
        table: SystemTable,
        id: String,
        content: Option<Bytes>,
        reply: Reply,
    ) -> Result<(), Error> {
        self.writer.queue().push(Work::SystemRow { table, id, content }, reply)
    }

    /// All rows of a table of the host's own.
    pub fn system_rows(&self, table: SystemTable) -> Result<SystemRows, Error> {
        let txn = self.database.read()?;
        Ok(system_rows::read(self.database.system_tree(table), &txn)?)
    }

    /// Removes up to `rows_max` expired entries now; returns how many rows of the index that took.
    pub fn sweep(&self, rows_max: usize) -> Result<usize, Error> {
        self.writer.queue().sweep(rows_max)
    }

    /// Whether writes can be served: Ok, [`Error::Full`] or [`Error::Unavailable`].
    pub fn writable(&self) -> Result<(), Error> {
        self.writer.writable()
    }

    /// Stops taking writes, finishes those that are queued and stores the present instant.
    pub fn close(&self) {
        self.threads.iter().for_each(Periodic::stop);
        self.writer.stop();
    }

    /// How long the write transaction at hand has taken so far; zero when there is none.
    #[must_use]
    pub fn writing_for(&self) -> Duration {
        self.writer.queue().writing_for()
    }

    /// Waits until the writer fails for good; never returns otherwise.
    pub async fn failed(&self) -> String {
        self.writer.failed().await
    }

    /// What the store has done and does, known at once.
    #[must_use]
    pub fn activity(&self) -> Activity {
        stats::activity(&self.database, self.writer.queue(), &self.namespaces, &self.options)
    }

    /// What is stored and how much room it takes. Looks into the file, so it may wait for the disk.
    pub fn contents(&self) -> Result<Contents, Error> {
        stats::contents(&self.database, &self.clock, &self.options)
    }

    /// Entries and expiry rows that are stored now, expired ones included; for tests.
    pub fn stored_rows(&self) -> Result<(u64, u64), Error> {
        let txn = self.database.read()?;
        Ok((self.database.main.len(&txn)?, self.database.expiry.len(&txn)?))
    }
}
