//! What the host knows of itself besides its requests: whether it is ready, and figures for the metrics. Knows
//! no path and no request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::admin::access::Exposure;
use crate::clock::timeout::within;
use crate::clock::{Clock, Millis};
use crate::net::workers::Serving;
use crate::runtime::GuestMemory;
use crate::storage::{Contents, Storage};

/// How long the exposition waits for figures that stand in the data file; then it goes without.
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);
/// Threads that may read them at once: with a disk that does not answer, each hangs.
const PROBES_MAX: usize = 4;

/// What the host knows of itself besides its requests.
pub struct Probe {
    /// The store.
    pub storage: Storage,
    /// Measures requests.
    pub clock: Clock,
    /// When the server was opened.
    pub started: Millis,
    /// Connections, and whether a shutdown has begun.
    pub serving: Arc<Serving>,
    /// Most connections at once.
    pub connections_max: usize,
    /// What guests take of the memory.
    pub guests: Arc<GuestMemory>,
    /// Who may read the metrics.
    pub exposure: Exposure,
    probes: Arc<Semaphore>,
}

impl Probe {
    /// What is known of a server that starts now.
    #[must_use]
    pub fn new(
        storage: Storage,
        clock: Clock,
        serving: Arc<Serving>,
        connections_max: usize,
        guests: Arc<GuestMemory>,
        exposure: Exposure,
    ) -> Self {
        let (started, probes) = (clock.now(), Arc::new(Semaphore::new(PROBES_MAX)));
        Self { storage, clock, started, serving, connections_max, guests, exposure, probes }
    }

    /// Whether requests can be served, writes among them; an error says why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.serving.is_stopping() {
            return Err("the server is shutting down".to_owned());
        }
        self.storage.writable().map_err(|error| error.to_string())
    }

    /// What is in the file, if the disk tells it in time. Asked on another thread, so that this one
    /// serves on.
    pub async fn contents(&self) -> Option<Contents> {
        let permit = Arc::clone(&self.probes).try_acquire_owned().ok()?;
        let storage = self.storage.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let contents = storage.contents();
            drop(permit);
            contents
        });
        match within(PROBE_TIME_MAX, reading).await?.ok()? {
            Ok(contents) => Some(contents),
            Err(error) => {
                tracing::warn!(%error, "the metrics go without what is in the file");
                None
            }
        }
    }
}
