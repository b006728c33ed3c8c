//! Instances, and calls in them: takes one from the thread's pool or makes one, runs one call
//! under its deadline, and keeps or drops it. A trap, a missed deadline or a caller that goes away
//! drops it. Idle instances go when there is no room for one that is wanted.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use super::direct::{self, Avoided};
use super::fiber;
use super::response::{Answer, CallError, lift};
use crate::clock::timeout::within;
use crate::clock::{self, Clock};
use crate::metrics::{Counter, Own};
use crate::runtime::Guest;
use crate::runtime::engine::WASM_STACK_BYTES_MAX;
use crate::runtime::imports::bindings::larder::guest::requests as wit;
use crate::runtime::imports::deferred::{Settled, Write};
use crate::runtime::imports::requests::Request;
use crate::runtime::schedule::quota::Share;
use crate::runtime::schedule::threads::{Aside, Held};
use crate::runtime::state::{Allowance, State};
use crate::storage::Storage;

/// An instance whose memory has grown beyond this is not kept: memory never shrinks.
const IDLE_MEMORY_BYTES_MAX: usize = 4 << 20;
/// Component handles that an instance may hold at once.
const HANDLES_MAX: usize = 1000;

struct Instance<D> {
    store: Store<State>,
    doors: D,
    calls: u32,
}

impl<D> Instance<D> {
    /// What it takes of the memory that guests have together.
    fn bytes(&self) -> usize {
        self.store.data().memory.charged_bytes()
    }
}

/// What idle instances of a thread may be.
#[derive(Clone, Copy, Debug)]
pub struct IdleMax {
    /// How many of each guest, in each lane.
    pub instances: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// What a guest is called for.
pub enum Errand {
    /// To answer a request, or to defer a write.
    Handle,
    /// To answer after it.
    Complete(Settled),
}

impl Errand {
    /// What the call has left, when this is not its beginning.
    pub fn left(&self) -> Option<Allowance> {
        match self {
            Self::Handle => None,
            Self::Complete(settled) => Some(settled.left),
        }
    }
}

/// How a call ended well.
enum End {
    Answer(Answer),
    Deferred(Write),
}

/// A guest's idle instances on one thread, by lane. Needs no lock, because it never leaves
/// the thread.
struct Idle {
    express: RefCell<Vec<Instance<direct::Doors>>>,
    usual: RefCell<Vec<Instance<fiber::Doors>>>,
    /// Paths that avoid the express lane, for requests and for what follows a write.
    avoided: [Avoided; 2],
    /// Its share of this thread's time; None when it may take all of it at any time.
    share: Option<Share>,
    /// Instances that this thread has made.
    made: Arc<Own<Counter>>,
}

/// The idle instances of one thread.
pub struct Pool {
    idle: Vec<Idle>,
    idle_bytes: Cell<usize>,
    idle_max: IdleMax,
    storage: Storage,
    aside: Aside,
}

impl Pool {
    /// An empty pool, and those of the threads beside this one that guests need.
    pub(in crate::runtime) fn of_worker(
        guests: &[Arc<Guest>],
        idle_max: IdleMax,
        storage: &Storage,
    ) -> Self {
        let (of_them, storage) = (guests.to_vec(), storage.clone());
        let pool = move || Self::new(&of_them, idle_max, storage.clone());
        Self { aside: Aside::start(guests, pool.clone()), ..pool() }
    }

    fn new(guests: &[Arc<Guest>], idle_max: IdleMax, storage: Storage) -> Self {
        let clock = Clock::system();
        let idle = |guest: &Arc<Guest>| Idle {
            express: RefCell::default(),
            usual: RefCell::default(),
            avoided: Default::default(),
            share: Share::new(guest.limits.cpu_percent_max, guest.is_aside(), &clock),
            made: guest.instances.join(Counter::default()),
        };
        let idle = guests.iter().map(idle).collect();
        Self { idle, idle_bytes: Cell::new(0), idle_max, storage, aside: Aside::default() }
    }

    /// Has `guest` answer one request, on this thread.
    pub async fn call(&self, guest: &Arc<Guest>, request: Request) -> Result<Answer, CallError> {
        let time_max = guest.limits.call_time_max;
        let answered = match &self.idle[guest.index].share {
            None => within(time_max, self.run(guest, &request)).await,
            // Waiting for its share counts as a call's time.
            Some(share) => within(time_max, share.run(self.run(guest, &request))).await,
        };
        answered.unwrap_or(Err(CallError::Deadline))
    }

    /// Has `guest` answer one request, on a thread beside this one.
    pub async fn call_aside(
        &self,
        guest: &Arc<Guest>,
        request: Request,
        held: Held,
    ) -> Result<Answer, CallError> {
        self.aside.call(guest, request, held).await
    }

    async fn run(&self, guest: &Arc<Guest>, request: &Request) -> Result<Answer, CallError> {
        let write = match self.run_errand(guest, request, &Errand::Handle).await? {
            End::Answer(answer) => return Ok(answer),
            End::Deferred(write) => write,
        };
        let errand = Errand::Complete(write.settle(&self.storage).await);
        let completed = self.run_errand(guest, request, &errand).await;
        match completed.map_err(CallError::after_write)? {
            End::Answer(answer) => Ok(answer),
            End::Deferred(_) => Err(CallError::Trap("it deferred a second write".to_owned())),
        }
    }

