//! The import `deferred`: a write that a call ends with, for guests of 0.1.1.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::bindings::larder::guest::deferred::{Host, Outcome as Told};
use super::bindings::larder::guest::kv::SetOptions;
use super::bindings::larder::guest::types::{ErrorParam, ErrorResult as Error};
use super::changes::options;
use super::errors::enumerated;
use super::kv::{deleted, written};
use super::operations::only;
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::call::phase::{Deferred, Entry};
use crate::runtime::changes::Change;
use crate::runtime::guest_memory::Charge;
use crate::runtime::state::State;
use crate::storage::Outcome;

/// The outcome as the guest gets it. An enumeration is made for a guest only here: what it borrows is the
/// words of an error that nobody expects.
pub fn outcome(
    entry: Entry,
    outcome: Result<Vec<Outcome>, crate::runtime::error::Error>,
) -> wasmtime::Result<Told<'static>> {
    let outcome = outcome.and_then(only);
    match entry {
        Entry::CompleteSet => Ok(Told::Set(outcome.and_then(written).map_err(lower))),
        Entry::CompleteDelete => Ok(Told::Deleted(outcome.and_then(deleted).map_err(lower))),
        Entry::Resume => wasmtime::bail!("these changes are not this interface's"),
    }
}

/// The same error on its way into a guest.
fn lower(error: crate::runtime::error::Error) -> ErrorParam<'static> {
    match enumerated(error) {
        Error::Conflict(conflict) => ErrorParam::Conflict(conflict),
        Error::NoSuchNamespace => ErrorParam::NoSuchNamespace,
        Error::Denied => ErrorParam::Denied,
        Error::InvalidName => ErrorParam::InvalidName,
        Error::ExpiryOutOfRange => ErrorParam::ExpiryOutOfRange,
        Error::TooLarge => ErrorParam::TooLarge,
        Error::Full => ErrorParam::Full,
        Error::Unavailable => ErrorParam::Unavailable,
        Error::InDoubt => ErrorParam::InDoubt,
        Error::Corrupt => ErrorParam::Corrupt,
        Error::Other(_) => ErrorParam::Other("the storage failed"),
    }
}

impl State {
    /// Keeps one change until the call has ended well.
    fn defer_one(
        &mut self,
        namespace: String,
        change: Change,
        memo: Vec<u8>,
        charge: Option<Arc<Charge>>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let entry = match change {
            Change::Delete(..) => Entry::CompleteDelete,
            _ => Entry::CompleteSet,
        };
        let batch = self.operation(&namespace, change).map(|operation| vec![operation].into());
        let memo_bytes = memo.len();
        let charges = charge.into_iter().collect();
        let deferred = |batch| Deferred { namespace, batch, memo, entry, charges };
        Ok(self.defer(batch, deferred, memo_bytes)?.map_err(enumerated))
    }
}

impl Host for State {
    fn set(
        &mut self,
        namespace: String,
        key: String,
        value: Vec<u8>,
        set_options: SetOptions,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        self.budget.spend_bytes(value.len())?;
        let is_large = value.len() > INLINE_BYTES_MAX;
        let charge = is_large.then(|| self.charge(value.len()).map(Arc::new)).transpose()?;
        let set = Change::Set(key, value.into(), options(set_options));
        self.defer_one(namespace, set, memo, charge)
    }

    fn set_blob(
        &mut self,
        namespace: String,
        key: String,
        value: Resource<Blob>,
        set_options: SetOptions,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        let Blob { bytes, charge } = self.table.get(&value)?;
        let (bytes, charge) = (bytes.clone(), charge.clone());
        let set = Change::Set(key, bytes, options(set_options));
        self.defer_one(namespace, set, memo, charge)
    }

    fn delete(
        &mut self,
        namespace: String,
        key: String,
        version: Option<u64>,
        memo: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        self.defer_one(namespace, Change::Delete(key, version), memo, None)
    }
}
