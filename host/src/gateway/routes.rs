//! Routes: which guest answers which paths, for whom, with which permits, and under which counters. The table of
//! them is replaced whole while requests run. Knows no request but its path.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failures::Failures;
use super::http_metrics::{HttpMetrics, MountMetrics, OperationMetrics};
use super::origins::Origins;
use super::paths::is_under;
use super::permits::MountPermits;
use crate::runtime::Guest;

/// How a mount wants callers to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The host lets only principals through, and answers 401 itself.
    Required,
    /// The guest is told who calls and answers for itself; bodies are read for principals only.
    Guest,
    /// Everybody is anonymous, tokens are not looked at.
    None,
}

/// A guest to be routed to.
pub struct RouteConfig {
    /// `/`, or a path without a slash at its end.
    pub prefix: String,
    /// How callers are judged.
    pub auth: Auth,
    /// Paths that are served under overload too.
    pub health: Vec<String>,
    /// Paths that are counted apart.
    pub operations: Vec<String>,
    /// Calls that may run or wait at once, if that is less than all of the server's.
    pub calls_max: Option<usize>,
    /// Origins whose pages may use it.
    pub cors_origins: Origins,
    /// Who answers.
    pub guest: Arc<Guest>,
}

/// A guest on its path, and what its requests share.
pub struct Route {
    /// `/`, or a path without a slash at its end.
    pub prefix: String,
    /// How callers are judged.
    pub auth: Auth,
    health: Vec<String>,
    /// What is counted apart.
    pub operations: Vec<Arc<OperationMetrics>>,
    /// Origins whose pages may use it.
    pub cors_origins: Origins,
    /// Permits of its calls.
    pub permits: Arc<MountPermits>,
    /// What the log tells of calls that fail.
    pub failures: Arc<Failures>,
    /// What is counted.
    pub metrics: Arc<MountMetrics>,
    /// Who answers.
    pub guest: Arc<Guest>,
}

impl Route {
    /// A route that nothing was asked of. It counts on where one of the same guest and prefix stopped.
    #[must_use]
    pub fn new(config: RouteConfig, metrics: &HttpMetrics) -> Self {
        let RouteConfig { prefix, auth, health, operations, calls_max, cors_origins, guest } =
            config;
        let metrics = metrics.mount(guest.name(), &prefix);
        let operations = metrics.operations_of(&operations);
        metrics.add_guest(&guest);
        let (permits, failures) = (Arc::new(MountPermits::new(calls_max)), Arc::default());
        Self { prefix, auth, health, operations, cors_origins, permits, failures, metrics, guest }
    }

    /// Whether a path is this route's, unless one with a longer prefix has it.
    pub fn holds(&self, path: &str) -> bool {
        self.prefix == "/" || is_under(path, &self.prefix)
    }

    /// Whether a request for this path is for the mount's health.
    pub fn is_health(&self, path: &str) -> bool {
        self.health.iter().any(|health| health == path)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // With its last request.
        self.metrics.remove_guest(&self.guest);
    }
}

/// All routes at one time. A change makes a new table; requests that began with an old one end with it.
#[derive(Default)]
pub struct RouteTable {
    /// How many tables there were before.
    pub version: u64,
    /// The routes, longest prefix first.
    pub routes: Vec<Arc<Route>>,
}

/// The table at hand, which is replaced whole.
#[derive(Default)]
pub struct Routes {
    /// The version of `current`. Threads keep the table and compare this with its version at each request: that
    /// is one load of what is hardly ever written, where a table that all threads take a reference to is two
    /// writes to memory that they share.
    version: AtomicU64,
    current: Mutex<Arc<RouteTable>>,
}

impl Routes {
    /// The version of the table at hand.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The table at hand.
    pub fn current(&self) -> Arc<RouteTable> {
        Arc::clone(&self.lock())
    }

    /// Replaces all routes by what `change` makes of them: some of those at hand, and new ones.
    pub fn replace(&self, change: impl FnOnce(&[Arc<Route>]) -> Vec<Arc<Route>>) {
        let mut current = self.lock();
        let mut routes = change(&current.routes);
        routes.sort_by_key(|route| Reverse(route.prefix.len()));
        let version = current.version + 1;
        let before = std::mem::replace(&mut *current, Arc::new(RouteTable { version, routes }));
        self.version.store(version, Ordering::Release);
        drop(current);
        // Guests may go with it.
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<RouteTable>> {
        // A change that panics leaves the table as it was.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