    async fn run_errand(
        &self,
        guest: &Arc<Guest>,
        request: &Request,
        errand: &Errand,
    ) -> Result<End, CallError> {
        let [handle, complete] = &self.idle[guest.index].avoided;
        let avoided = if matches!(errand, Errand::Handle) { handle } else { complete };
        let path = request.head.uri.path();
        if !avoided.count(path) {
            match self.run_express(guest, request, errand) {
                Ok(end) => return Ok(end),
                Err(error @ CallError::NoRoom { .. }) => {
                    if !self.drop_idle() {
                        return Err(error);
                    }
                }
                // It has had no effect, and finds in the other lane what it lacked here.
                Err(_) => avoided.insert(path),
            }
        }
        self.run_usual(guest, request, errand).await
    }

    /// Runs a call to its end without giving way; an error whenever that cannot be done.
    fn run_express(
        &self,
        guest: &Arc<Guest>,
        request: &Request,
        errand: &Errand,
    ) -> Result<End, CallError> {
        let idle = &self.idle[guest.index].express;
        let mut instance = match self.take(idle) {
            Some(instance) => instance,
            None => self.instantiate_express(guest)?,
        };
        let Instance { store, doors, .. } = &mut instance;
        store.set_epoch_deadline(1);
        let response = doors.call(&guest.express, store, request, errand)?;
        let end = end_of_call(store, guest, response)?;
        self.keep(idle, guest, instance);
        Ok(end)
    }

    async fn run_usual(
        &self,
        guest: &Arc<Guest>,
        request: &Request,
        errand: &Errand,
    ) -> Result<End, CallError> {
        let idle = &self.idle[guest.index].usual;
        let mut instance = match self.take(idle) {
            Some(instance) => instance,
            None => match self.instantiate(guest).await {
                Err(CallError::NoRoom { .. }) if self.drop_idle() => self.instantiate(guest).await,
                instance => instance,
            }?,
        };
        let Instance { store, doors, .. } = &mut instance;
        // Counted from now: an idle instance's deadline has long passed.
        store.set_epoch_deadline(1);
        let response = doors.call(&guest.usual, store, request, errand).await;
        let end = response.map_err(CallError::from);
        let end = end.and_then(|response| end_of_call(store, guest, response));
        let has_written = store.data().has_written;
        let end = end.map_err(|error| if has_written { error.after_write() } else { error })?;
        self.keep(idle, guest, instance);
        Ok(end)
    }

    fn store(&self, guest: &Arc<Guest>) -> Store<State> {
        let state = State::new(Arc::clone(guest), self.storage.clone());
        let mut store = Store::new(guest.usual.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(guest.limits.host_bytes_max);
        store.set_max_component_handles(HANDLES_MAX);
        store
    }

    fn instantiate_express(
        &self,
        guest: &Arc<Guest>,
    ) -> Result<Instance<direct::Doors>, CallError> {
        let mut store = self.store(guest);
        store.epoch_deadline_callback(|mut store| {
            let goes_on = store.data_mut().hold.goes_on(clock::thread_cpu());
            Ok(if goes_on { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
        });
        // A new store stands at its deadline.
        store.set_epoch_deadline(1);
        let doors = guest.express.instantiate(&mut store)?;
        self.idle[guest.index].made.increment();
        Ok(Instance { store, doors, calls: 0 })
    }

    async fn instantiate(&self, guest: &Arc<Guest>) -> Result<Instance<fiber::Doors>, CallError> {
        let mut store = self.store(guest);
        // Which it keeps also between its calls.
        store.data_mut().memory.charge_stack(WASM_STACK_BYTES_MAX)?;
        // Every tick the guest gives way to the thread's other tasks, its own deadline among them.
        // Tokio's own way to yield also looks at the sockets before it comes back.
        store.epoch_deadline_callback(|store| {
            store.data().guest.pace.quicken();
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        // A new store stands at its deadline: without this its first function would give way at once.
        store.set_epoch_deadline(1);
        let doors = guest.usual.instantiate(&mut store).await?;
        self.idle[guest.index].made.increment();
        Ok(Instance { store, doors, calls: 0 })
    }

    /// An idle instance.
    fn take<D>(&self, idle: &RefCell<Vec<Instance<D>>>) -> Option<Instance<D>> {
        let instance = idle.borrow_mut().pop()?;
        self.idle_bytes.set(self.idle_bytes.get() - instance.bytes());
        Some(instance)
    }

    /// Keeps an instance that answered well, if it may serve again and left nothing behind.
    fn keep<D>(&self, idle: &RefCell<Vec<Instance<D>>>, guest: &Guest, mut instance: Instance<D>) {
        instance.calls += 1;
        let state = instance.store.data();
        let mut idle = idle.borrow_mut();
        let idle_bytes = self.idle_bytes.get() + instance.bytes();
        if instance.calls < guest.limits.instance_calls_max
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
        for Idle { express, usual, .. } in &self.idle {
            express.borrow_mut().clear();
            usual.borrow_mut().clear();
        }
        self.idle_bytes.take() > 0
    }
}

/// Ends a call: what it deferred, or else the guest's answer, checked.
fn end_of_call(
    store: &mut Store<State>,
    guest: &Guest,
    response: wit::Response,
) -> Result<End, CallError> {
    let state = store.data_mut();
    state.end_copy();
    if let Some(write) = state.take_deferred() {
        return Ok(End::Deferred(write));
    }
    let answer_bytes_max = guest.limits.answer_bytes_max;
    lift(response, &mut state.table, answer_bytes_max, &guest.memory).map(End::Answer)
}

#[cfg(test)]
mod tests;
