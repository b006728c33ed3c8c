//! How the result of a write comes back: by a ticket that is waited for, or by a function that is
//! called. Knows nothing of what is written.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::error::{Error, WriteError};
use super::types::Outcome;

/// The result of a list of operations: an outcome for each, or why none was done.
pub type WriteResult = Result<Vec<Outcome>, WriteError>;

/// Where an engine sends a write's result.
pub enum Reply {
    /// To the ticket. When it is dropped before the list's turn, nothing is done.
    Ticket(oneshot::Sender<WriteResult>),
    /// To this function, which is called on the engine's writing thread and must not hold it up. It is
    /// called whether or not the caller is still there.
    Callback(Box<dyn FnOnce(WriteResult) + Send>),
}

impl Reply {
    /// Whether nobody waits for the result any more.
    pub fn is_abandoned(&self) -> bool {
        matches!(self, Self::Ticket(sender) if sender.is_closed())
    }

    /// Sends the result.
    pub fn send(self, result: WriteResult) {
        match self {
            // A ticket that was dropped meanwhile needs none.
            Self::Ticket(sender) => drop(sender.send(result)),
            Self::Callback(callback) => callback(result),
        }
    }
}

/// The result of a queued list of operations: a future, or [`Ticket::wait`].
pub struct Ticket {
    result: oneshot::Receiver<WriteResult>,
}

impl Ticket {
    /// A ticket, and where its result is sent.
    pub fn new() -> (Self, Reply) {
        let (sender, result) = oneshot::channel();
        (Self { result }, Reply::Ticket(sender))
    }

    /// Blocks until the list is on disk or refused. Not for async code.
    pub fn wait(self) -> WriteResult {
        self.result.blocking_recv().unwrap_or_else(|_| Err(Error::InDoubt.into()))
    }
}

impl Future for Ticket {
    type Output = WriteResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result)
            .poll(context)
            .map(|result| result.unwrap_or_else(|_| Err(Error::InDoubt.into())))
    }
}
