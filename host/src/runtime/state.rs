//! What a store knows of the guest in it and of the call that it serves. Every import takes
//! identity, grants and budget from here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::Guest;
use super::call::direct::Hold;
use super::guest_memory::{Charge, NoRoom};
use super::imports::bindings::larder::guest::types::{self, ErrorResult as GuestError};
use super::imports::deferred::Deferral;
use super::imports::kv::INLINE_BYTES_MAX;
use super::imports::requests::{Head, Request};
use super::imports::wasi;
use super::limits::{Budget, LimitReached, Limits, MemoryMeter};
use crate::auth::access::Access;
use crate::auth::access::Caller;
use crate::auth::access::Scope;
use crate::storage::{self, ConflictKind, RecordKey, Storage};

/// Handles on host resources that a call may hold at once.
const RESOURCES_MAX: usize = 1000;

/// What a call has left of what it may use up.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    budget: Budget,
    log_bytes: usize,
}

impl Allowance {
    fn whole(limits: &Limits) -> Self {
        Self { budget: Budget::new(limits), log_bytes: wasi::LOG_BYTES_MAX }
    }
}

/// The data of a store.
pub struct State {
    /// The guest: name, grants, limits.
    pub guest: Arc<Guest>,
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
    /// Whether the call may defer a write, or has.
    pub deferral: Deferral,
    /// How long the call has held its thread.
    pub hold: Hold,
    /// Whether the call has queued a write, which takes effect however it ends.
    pub has_written: bool,
    /// What the newest large copy on its way into the guest is charged by.
    copy: Option<Charge>,
    log_bytes_left: Arc<AtomicUsize>,
    wasi: Option<WasiCtx>,
}

impl State {
    /// The state of a new instance.
    pub fn new(guest: Arc<Guest>, storage: Storage) -> Self {
        Self {
            memory: MemoryMeter::new(guest.limits.memory_bytes_max, &guest.memory),
            budget: Budget::new(&guest.limits),
            table: new_table(),
            head: None,
            // What a component does as it is instantiated is nobody's request.
            caller: Caller::Rejected,
            deferral: Deferral::Closed,
            hold: Hold::default(),
            has_written: false,
            copy: None,
            log_bytes_left: Arc::new(AtomicUsize::new(wasi::LOG_BYTES_MAX)),
            wasi: None,
            guest,
            storage,
        }
    }

    /// Begins a call; or goes on with one of which something is `left`, after the write that it
    /// has deferred.
    pub fn begin(&mut self, request: &Request, left: Option<Allowance>) {
        self.deferral = if left.is_none() { Deferral::Open } else { Deferral::Closed };
        self.hold = Hold::default();
        self.has_written = false;
        let left = left.unwrap_or_else(|| Allowance::whole(&self.guest.limits));
        self.budget = left.budget;
        self.log_bytes_left.store(left.log_bytes, Ordering::Relaxed);
        self.head = Some(Arc::clone(&request.head));
        self.caller = request.caller.clone();
    }

    /// What the call has left.
    pub fn left(&self) -> Allowance {
        let log_bytes = self.log_bytes_left.load(Ordering::Relaxed);
        Allowance { budget: self.budget, log_bytes }
    }

    /// Spends one host call.
    pub fn enter(&mut self) -> Result<(), LimitReached> {
        self.budget.spend_call()
    }

    /// Charges bytes that the host holds for the call.
    pub fn charge(&self, bytes: usize) -> Result<Charge, NoRoom> {
        Charge::new(&self.guest.memory, bytes)
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

    /// Resolves a key for `access`. A missing right is told before anything else, so that nobody
    /// learns whether what he may not reach is there.
    pub fn key(&self, namespace: &str, key: &str, access: Access) -> Result<RecordKey, GuestError> {
        self.check_key(namespace, key, access)?;
        self.granted_key(namespace, key)
    }

    /// Resolves a key that has been checked.
    pub fn granted_key(&self, namespace: &str, key: &str) -> Result<RecordKey, GuestError> {
        let namespace = self.storage.namespace_id(namespace)?;
        RecordKey::new(namespace, key.as_bytes()).ok_or(GuestError::InvalidName)
    }

    /// Refuses what the mount was not granted, or the caller may not do with this key. Who is
    /// anonymous may do what the mount may; who was rejected, nothing: a token that is revoked must
    /// not reach more than it did before.
    pub fn check_key(&self, namespace: &str, key: &str, access: Access) -> Result<(), GuestError> {
        self.check(namespace, access, |scope| scope.allows_key(namespace, key, access))
    }

    /// Refuses what the mount was not granted, or the caller may not do with this namespace.
    pub fn check_namespace(&self, namespace: &str, access: Access) -> Result<(), GuestError> {
        self.check(namespace, access, |scope| scope.allows_namespace(namespace, access))
    }

    fn check(
        &self,
        namespace: &str,
        access: Access,
        allows: impl FnOnce(&Scope) -> bool,
    ) -> Result<(), GuestError> {
        let granted = self.guest.grants.allow(namespace, access);
        let allowed = match &self.caller {
            Caller::Anonymous => true,
            Caller::Rejected => false,
            Caller::Principal(principal) => allows(&principal.scope),
        };
        if granted && allowed { Ok(()) } else { Err(GuestError::Denied) }
    }
}

fn new_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES_MAX);
    table
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Most calls never touch WASI: it is made when it is first asked for.
        let (name, left) = (&self.guest.name, &self.log_bytes_left);
        let ctx = self.wasi.get_or_insert_with(|| wasi::closed(name, left));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl types::Host for State {}

impl From<storage::Error> for GuestError {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Conflict(conflict) => {
                let kind = match conflict.kind {
                    ConflictKind::VersionMismatch => types::ConflictKind::VersionMismatch,
                    ConflictKind::AlreadyExists => types::ConflictKind::AlreadyExists,
                    ConflictKind::NotFound => types::ConflictKind::NotFound,
                };
                let (current, newest) = (conflict.current.0, conflict.newest.0);
                GuestError::Conflict(types::Conflict { kind, current, newest })
            }
            storage::Error::NoSuchNamespace => GuestError::NoSuchNamespace,
            storage::Error::InvalidName => GuestError::InvalidName,
            storage::Error::ExpiryOutOfRange => GuestError::ExpiryOutOfRange,
            storage::Error::TooLarge => GuestError::TooLarge,
            storage::Error::Full | storage::Error::TooManyNamespaces => GuestError::Full,
            storage::Error::Unavailable(_) => GuestError::Unavailable,
            storage::Error::InDoubt => GuestError::InDoubt,
            storage::Error::Corrupt => GuestError::Corrupt,
            storage::Error::Failed(error) => {
                tracing::error!(error, "storage failed");
                GuestError::Other("the storage failed".to_owned())
            }
        }
    }
}
