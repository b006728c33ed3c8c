//! The sandbox: loads guests, and runs one call at a time in an instance with limits and a
//! deadline. Owns everything that touches wasmtime; must not know hyper, sockets or any API's
//! routes.
//!
//! A guest's identity, grants and budgets live in the `State` of its store, never in what
//! the guest says.

mod call;
mod engine;

mod guest_memory;
mod imports;
mod limits;
mod load;
mod schedule;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::call::pool::Pool;
pub use self::call::response::{Answer, CallError};
pub use self::engine::EngineOptions;
pub use self::guest_memory::{Charges, GuestMemory};
pub use self::imports::requests::{Body, Head, Request, joined};
pub use self::limits::Limits;
pub use self::load::compiler::{COMMAND as COMPILE_COMMAND, Compiler, run as compile};
pub use self::load::component::{COMPONENT_BYTES_MAX, LoadError};
pub use self::schedule::quota::PERCENT_ALL;
pub use self::schedule::threads::{Held, Priority, give_way};

use self::call::pool::IdleMax;
use self::call::{direct, fiber};
use self::engine::{Pace, Ticker};
use self::load::cache::Cache;
use self::load::component::Loader;
use crate::auth::access::Grants;
use crate::metrics::{Counter, PerThread};
use crate::storage::Storage;

/// A component to be loaded, and what it may do.
#[derive(Clone, Debug)]
pub struct GuestConfig {
    /// Names the guest in logs and errors.
    pub name: String,
    /// The path prefix that it is mounted on.
    pub prefix: String,
    /// The component's bytes.
    pub component: Arc<[u8]>,
    /// Where it is compiled.
    pub compiler: Compiler,
    /// The namespaces that it may reach.
    pub grants: Grants,
    /// Its limits.
    pub limits: Limits,
    /// Whose processor time it takes.
    pub priority: Priority,
}

/// A loaded guest: compiled, checked and linked, ready to be instantiated.
pub struct Guest {
    index: usize,
    name: Arc<str>,
    prefix: String,
    grants: Grants,
    limits: Limits,
    priority: Priority,
    memory: Arc<GuestMemory>,
    pace: Arc<Pace>,
    usual: fiber::Linked,
    express: direct::Linked,
    instances: PerThread<Counter>,
}

impl Guest {
    /// Names the guest in logs and errors.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its calls run on threads beside the workers'.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        self.priority != Priority::Usual
    }

    /// How many instances of it were made.
    #[must_use]
    pub fn instances_made(&self) -> u64 {
        self.instances.all().iter().map(|made| made.get()).sum()
    }
}

/// The engine with its guests; one a process. Shared by all workers.
pub struct Runtime {
    guests: Vec<Arc<Guest>>,
    storage: Storage,
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
    ) -> Result<Self, LoadError> {
        let reused = guests.iter().filter(|guest| guest.limits.instance_calls_max > 1).count();
        let engine = engine::build(options, reused).map_err(LoadError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(LoadError::Ticker)?;
        let pace = ticker.pace();
        let cache = Cache::open(PathBuf::from(cache_dir), &engine);
        let loader = Loader::new(engine, cache).map_err(LoadError::Engine)?;
        let memory = Arc::new(GuestMemory::new(options.guests_bytes_max));
        let load = |(index, config): (usize, GuestConfig)| {
            let (usual, express) =
                loader.load(&config.name, &config.component, &config.compiler)?;
            let GuestConfig { name, prefix, grants, limits, priority, .. } = config;
            let name = name.into();
            let (memory, pace) = (Arc::clone(&memory), Arc::clone(&pace));
            let instances = PerThread::default();
            Ok(Arc::new(Guest {
                index,
                name,
                prefix,
                grants,
                limits,
                priority,
                memory,
                pace,
                usual,
                express,
                instances,
            }))
        };
        let guests: Vec<Arc<Guest>> =
            guests.into_iter().enumerate().map(load).collect::<Result<_, _>>()?;
        loader.forget_others();
        let pools = options.workers * schedule::threads::pools_a_worker(&guests);
        let idle_max =
            IdleMax { instances: options.idle_max(reused), bytes: options.idle_bytes_max(pools) };
        Ok(Self { guests, storage, memory, idle_max, _ticker: ticker })
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

    /// A pool of instances for one worker thread, with the threads beside it that guests need.
    #[must_use]
    pub fn pool(&self) -> Pool {
        Pool::of_worker(&self.guests, self.idle_max, &self.storage)
    }
}
