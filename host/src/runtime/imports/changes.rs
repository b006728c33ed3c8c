//! The resources `changes` and `outcome` of the import `storage`: what a guest wants to be changed, and what
//! became of it. Nothing is judged here.

use wasmtime::component::Resource;

use super::bindings::larder::guest::kv::{Behavior, SetOptions};
use super::bindings::larder::guest::namespaces::Namespace;
use super::bindings::larder::guest::storage as wit;
use super::storage::namespace;
use crate::runtime::blob::{Blob, INLINE_BYTES_MAX};
use crate::runtime::changes::{AddOptions, Change, Changes, Outcomes, SetOptions as Options};
use crate::runtime::state::State;
use crate::storage::{self, Outcome, QUOTA_LIMIT, QuotaChange, QuotaChanges};

/// Changes that may be made together, checks included.
const CHANGES_MAX: usize = 1000;

impl State {
    /// Changes to which one more may be added.
    fn growing(&mut self, changes: &Resource<Changes>) -> wasmtime::Result<&mut Changes> {
        let changes = self.table.get_mut(changes)?;
        if changes.checks.len() + changes.list.len() >= CHANGES_MAX {
            wasmtime::bail!("there may be {CHANGES_MAX} changes and checks at a time");
        }
        Ok(changes)
    }

    fn change(&mut self, changes: &Resource<Changes>, change: Change) -> wasmtime::Result<()> {
        self.growing(changes)?.list.push(change);
        Ok(())
    }
}

/// What a set is to find and to leave.
pub(super) fn options(options: SetOptions) -> Options {
    let SetOptions { behavior, version, ttl } = options;
    let behavior = match behavior {
        Behavior::Upsert => storage::Behavior::Upsert,
        Behavior::Insert => storage::Behavior::Insert,
        Behavior::Update => storage::Behavior::Update,
    };
    Options { behavior, version, ttl }
}

/// What becomes of a quota.
fn quota(change: wit::QuotaChange) -> wasmtime::Result<QuotaChange> {
    Ok(match change {
        wit::QuotaChange::Keep => QuotaChange::Keep,
        wit::QuotaChange::Lift => QuotaChange::Lift,
        wit::QuotaChange::Limit(most) if most < QUOTA_LIMIT => QuotaChange::Limit(most),
        wit::QuotaChange::Limit(most) => wasmtime::bail!("a quota of {most} is not below 2^53"),
    })
}

impl wit::HostChanges for State {
    fn new(&mut self, namespace: String) -> wasmtime::Result<Resource<Changes>> {
        self.enter()?;
        Ok(self.table.push(Changes::new(namespace))?)
    }

    fn set(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        value: Vec<u8>,
        set_options: SetOptions,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.budget.spend_bytes(value.len())?;
        if value.len() > INLINE_BYTES_MAX {
            let charge = self.charge(value.len())?;
            self.table.get_mut(&changes)?.charges.push(charge.into());
        }
        self.change(&changes, Change::Set(key, value.into(), options(set_options)))
    }

    fn set_blob(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        value: Resource<Blob>,
        set_options: SetOptions,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        let Blob { bytes, charge } = self.table.get(&value)?;
        let (bytes, charge) = (bytes.clone(), charge.clone());
        self.table.get_mut(&changes)?.charges.extend(charge);
        self.change(&changes, Change::Set(key, bytes, options(set_options)))
    }

    fn delete(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        version: Option<u64>,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.change(&changes, Change::Delete(key, version))
    }

    fn configure(&mut self, changes: Resource<Changes>) -> wasmtime::Result<()> {
        self.enter()?;
        self.change(&changes, Change::Configure(QuotaChanges::default()))
    }

    fn check(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        version: u64,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.growing(&changes)?.checks.push((key, version));
        Ok(())
    }

    fn touch(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        ttl: Option<u64>,
        version: Option<u64>,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.change(&changes, Change::Touch(key, ttl, version))
    }

    fn add(
        &mut self,
        changes: Resource<Changes>,
        key: String,
        delta: i64,
        options: wit::AddOptions,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        let wit::AddOptions { initial, min, max, ttl, version } = options;
        let options = AddOptions { initial, min, max, ttl, version };
        self.change(&changes, Change::Add(key, delta, options))
    }

    fn configure_quotas(
        &mut self,
        changes: Resource<Changes>,
        keys: wit::QuotaChange,
        bytes: wit::QuotaChange,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        let quotas = QuotaChanges { keys: quota(keys)?, bytes: quota(bytes)? };
        self.change(&changes, Change::Configure(quotas))
    }

    fn delete_namespace(&mut self, changes: Resource<Changes>) -> wasmtime::Result<()> {
        self.enter()?;
        self.change(&changes, Change::DeleteNamespace)
    }

    fn drop(&mut self, changes: Resource<Changes>) -> wasmtime::Result<()> {
        self.table.delete(changes)?;
        Ok(())
    }
}

impl State {
    fn outcome(&mut self, outcomes: &Resource<Outcomes>, at: u32) -> wasmtime::Result<Outcome> {
        self.enter()?;
        let outcomes = &self.table.get(outcomes)?.0;
        let outcome = usize::try_from(at).ok().and_then(|at| outcomes.get(at)).copied();
        outcome.ok_or_else(|| wasmtime::format_err!("there is no change {at}"))
    }
}

impl wit::HostOutcome for State {
    fn version(&mut self, outcomes: Resource<Outcomes>, at: u32) -> wasmtime::Result<u64> {
        match self.outcome(&outcomes, at)? {
            Outcome::Set { version, .. }
            | Outcome::Added { version, .. }
            | Outcome::Deleted { version, .. }
            | Outcome::Configured { version, .. } => Ok(version.0),
            Outcome::SystemRow { .. } => wasmtime::bail!("guests have no such changes"),
        }
    }

    fn existed(&mut self, outcomes: Resource<Outcomes>, at: u32) -> wasmtime::Result<bool> {
        Ok(match self.outcome(&outcomes, at)? {
            Outcome::Set { existed, .. } | Outcome::Deleted { existed, .. } => existed,
            _ => false,
        })
    }

    fn sum(&mut self, outcomes: Resource<Outcomes>, at: u32) -> wasmtime::Result<Option<i64>> {
        Ok(match self.outcome(&outcomes, at)? {
            Outcome::Added { sum, .. } => Some(sum),
            _ => None,
        })
    }

    fn namespace(
        &mut self,
        outcomes: Resource<Outcomes>,
        at: u32,
    ) -> wasmtime::Result<Option<Namespace>> {
        Ok(match self.outcome(&outcomes, at)? {
            Outcome::Configured { namespace: left, .. } => Some(namespace(left)),
            _ => None,
        })
    }

    fn drop(&mut self, outcomes: Resource<Outcomes>) -> wasmtime::Result<()> {
        self.table.delete(outcomes)?;
        Ok(())
    }
}
