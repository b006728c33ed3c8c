//! The wasmtime engine: what it may do, how many instances there is room for, and the clockwork
//! that makes guests give way. Knows no guest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

/// Core modules and tables that one component may consist of.
const MODULES_PER_COMPONENT_MAX: u32 = 8;
const MEMORIES_PER_COMPONENT_MAX: u32 = 2;
/// Idle instances over all workers and guests, and of one guest on one worker. Each takes address
/// space, of which there is only so much.
const IDLE_MAX: usize = 2048;
const IDLE_MAX_A_POOL: usize = 128;
/// Idle instances, over all workers and guests, take at most this part of what guests may take together.
const IDLE_MEMORY_PART: usize = 8;
/// A guest has idle instances in the express lane and in the other.
const LANES: usize = 2;
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Touched memory that a slot keeps for its next instance instead of giving it back.
const MEMORY_KEPT_BYTES: usize = 256 << 10;
/// Slots that nothing uses and that keep what their last instance touched, for the next instance of
/// the same guest. Beyond them the one that was not used for longest changes guests, so that what is
/// kept does not grow with the number of guests.
const WARM_SLOTS_MAX: u32 = 32;
const STACK_BYTES: usize = 512 << 10;
const STACK_KEPT_BYTES: usize = 64 << 10;
/// What a guest's functions take of a stack at most.
pub const WASM_STACK_BYTES_MAX: usize = 256 << 10;

/// How much the engine makes room for.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Most calls that run at once, over all workers and guests.
    pub calls_max: usize,
    /// Worker threads.
    pub workers: usize,
    /// Largest linear memory of any guest, in bytes.
    pub memory_bytes_max: usize,
    /// Bytes that all guests may take together.
    pub guests_bytes_max: usize,
}

impl EngineOptions {
    /// Idle instances that a worker may keep of each of `reused` guests in each lane.
    pub fn idle_max(&self, reused: usize) -> usize {
        let share = IDLE_MAX / (self.workers * reused * LANES).max(1);
        share.clamp(1, IDLE_MAX_A_POOL.min(self.calls_max))
    }

    /// Bytes that the idle instances of one of `pools` may take.
    pub fn idle_bytes_max(&self, pools: usize) -> usize {
        self.guests_bytes_max / IDLE_MEMORY_PART / pools.max(1)
    }

    /// Slots for instances: the running ones, and the idle ones of `reused` guests on every
    /// worker. By this sum a call that got its permit always finds a slot.
    fn slots(&self, reused: usize) -> u32 {
        let idle = self.workers * reused * LANES * self.idle_max(reused);
        u32::try_from(self.calls_max + idle).unwrap_or(u32::MAX)
    }
}

/// Builds the engine.
pub fn build(options: &EngineOptions, reused: usize) -> wasmtime::Result<Engine> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options, reused)));
    Engine::new(&config)
}

/// Builds an engine that compiles the same code and runs none: it needs no room for instances.
pub fn build_compiler() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// What compiled code depends on.
fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // Costs every call, and only component-model async needs it.
        .concurrency_support(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8))
        .async_stack_size(STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES_MAX);
    config
}

fn pool(options: &EngineOptions, reused: usize) -> PoolingAllocationConfig {
    let slots = options.slots(reused);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(MODULES_PER_COMPONENT_MAX))
        .total_tables(slots.saturating_mul(MODULES_PER_COMPONENT_MAX))
        .total_memories(slots.saturating_mul(MEMORIES_PER_COMPONENT_MAX))
        .total_stacks(slots)
        .max_core_instances_per_component(MODULES_PER_COMPONENT_MAX)
        .max_tables_per_component(MODULES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_memory_size(options.memory_bytes_max)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(4 << 10)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// How often running guests give way to their neighbours: often for a while after one of them had to,
/// seldom when none needs it, so that a server that has nothing to do hardly wakes.
const TICK_QUICK: Duration = Duration::from_micros(250);
const TICK_SLOW: Duration = Duration::from_millis(2);
/// Quick ticks that follow the last one at which a guest ran: about a second.
const QUICK_TICKS: u32 = 4000;

/// Whether ticks come quickly, as guests ask for by running long.
#[derive(Debug, Default)]
pub struct Pace(AtomicBool);

impl Pace {
    /// Has ticks come quickly for a while: a guest has run into one.
    pub fn quicken(&self) {
        // All workers' guests come here: who finds it said leaves the cache line shared.
        if !self.0.load(Ordering::Relaxed) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// The time to the next tick, when so many quick ones are left.
    fn next(&self, quick_left: &mut u32) -> Duration {
        *quick_left = if self.0.swap(false, Ordering::Relaxed) {
            QUICK_TICKS
        } else {
            quick_left.saturating_sub(1)
        };
        if *quick_left > 0 { TICK_QUICK } else { TICK_SLOW }
    }
}

/// Advances the engine's epoch, so that no guest holds its thread for longer than a tick.
pub struct Ticker {
    stopped: Arc<AtomicBool>,
    pace: Arc<Pace>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the one thread that does it.
    pub fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.clone();
        let stopped = Arc::new(AtomicBool::new(false));
        let pace = Arc::new(Pace::default());
        let (seen, asked) = (Arc::clone(&stopped), Arc::clone(&pace));
        let thread = thread::Builder::new().name("larder-ticker".to_owned()).spawn(move || {
            let mut quick_left = 0;
            while !seen.load(Ordering::Acquire) {
                thread::sleep(asked.next(&mut quick_left));
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stopped, pace, thread: Some(thread) })
    }

    /// What guests that run long tell.
    pub fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the loop above has nothing to add here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_slow_but_for_a_while_after_a_guest_ran_into_one() {
        let (pace, mut quick_left) = (Pace::default(), 0);
        assert_eq!(pace.next(&mut quick_left), TICK_SLOW);
        pace.quicken();
        for _ in 0..QUICK_TICKS {
            assert_eq!(pace.next(&mut quick_left), TICK_QUICK);
        }
        assert_eq!(pace.next(&mut quick_left), TICK_SLOW);
    }

    #[test]
    fn slots_hold_all_calls_and_all_idle_instances_on_machines_of_any_size() {
        for workers in [1, 2, 64, 1024] {
            for reused in [0, 1, 10] {
                let (memory_bytes_max, guests_bytes_max) = (1 << 20, 1 << 30);
                let options =
                    EngineOptions { calls_max: 1000, workers, memory_bytes_max, guests_bytes_max };
                let idle = options.idle_max(reused);
                assert!((1..=IDLE_MAX_A_POOL).contains(&idle));
                let slots = options.slots(reused) as usize;
                assert!(slots >= 1000 + workers * reused * LANES * idle);
                assert!(slots <= 1000 + IDLE_MAX.max(workers * reused * LANES));
            }
        }
    }
}
