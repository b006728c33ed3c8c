//! A guest: what it is loaded from, and what it is once it is loaded. Knows no call.

use std::sync::Arc;

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
    pub(in crate::runtime) priority: Priority,
    pub(in crate::runtime) instances: PerThread<Counter>,
}

impl Guest {
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
