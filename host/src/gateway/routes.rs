//! Routes: which guest answers which paths, for whom, and with which permits. Knows no request but its path.

use std::cmp::Reverse;
use std::sync::Arc;

use super::failures::Failures;
use super::paths::{HOST_PATHS, is_under};
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
    /// Paths that are counted apart.
    pub operations: Vec<String>,
    /// Permits of its calls.
    pub permits: Arc<MountPermits>,
    /// What the log tells of calls that fail.
    pub failures: Arc<Failures>,
    /// Who answers.
    pub guest: Arc<Guest>,
}

impl Route {
    fn new(config: RouteConfig) -> Self {
        let RouteConfig { prefix, auth, health, operations, calls_max, guest } = config;
        let (permits, failures) = (Arc::new(MountPermits::new(calls_max)), Arc::default());
        Self { prefix, auth, health, operations, permits, failures, guest }
    }

    fn holds(&self, path: &str) -> bool {
        self.prefix == "/" || is_under(path, &self.prefix)
    }

    /// Whether a request for this path is for the mount's health.
    pub fn is_health(&self, path: &str) -> bool {
        self.health.iter().any(|health| health == path)
    }
}

/// All routes, longest prefix first.
pub struct RouteTable {
    /// The routes.
    pub routes: Vec<Route>,
}

impl RouteTable {
    /// Puts the routes in order.
    #[must_use]
    pub fn new(routes: Vec<RouteConfig>) -> Self {
        let mut routes: Vec<Route> = routes.into_iter().map(Route::new).collect();
        routes.sort_by_key(|route| Reverse(route.prefix.len()));
        Self { routes }
    }

    /// The place of the route that a path belongs to; the one after the last when there is none.
    pub fn place(&self, path: &str) -> usize {
        // `OPTIONS *` and `CONNECT host:port` have no path that a guest could know.
        if !path.starts_with('/') || HOST_PATHS.iter().any(|own| is_under(path, own)) {
            return self.routes.len();
        }
        let holds = |route: &Route| route.holds(path);
        self.routes.iter().position(holds).unwrap_or(self.routes.len())
    }
}
