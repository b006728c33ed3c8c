//! The imports `storage` and `deferral`: reads, and changes that are made at once or after the call.

use wasmtime::component::Resource;

use super::bindings::larder::guest::blobs::ContentResult;
use super::bindings::larder::guest::kv::{Behavior, Entry, SetOptions};
use super::bindings::larder::guest::namespaces::Namespace;
use super::bindings::larder::guest::{deferral, storage as wit};
use super::operations::{Found, Value};
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::budget::MEMO_BYTES_MAX;
use crate::runtime::call::phase::{Deferral, Deferred, Entry as Then};
use crate::runtime::changes::{Change, Changes, Outcomes, SetOptions as Options};
use crate::runtime::error::Error;
use crate::runtime::state::State;
use crate::storage::{self, Operation, Outcome};

/// Changes that may be made together, for now.
const CHANGES_MAX: usize = 1;

impl State {
    /// What was read, as the interfaces have it.
    pub(super) fn entry(&mut self, found: Found) -> wasmtime::Result<Entry> {
        let Found { value, version, expiry } = found;
        let value = match value {
            Value::Inline(bytes) => ContentResult::Bytes(bytes),
            Value::Blob(blob) => ContentResult::Blob(self.table.push(blob)?),
        };
        Ok(Entry { value, version, expiry })
    }

    /// Keeps changes until the call has ended well.
    pub(super) fn defer(
        &mut self,
        operations: Result<Vec<Operation>, Error>,
        deferred: impl FnOnce(Vec<Operation>) -> Deferred,
        memo_bytes: usize,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.budget.spend_bytes(memo_bytes)?;
        if memo_bytes > MEMO_BYTES_MAX {
            wasmtime::bail!("a memo is longer than {MEMO_BYTES_MAX} bytes");
        }
        match self.deferral {
            Deferral::Open => {}
            Deferral::Done(_) => wasmtime::bail!("a call may defer one write"),
            Deferral::Closed => wasmtime::bail!("what follows a write may not defer another"),
        }
        Ok(operations.map(|operations| self.deferral = Deferral::Done(deferred(operations))))
    }

    /// What a call ended with, if it did with changes.
    pub fn take_deferred(&mut self) -> Option<Deferred> {
        match std::mem::take(&mut self.deferral) {
            Deferral::Done(deferred) => Some(deferred),
            Deferral::Open | Deferral::Closed => None,
        }
    }

    fn add(&mut self, changes: &Resource<Changes>, change: Change) -> wasmtime::Result<()> {
        let changes = self.table.get_mut(changes)?;
        if changes.list.len() >= CHANGES_MAX {
            wasmtime::bail!("there may be {CHANGES_MAX} change at a time");
        }
        changes.list.push(change);
        Ok(())
    }

    /// The changes behind a handle that was given away, judged.
    fn operations(
        &mut self,
        changes: Resource<Changes>,
    ) -> wasmtime::Result<(Result<Vec<Operation>, Error>, Changes)> {
        let mut changes = self.table.delete(changes)?;
        if changes.list.is_empty() {
            wasmtime::bail!("there are no changes");
        }
        let list = std::mem::take(&mut changes.list);
        let operation = |(at, change): (usize, Change)| {
            let operation = self.operation(&changes.namespace, change);
            operation.map_err(|error| error.of_change(at as u32))
        };
        Ok((list.into_iter().enumerate().map(operation).collect(), changes))
    }

    fn error<T>(&mut self, told: Result<T, Error>) -> wasmtime::Result<Result<T, Resource<Error>>> {
        Ok(match told {
            Ok(told) => Ok(told),
            Err(error) => Err(self.table.push(error)?),
        })
    }
}

/// What a set is to find and to leave.
pub(super) fn options(options: SetOptions) -> Options {
    let SetOptions { behavior, version, ttl } = options;
    let behavior = match behavior {
        Behavior::Upsert => storage::Behavior::Upsert,
        Behavior::Insert => storage::Behavior::Insert,
        Behavior::Update => storage::Behavior::Update,
    };
    Options { behavior, version, ttl }
}

/// A namespace as the interfaces have it.
pub(super) fn namespace(namespace: storage::Namespace) -> Namespace {
    Namespace { created: namespace.created.0, updated: namespace.updated.0 }
}

impl wit::HostChanges for State {
    fn new(&mut self, namespace: String) -> wasmtime::Result<Resource<Changes>> {
        self.enter()?;
        let changes = Changes { namespace, list: Vec::with_capacity(1), charges: Vec::new() };
        Ok(self.table.push(changes)?)
    }

