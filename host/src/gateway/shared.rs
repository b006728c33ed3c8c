//! What all worker threads share of the request path. Puts its parts together; knows none of those that work
//! with them: neither who dispatches requests nor the admin endpoints.

use std::sync::Arc;

use super::admin::resources;
use super::counters::{GuestNames, Meter};
use super::limits::HttpLimits;
use super::memory::RequestMemory;
use super::permits::ServerPermits;
use super::probe::Probe;
use super::routes::{RouteConfig, RouteTable};
use crate::auth::Authenticator;
use crate::metrics::PerThread;

/// What all worker threads share of the request path.
pub struct Gateway {
    /// The mounts.
    pub(super) table: RouteTable,
    /// Who sends a token.
    pub(super) authenticator: Authenticator,
    /// Longest body, in bytes.
    pub(super) body_bytes_max: u64,
    /// Permits of calls.
    pub(super) permits: Arc<ServerPermits>,
    /// Room for requests and answers.
    pub(super) memory: RequestMemory,
    /// What the host knows of itself.
    pub(super) probe: Probe,
    /// What requests are counted under: one a route, in the same order, and one for the host.
    pub(super) names: Vec<GuestNames>,
    /// What each thread counts.
    pub(super) meters: PerThread<Meter>,
}

impl Gateway {
    /// A gateway to these guests.
    #[must_use]
    pub fn new(
        routes: Vec<RouteConfig>,
        authenticator: Authenticator,
        limits: &HttpLimits,
        probe: Probe,
    ) -> Self {
        let table = RouteTable::new(routes);
        let names = GuestNames::all(&table.routes, &resources::PATHS);
        Self {
            table,
            authenticator,
            body_bytes_max: limits.body_bytes_max,
            permits: Arc::new(ServerPermits::new(limits)),
            memory: RequestMemory::new(limits),
            probe,
            names,
            meters: PerThread::default(),
        }
    }
}
