//! What whoever opens a store may choose. Knows no file or flag that the choices come from.

use std::time::Duration;

/// Limits and habits of a store. [`Options::default`] fits a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pages in use, in bytes, above which sets are refused with `Full`. None: as much as the disk
    /// and the map take.
    pub bytes_max: Option<u64>,
    /// Longest value, in bytes.
    pub value_bytes_max: usize,
    /// Most write lists that may wait for the writer.
    pub queue_lists_max: usize,
    /// Most bytes of values that may wait for the writer.
    pub queue_bytes_max: usize,
    /// A list that waited longer than this is refused instead of written.
    pub queue_wait_max: Duration,
    /// Most reads that may run at once.
    pub readers_max: u32,
    /// How often expired entries are looked for. None: only when [`super::Storage::sweep`] is called.
    pub sweep_interval: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes_max: None,
            value_bytes_max: 8 << 20,
            queue_lists_max: 4096,
            queue_bytes_max: 256 << 20,
            queue_wait_max: Duration::from_secs(5),
            readers_max: 1024,
            sweep_interval: Some(Duration::from_secs(1)),
        }
    }
}
