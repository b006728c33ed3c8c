//! One worker's way to guests: a call runs in the worker's own pool of instances, or in that of a thread
//! beside it. Knows neither what a call holds nor who waits for it.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::CallError;
use super::pool::Pool;
use super::request::Request;
use super::response::Response;
use crate::runtime::guest::Guest;
use crate::runtime::schedule::threads::{Priority, Runner, Threads};

/// What a call takes of the server for as long as it runs, when it leaves the thread of its request.
pub type Taken = Box<dyn Any + Send>;

/// A worker's instances, and those of the threads beside it.
pub struct Executor {
    pool: Pool,
    beside: Threads<Pool>,
}

impl Executor {
    /// An executor whose every thread has a pool that `pool` makes.
    pub fn new(pool: impl Fn() -> Pool + Send + Sync + 'static) -> Self {
        Self { pool: pool(), beside: Threads::new(pool) }
    }

    /// Has `guest` answer one request, on this thread or on one beside it. In that case `take` says what the
    /// call takes with it, which is let go when the call has ended: that may be a little after its caller
    /// has gone away.
    pub async fn call(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        take: impl FnOnce() -> Taken,
    ) -> Result<Response, CallError> {
        if guest.priority == Priority::Usual {
            let answered = self.pool.call(guest, request).await;
            drop(take);
            return answered;
        }
        let lost = || CallError::Trap("there is no thread to run it".to_owned());
        let (answer, answered) = oneshot::channel();
        let call = Call { guest: Arc::clone(guest), request, taken: take(), answer };
        if !self.beside.send(guest.priority, call) {
            return Err(lost());
        }
        answered.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// A call on its way to another thread.
pub struct Call {
    guest: Arc<Guest>,
    request: Request,
    taken: Taken,
    answer: oneshot::Sender<Result<Response, CallError>>,
}

impl Runner for Pool {
    type Call = Call;

    /// Runs a call until it ends, or its caller has gone away.
    async fn run(self: Rc<Self>, call: Call) {
        let Call { guest, request, taken, mut answer } = call;
        let answered = tokio::select! {
            biased;
            () = answer.closed() => None,
            answered = self.call(&guest, request) => Some(answered),
        };
        // Before anybody can know that the call has ended.
        drop(taken);
        if let Some(answered) = answered {
            // Whoever has gone away just now wants none.
            let _ = answer.send(answered);
        }
    }
}
