//! The wasmtime engine: what it may do, and how many instances there is room for. Knows no guest.

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
    /// Idle instances that a worker may keep of each of `reused` guests.
    pub fn idle_max(&self, reused: usize) -> usize {
        let share = IDLE_MAX / (self.workers * reused).max(1);
        share.clamp(1, IDLE_MAX_A_POOL.min(self.calls_max))
    }

    /// Bytes that the idle instances of one of `pools` may take.
    pub fn idle_bytes_max(&self, pools: usize) -> usize {
        self.guests_bytes_max / IDLE_MEMORY_PART / pools.max(1)
    }

    /// Slots for instances: the running ones, and the idle ones of `reused` guests on every
    /// worker. By this sum a call that got its permit always finds a slot.
    fn slots(&self, reused: usize) -> u32 {
        let idle = self.workers * reused * self.idle_max(reused);
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

#[cfg(test)]
mod tests {
    use super::*;

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
                assert!(slots >= 1000 + workers * reused * idle);
                assert!(slots <= 1000 + IDLE_MAX.max(workers * reused));
            }
        }
    }
}
