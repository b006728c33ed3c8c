//! A guest: what it is loaded from, and what it is once it is loaded. Knows no call.

use std::sync::Arc;
use std::time::Duration;

use super::epoch::ticks_of;
use super::guest_memory::GuestMemory;
use super::limits::Limits;
use super::load::compiler::Compiler;
use super::load::component::Linked;
use super::profile::Profile;
use super::schedule::threads::Priority;
use crate::auth::access::Grants;
use crate::metrics::{Counter, PerThread};

/// A component to be loaded, and what it may do.
#[derive(Clone, Debug)]
pub struct GuestConfig {
    /// Names the guest in logs and errors.
    pub name: String,
    /// The path prefix that it is mounted on.
    pub prefix: String,
    /// The component's bytes.
    pub component: Arc<[u8]>,
    /// Whether it is the program's own, which never waits inside a call: its short calls need no stack of
    /// their own.
    pub trusted: bool,
    /// Where it is compiled.
    pub compiler: Compiler,
    /// The namespaces that it may reach.
    pub grants: Grants,
    /// Its limits.
    pub limits: Limits,
    /// Whose processor time it takes.
    pub priority: Priority,
}

/// A loaded guest: compiled, checked and linked, ready to be instantiated.
pub struct Guest {
    pub(in crate::runtime) profile: Arc<Profile>,
    pub(in crate::runtime) linked: Linked,
    pub(in crate::runtime) trusted: bool,
    /// Ticks after which a call of it that does not give way is ended: it would hold its thread for ever.
    pub(in crate::runtime) direct_ticks: u64,
    pub(in crate::runtime) priority: Priority,
    pub(in crate::runtime) instances: PerThread<Counter>,
}

/// Least time that a call may hold its thread without giving way before it is ended: however short its own
/// deadline is, a thread may lose its core for a while.
const DIRECT_TIME_MIN: Duration = Duration::from_secs(1);

impl Guest {
    /// A guest that was loaded, with what it may do.
    pub(in crate::runtime) fn new(
        profile: Profile,
        linked: Linked,
        trusted: bool,
        priority: Priority,
    ) -> Self {
        let direct_ticks = ticks_of(profile.limits.call_time_max.max(DIRECT_TIME_MIN));
        let (profile, instances) = (Arc::new(profile), PerThread::default());
        Self { profile, linked, trusted, direct_ticks, priority, instances }
    }

    /// Stands for it wherever something is kept for it; never given to another.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.profile.id
    }

    /// Names the guest in logs and errors.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// Whether it is the program's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.trusted
    }

    /// How many instances of it were made.
    #[must_use]
    pub fn instances_made(&self) -> u64 {
        self.instances.all().iter().map(|made| made.get()).sum()
    }

    /// What all guests take of the memory.
    pub(in crate::runtime) fn memory(&self) -> &Arc<GuestMemory> {
        &self.profile.memory
    }
}
