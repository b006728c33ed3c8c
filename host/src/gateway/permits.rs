//! What a call holds of the server: its permits, and room for its body. Knows no guest.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::Gateway;
use crate::net::rooms;

/// A call's place.
pub struct Place<'a> {
    /// Among all of the server, or among those for its mount's health.
    pub call: SemaphorePermit<'a>,
    /// Among those of its mount, if they are limited.
    pub own: Option<SemaphorePermit<'a>>,
}

/// A place, and room for a body, of a call that may go on for a moment when its request has been
/// given up.
pub struct Kept {
    gateway: Arc<Gateway>,
    route: usize,
    health: bool,
    own: bool,
    _room: rooms::Kept,
}

impl Kept {
    /// Keeps what a call of a route holds.
    pub fn new(
        gateway: &Arc<Gateway>,
        route: usize,
        health: bool,
        place: Place<'_>,
        room: rooms::Kept,
    ) -> Self {
        let own = place.own.is_some();
        // From here on they are given back by hand.
        place.call.forget();
        if let Some(permit) = place.own {
            permit.forget();
        }
        Self { gateway: Arc::clone(gateway), route, health, own, _room: room }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let gateway = &*self.gateway;
        let route = &gateway.routes[self.route];
        let calls = if self.health { &route.health_calls } else { &gateway.calls };
        calls.add_permits(1);
        if let Some(calls) = route.calls.as_ref()
            && self.own
        {
            calls.add_permits(1);
        }
    }
}
