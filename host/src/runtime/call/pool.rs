//! Instances, and calls in them: takes one from the thread's pool or makes one, runs one call under its
//! deadline, and keeps or drops it. A trap, a missed deadline or a caller that goes away drops it. Idle
//! instances go when there is no room for one that is wanted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use super::error::CallError;
use super::exports::Exports;
use super::lanes::{self, Lane};
use super::phase::{Deferred, Phase};
use super::request::Request;
use super::response::Response;
use crate::clock::Clock;
use crate::clock::timeout::within;
use crate::metrics::{Counter, Own};
use crate::runtime::budget::{HANDLES_MAX, Remainder};
use crate::runtime::engine::WASM_STACK_BYTES_MAX;
use crate::runtime::guest::Guest;
use crate::runtime::imports::bindings::larder::guest::requests as wit;
use crate::runtime::imports::responses::lift;
use crate::runtime::schedule::quota::CpuQuota;
use crate::runtime::schedule::threads::Priority;
use crate::runtime::state::State;
use crate::storage::Storage;

/// An instance whose memory has grown beyond this is not kept: memory never shrinks.
const IDLE_MEMORY_BYTES_MAX: usize = 4 << 20;

struct Instance {
    store: Store<State>,
    exports: Exports,
    calls: u32,
}

impl Instance {
    /// What it takes of the memory that guests have together.
    fn bytes(&self) -> usize {
        self.store.data().memory.charged_bytes()
    }
}

/// What idle instances of a thread may be.
#[derive(Clone, Copy, Debug)]
pub struct IdleMax {
    /// How many of each guest.
    pub instances: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// How a part of a call ended well.
enum End {
    Answered(Response),
    Deferred(Deferred, Remainder),
}

/// What one thread keeps for a guest. Needs no lock, because it never leaves the thread.
struct OfGuest {
    idle: RefCell<Vec<Instance>>,
    /// Its part of this thread's time; None when it may take all of it at any time.
    quota: Option<CpuQuota>,
    /// Instances that this thread has made.
    made: Arc<Own<Counter>>,
}

/// The idle instances of one thread.
pub struct Pool {
    /// By the guests' ids.
    guests: RefCell<HashMap<u64, Rc<OfGuest>>>,
    idle_bytes: Cell<usize>,
    idle_max: IdleMax,
    storage: Storage,
    clock: Clock,
}

impl Pool {
    /// An empty pool.
    pub fn new(idle_max: IdleMax, storage: Storage, clock: Clock) -> Self {
        Self { guests: RefCell::default(), idle_bytes: Cell::new(0), idle_max, storage, clock }
    }

    /// Has `guest` answer one request, on this thread.
    pub async fn call(&self, guest: &Arc<Guest>, request: Request) -> Result<Response, CallError> {
        let own = self.of_guest(guest);
        let time_max = guest.profile.limits.call_time_max;
        let answered = match &own.quota {
            None => within(time_max, self.run(&own, guest, &request)).await,
            // Waiting for it counts as a call's time.
            Some(quota) => within(time_max, quota.run(self.run(&own, guest, &request))).await,
        };
        answered.unwrap_or(Err(CallError::Deadline))
    }

    /// What this thread keeps for a guest, from its first call on.
    fn of_guest(&self, guest: &Guest) -> Rc<OfGuest> {
        let mut guests = self.guests.borrow_mut();
        let own = guests.entry(guest.id()).or_insert_with(|| {
            let percent = guest.profile.limits.cpu_percent_max;
            let in_turn = guest.priority != Priority::Usual;
            Rc::new(OfGuest {
                idle: RefCell::default(),
                quota: CpuQuota::new(percent, in_turn, &self.clock),
                made: guest.instances.join(Counter::default()),
            })
        });
        Rc::clone(own)
    }

    /// Runs a call, which has one lane from its beginning to its end.
    async fn run(
        &self,
        own: &OfGuest,
        guest: &Guest,
        request: &Request,
    ) -> Result<Response, CallError> {
        let lane = lanes::lane(guest.trusted, request);
        let (deferred, left) = match self.run_part(own, guest, lane, request, Phase::Handle).await?
        {
            End::Answered(answer) => return Ok(answer),
            End::Deferred(deferred, left) => (deferred, left),
        };
        let phase = Phase::Resume(deferred.settle(&self.storage, left).await);
        let resumed = self.run_part(own, guest, lane, request, phase).await;
        match resumed.map_err(CallError::after_write)? {
            End::Answered(answer) => Ok(answer),
            End::Deferred(..) => Err(CallError::Trap("it deferred a second write".to_owned())),
        }
    }

    async fn run_part(
        &self,
        own: &OfGuest,
        guest: &Guest,
        lane: Lane,
        request: &Request,
        phase: Phase,
    ) -> Result<End, CallError> {
        match lane {
            Lane::Direct => self.run_direct(own, guest, request, phase),
            Lane::Fiber => self.run_on_fiber(own, guest, request, phase).await,
        }
    }

    /// Runs a part of a call to its end without giving way.
    fn run_direct(
        &self,
        own: &OfGuest,
        guest: &Guest,
        request: &Request,
        phase: Phase,
    ) -> Result<End, CallError> {
        let mut instance = match self.take(own) {
            Some(instance) => instance,
            None => self.with_room(|| self.instantiate(own, guest))?,
        };
        let Instance { store, exports, .. } = &mut instance;
        store.set_epoch_deadline(guest.direct_ticks);
        let response = exports.call_direct(&guest.linked.indices, store, request, phase)?;
        let end = end_of_part(store, guest, response)?;
        self.keep(own, guest, instance);
        Ok(end)
    }

