//! What the request path asks for a call: the pool of instances, or what a bench has in its place.

use std::future::Future;
use std::sync::Arc;

use crate::runtime::{Answer, CallError, Executor, Guest, Held, Request};

/// Has guests answer requests, on one worker thread. The pool of instances does it; benches have
/// something without a sandbox in its place.
pub trait Calls: 'static {
    /// Has `guest` answer one request.
    fn call(
        &self,
        guest: &Arc<Guest>,
        request: Request,
    ) -> impl Future<Output = Result<Answer, CallError>>;

    /// The same for a guest that runs beside the workers; what is `held` is let go when its call has
    /// ended.
    fn call_aside(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        held: Held,
    ) -> impl Future<Output = Result<Answer, CallError>>;
}

impl Calls for Executor {
    fn call(
        &self,
        guest: &Arc<Guest>,
        request: Request,
    ) -> impl Future<Output = Result<Answer, CallError>> {
        self.call(guest, request)
    }

    fn call_aside(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        held: Held,
    ) -> impl Future<Output = Result<Answer, CallError>> {
        self.call_aside(guest, request, held)
    }
}
