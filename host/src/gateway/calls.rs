//! What the request path asks for a call: the executor of guests, or what a bench has in its place.

use std::future::Future;
use std::sync::Arc;

use crate::runtime::{CallError, Executor, Guest, Request, Response, Taken};

/// Has guests answer requests, on one worker thread. The executor of guests does it; benches have something
/// without a sandbox in its place.
pub trait Calls: 'static {
    /// Has `guest` answer one request. A call that leaves this thread takes with it what `take` makes, until it
    /// has ended.
    fn call(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        take: impl FnOnce() -> Taken,
    ) -> impl Future<Output = Result<Response, CallError>>;
}

impl Calls for Executor {
    fn call(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        take: impl FnOnce() -> Taken,
    ) -> impl Future<Output = Result<Response, CallError>> {
        self.call(guest, request, take)
    }
}
