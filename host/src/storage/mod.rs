//! The store: durable entries by namespace and key, over LMDB. Owns versions, conflicts, expiry
//! and durability; must not know HTTP, wasmtime or any API's encoding.
//!
//! Reads run in the caller's thread inside a read transaction of their own. Writes are lists of
//! [`Operation`]s that go through a bounded queue to the one writer thread, which commits what is
//! waiting as one group and answers only after the commit is on disk.

pub mod error;
pub mod lmdb;
mod options;
pub mod types;
pub mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use self::error::{Conflict, ConflictKind, Error, OpenError};
pub use self::lmdb::layout::RecordKey;
pub use self::lmdb::queue::{Answer, Ticket};
pub use self::lmdb::stats::{Activity, Contents};
pub use self::options::Options;
pub use self::types::{
    DEFAULT_NAMESPACE, EXPIRY_MAX, Entry, NAME_BYTES_MAX, NAMESPACES_MAX, Namespace, NamespaceId,
    Outcome, TokenRow, VALUE_BYTES_MAX, VERSION_LIMIT, Version,
};
pub use self::write::{Behavior, NamespaceName, Operation, Ttl};

use self::lmdb::env::{self, Database};
use self::lmdb::layout::{self, Record};
use self::lmdb::namespaces::Namespaces;
use self::lmdb::periodic::Periodic;
use self::lmdb::preallocate::Room;
use self::lmdb::queue::Asker;
use self::lmdb::site::Site;
use self::lmdb::writer::Writer;
use self::lmdb::{caretaker, directory, sweeper};
use self::types::is_expired;
use crate::clock::Clock;

/// An open store. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    clock: Clock,
    namespaces: Arc<Namespaces>,
    options: Options,
    // Declared after what they use: both threads stop first, then the writer.
    threads: Vec<Periodic>,
    writer: Writer,
}

