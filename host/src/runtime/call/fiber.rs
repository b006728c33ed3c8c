//! The usual lane: calls that may wait run on a fiber, with all imports. Owns how a component is
//! linked for it, and what is called in it.

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};

use super::pool::Errand;
use crate::runtime::imports::bindings::exports::larder::guest::{completion, incoming_handler};
use crate::runtime::imports::bindings::larder::guest::requests::Response;
use crate::runtime::imports::requests::Request;
use crate::runtime::state::State;

/// A component, linked for this lane.
pub struct Linked {
    pre: InstancePre<State>,
    handler: incoming_handler::GuestIndices,
    completion: Option<completion::GuestIndices>,
}

/// An instance, and what is called in it.
pub struct Doors {
    instance: Instance,
    handler: incoming_handler::Guest,
    completion: Option<completion::Guest>,
}

impl Linked {
    /// Finds what is called, the completion among it if the component `completes`.
    pub fn new(pre: InstancePre<State>, completes: bool) -> wasmtime::Result<Self> {
        let handler = incoming_handler::GuestIndices::new(&pre)?;
        let completion = completes.then(|| completion::GuestIndices::new(&pre)).transpose()?;
        Ok(Self { pre, handler, completion })
    }

    /// The engine that it was compiled for.
    pub fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// Makes an instance.
    pub async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Doors> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let handler = self.handler.load(&mut *store, &instance)?;
        Ok(Doors { instance, handler, completion: None })
    }
}

impl Doors {
    /// Calls the guest.
    pub async fn call(
        &mut self,
        linked: &Linked,
        store: &mut Store<State>,
        request: &Request,
        errand: &Errand,
    ) -> wasmtime::Result<Response> {
        store.data_mut().begin(request, errand.left());
        match errand {
            Errand::Handle => {
                let accept = request.accept();
                let lowered = request.lower(accept.as_deref(), &mut store.data_mut().table)?;
                self.handler.call_handle(store, lowered).await
            }
            Errand::Complete(settled) => {
                if self.completion.is_none() {
                    let indices = linked.completion.as_ref();
                    let load = |indices: &completion::GuestIndices| {
                        indices.load(&mut *store, &self.instance)
                    };
                    self.completion = indices.map(load).transpose()?;
                }
                let door = self.completion.as_ref();
                let door = door.ok_or_else(|| wasmtime::format_err!("it has no completion"))?;
                door.call_complete(store, &settled.memo, settled.outcome()?).await
            }
        }
    }
}
