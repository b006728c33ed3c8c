//! What a store knows of the guest in it and of the call that it serves. Every import takes
//! identity, grants and budget from here. Knows no `wit/`.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use super::blob::INLINE_BYTES_MAX;
use super::budget::{Budget, LimitReached, MemoryMeter, RESOURCES_MAX, Remainder};
use super::call::lanes::Lane;
use super::call::phase::Deferral;
use super::call::request::{Head, Request};
use super::error::Error;
use super::guest_memory::{Charge, NoRoom};
use super::profile::Profile;
use crate::auth::access::{Access, Caller, Scope};
use crate::storage::Storage;

/// The data of a store.
pub struct State {
    /// The guest.
    pub profile: Arc<Profile>,
    /// The store of entries.
    pub storage: Storage,
    /// Resources that the guest holds handles on.
    pub table: ResourceTable,
    /// Memory in use.
    pub memory: MemoryMeter,
    /// What is left of the call's budget.
    pub budget: Budget,
    /// The request at hand.
    pub head: Option<Arc<Head>>,
    /// Who sent it.
    caller: Caller,
    /// How the call runs.
    pub lane: Lane,
    /// Whether the call may defer changes, or has.
    pub deferral: Deferral,
    /// Whether the call has queued changes, which take effect however it ends.
    pub has_written: bool,
    /// WASI, once it was asked for.
    pub wasi: Option<WasiCtx>,
    /// What the newest large copy on its way into the guest is charged by.
    copy: Option<Charge>,
}

impl State {
    /// The state of a new instance.
    pub fn new(profile: Arc<Profile>, storage: Storage, lane: Lane) -> Self {
        Self {
            memory: MemoryMeter::new(profile.limits.memory_bytes_max, &profile.memory),
            budget: Budget::new(&profile.limits),
            table: new_table(),
            head: None,
            // What a component does as it is instantiated is nobody's request.
            caller: Caller::Rejected,
            lane,
            deferral: Deferral::Closed,
            has_written: false,
            wasi: None,
            copy: None,
            profile,
            storage,
        }
    }

    /// Begins a call; or goes on with one of which something is `left`, after the changes that it has
    /// deferred.
    pub fn begin(&mut self, request: &Request, lane: Lane, left: Option<Remainder>) {
        self.deferral = if left.is_none() { Deferral::Open } else { Deferral::Closed };
        self.has_written = false;
        self.budget.begin(&self.profile.limits, left);
        self.head = Some(Arc::clone(&request.head));
        self.caller = request.caller.clone();
        self.lane = lane;
    }

    /// Spends one host call.
    pub fn enter(&mut self) -> Result<(), LimitReached> {
        self.budget.spend_call()
    }

    /// Charges bytes that the host holds for the call.
    pub fn charge(&self, bytes: usize) -> Result<Charge, NoRoom> {
        Charge::new(&self.profile.memory, bytes)
    }

    /// Charges bytes on their way into the guest, when they are many, until the next such copy or the
    /// call's end.
    pub fn charge_copy(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.end_copy();
        if bytes > INLINE_BYTES_MAX {
            self.copy = Some(self.charge(bytes)?);
        }
        Ok(())
    }

    /// Gives back what the last such copy was charged.
    pub fn end_copy(&mut self) {
        self.copy = None;
    }

    /// Refuses what the mount was not granted, or the caller may not do with this key. An anonymous
    /// caller may do what the mount may, and a rejected one nothing: a token that is revoked must not
    /// reach more than it did before.
    pub fn check_key(&self, namespace: &str, key: &str, access: Access) -> Result<(), Error> {
        self.check(namespace, access, |scope| scope.allows_key(namespace, key, access))
    }

    /// Refuses what the mount was not granted, or the caller may not do with this namespace.
    pub fn check_namespace(&self, namespace: &str, access: Access) -> Result<(), Error> {
        self.check(namespace, access, |scope| scope.allows_namespace(namespace, access))
    }

    /// Refuses who may not read all of a namespace.
    pub fn check_all_keys(&self, namespace: &str) -> Result<(), Error> {
        self.check(namespace, Access::Read, |scope| scope.allows_all_keys(namespace))
    }

    /// What the keys begin with that may be read of those that begin with `prefix`: sorted, and none begins
    /// with another.
    pub fn readable_prefixes<'a>(
        &'a self,
        namespace: &str,
        prefix: &'a str,
    ) -> Result<Vec<&'a str>, Error> {
        self.check(namespace, Access::Read, |scope| scope.reaches(namespace, Access::Read))?;
        Ok(match &self.caller {
            Caller::Principal(principal) => principal.scope.prefixes_within(prefix),
            Caller::Anonymous | Caller::Rejected => vec![prefix],
        })
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    fn check(
        &self,
        namespace: &str,
        access: Access,
        allows: impl FnOnce(&Scope) -> bool,
    ) -> Result<(), Error> {
        let granted = self.profile.grants.allow(namespace, access);
        let allowed = match &self.caller {
            Caller::Anonymous => true,
            Caller::Rejected => false,
            Caller::Principal(principal) => allows(&principal.scope),
        };
        if granted && allowed { Ok(()) } else { Err(Error::DENIED) }
    }
}

fn new_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES_MAX);
    table
}
