//! The express lane: calls that never have to wait run straight on the worker's own stack, without
//! a fiber. Owns what such an instance is linked with, and the memory of what does not belong here.
//!
//! Only imports that answer at once are there. Whatever else happens in this lane (a write, a
//! longer computation, a limit, a trap) ends the call before it had any effect, and it runs anew in
//! an instance of the other lane, which has everything. Where that happened the path is remembered,
//! and its next calls go there directly.

use std::cell::Cell;

use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceType};
use wasmtime::{Engine, StoreContextMut};
use xxhash_rust::xxh3::xxh3_64;

use super::bindings::larder::guest::kv::{self, Entry};
use super::bindings::larder::guest::types::Error;
use super::bindings::larder::guest::{blobs, namespaces, requests, types};
use super::blobs::Blob;
use super::state::State;

/// The handler as it is called in this lane, generated from the same `wit/`.
mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "handler",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "larder:guest/types": super::super::bindings::larder::guest::types,
            "larder:guest/blobs": super::super::bindings::larder::guest::blobs,
            "larder:guest/requests": super::super::bindings::larder::guest::requests,
            "larder:guest/kv": super::super::bindings::larder::guest::kv,
            "larder:guest/namespaces": super::super::bindings::larder::guest::namespaces,
        },
    });
}

pub use self::bindings::{Handler, HandlerPre};

/// Paths are remembered by hash, in so many places. Two paths that meet in a place share a lane;
/// nothing else.
const PLACES: usize = 1024;
/// Calls to a path that take the other lane before this one is tried again: what ended a call here
/// may have been no more than a busy machine.
const CALLS_AVOIDED: u16 = 1000;

/// Links a component with what answers at once; anything else that it imports is a trap.
pub fn link(engine: &Engine, component: &Component) -> wasmtime::Result<HandlerPre<State>> {
    let mut linker = Linker::new(engine);
    types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    blobs::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    requests::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    let mut entries = linker.instance("larder:guest/kv@0.1.0")?;
    // The interface names the blobs of `blobs` again: they are the same.
    entries.resource("blob", ResourceType::host::<Blob>(), |mut store, blob| {
        blobs::HostBlob::drop(store.data_mut(), Resource::new_own(blob))
    })?;
    entries.func_wrap("get", get)?;
    entries.func_wrap("writable", writable)?;
    linker.instance("larder:guest/namespaces@0.1.0")?.func_wrap("get", look_up)?;
    linker.define_unknown_imports_as_traps(component)?;
    HandlerPre::new(linker.instantiate_pre(component)?)
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
