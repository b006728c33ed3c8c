//! The face of the store: durable entries by namespace and key. Owns what callers are promised about
//! versions, conflicts, expiry and durability; knows neither HTTP, wasmtime nor any API's encoding, and
//! none of the bytes that an engine keeps.
//!
//! What does the work is an engine in a folder of its own, of which there is one: `lmdb/`. All else
//! here (types, errors, tickets, options) is said alike by every engine.
//!
//! Reads run in the caller's thread inside a read transaction of their own. Writes are batches of
//! [`Operation`]s that go through a bounded queue to the one writer thread, which commits what is
//! waiting as one group and answers only after the commit is on disk.

pub mod error;
pub mod lmdb;
pub(crate) mod options;
pub(crate) mod ticket;
pub mod types;
pub mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::error::{Conflict, ConflictKind, Error, OpenError, Part, ReadResult, WriteError};
pub use self::lmdb::stats::{Activity, Contents};
pub use self::options::Options;
pub use self::ticket::{Ticket, WriteResult};
pub use self::types::{
    DEFAULT_NAMESPACE, EXPIRY_MAX, Entry, ListEnd, Listed, Listing, NAME_BYTES_MAX, NAMESPACES_MAX,
    Namespace, Outcome, QUOTA_LIMIT, Quota, Quotas, SystemRows, SystemTable, Usage,
    VALUE_BYTES_MAX, VERSION_LIMIT, Version,
};
pub use self::write::{
    Batch, Behavior, Check, Key, Operation, QuotaChange, QuotaChanges, Ttl, check_name,
};

use self::lmdb::engine::Lmdb;
use self::ticket::Reply;
use crate::clock::Clock;

/// An open store. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Storage {
    engine: Arc<Lmdb>,
}

impl Storage {
    /// Opens the store in `dir`, which is made with mode 0700 if it is not there.
    pub fn open(dir: &Path, options: Options, clock: Clock) -> Result<Self, OpenError> {
        Ok(Self { engine: Arc::new(Lmdb::open(dir, options, clock)?) })
    }

    /// Looks a namespace up by name.
    pub fn namespace(&self, name: &str) -> Result<Namespace, Error> {
        self.engine.namespace(name)
    }

    /// Refuses what is no namespace's name, or no namespace.
    pub fn check_namespace(&self, name: &str) -> Result<(), Error> {
        self.engine.check_namespace(name)
    }

    /// The first namespace after `after`, by the bytes of names, whose name begins with `prefix`.
    #[must_use]
    pub fn next_namespace(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Option<(Arc<str>, Namespace)> {
        self.engine.next_namespace(prefix, after)
    }

    /// What a namespace has and may have, as of the newest commit.
    pub fn usage(&self, name: &str) -> Result<Usage, Error> {
        self.engine.usage(name)
    }

    /// Reads a part of a list, all of it at one instant, and hands each entry to `take` until that refuses
    /// one, which is not part of it then. Expired entries are left out. `take` must be quick.
    pub fn list(
        &self,
        namespace: &str,
        listing: &Listing<'_>,
        take: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> Result<ListEnd, Error> {
        self.engine.list(namespace, listing, take)
    }

    /// Reads keys at one instant, and hands what each holds to `take` in their order until that refuses one, or
    /// so much was read that the rest is to be asked for again: None when absent or expired, [`Error::Corrupt`] when it is damaged. Returns the newest version of all
    /// at that instant. `take` must be quick.
    pub fn get_many<'k>(
        &self,
        namespace: &str,
        keys: impl Iterator<Item = &'k [u8]>,
        take: &mut dyn FnMut(ReadResult<'_>) -> bool,
    ) -> Result<Version, Error> {
        self.engine.get_many(namespace, keys, take)
    }

    /// Reads an entry and hands it to `take`; None when absent or expired. Sees every write that
    /// was acknowledged before the call. `take` must be quick: it runs inside the transaction.
    pub fn get<T>(
        &self,
        namespace: &str,
        key: &[u8],
        take: impl FnOnce(Entry<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        self.engine.get(namespace, key, take)
    }

    /// Whether an entry written now could live for `ttl`.
    pub fn check_ttl(&self, ttl: Ttl) -> Result<(), Error> {
        self.engine.check_ttl(ttl)
    }

    /// Queues a batch in one namespace, to be applied in order, whole or not at all. The ticket has the
    /// result after the commit. When it is dropped before the batch's turn, nothing is done.
    pub fn submit(&self, namespace: &str, batch: impl Into<Batch>) -> Result<Ticket, WriteError> {
        self.engine.submit(namespace, batch.into())
    }

    /// Queues the writing of a row of the host's own, or its removal, which is finished whoever goes
    /// away: `then` is called with whether the row was there before, on the writer's thread, before
    /// anything else is written. It must be quick. Only when the writer fails is it dropped instead.
    pub fn write_system_row(
        &self,
        table: SystemTable,
        id: String,
        content: Option<Bytes>,
        then: impl FnOnce(Result<bool, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let existed =
            |outcomes: &[Outcome]| matches!(outcomes, [Outcome::SystemRow { existed: true }]);
        let reply = move |result: WriteResult| {
            then(result.map(|outcomes| existed(&outcomes)).map_err(Error::from));
        };
        self.engine.write_system_row(table, id, content, Reply::Callback(Box::new(reply)))
    }

    /// All rows of a table of the host's own.
    pub fn system_rows(&self, table: SystemTable) -> Result<SystemRows, Error> {
        self.engine.system_rows(table)
    }

    /// Removes up to `rows_max` entries now that have expired, or whose namespace was deleted; returns how
    /// many rows it looked at.
    pub fn sweep(&self, rows_max: usize) -> Result<usize, Error> {
        self.engine.sweep(rows_max)
    }

    /// Whether writes can be served: Ok, [`Error::Full`] or [`Error::Unavailable`].
    pub fn writable(&self) -> Result<(), Error> {
        self.engine.writable()
    }

    /// Stops taking writes, finishes those that are queued and stores the present instant.
    pub fn close(&self) {
        self.engine.close();
    }

    /// How long the write transaction at hand has taken so far; zero when there is none.
    #[must_use]
    pub fn writing_for(&self) -> Duration {
        self.engine.writing_for()
    }

    /// Waits until the writer fails for good, as after an I/O error; never returns otherwise.
    /// What was in flight then is not known to be durable, so the process should end.
    pub async fn failed(&self) -> String {
        self.engine.failed().await
    }

    /// What the store has done and does, known at once.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.engine.activity()
    }

    /// What is stored and how much room it takes. Looks into the file, so it may wait for the disk.
    pub fn contents(&self) -> Result<Contents, Error> {
        self.engine.contents()
    }

    /// Entries and expiry rows that are stored now, expired ones included; for tests.
    pub fn stored_rows(&self) -> Result<(u64, u64), Error> {
        self.engine.stored_rows()
    }
}