impl Storage {
    /// Opens the store in `dir`, which is made with mode 0700 if it is not there.
    pub fn open(dir: &Path, options: Options, clock: Clock) -> Result<Self, OpenError> {
        let (database, found) = env::open(dir, &options, &clock)?;
        clock.raise_to(found.state.instant);
        let (path, entries, version) = (dir.display(), found.entries, found.state.version);
        if found.is_new {
            tracing::info!(%path, "a new store was made");
        } else {
            tracing::info!(%path, entries, %version, "the store was opened");
        }
        let namespaces = Arc::new(Namespaces::new(found.namespaces));
        let room = Room::new(dir);
        let site = Site::new(dir).map_err(directory::io_error("look at the files of", dir))?;
        let site = Arc::new(site);
        let writer = Writer::start(
            &database,
            found.state,
            &namespaces,
            &clock,
            &options,
            room,
            Arc::clone(&site),
        );
        let parts = || (database.clone(), writer.queue(), clock.clone());
        let (of, to, by) = parts();
        let caretaker = caretaker::start(of, to, by, site);
        let sweeper = options.sweep_interval.map(|interval| {
            let (of, to, by) = parts();
            sweeper::start(interval, of, to, by)
        });
        let threads = sweeper.into_iter().chain([caretaker]).collect();
        let inner = Inner { database, clock, namespaces, options, threads, writer };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Looks a namespace up by name.
    pub fn namespace(&self, name: &str) -> Result<Namespace, Error> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::InvalidName);
        }
        self.inner.namespaces.get(name).ok_or(Error::NoSuchNamespace)
    }

    /// The same for who needs no more than the id.
    pub fn namespace_id(&self, name: &str) -> Result<NamespaceId, Error> {
        if name == DEFAULT_NAMESPACE {
            Ok(layout::DEFAULT_ID)
        } else {
            Ok(self.namespace(name)?.id)
        }
    }

    /// Reads an entry and hands it to `take`; None when absent or expired. Sees every write that
    /// was acknowledged before the call. `take` must be quick: it runs inside the transaction.
    pub fn get<T>(
        &self,
        key: &RecordKey,
        take: impl FnOnce(Entry<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let txn = self.inner.database.read()?;
        let Some(stored) = self.inner.database.main.get(&txn, key.as_bytes())? else {
            return Ok(None);
        };
        let record = Record::decode(key.as_bytes(), stored).map_err(|_| Error::Corrupt)?;
        // Looking at the clock takes as long as finding the record: it is left out when it can be.
        if record.expiry.is_some() && is_expired(record.expiry, self.inner.clock.now()) {
            return Ok(None);
        }
        let Record { version, expiry, value } = record;
        Ok(Some(take(Entry { value, version, expiry })))
    }

    /// Whether an entry written now could live for `ttl`.
    pub fn check_ttl(&self, ttl: Ttl) -> Result<(), Error> {
        ttl.expiry(self.inner.clock.now()).map(|_| ())
    }

    /// Queues a list of operations, to be applied in order, whole or not at all. The ticket
    /// answers after the commit. When it is dropped before the list's turn, nothing is done.
    pub fn submit(&self, operations: Vec<Operation>) -> Result<Ticket, Error> {
        self.check_sizes(&operations)?;
        self.inner.writer.queue().submit(operations)
    }

    /// The same for what must be finished whoever goes away: `then` is called with the answer, on the
    /// writer's thread, before anything else is written. It must be quick. Only when the writer fails
    /// is it dropped instead.
    pub fn submit_then(
        &self,
        operations: Vec<Operation>,
        then: impl FnOnce(Answer) + Send + 'static,
    ) -> Result<(), Error> {
        self.check_sizes(&operations)?;
        self.inner.writer.queue().push(operations, Asker::Then(Box::new(then)))
    }

    fn check_sizes(&self, operations: &[Operation]) -> Result<(), Error> {
        let too_large = |operation: &Operation| match operation {
            Operation::Set { value, .. } => value.len() > self.inner.options.value_bytes_max,
            _ => false,
        };
        if operations.iter().any(too_large) { Err(Error::TooLarge) } else { Ok(()) }
    }

    /// All tokens' rows.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        let txn = self.inner.database.read()?;
        let mut tokens = Vec::new();
        for row in self.inner.database.tokens.iter(&txn)? {
            let (id, stored) = row?;
            let content = layout::decode_token(id, stored).ok().map(<[u8]>::to_vec);
            match std::str::from_utf8(id) {
                Ok(id) => tokens.push((id.to_owned(), content)),
                Err(_) => tracing::error!(id = %id.escape_ascii(), "a token's id is damaged"),
            }
        }
        Ok(tokens)
    }

    /// Removes up to `rows_max` expired entries now; returns how many rows it looked at.
    pub fn sweep(&self, rows_max: usize) -> Result<usize, Error> {
        self.inner.writer.queue().sweep(rows_max)
    }

    /// Whether writes can be served: Ok, [`Error::Full`] or [`Error::Unavailable`].
    pub fn writable(&self) -> Result<(), Error> {
        self.inner.writer.writable()
    }

    /// Stops taking writes, finishes those that are queued and stores the present instant.
    pub fn close(&self) {
        self.inner.threads.iter().for_each(Periodic::stop);
        self.inner.writer.stop();
    }

    /// How long the write transaction at hand has taken so far; zero when there is none.
    #[must_use]
    pub fn writing_for(&self) -> Duration {
        self.inner.writer.writing_for()
    }

    /// Waits until the writer fails for good, as after an I/O error; never returns otherwise.
    /// What was in flight then is not known to be durable, so the process should end.
    pub async fn failed(&self) -> String {
        self.inner.writer.failed().await
    }

    /// What the store has done and does, known at once.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.inner.activity()
    }

    /// What is stored and how much room it takes. Looks into the file, so it may wait for the disk.
    pub fn contents(&self) -> Result<Contents, Error> {
        self.inner.contents()
    }

    /// Entries and expiry rows that are stored now, expired ones included; for tests.
    pub fn stored_rows(&self) -> Result<(u64, u64), Error> {
        let txn = self.inner.database.read()?;
        Ok((self.inner.database.main.len(&txn)?, self.inner.database.expiry.len(&txn)?))
    }
}
