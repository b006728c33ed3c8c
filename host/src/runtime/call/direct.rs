//! The express lane: calls that never have to wait run straight on the worker's own stack, without
//! a fiber. Owns what such an instance is linked with, and the memory of what does not belong here.
//!
//! Only imports that answer at once are there. Whatever else happens in this lane (a write, a
//! longer computation, a limit, a trap) ends the call before it had any effect, and it runs anew in
//! an instance of the other lane, which has everything. Where that happened the path is remembered,
//! and its next calls go there directly.

use std::cell::Cell;
use std::time::Duration;

use wasmtime::component::{
    Component, HasSelf, Instance, InstancePre, Linker, Resource, ResourceType,
};
use wasmtime::{Engine, Store, StoreContextMut};
use xxhash_rust::xxh3::xxh3_64;

use super::pool::Errand;
use crate::runtime::imports::bindings::larder::guest::kv::{self, Entry};
use crate::runtime::imports::bindings::larder::guest::requests::Response;
use crate::runtime::imports::bindings::larder::guest::types::ErrorResult as Error;
use crate::runtime::imports::bindings::larder::guest::{
    blobs, deferred, namespaces, requests, types,
};
use crate::runtime::imports::blobs::Blob;
use crate::runtime::imports::requests::Request;
use crate::runtime::state::State;

/// The handler as it is called in this lane, generated from the same `wit/`.
mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "deferring-handler",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "larder:guest/types": crate::runtime::imports::bindings::larder::guest::types,
            "larder:guest/blobs": crate::runtime::imports::bindings::larder::guest::blobs,
            "larder:guest/requests": crate::runtime::imports::bindings::larder::guest::requests,
            "larder:guest/kv": crate::runtime::imports::bindings::larder::guest::kv,
            "larder:guest/namespaces": crate::runtime::imports::bindings::larder::guest::namespaces,
            "larder:guest/deferred": crate::runtime::imports::bindings::larder::guest::deferred,
        },
    });
}

use self::bindings::exports::larder::guest::{completion, incoming_handler};

/// Paths are remembered by hash, in so many places. Two paths that meet in a place share a lane;
/// nothing else.
const PLACES: usize = 1024;
/// Calls to a path that take the other lane before this one is tried again: what ended a call here
/// may have been no more than a busy machine.
const CALLS_AVOIDED: u16 = 1000;

/// Processor time that a call may take after the first tick that it ran into.
const HELD_MAX: Duration = Duration::from_micros(200);

/// How long a call has held its thread in this lane, where it does not give way. What counts is the
/// time that it computed: a thread that loses its core for a while has held up nobody, and on a busy
/// machine ticks come meanwhile.
#[derive(Debug, Default)]
pub struct Hold {
    first_tick: Option<Duration>,
}

impl Hold {
    /// At a tick, at which the thread has used so much processor time: whether the call goes on.
    pub fn goes_on(&mut self, used: Duration) -> bool {
        let first_tick = *self.first_tick.get_or_insert(used);
        used.saturating_sub(first_tick) < HELD_MAX
    }
}

/// Links a component with what answers at once; anything else that it imports is a trap.
pub fn link(engine: &Engine, component: &Component, completes: bool) -> wasmtime::Result<Linked> {
    let mut linker = Linker::new(engine);
    types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    blobs::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    requests::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    deferred::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    // These interfaces name the blobs of `blobs` again: they are the same.
    for interface in ["larder:guest/kv@0.1.1", "larder:guest/deferred@0.1.1"] {
        linker.instance(interface)?.resource(
            "blob",
            ResourceType::host::<Blob>(),
            |mut store, blob| blobs::HostBlob::drop(store.data_mut(), Resource::new_own(blob)),
        )?;
    }
    let mut entries = linker.instance("larder:guest/kv@0.1.1")?;
    entries.func_wrap("get", get)?;
    entries.func_wrap("writable", writable)?;
    linker.instance("larder:guest/namespaces@0.1.1")?.func_wrap("get", look_up)?;
    linker.define_unknown_imports_as_traps(component)?;
    let pre = linker.instantiate_pre(component)?;
    let handler = incoming_handler::GuestIndices::new(&pre)?;
    let completion = completes.then(|| completion::GuestIndices::new(&pre)).transpose()?;
    Ok(Linked { pre, handler, completion })
}

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
    /// Makes an instance.
    pub fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Doors> {
        let instance = self.pre.instantiate(&mut *store)?;
        let handler = self.handler.load(&mut *store, &instance)?;
        Ok(Doors { instance, handler, completion: None })
    }
}

impl Doors {
    /// Calls the guest.
    pub fn call(
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
                self.handler.call_handle(store, lowered)
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
                door.call_complete(store, &settled.memo, settled.outcome()?)
            }
        }
    }
}

type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;

fn get(
    mut store: StoreContextMut<'_, State>,
    (namespace, key): (String, String),
) -> Answer<Option<Entry>> {
    Ok((kv::Host::get(store.data_mut(), namespace, key)?,))
}

fn writable(mut store: StoreContextMut<'_, State>, (): ()) -> Answer<()> {
    Ok((kv::Host::writable(store.data_mut())?,))
}

fn look_up(
    mut store: StoreContextMut<'_, State>,
    (name,): (String,),
) -> Answer<namespaces::Namespace> {
    Ok((namespaces::Host::get(store.data_mut(), name)?,))
}

/// The paths of a guest whose calls take the other lane for now.
pub struct Avoided {
    calls_left: Box<[Cell<u16>; PLACES]>,
}

impl Default for Avoided {
    fn default() -> Self {
        Self { calls_left: Box::new([const { Cell::new(0) }; PLACES]) }
    }
}

impl Avoided {
    /// Whether this call to a path takes the other lane; counts it.
    pub fn count(&self, path: &str) -> bool {
        let place = self.place(path);
        let left = place.get().checked_sub(1);
        place.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Has the next calls to this path take the other lane.
    pub fn insert(&self, path: &str) {
        self.place(path).set(CALLS_AVOIDED);
    }

    fn place(&self, path: &str) -> &Cell<u16> {
        &self.calls_left[xxh3_64(path.as_bytes()) as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_on_for_as_long_as_it_has_not_computed_too_long() {
        let used = Duration::from_micros;
        let mut hold = Hold::default();
        // However many ticks came while the thread had no core.
        assert!((0..100).all(|_| hold.goes_on(used(7000))));
        assert!(hold.goes_on(used(7199)));
        assert!(!hold.goes_on(used(7200)));
    }

    #[test]
    fn a_path_is_avoided_for_a_while_and_no_other_is() {
        let avoided = Avoided::default();
        assert!(!avoided.count("/api/v1.kv.set"));
        avoided.insert("/api/v1.kv.set");
        for path in ["/api/v1.kv.get", "/api/v1.health.ping", "/"] {
            assert!(!avoided.count(path), "{path}");
        }
        assert!((0..CALLS_AVOIDED).all(|_| avoided.count("/api/v1.kv.set")));
        assert!(!avoided.count("/api/v1.kv.set"));
    }
}
