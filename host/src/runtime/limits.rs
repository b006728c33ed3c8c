//! What a guest may use up: memory over all it allocates, of its own limit and of what all guests have
//! together, and a budget of host calls and bytes a request. Knows no guest and no import.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::guest_memory::{Charge, GuestMemory, NoRoom};
use super::schedule::quota::PERCENT_ALL;

/// Bytes that a table element costs.
const TABLE_ELEMENT_BYTES: usize = 8;

/// A mount's limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Wall time of a call.
    pub call_time_max: Duration,
    /// Linear memories and tables of an instance together, in bytes.
    pub memory_bytes_max: usize,
    /// Imports that a call may use.
    pub host_calls_max: u32,
    /// Bytes that a call may move between guest and host through imports, and write to its log.
    pub host_bytes_max: usize,
    /// Bytes of an answer's body.
    pub answer_bytes_max: usize,
    /// Calls that an instance serves before it is dropped; 1 gives every request its own.
    pub instance_calls_max: u32,
    /// Percent of each worker thread's time that calls may take together.
    pub cpu_percent_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_time_max: Duration::from_secs(10),
            memory_bytes_max: 64 << 20,
            host_calls_max: 10_000,
            host_bytes_max: 64 << 20,
            answer_bytes_max: 64 << 20,
            instance_calls_max: 1,
            cpu_percent_max: PERCENT_ALL,
        }
    }
}

/// A limit that a guest ran into, as the trap that ends its call.
#[derive(Debug)]
pub struct LimitReached(pub &'static str);

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest reached its limit {}", self.0)
    }
}

impl std::error::Error for LimitReached {}

/// What is left of a call's budget.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    calls_left: u32,
    bytes_left: usize,
}

impl Budget {
    /// A full budget.
    pub fn new(limits: &Limits) -> Self {
        Self { calls_left: limits.host_calls_max, bytes_left: limits.host_bytes_max }
    }

    /// Spends one host call.
    pub fn spend_call(&mut self) -> Result<(), LimitReached> {
        let left = self.calls_left.checked_sub(1);
        self.calls_left = left.ok_or(LimitReached("host_calls_max"))?;
        Ok(())
    }

    /// Spends bytes.
    pub fn spend_bytes(&mut self, bytes: usize) -> Result<(), LimitReached> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or(LimitReached("host_bytes_max"))?;
        Ok(())
    }
}

/// Counts all memories and tables of a store together; wasmtime's own limits count each apart. What
/// they take is charged to what all guests have together, until the store is gone.
#[derive(Debug)]
pub struct MemoryMeter {
    used_bytes: usize,
    bytes_max: usize,
    charge: Charge,
}

impl MemoryMeter {
    /// A meter that allows `bytes_max`, as far as there is room in `memory`.
    pub fn new(bytes_max: usize, memory: &Arc<GuestMemory>) -> Self {
        Self { used_bytes: 0, bytes_max, charge: Charge::nothing(memory) }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes that the store is charged for.
    pub fn charged_bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// Charges the stack that the store's calls run on, which is no part of its own limit.
    pub fn charge_stack(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.charge.grow(bytes)
    }

    /// Whether its own limit allows it; an error, which ends the call, when the room of all does not.
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, NoRoom> {
        let more = desired.saturating_sub(current);
        let used = self.used_bytes.saturating_add(more);
        let fits = used <= self.bytes_max && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.charge.grow(more)?;
            self.used_bytes = used;
        }
        Ok(fits)
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum)?)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut meter = MemoryMeter::new(100, &Arc::new(GuestMemory::new(1000)));
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.table_growing(0, 5, None).unwrap());
        assert!(!meter.table_growing(0, 1, None).unwrap());
        assert!(!meter.memory_growing(60, 61, None).unwrap());
        assert_eq!(meter.used_bytes(), 100);
    }

    #[test]
    fn beyond_the_room_of_all_a_call_ends_and_what_it_had_is_given_back() {
        let memory = Arc::new(GuestMemory::new(100));
        let [mut first, mut second] = [(); 2].map(|()| MemoryMeter::new(80, &memory));
        assert!(first.memory_growing(0, 60, None).unwrap());
        assert!(!second.memory_growing(0, 81, None).unwrap());
        for _ in 0..2 {
            let error = second.memory_growing(0, 41, None).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&NoRoom));
        }
        assert!(second.table_growing(0, 5, None).unwrap());
        assert_eq!((second.used_bytes(), memory.used_bytes()), (40, 100));
        drop(first);
        assert!(second.memory_growing(0, 40, None).unwrap());
        drop(second);
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn a_budget_ends_with_its_last_call_and_byte() {
        let limits = Limits { host_calls_max: 1, host_bytes_max: 10, ..Limits::default() };
        let mut budget = Budget::new(&limits);
        assert!(budget.spend_call().is_ok());
        assert!(budget.spend_call().is_err());
        assert!(budget.spend_bytes(10).is_ok());
        assert!(budget.spend_bytes(1).is_err());
    }
}