    async fn run_on_fiber(
        &self,
        own: &OfGuest,
        guest: &Guest,
        request: &Request,
        phase: Phase,
    ) -> Result<End, CallError> {
        let mut instance = match self.take(own) {
            Some(instance) => instance,
            None => match self.instantiate_on_fiber(own, guest).await {
                Err(CallError::NoRoom { .. }) if self.drop_idle() => {
                    self.instantiate_on_fiber(own, guest).await
                }
                instance => instance,
            }?,
        };
        let Instance { store, exports, .. } = &mut instance;
        self.with_room(|| Ok(store.data_mut().memory.charge_stack(WASM_STACK_BYTES_MAX)?))?;
        // Counted from now: an idle instance's deadline has long passed.
        store.set_epoch_deadline(1);
        let response = exports.call(&guest.linked.indices, store, request, phase).await;
        let end = response.map_err(CallError::from);
        let end = end.and_then(|response| end_of_part(store, guest, response));
        let has_written = store.data().has_written;
        let end = end.map_err(|error| if has_written { error.after_write() } else { error })?;
        self.keep(own, guest, instance);
        Ok(end)
    }

    /// Does what takes memory; once more without idle instances when there was no room.
    fn with_room<T>(&self, mut take: impl FnMut() -> Result<T, CallError>) -> Result<T, CallError> {
        match take() {
            Err(CallError::NoRoom { .. }) if self.drop_idle() => take(),
            taken => taken,
        }
    }

    fn store(&self, guest: &Guest, lane: Lane) -> Store<State> {
        let state = State::new(Arc::clone(&guest.profile), self.storage.clone(), lane);
        let mut store = Store::new(guest.linked.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(guest.profile.limits.host_bytes_max);
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(|store| {
            let state = store.data();
            Ok(match state.lane {
                Lane::Direct => UpdateDeadline::Interrupt,
                // Every tick the guest gives way to the thread's other tasks, its own deadline among
                // them. Tokio's own way to yield also looks at the sockets before it comes back.
                Lane::Fiber => {
                    state.profile.pace.quicken();
                    UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
                }
            })
        });
        store
    }

    fn instantiate(&self, own: &OfGuest, guest: &Guest) -> Result<Instance, CallError> {
        let mut store = self.store(guest, Lane::Direct);
        // A new store stands at its deadline.
        store.set_epoch_deadline(guest.direct_ticks);
        let instance = guest.linked.pre.instantiate(&mut store)?;
        own.made.increment();
        Ok(Instance { store, exports: Exports::new(instance), calls: 0 })
    }

    async fn instantiate_on_fiber(
        &self,
        own: &OfGuest,
        guest: &Guest,
    ) -> Result<Instance, CallError> {
        let mut store = self.store(guest, Lane::Fiber);
        store.data_mut().memory.charge_stack(WASM_STACK_BYTES_MAX)?;
        // A new store stands at its deadline: without this its first function would give way at once.
        store.set_epoch_deadline(1);
        let instance = guest.linked.pre.instantiate_async(&mut store).await?;
        own.made.increment();
        Ok(Instance { store, exports: Exports::new(instance), calls: 0 })
    }

    /// An idle instance.
    fn take(&self, own: &OfGuest) -> Option<Instance> {
        let instance = own.idle.borrow_mut().pop()?;
        self.idle_bytes.set(self.idle_bytes.get() - instance.bytes());
        Some(instance)
    }

    /// Keeps an instance that answered well, if it may serve again and left nothing behind.
    fn keep(&self, own: &OfGuest, guest: &Guest, mut instance: Instance) {
        instance.calls += 1;
        let state = instance.store.data();
        let mut idle = own.idle.borrow_mut();
        let idle_bytes = self.idle_bytes.get() + instance.bytes();
        if instance.calls < guest.profile.limits.instance_calls_max
            && state.memory.used_bytes() <= IDLE_MEMORY_BYTES_MAX
            && state.table.is_empty()
            && idle.len() < self.idle_max.instances
            && idle_bytes <= self.idle_max.bytes
        {
            self.idle_bytes.set(idle_bytes);
            idle.push(instance);
        }
    }

    /// Drops all idle instances of this thread, and says whether there was one.
    fn drop_idle(&self) -> bool {
        self.guests.borrow().values().for_each(|own| own.idle.borrow_mut().clear());
        self.idle_bytes.take() > 0
    }
}

/// Ends a part of a call: what it deferred, or else the guest's answer, checked.
fn end_of_part(
    store: &mut Store<State>,
    guest: &Guest,
    response: wit::Response,
) -> Result<End, CallError> {
    let state = store.data_mut();
    state.end_copy();
    if let Some(deferred) = state.take_deferred() {
        return Ok(End::Deferred(deferred, state.budget.left()));
    }
    let answer_bytes_max = guest.profile.limits.answer_bytes_max;
    lift(response, &mut state.table, answer_bytes_max, guest.memory()).map(End::Answered)
}

#[cfg(test)]
mod tests;
