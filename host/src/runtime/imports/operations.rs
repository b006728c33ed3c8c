//! What every import of storage does, whatever interface it belongs to: the caller's and the mount's
//! rights first, then what is asked, then the storage. An interface is a thin file over this one. Knows
//! no `wit/`.

use std::future::Future;

use bytes::Bytes;

use crate::auth::access::Access;
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::changes::{Change, SetOptions};
use crate::runtime::error::Error;
use crate::runtime::state::State;
use crate::storage::{self, Key, Namespace, Operation, Outcome, Ticket, Ttl, Version};

/// What a key holds, on its way to the guest.
pub struct Found {
    /// The value.
    pub value: Value,
    /// The version that wrote it.
    pub version: u64,
    /// When it expires, in milliseconds since the epoch.
    pub expiry: Option<u64>,
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
            let value = if length <= INLINE_BYTES_MAX {
                Ok(Value::Inline(entry.value.to_vec()))
            } else {
                // By reference it takes the host's memory, if not the guest's.
                let copy = || Bytes::copy_from_slice(entry.value);
                self.charge(length).map(|charge| Value::Blob(Blob::charged(copy(), charge)))
            };
            (value, length, entry.version.0, entry.expiry.map(|expiry| expiry.0))
        });
        let (value, length, version, expiry) = match found {
            Err(error) => return Ok(Err(error.into())),
            Ok(None) => return Ok(Ok(None)),
            Ok(Some(found)) => found,
        };
        self.budget.spend_bytes(length)?;
        Ok(Ok(Some(Found { value: value?, version, expiry })))
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
                let ttl = ttl.map(Ttl::new).transpose()?;
                if let Some(ttl) = ttl {
                    self.storage.check_ttl(ttl)?;
                }
                let key = self.existing_key(namespace, &key)?;
                Ok(Operation::Set { key, value, expected: version.map(Version), behavior, ttl })
            }
            Change::Delete(key, version) => {
                self.check_key(namespace, &key, Access::Write)?;
                let key = self.existing_key(namespace, &key)?;
                Ok(Operation::Delete { key, expected: version.map(Version) })
            }
            Change::Configure => {
                self.check_namespace(namespace, Access::Write)?;
                storage::check_name(namespace.as_bytes())?;
                Ok(Operation::Configure)
            }
        }
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
        operations: Result<Vec<Operation>, Error>,
    ) -> impl Future<Output = Result<Vec<Outcome>, Error>> + Send + use<> {
        let submit = |operations| Ok(self.storage.submit(namespace, operations)?);
        let ticket: Result<Ticket, Error> = operations.and_then(submit);
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
        let outcomes = self.queue(namespace, operation.map(|operation| vec![operation]));
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
