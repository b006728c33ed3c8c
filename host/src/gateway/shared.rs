//! What all worker threads share of the request path. Puts its parts together; knows none of those that work
//! with them: neither who dispatches requests nor the admin endpoints.

use std::sync::Arc;

use super::admin::resources;
use super::http_metrics::HttpMetrics;
use super::limits::HttpLimits;
use super::memory::RequestMemory;
use super::origins::Origins;
use super::permits::ServerPermits;
use super::probe::Probe;
use super::routes::{Route, RouteConfig, Routes};
use crate::auth::Authenticator;

/// What all worker threads share of the request path.
pub struct Gateway {
    /// The mounts.
    pub(super) routes: Routes,
    /// Origins whose pages may use the host's own paths.
    pub(super) cors_origins: Origins,
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
    /// What is counted.
    pub(super) metrics: HttpMetrics,
}

impl Gateway {
    /// A gateway to these guests, with origins whose pages may use the host's own paths.
    #[must_use]
    pub fn new(
        routes: Vec<RouteConfig>,
        cors_origins: Origins,
        authenticator: Authenticator,
        limits: &HttpLimits,
        probe: Probe,
    ) -> Self {
        let gateway = Self {
            routes: Routes::default(),
            cors_origins,
            authenticator,
            body_bytes_max: limits.body_bytes_max,
            permits: Arc::new(ServerPermits::new(limits)),
            memory: RequestMemory::new(limits),
            probe,
            metrics: HttpMetrics::new(&resources::operations()),
        };
        gateway.routes.replace(|_| {
            let new = |config| Arc::new(Route::new(config, &gateway.metrics));
            routes.into_iter().map(new).collect()
        });
        gateway
    }
}
