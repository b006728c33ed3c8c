//! What a call and an instance may use up: every budget of the sandbox in one place. Limits that a mount
//! sets are in `limits`; what all guests have of the memory together is `guest_memory`'s.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use super::guest_memory::{Charge, GuestMemory, NoRoom};
use super::limits::Limits;

/// Handles on host resources that a call may hold at once.
pub const RESOURCES_MAX: usize = 1000;
/// Component handles that an instance may hold at once.
pub const HANDLES_MAX: usize = 1000;
/// Most that a guest may want to remember of a call that it ends with changes, in bytes.
pub const MEMO_BYTES_MAX: usize = 4 << 10;
/// Most that a call may log, in bytes; what follows is left out, with a word about it.
pub const LOG_BYTES_MAX: usize = 64 << 10;
/// Bytes that a table element costs.
const TABLE_ELEMENT_BYTES: usize = 8;

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
#[derive(Debug)]
pub struct Budget {
    calls_left: u32,
    bytes_left: usize,
    /// Shared with the streams that the guest's output goes to.
    log_bytes_left: Arc<AtomicUsize>,
}

/// What one part of a call leaves to the next.
#[derive(Clone, Copy, Debug)]
pub struct Remainder {
    calls: u32,
    bytes: usize,
    log_bytes: usize,
}

impl Remainder {
    fn whole(limits: &Limits) -> Self {
        Self {
            calls: limits.host_calls_max,
            bytes: limits.host_bytes_max,
            log_bytes: LOG_BYTES_MAX,
        }
    }
}

impl Budget {
    /// A full budget.
    pub fn new(limits: &Limits) -> Self {
        let Remainder { calls, bytes, log_bytes } = Remainder::whole(limits);
        let log_bytes_left = Arc::new(AtomicUsize::new(log_bytes));
        Self { calls_left: calls, bytes_left: bytes, log_bytes_left }
    }

    /// Begins a call with a full budget, or goes on with what is left of one.
    pub fn begin(&mut self, limits: &Limits, left: Option<Remainder>) {
        let left = left.unwrap_or_else(|| Remainder::whole(limits));
        self.calls_left = left.calls;
        self.bytes_left = left.bytes;
        self.log_bytes_left.store(left.log_bytes, Ordering::Relaxed);
    }

    /// What is left.
    pub fn left(&self) -> Remainder {
        let log_bytes = self.log_bytes_left.load(Ordering::Relaxed);
        Remainder { calls: self.calls_left, bytes: self.bytes_left, log_bytes }
    }

    /// What is left to be logged, in bytes.
    pub fn log_bytes_left(&self) -> &Arc<AtomicUsize> {
        &self.log_bytes_left
    }

    /// What is left of the bytes.
    pub fn bytes_left(&self) -> usize {
        self.bytes_left
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
    has_stack: bool,
}

impl MemoryMeter {
    /// A meter that allows `bytes_max`, as far as there is room in `memory`.
    pub fn new(bytes_max: usize, memory: &Arc<GuestMemory>) -> Self {
        Self { used_bytes: 0, bytes_max, charge: Charge::nothing(memory), has_stack: false }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes that the store is charged for.
    pub fn charged_bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// Charges the stack that the store's calls run on, once: the store keeps it between its calls. It
    /// is no part of the instance's own limit.
    pub fn charge_stack(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if !self.has_stack {
            self.charge.grow(bytes)?;
            self.has_stack = true;
        }
        Ok(())
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
