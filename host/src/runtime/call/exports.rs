//! What is called in an instance, on either lane. Each function is looked up when it is first called: most
//! instances only ever need one.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Resource};

use super::lanes::Lane;
use super::phase::{Entry, Phase};
use super::request::Request;
use crate::runtime::changes::Outcomes;
use crate::runtime::error::Error;
use crate::runtime::imports::bindings::exports::larder::guest as fiber;
use crate::runtime::imports::bindings::larder::guest::requests::Response;
use crate::runtime::imports::{deferred, requests};
use crate::runtime::state::State;
use crate::storage::Outcome;

/// The same functions, called without a fiber; generated from the same `wit/`.
mod direct {
    #![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "continuing-handler",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "larder:guest/types": crate::runtime::imports::bindings::larder::guest::types,
            "larder:guest/blobs": crate::runtime::imports::bindings::larder::guest::blobs,
            "larder:guest/requests": crate::runtime::imports::bindings::larder::guest::requests,
            "larder:guest/kv": crate::runtime::imports::bindings::larder::guest::kv,
            "larder:guest/namespaces": crate::runtime::imports::bindings::larder::guest::namespaces,
            "larder:guest/storage": crate::runtime::imports::bindings::larder::guest::storage,
            "larder:guest/deferral": crate::runtime::imports::bindings::larder::guest::deferral,
        },
    });

    pub use self::exports::larder::guest::{continuation, incoming_handler};
}

/// Where the functions of a component are.
#[derive(Clone)]
pub struct Indices {
    handler: (direct::incoming_handler::GuestIndices, fiber::incoming_handler::GuestIndices),
    continuation: Option<(direct::continuation::GuestIndices, fiber::continuation::GuestIndices)>,
    completion: Option<fiber::completion::GuestIndices>,
}

/// Which functions a component has beside its handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    /// `continuation.resume`.
    pub continuation: bool,
    /// `completion.complete`.
    pub completion: bool,
}

impl Indices {
    /// Finds the functions of a component.
    pub fn new(pre: &InstancePre<State>, has: Has) -> wasmtime::Result<Self> {
        let handler = (
            direct::incoming_handler::GuestIndices::new(pre)?,
            fiber::incoming_handler::GuestIndices::new(pre)?,
        );
        let continuation = || -> wasmtime::Result<_> {
            let direct = direct::continuation::GuestIndices::new(pre)?;
            Ok((direct, fiber::continuation::GuestIndices::new(pre)?))
        };
        let continuation = has.continuation.then(continuation).transpose()?;
        let completion = || fiber::completion::GuestIndices::new(pre);
        let completion = has.completion.then(completion).transpose()?;
        Ok(Self { handler, continuation, completion })
    }
}

/// An instance, and those of its functions that were called before.
pub struct Exports {
    instance: Instance,
    on_stack: Direct,
    on_fiber: Fiber,
}

#[derive(Default)]
struct Direct {
    handler: Option<direct::incoming_handler::Guest>,
    continuation: Option<direct::continuation::Guest>,
}

#[derive(Default)]
struct Fiber {
    handler: Option<fiber::incoming_handler::Guest>,
    continuation: Option<fiber::continuation::Guest>,
    completion: Option<fiber::completion::Guest>,
}

impl Exports {
    /// The functions of an instance.
    pub fn new(instance: Instance) -> Self {
        Self { instance, on_stack: Direct::default(), on_fiber: Fiber::default() }
    }

    /// Calls the guest on this thread's stack.
    pub fn call_direct(
        &mut self,
        indices: &Indices,
        store: &mut Store<State>,
        request: &Request,
        phase: Phase,
    ) -> wasmtime::Result<Response> {
        store.data_mut().begin(request, Lane::Direct, phase.left());
        let Self { instance, on_stack, .. } = self;
        match phase {
            Phase::Handle => {
                let load = || indices.handler.0.load(&mut *store, instance);
                let handler = found(&mut on_stack.handler, load)?;
                let accept = request.accept();
                let table = &mut store.data_mut().table;
                let lowered = requests::lower(request, accept.as_deref(), table)?;
                handler.call_handle(store, lowered)
            }
            Phase::Resume(settled) => {
                let (indices, _) = indices.continuation.as_ref().ok_or_else(lacks_continuation)?;
                let load = || indices.load(&mut *store, instance);
                let continuation = found(&mut on_stack.continuation, load)?;
                let outcome = outcome(store, settled.outcome)?;
                continuation.call_resume(store, &settled.memo, outcome)
            }
        }
    }

    /// Calls the guest on a fiber.
    pub async fn call(
        &mut self,
        indices: &Indices,
        store: &mut Store<State>,
        request: &Request,
        phase: Phase,
    ) -> wasmtime::Result<Response> {
        store.data_mut().begin(request, Lane::Fiber, phase.left());
        let Self { instance, on_fiber, .. } = self;
        let settled = match phase {
            Phase::Resume(settled) => settled,
            Phase::Handle => {
                let load = || indices.handler.1.load(&mut *store, instance);
                let handler = found(&mut on_fiber.handler, load)?;
                let accept = request.accept();
                let table = &mut store.data_mut().table;
                let lowered = requests::lower(request, accept.as_deref(), table)?;
                return handler.call_handle(store, lowered).await;
            }
        };
        if settled.entry == Entry::Resume {
            let (_, indices) = indices.continuation.as_ref().ok_or_else(lacks_continuation)?;
            let load = || indices.load(&mut *store, instance);
            let continuation = found(&mut on_fiber.continuation, load)?;
            let outcome = outcome(store, settled.outcome)?;
            continuation.call_resume(store, &settled.memo, outcome).await
        } else {
            let indices = indices.completion.as_ref();
            let indices = indices.ok_or_else(|| wasmtime::format_err!("it has no completion"))?;
            let load = || indices.load(&mut *store, instance);
            let completion = found(&mut on_fiber.completion, load)?;
            let outcome = deferred::outcome(settled.entry, settled.outcome)?;
            completion.call_complete(store, &settled.memo, outcome).await
        }
    }
}

/// A function that was found before, or is now.
fn found<T>(
    slot: &mut Option<T>,
    load: impl FnOnce() -> wasmtime::Result<T>,
) -> wasmtime::Result<&T> {
    match slot {
        Some(found) => Ok(found),
        None => Ok(slot.insert(load()?)),
    }
}

fn lacks_continuation() -> wasmtime::Error {
    wasmtime::format_err!("it has no continuation")
}

/// What became of changes, as handles that the guest gets.
fn outcome(
    store: &mut Store<State>,
    outcome: Result<Vec<Outcome>, Error>,
) -> wasmtime::Result<Result<Resource<Outcomes>, Resource<Error>>> {
    let table = &mut store.data_mut().table;
    Ok(match outcome {
        Ok(outcomes) => Ok(table.push(Outcomes(outcomes))?),
        Err(error) => Err(table.push(error)?),
    })
}
