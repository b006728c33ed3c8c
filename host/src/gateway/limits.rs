//! Limits of the request path, as the configuration resolves them.

use std::time::Duration;

/// Calls for health that may run at once, of each mount: they are few and short.
pub const HEALTH_CALLS_MAX: usize = 16;

/// Limits of the request path.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Calls that run at once.
    pub calls_max: usize,
    /// Requests that may wait for one of them.
    pub calls_waiting_max: usize,
    /// How long they may wait.
    pub call_wait_max: Duration,
    /// Longest body, in bytes.
    pub body_bytes_max: u64,
    /// Bytes of large bodies that are in memory at once, over all requests.
    pub bodies_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_time_max: Duration,
    /// Bytes of large answers that clients have not taken yet, over all of them.
    pub answers_bytes_max: usize,
}
