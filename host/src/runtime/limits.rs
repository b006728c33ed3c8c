//! A mount's limits, as they are configured. Knows no guest and no call.

use std::time::Duration;

use super::schedule::quota::PERCENT_ALL;

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
