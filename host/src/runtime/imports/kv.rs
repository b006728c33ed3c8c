//! The import `kv`: entries by namespace and key, within the mount's grants. Reads answer at
//! once; writes suspend the guest until their commit is on disk.

use std::future::Future;

use bytes::Bytes;
use wasmtime::component::Resource;

use super::bindings::larder::guest::blobs::ContentResult;
use super::bindings::larder::guest::kv::{Behavior, Deletion, Entry, Host, SetOptions};
use super::bindings::larder::guest::types::ErrorResult as Error;
use super::blobs::Blob;
use crate::auth::access::Access;
use crate::runtime::guest_memory::Charge;
use crate::runtime::state::State;
use crate::storage::{self, Operation, Outcome, RecordKey, Ticket, Ttl, Version};

/// Values and bodies up to this size enter the guest's memory; larger ones stay with the host.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

impl State {
    /// Everything about a set that is judged before it is queued: the grant, then the time to
    /// live, then the namespace, as the interface promises.
    pub(in crate::runtime) fn set_operation(
        &self,
        namespace: &str,
        key: &str,
        value: Bytes,
        options: SetOptions,
    ) -> Result<Operation, Error> {
        self.check_key(namespace, key, Access::Write)?;
        let ttl = options.ttl.map(Ttl::new).transpose()?;
        if let Some(ttl) = ttl {
            self.storage.check_ttl(ttl)?;
        }
        let key = self.granted_key(namespace, key)?;
        let behavior = match options.behavior {
            Behavior::Upsert => storage::Behavior::Upsert,
            Behavior::Insert => storage::Behavior::Insert,
            Behavior::Update => storage::Behavior::Update,
        };
        let expected = options.version.map(Version);
        Ok(Operation::Set { key, value, expected, behavior, ttl })
    }

    /// Queues one operation. The future that waits for its commit borrows nothing of the state.
    pub(in crate::runtime) fn queue(
        &mut self,
        operation: Result<Operation, Error>,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send + use<> {
        let ticket = operation.and_then(|operation| Ok(self.storage.submit(vec![operation])?));
        self.has_written |= ticket.is_ok();
        async { committed(ticket?).await }
    }

    pub(in crate::runtime) fn delete_operation(
        &self,
        namespace: &str,
        key: &str,
        version: Option<u64>,
    ) -> Result<Operation, Error> {
        let key = self.key(namespace, key, Access::Write)?;
        Ok(Operation::Delete { key, expected: version.map(Version) })
    }

    fn read(&mut self, key: &RecordKey) -> wasmtime::Result<Result<Option<Entry>, Error>> {
        let found = self.storage.get(key, |entry| {
            let length = entry.value.len();
            let value = if length <= INLINE_BYTES_MAX {
                Ok(Value::Inline(entry.value.to_vec()))
            } else {
                // By reference it takes the host's memory, if not the guest's.
                let copy = |charge| (Bytes::copy_from_slice(entry.value), charge);
                self.charge(length).map(copy).map(Value::ByReference)
            };
            (value, length, entry.version.0, entry.expiry.map(|expiry| expiry.0))
        });
        Ok(match found {
            Err(error) => Err(error.into()),
            Ok(None) => Ok(None),
            Ok(Some((value, length, version, expiry))) => {
                self.budget.spend_bytes(length)?;
                let value = match value? {
                    Value::Inline(bytes) => ContentResult::Bytes(bytes),
                    Value::ByReference((bytes, charge)) => {
                        ContentResult::Blob(self.table.push(Blob::charged(bytes, charge))?)
                    }
                };
                Ok(Some(Entry { value, version, expiry }))
            }
        })
    }
}

/// The outcome of the one operation that a ticket stands for, after its commit.
pub(in crate::runtime) async fn committed(ticket: Ticket) -> Result<Outcome, Error> {
    ticket.await?.first().copied().ok_or_else(wrong_outcome)
}

/// A value on its way out of a read transaction.
enum Value {
    Inline(Vec<u8>),
    ByReference((Bytes, Charge)),
}

/// The writer answers each operation in kind; anything else is a fault of ours.
pub(in crate::runtime) fn wrong_outcome() -> Error {
    Error::Other("the writer gave another operation's answer".to_owned())
}

pub(in crate::runtime) fn written(outcome: Outcome) -> Result<u64, Error> {
    if let Outcome::Set(version) = outcome { Ok(version.0) } else { Err(wrong_outcome()) }
}

pub(in crate::runtime) fn deleted(outcome: Outcome) -> Result<Deletion, Error> {
    match outcome {
        Outcome::Deleted { existed, version } => Ok(Deletion { existed, version: version.0 }),
        _ => Err(wrong_outcome()),
    }
}

impl Host for State {
    fn get(
        &mut self,
        namespace: String,
        key: String,
    ) -> wasmtime::Result<Result<Option<Entry>, Error>> {
        self.enter()?;
        match self.key(&namespace, &key, Access::Read) {
            Ok(key) => self.read(&key),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn set(
        &mut self,
        namespace: String,
        key: String,
        value: Vec<u8>,
        options: SetOptions,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.enter()?;
        self.budget.spend_bytes(value.len())?;
        let operation = self.set_operation(&namespace, &key, value.into(), options);
        Ok(self.queue(operation).await.and_then(written))
    }

    async fn set_blob(
        &mut self,
        namespace: String,
        key: String,
        value: Resource<Blob>,
        options: SetOptions,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.enter()?;
        let value = self.table.get(&value)?.bytes.clone();
        let operation = self.set_operation(&namespace, &key, value, options);
        Ok(self.queue(operation).await.and_then(written))
    }

    async fn delete(
        &mut self,
        namespace: String,
        key: String,
        version: Option<u64>,
    ) -> wasmtime::Result<Result<Deletion, Error>> {
        self.enter()?;
        let operation = self.delete_operation(&namespace, &key, version);
        Ok(self.queue(operation).await.and_then(deleted))
    }

    fn writable(&mut self) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(self.storage.writable().map_err(Error::from))
    }
}
