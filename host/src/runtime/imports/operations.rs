//! What every import of storage does, whatever interface it belongs to: the caller's and the mount's
//! rights first, then what is asked, then the storage. An interface is a thin file over this one. Knows
//! no `wit/`.

use std::future::Future;

use bytes::Bytes;

use crate::auth::access::Access;
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::changes::{AddOptions, Change, SetOptions};
use crate::runtime::error::Error;
use crate::runtime::guest_memory::NoRoom;
use crate::runtime::state::State;
use crate::storage::{
    self, Batch, Check, Entry, Key, Namespace, Operation, Outcome, Part, QuotaChanges, Ticket, Ttl,
    Version,
};

/// What a key holds, on its way to the guest.
pub struct Found {
    /// The value.
    pub value: Value,
    /// The version that wrote it.
    pub version: u64,
    /// When it expires, in milliseconds since the epoch.
    pub expiry: Option<u64>,
}

impl Found {
    /// An entry and the copy of its value.
    pub fn new(value: Value, entry: &Entry<'_>) -> Self {
        let (version, expiry) = (entry.version.0, entry.expiry.map(|expiry| expiry.0));
        Self { value, version, expiry }
    }
}

/// A value on its way to the guest.
pub enum Value {
    /// One that enters the guest's memory.
    Inline(Vec<u8>),
    /// One that stays with the host.
    Blob(Blob),
}

impl State {
    /// Reads a key. A missing right is told before anything else, so that nobody learns whether what
    /// must not be reached is there.
    pub(super) fn read(
        &mut self,
        namespace: &str,
        key: &str,
    ) -> wasmtime::Result<Result<Option<Found>, Error>> {
        if let Err(error) = self.check_key(namespace, key, Access::Read) {
            return Ok(Err(error));
        }
        let found = self.storage.get(namespace, key.as_bytes(), |entry| {
            let length = entry.value.len();
            (self.copy(entry.value), length, entry.version.0, entry.expiry.map(|expiry| expiry.0))
        });
        let (value, length, version, expiry) = match found {
            Err(error) => return Ok(Err(error.into())),
            Ok(None) => return Ok(Ok(None)),
            Ok(Some(found)) => found,
        };
        self.budget.spend_bytes(length)?;
        Ok(Ok(Some(Found { value: value?, version, expiry })))
    }

    /// A copy of a value for the guest. By reference it takes the host's memory, if not the guest's.
    pub(super) fn copy(&self, value: &[u8]) -> Result<Value, NoRoom> {
        if value.len() <= INLINE_BYTES_MAX {
            return Ok(Value::Inline(value.to_vec()));
        }
        let copy = || Bytes::copy_from_slice(value);
        self.charge(value.len()).map(|charge| Value::Blob(Blob::charged(copy(), charge)))
    }

    /// Looks a namespace up.
    pub(super) fn look_up(&self, name: &str) -> Result<Namespace, Error> {
        self.check_namespace(name, Access::Read)?;
        Ok(self.storage.namespace(name)?)
    }

