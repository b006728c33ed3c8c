//! The import `deferral`: changes that a call ends with.

use wasmtime::component::Resource;

use super::bindings::larder::guest::deferral;
use crate::runtime::budget::MEMO_BYTES_MAX;
use crate::runtime::call::phase::{Deferral, Deferred, Entry};
use crate::runtime::changes::Changes;
use crate::runtime::error::Error;
use crate::runtime::state::State;
use crate::storage::Batch;

impl State {
    /// Keeps changes until the call has ended well.
    pub(super) fn defer(
        &mut self,
        batch: Result<Batch, Error>,
        deferred: impl FnOnce(Batch) -> Deferred,
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
        Ok(batch.map(|batch| self.deferral = Deferral::Done(deferred(batch))))
    }

    /// What a call ended with, if it did with changes.
    pub fn take_deferred(&mut self) -> Option<Deferred> {
        match std::mem::take(&mut self.deferral) {
            Deferral::Done(deferred) => Some(deferred),
            Deferral::Open | Deferral::Closed => None,
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
        let (batch, Changes { namespace, charges, .. }) = self.judged(changes)?;
        let memo_bytes = memo.len();
        let entry = Entry::Resume;
        let deferred = |batch| Deferred { namespace, batch, memo, entry, charges };
        let deferred = State::defer(self, batch, deferred, memo_bytes)?;
        self.error(deferred)
    }
}
