//! The import `deferred`: a write that a call ends with. Owns what is kept of the call until the
//! write's outcome is known; no instance is held meanwhile.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::bindings::larder::guest::deferred::{Host, Outcome as Told};
use super::bindings::larder::guest::kv::SetOptions;
use super::bindings::larder::guest::types::{ErrorParam, ErrorResult as Error};
use super::blobs::Blob;
use super::kv::{INLINE_BYTES_MAX, committed, deleted, written};
use crate::runtime::guest_memory::Charge;
use crate::runtime::state::{Allowance, State};
use crate::storage::{Operation, Outcome, Storage};

/// Most that a guest may want to remember, in bytes.
const MEMO_BYTES_MAX: usize = 4 << 10;

/// A write with which a call has ended.
pub struct Write {
    operations: Vec<Operation>,
    memo: Vec<u8>,
    left: Allowance,
    charge: Option<Arc<Charge>>,
}

/// Whether a call may defer a write.
#[derive(Default)]
pub enum Deferral {
    /// It may not: it is the one that follows a write.
    #[default]
    Closed,
    /// It may.
    Open,
    /// It has: this operation, as the queue takes it, with this memo; and what a large value is charged
    /// by until it is queued.
    Done(Vec<Operation>, Vec<u8>, Option<Arc<Charge>>),
}

/// A write whose outcome is known, and what goes on with it.
pub struct Settled {
    is_set: bool,
    outcome: Result<Outcome, Error>,
    /// What the guest wanted to remember.
    pub memo: Vec<u8>,
    /// What the call has left.
    pub left: Allowance,
}

impl Write {
    /// Queues the write and waits for its commit.
    pub async fn settle(self, storage: &Storage) -> Settled {
        let Self { operations, memo, left, charge } = self;
        let is_set = matches!(operations[..], [Operation::Set { .. }]);
        let submitted = storage.submit(operations);
        drop(charge);
        let outcome = match submitted {
            Ok(ticket) => committed(ticket).await,
            Err(error) => Err(error.into()),
        };
        Settled { is_set, outcome, memo, left }
    }
}

impl Settled {
    /// The outcome as the guest gets it.
    pub fn outcome(&self) -> Result<Told<'_>, Error> {
        let outcome = self.outcome.as_ref().map(|outcome| *outcome);
        Ok(if self.is_set {
            Told::Set(match outcome {
                Ok(outcome) => Ok(written(outcome)?),
                Err(error) => Err(lower(error)),
            })
        } else {
            Told::Deleted(match outcome {
                Ok(outcome) => Ok(deleted(outcome)?),
                Err(error) => Err(lower(error)),
            })
        })
    }
}

/// The same error on its way into a guest.
fn lower(error: &Error) -> ErrorParam<'_> {
    match error {
        Error::Conflict(conflict) => ErrorParam::Conflict(*conflict),
        Error::NoSuchNamespace => ErrorParam::NoSuchNamespace,
        Error::Denied => ErrorParam::Denied,
        Error::InvalidName => ErrorParam::InvalidName,
        Error::ExpiryOutOfRange => ErrorParam::ExpiryOutOfRange,
        Error::TooLarge => ErrorParam::TooLarge,
        Error::Full => ErrorParam::Full,
        Error::Unavailable => ErrorParam::Unavailable,
        Error::InDoubt => ErrorParam::InDoubt,
        Error::Corrupt => ErrorParam::Corrupt,
        Error::Other(words) => ErrorParam::Other(words),
    }
}

impl State {
    /// Keeps a write until the call has ended well.
    fn defer(
        &mut self,
        operation: Result<Operation, Error>,
        memo: Vec<u8>,
        charge: Option<Arc<Charge>>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.budget.spend_bytes(memo.len())?;
        if memo.len() > MEMO_BYTES_MAX {
            wasmtime::bail!("a memo is longer than {MEMO_BYTES_MAX} bytes");
        }
        match self.deferral {
            Deferral::Open => {}
            Deferral::Done(..) => wasmtime::bail!("a call may defer one write"),
            Deferral::Closed => wasmtime::bail!("what follows a write may not defer another"),
        }
        Ok(operation.map(|operation| {
            self.deferral = Deferral::Done(vec![operation], memo, charge);
        }))
    }

    /// The write that the call at hand has ended with, if it has.
    pub fn take_deferred(&mut self) -> Option<Write> {
        match std::mem::take(&mut self.deferral) {
            Deferral::Done(operations, memo, charge) => {
                Some(Write { operations, memo, left: self.left(), charge })
            }
            Deferral::Open | Deferral::Closed => None,
        }
    }
}

impl Host for State {
    fn set(
        &mut self,
        namespace: String,
        key: String,
        value: Vec<u8>,
        options: SetOptions,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        self.budget.spend_bytes(value.len())?;
        let is_large = value.len() > INLINE_BYTES_MAX;
        let charge = is_large.then(|| self.charge(value.len()).map(Arc::new)).transpose()?;
        let operation = self.set_operation(&namespace, &key, value.into(), options);
        self.defer(operation, memo, charge)
    }

    fn set_blob(
        &mut self,
        namespace: String,
        key: String,
        value: Resource<Blob>,
        options: SetOptions,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let Blob { bytes, charge } = self.table.get(&value)?;
        let (bytes, charge) = (bytes.clone(), charge.clone());
        let operation = self.set_operation(&namespace, &key, bytes, options);
        self.defer(operation, memo, charge)
    }

    fn delete(
        &mut self,
        namespace: String,
        key: String,
        version: Option<u64>,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let operation = self.delete_operation(&namespace, &key, version);
        self.defer(operation, memo, None)
    }
}