    /// Everything about a change that is judged before it is queued: the grant, then the time to live,
    /// then the namespace and the key, as the interfaces promise.
    pub(super) fn operation(&self, namespace: &str, change: Change) -> Result<Operation, Error> {
        match change {
            Change::Set(key, value, options) => {
                self.check_key(namespace, &key, Access::Write)?;
                let SetOptions { behavior, version, ttl } = options;
                let ttl = self.ttl(ttl)?;
                let key = self.existing_key(namespace, &key)?;
                Ok(Operation::Set { key, value, expected: version.map(Version), behavior, ttl })
            }
            Change::Delete(key, version) => {
                self.check_key(namespace, &key, Access::Write)?;
                let key = self.existing_key(namespace, &key)?;
                Ok(Operation::Delete { key, expected: version.map(Version) })
            }
            Change::Touch(key, ttl, version) => {
                self.check_key(namespace, &key, Access::Write)?;
                let ttl = self.ttl(ttl)?;
                let key = self.existing_key(namespace, &key)?;
                Ok(Operation::Touch { key, expected: version.map(Version), ttl })
            }
            Change::Add(key, delta, options) => {
                self.check_key(namespace, &key, Access::Write)?;
                let AddOptions { initial, min, max, ttl, version } = options;
                let ttl = self.ttl(ttl)?;
                let key = self.existing_key(namespace, &key)?;
                let bounds = min.unwrap_or(i64::MIN)..=max.unwrap_or(i64::MAX);
                let expected = version.map(Version);
                Ok(Operation::Add { key, delta, initial, bounds, expected, ttl })
            }
            Change::Configure(quotas) => {
                let limits = quotas != QuotaChanges::default();
                let access = if limits { Access::Admin } else { Access::Write };
                self.check_namespace(namespace, access)?;
                storage::check_name(namespace.as_bytes())?;
                Ok(Operation::Configure(quotas))
            }
            Change::DeleteNamespace => {
                self.check_namespace(namespace, Access::Admin)?;
                storage::check_name(namespace.as_bytes())?;
                Ok(Operation::DeleteNamespace)
            }
        }
    }

    /// The same about a check.
    fn precondition(&self, namespace: &str, key: &str, version: u64) -> Result<Check, Error> {
        self.check_key(namespace, key, Access::Read)?;
        Ok(Check { key: self.existing_key(namespace, key)?, version: Version(version) })
    }

    /// The same about changes and their checks: the first that is refused is told.
    pub(super) fn batch(
        &self,
        namespace: &str,
        checks: Vec<(String, u64)>,
        list: Vec<Change>,
    ) -> Result<Batch, Error> {
        let check = |(at, (key, version)): (usize, (String, u64))| {
            self.precondition(namespace, &key, version).map_err(|error| error.of(Part::Check(at)))
        };
        let operation = |(at, change): (usize, Change)| {
            self.operation(namespace, change).map_err(|error| error.of(Part::Operation(at)))
        };
        Ok(Batch {
            checks: checks.into_iter().enumerate().map(check).collect::<Result<_, _>>()?,
            operations: list.into_iter().enumerate().map(operation).collect::<Result<_, _>>()?,
        })
    }

    /// A time to live that can be had now.
    fn ttl(&self, ms: Option<u64>) -> Result<Option<Ttl>, Error> {
        let ttl = ms.map(Ttl::new).transpose()?;
        if let Some(ttl) = ttl {
            self.storage.check_ttl(ttl)?;
        }
        Ok(ttl)
    }

    /// A key to be changed in a namespace that is there.
    fn existing_key(&self, namespace: &str, key: &str) -> Result<Key, Error> {
        self.storage.check_namespace(namespace)?;
        Ok(Key::new(key.as_bytes())?)
    }

    /// Queues changes. The future that waits for their commit borrows nothing of the state.
    pub(super) fn queue(
        &mut self,
        namespace: &str,
        batch: Result<Batch, Error>,
    ) -> impl Future<Output = Result<Vec<Outcome>, Error>> + Send + use<> {
        let submit = |batch| Ok(self.storage.submit(namespace, batch)?);
        let ticket: Result<Ticket, Error> = batch.and_then(submit);
        self.has_written |= ticket.is_ok();
        async { Ok(ticket?.await?) }
    }

    /// The same for one change.
    pub(super) fn queue_one(
        &mut self,
        namespace: &str,
        change: Change,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send + use<> {
        let operation = self.operation(namespace, change);
        let outcomes = self.queue(namespace, operation.map(|operation| vec![operation].into()));
        async { only(outcomes.await?) }
    }
}

/// The outcome of the one change there was.
pub(super) fn only(outcomes: Vec<Outcome>) -> Result<Outcome, Error> {
    outcomes.first().copied().ok_or_else(wrong_outcome)
}

/// The writer answers each change in kind; anything else is a fault of ours.
pub(super) fn wrong_outcome() -> Error {
    storage::Error::Failed("the writer gave another change's answer".to_owned()).into()
}
