//! The two parts that a call may have: answering a request, and answering after changes that the first
//! part ended with. Owns what is kept of a call between them; no instance is held meanwhile. Knows no
//! `wit/` and no store.

use std::sync::Arc;

use crate::runtime::budget::Remainder;
use crate::runtime::error::Error;
use crate::runtime::guest_memory::Charge;
use crate::storage::{Batch, Outcome, Storage};

/// What a guest is called for.
pub enum Phase {
    /// To answer a request, or to defer changes.
    Handle,
    /// To answer after them.
    Resume(Settled),
}

impl Phase {
    /// What the call has left, when this is not its beginning.
    pub fn left(&self) -> Option<Remainder> {
        match self {
            Self::Handle => None,
            Self::Resume(settled) => Some(settled.left),
        }
    }
}

/// Whether a call may defer changes.
#[derive(Default)]
pub enum Deferral {
    /// It may not: it is the part that follows them.
    #[default]
    Closed,
    /// It may.
    Open,
    /// It has.
    Done(Deferred),
}

/// Changes that follow a call.
pub struct Deferred {
    /// The namespace that they are of.
    pub namespace: String,
    /// The changes, as the queue takes them.
    pub batch: Batch,
    /// What the guest wants to remember.
    pub memo: Vec<u8>,
    /// What it is called with afterwards.
    pub entry: Entry,
    /// What large values are charged by until they are queued.
    pub charges: Vec<Arc<Charge>>,
}

/// Which of its functions a guest is called with after its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `continuation.resume`.
    Resume,
    /// `completion.complete`, after a set.
    CompleteSet,
    /// `completion.complete`, after a delete.
    CompleteDelete,
}

/// Changes whose outcome is known, and what goes on with it.
pub struct Settled {
    /// What became of them.
    pub outcome: Result<Vec<Outcome>, Error>,
    /// What the guest wanted to remember.
    pub memo: Vec<u8>,
    /// What it is called with.
    pub entry: Entry,
    /// What the call has left.
    pub left: Remainder,
}

impl Deferred {
    /// Queues the changes and waits for their commit.
    pub async fn settle(self, storage: &Storage, left: Remainder) -> Settled {
        let Self { namespace, batch, memo, entry, charges } = self;
        let submitted = storage.submit(&namespace, batch);
        drop(charges);
        let outcome = match submitted {
            Ok(ticket) => ticket.await,
            Err(error) => Err(error),
        };
        Settled { outcome: outcome.map_err(Error::from), memo, entry, left }
    }
}
