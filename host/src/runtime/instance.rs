//! Instances, and calls in them: takes one from the worker's pool or makes one, runs one call
//! under its deadline, and keeps or drops it. A trap, a missed deadline or a caller that goes away
//! drops it.

use std::cell::RefCell;
use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use super::Guest;
use super::answer::{Answer, CallError, lift};
use super::bindings::Handler;
use super::requests::Request;
use super::state::State;
use crate::deadline::within;
use crate::storage::Storage;

/// An instance whose memory has grown beyond this is not kept: memory never shrinks.
const IDLE_MEMORY_BYTES_MAX: usize = 4 << 20;
/// Component handles that an instance may hold at once.
const HANDLES_MAX: usize = 1000;

struct Instance {
    store: Store<State>,
    handler: Handler,
    calls: u32,
}

/// The idle instances of one worker thread, by guest. Needs no lock, because it never leaves the
/// thread.
pub struct Pool {
    idle: Vec<RefCell<Vec<Instance>>>,
    idle_max: usize,
    storage: Storage,
}

impl Pool {
    /// An empty pool.
    pub(super) fn new(guests: usize, idle_max: usize, storage: Storage) -> Self {
        let idle = std::iter::repeat_with(RefCell::default).take(guests).collect();
        Self { idle, idle_max, storage }
    }

    /// Has `guest` answer one request.
    pub async fn call(&self, guest: &Arc<Guest>, request: Request) -> Result<Answer, CallError> {
        let answered = within(guest.limits.call_time_max, self.run(guest, request)).await;
        answered.unwrap_or(Err(CallError::Deadline))
    }

    async fn run(&self, guest: &Arc<Guest>, request: Request) -> Result<Answer, CallError> {
        let idle = self.idle[guest.index].borrow_mut().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.instantiate(guest).await?,
        };
        // Counted from now: an idle instance's deadline has long passed.
        instance.store.set_epoch_deadline(1);
        let accept = request.accept();
        let state = instance.store.data_mut();
        state.begin(Arc::clone(&request.head));
        let request = request.lower(accept.as_deref(), &mut state.table)?;
        let door = instance.handler.larder_guest_incoming_handler();
        let response = door.call_handle(&mut instance.store, request).await?;
        let state = instance.store.data_mut();
        let answer = lift(response, &mut state.table, guest.limits.answer_bytes_max)?;
        self.keep(guest, instance);
        Ok(answer)
    }

    async fn instantiate(&self, guest: &Arc<Guest>) -> Result<Instance, CallError> {
        let state = State::new(Arc::clone(guest), self.storage.clone());
        let mut store = Store::new(guest.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(guest.limits.host_bytes_max);
        store.set_max_component_handles(HANDLES_MAX);
        // Every tick the guest gives way to the thread's other tasks, its own deadline among them.
        // Tokio's own way to yield also looks at the sockets before it comes back.
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        // A new store stands at its deadline: without this its first function would give way at once.
        store.set_epoch_deadline(1);
        let handler = guest.pre.instantiate_async(&mut store).await?;
        Ok(Instance { store, handler, calls: 0 })
    }

    /// Keeps an instance that answered well, if it may serve again and left nothing behind.
    fn keep(&self, guest: &Guest, mut instance: Instance) {
        instance.calls += 1;
        let state = instance.store.data();
        let mut idle = self.idle[guest.index].borrow_mut();
        if instance.calls < guest.limits.instance_calls_max
            && state.memory.used_bytes() <= IDLE_MEMORY_BYTES_MAX
            && state.table.is_empty()
            && idle.len() < self.idle_max
        {
            idle.push(instance);
        }
    }
}
