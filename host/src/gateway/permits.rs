//! Permits of calls: how many may run at once, of the server and of each mount, and how many requests may
//! wait for one. Knows neither guests nor what a call does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::errors::{HostError, Reason};
use super::limits::{HEALTH_CALLS_MAX, HttpLimits};
use crate::clock::timeout::within;
use crate::net::rooms::OwnedClaim;

/// The permits of the whole server.
pub struct ServerPermits {
    calls: Semaphore,
    calls_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait_max: Duration,
}

/// The permits of one mount.
pub struct MountPermits {
    /// For paths that are served under overload too.
    health: Semaphore,
    /// For all others, if those are fewer than the server's.
    calls: Option<Semaphore>,
}

impl MountPermits {
    /// Permits for so many calls, or for as many as the server has.
    #[must_use]
    pub fn new(calls_max: Option<usize>) -> Self {
        Self { health: Semaphore::new(HEALTH_CALLS_MAX), calls: calls_max.map(Semaphore::new) }
    }
}

/// The permits of a call that ends with its request.
pub struct CallPermits<'a> {
    /// One of the server's, or of those for the mount's health.
    call: SemaphorePermit<'a>,
    is_health: bool,
    /// One of the mount's, if its calls are limited.
    mount: Option<SemaphorePermit<'a>>,
}

impl ServerPermits {
    /// All permits, none of them in use.
    #[must_use]
    pub fn new(limits: &HttpLimits) -> Self {
        Self {
            calls: Semaphore::new(limits.calls_max),
            calls_max: limits.calls_max,
            waiting: AtomicUsize::new(0),
            waiting_max: limits.calls_waiting_max,
            wait_max: limits.call_wait_max,
        }
    }

    /// Calls that run, health aside, and how many may.
    pub fn running(&self) -> (usize, usize) {
        (self.calls_max.saturating_sub(self.calls.available_permits()), self.calls_max)
    }

    /// Requests that wait for their call, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.waiting_max)
    }

    /// Permits for a call of a mount, at once or within the time that a request may wait, and whether it did.
    pub async fn acquire<'a>(
        &'a self,
        mount: &'a MountPermits,
        is_health: bool,
    ) -> Result<(CallPermits<'a>, bool), HostError> {
        if is_health {
            // Of the mount's own: a guest that hangs on its paths takes none of another's.
            let permit = mount.health.try_acquire();
            let call = permit.map_err(|_| HostError::overloaded(Reason::HealthCalls))?;
            return Ok((CallPermits { call, is_health, mount: None }, false));
        }
        // Before the server's: beyond its own limit a mount's calls take nothing that others could have.
        let own = mount.calls.as_ref().map(Semaphore::try_acquire).transpose();
        let mount = own.map_err(|_| HostError::overloaded(Reason::MountCalls))?;
        if let Ok(call) = self.calls.try_acquire() {
            return Ok((CallPermits { call, is_health, mount }, false));
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(HostError::overloaded(Reason::CallQueue));
        }
        let _waiting = Waiting(&self.waiting);
        match within(self.wait_max, self.calls.acquire()).await {
            Some(Ok(call)) => Ok((CallPermits { call, is_health, mount }, true)),
            _ => Err(HostError::overloaded(Reason::CallWait)),
        }
    }
}

/// Counts a waiting request down, also when it is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The permits of a call, and the room of its body, where the call may go on for a moment after its request
/// was given up.
pub struct OwnedPermits {
    server: Arc<ServerPermits>,
    mount: Arc<MountPermits>,
    is_health: bool,
    is_limited: bool,
    _room: OwnedClaim,
}

impl OwnedPermits {
    /// Turns a call's permits into owned ones.
    pub fn new(
        server: &Arc<ServerPermits>,
        mount: &Arc<MountPermits>,
        permits: CallPermits<'_>,
        room: OwnedClaim,
    ) -> Self {
        let CallPermits { call, is_health, mount: own } = permits;
        let is_limited = own.is_some();
        // From here on they are given back by hand.
        call.forget();
        if let Some(permit) = own {
            permit.forget();
        }
        let (server, mount) = (Arc::clone(server), Arc::clone(mount));
        Self { server, mount, is_health, is_limited, _room: room }
    }
}

impl Drop for OwnedPermits {
    fn drop(&mut self) {
        let calls = if self.is_health { &self.mount.health } else { &self.server.calls };
        calls.add_permits(1);
        if let Some(calls) = self.mount.calls.as_ref()
            && self.is_limited
        {
            calls.add_permits(1);
        }
    }
}