    fn set(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        value: Vec<u8>,
        set_options: SetOptions,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.budget.spend_bytes(value.len())?;
        if value.len() > INLINE_BYTES_MAX {
            let charge = self.charge(value.len())?;
            self.table.get_mut(&changes)?.charges.push(charge.into());
        }
        self.add(&changes, Change::Set(key, value.into(), options(set_options)))
    }

    fn set_blob(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        value: Resource<Blob>,
        set_options: SetOptions,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        let Blob { bytes, charge } = self.table.get(&value)?;
        let (bytes, charge) = (bytes.clone(), charge.clone());
        self.table.get_mut(&changes)?.charges.extend(charge);
        self.add(&changes, Change::Set(key, bytes, options(set_options)))
    }

    fn delete(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        version: Option<u64>,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.add(&changes, Change::Delete(key, version))
    }

    fn configure(&mut self, changes: Resource<Changes>) -> wasmtime::Result<()> {
        self.enter()?;
        self.add(&changes, Change::Configure)
    }

    fn drop(&mut self, changes: Resource<Changes>) -> wasmtime::Result<()> {
        self.table.delete(changes)?;
        Ok(())
    }
}

impl State {
    fn outcome(&mut self, outcomes: &Resource<Outcomes>, at: u32) -> wasmtime::Result<Outcome> {
        self.enter()?;
        let outcomes = &self.table.get(outcomes)?.0;
        let outcome = usize::try_from(at).ok().and_then(|at| outcomes.get(at)).copied();
        outcome.ok_or_else(|| wasmtime::format_err!("there is no change {at}"))
    }
}

impl wit::HostOutcome for State {
    fn version(&mut self, outcomes: Resource<Outcomes>, at: u32) -> wasmtime::Result<u64> {
        match self.outcome(&outcomes, at)? {
            Outcome::Set(version)
            | Outcome::Deleted { version, .. }
            | Outcome::Configured { version, .. } => Ok(version.0),
            Outcome::SystemRow { .. } => wasmtime::bail!("guests have no such changes"),
        }
    }

    fn existed(&mut self, outcomes: Resource<Outcomes>, at: u32) -> wasmtime::Result<bool> {
        Ok(matches!(self.outcome(&outcomes, at)?, Outcome::Deleted { existed: true, .. }))
    }

    fn namespace(
        &mut self,
        outcomes: Resource<Outcomes>,
        at: u32,
    ) -> wasmtime::Result<Option<Namespace>> {
        Ok(match self.outcome(&outcomes, at)? {
            Outcome::Configured { namespace: left, .. } => Some(namespace(left)),
            _ => None,
        })
    }

    fn drop(&mut self, outcomes: Resource<Outcomes>) -> wasmtime::Result<()> {
        self.table.delete(outcomes)?;
        Ok(())
    }
}

impl wit::Host for State {
    fn get(
        &mut self,
        namespace: String,
        key: String,
    ) -> wasmtime::Result<Result<Option<Entry>, Resource<Error>>> {
        self.enter()?;
        let found = match self.read(&namespace, &key)? {
            Ok(found) => Ok(found.map(|found| self.entry(found)).transpose()?),
            Err(error) => Err(error),
        };
        self.error(found)
    }

    fn namespace(&mut self, name: String) -> wasmtime::Result<Result<Namespace, Resource<Error>>> {
        self.enter()?;
        let found = self.look_up(&name).map(namespace);
        self.error(found)
    }

    fn writable(&mut self) -> wasmtime::Result<Result<(), Resource<Error>>> {
        self.enter()?;
        let writable = self.storage.writable().map_err(Error::from);
        self.error(writable)
    }

    async fn commit(
        &mut self,
        changes: Resource<Changes>,
    ) -> wasmtime::Result<Result<Resource<Outcomes>, Resource<Error>>> {
        self.enter()?;
        let (operations, changes) = self.operations(changes)?;
        let committed = self.queue(&changes.namespace, operations);
        // From here on the queue counts them.
        drop(changes);
        match committed.await {
            Ok(outcomes) => Ok(Ok(self.table.push(Outcomes(outcomes))?)),
            Err(error) => self.error(Err(error)),
        }
    }
}

impl deferral::Host for State {
    fn defer(
        &mut self,
        changes: Resource<Changes>,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Resource<Error>>> {
        self.enter()?;
        let (operations, Changes { namespace, charges, .. }) = self.operations(changes)?;
        let memo_bytes = memo.len();
        let entry = Then::Resume;
        let deferred = |operations| Deferred { namespace, operations, memo, entry, charges };
        let deferred = State::defer(self, operations, deferred, memo_bytes)?;
        self.error(deferred)
    }
}
