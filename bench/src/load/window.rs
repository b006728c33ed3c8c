//! The time in which answers count.

/// The time that counts, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its beginning.
    pub begin_ns: u64,
    /// Its end, which does not count.
    pub end_ns: u64,
}

impl Window {
    /// Whether an instant is in it.
    pub fn holds(self, instant: u64) -> bool {
        (self.begin_ns..self.end_ns).contains(&instant)
    }
}
