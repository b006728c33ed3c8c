//! The sandbox: loads guests, and runs one call at a time in an instance with limits and a
//! deadline. Owns everything that touches wasmtime; must not know hyper, sockets or any API's
//! routes.
//!
//! A guest's identity, grants and budgets live in the `State` of its store, never in what
//! the guest says.

mod blob;
mod budget;
mod call;
mod changes;
mod engine;
mod epoch;
mod error;
mod guest;
mod guest_memory;
mod imports;
mod limits;
mod load;
mod profile;
mod schedule;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::call::error::CallError;
pub use self::call::executor::{Executor, Taken};
pub use self::call::request::{Body, Head, Request, joined};
pub use self::call::response::{Response, ResponseBody};
pub use self::engine::EngineOptions;
pub use self::guest::{Guest, GuestConfig};
pub use self::guest_memory::{Charges, GuestMemory};
pub use self::limits::Limits;
pub use self::load::compiler::{COMMAND as COMPILE_COMMAND, Compiler, run as compile};
pub use self::load::component::{COMPONENT_BYTES_MAX, LoadError};
pub use self::schedule::quota::PERCENT_ALL;
pub use self::schedule::threads::{Priority, give_way};

use self::call::pool::{IdleMax, Pool};
use self::epoch::Ticker;
use self::load::cache::Cache;
use self::load::component::Loader;
use self::profile::Profile;
use crate::clock::Clock;
use crate::storage::Storage;

/// The engine with its guests; one a process. Shared by all workers.
pub struct Runtime {
    guests: Vec<Arc<Guest>>,
    storage: Storage,
    clock: Clock,
    memory: Arc<GuestMemory>,
    idle_max: IdleMax,
    _ticker: Ticker,
}

impl Runtime {
    /// Compiles and links `guests`, with compiled code kept in `cache_dir`.
    pub fn load(
        options: &EngineOptions,
        cache_dir: &Path,
        guests: Vec<GuestConfig>,
        storage: Storage,
        clock: Clock,
    ) -> Result<Self, LoadError> {
        let reused = guests.iter().filter(|guest| guest.limits.instance_calls_max > 1).count();
        let engine = engine::build(options, reused).map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(LoadError::Ticker)?;
        let pace = ticker.pace();
        let cache = Cache::open(PathBuf::from(cache_dir), &engine);
        let loader = Loader::new(engine, cache).map_err(LoadError::Engine)?;
        let memory = Arc::new(GuestMemory::new(options.guests_bytes_max));
        let guests = guests.into_iter().zip(0..).map(|(config, id)| {
            let linked = loader.load(&config.name, &config.component, &config.compiler)?;
            let GuestConfig { name, prefix, grants, limits, priority, trusted, .. } = config;
            let (name, memory, pace) = (name.into(), Arc::clone(&memory), Arc::clone(&pace));
            let profile = Profile { id, name, prefix, grants, limits, memory, pace };
            Ok(Arc::new(Guest::new(profile, linked, trusted, priority)))
        });
        let guests: Vec<Arc<Guest>> = guests.collect::<Result<_, _>>()?;
        loader.forget_others();
        let pools = options.workers * pools_a_worker(&guests);
        let idle_max =
            IdleMax { instances: options.idle_max(reused), bytes: options.idle_bytes_max(pools) };
        Ok(Self { guests, storage, clock, memory, idle_max, _ticker: ticker })
    }

    /// The guests, in the order in which they were given.
    #[must_use]
    pub fn guests(&self) -> &[Arc<Guest>] {
        &self.guests
    }

    /// What guests take of the host's memory.
    #[must_use]
    pub fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// What calls guests on one worker thread, and on the threads beside it.
    #[must_use]
    pub fn executor(&self) -> Executor {
        let (idle_max, storage, clock) = (self.idle_max, self.storage.clone(), self.clock.clone());
        Executor::new(move || Pool::new(idle_max, storage.clone(), clock.clone()))
    }
}

/// The pools of instances of a worker: its own, and one for each thread beside it that guests need.
fn pools_a_worker(guests: &[Arc<Guest>]) -> usize {
    let beside = |priority| guests.iter().any(|guest| guest.priority == priority);
    1 + usize::from(beside(Priority::Low)) + usize::from(beside(Priority::Idle))
}
