//! What the host knows of a guest when the guest asks for something: who it is, and what it may do.
//! Knows neither its code nor how it is run.

use std::sync::Arc;

use super::epoch::Pace;
use super::guest_memory::GuestMemory;
use super::limits::Limits;
use crate::auth::access::Grants;

/// Who a guest is, and what it may do. Never what the guest says of itself.
pub struct Profile {
    /// Stands for the guest wherever a thread keeps something for it; never given to another.
    pub id: u64,
    /// Names it in logs and errors.
    pub name: Arc<str>,
    /// The path prefix that it is mounted on.
    pub prefix: String,
    /// The namespaces that it may reach.
    pub grants: Grants,
    /// Its limits.
    pub limits: Limits,
    /// What all guests take of the memory.
    pub memory: Arc<GuestMemory>,
    /// Has guests give way more often while one runs long.
    pub pace: Arc<Pace>,
}
