//! The import `storage`: reads, and changes that are made at once. The changes themselves are in `changes`.

use wasmtime::component::Resource;

use super::bindings::larder::guest::blobs::ContentResult;
use super::bindings::larder::guest::kv::Entry;
use super::bindings::larder::guest::namespaces::Namespace;
use super::bindings::larder::guest::storage as wit;
use super::lists::{self, NamedNamespace, OneOfMany, Page, Row};
use super::operations::{Found, Value};
use crate::runtime::changes::{Change, Changes, Outcomes};
use crate::runtime::error::Error;
use crate::runtime::state::State;
use crate::storage::{self, Batch, Quotas, Usage};

impl State {
    /// What was read, as the interfaces have it.
    pub(super) fn entry(&mut self, found: Found) -> wasmtime::Result<Entry> {
        let Found { value, version, expiry } = found;
        let value = match value {
            Value::Inline(bytes) => ContentResult::Bytes(bytes),
            Value::Blob(blob) => ContentResult::Blob(self.table.push(blob)?),
        };
        Ok(Entry { value, version, expiry })
    }

    /// An entry of a page, as the interface has it.
    fn listed(
        &mut self,
        key: String,
        found: Option<Found>,
        values: bool,
    ) -> wasmtime::Result<wit::ListedEntry> {
        let Some(found) = found else {
            let (version, expiry, value) = (0, None, None);
            return Ok(wit::ListedEntry { key, version, expiry, value, corrupt: true });
        };
        let Entry { value, version, expiry } = self.entry(found)?;
        let value = values.then_some(value);
        Ok(wit::ListedEntry { key, version, expiry, value, corrupt: false })
    }

    /// The changes behind a handle that was given away, judged.
    pub(super) fn judged(
        &mut self,
        changes: Resource<Changes>,
    ) -> wasmtime::Result<(Result<Batch, Error>, Changes)> {
        let mut changes = self.table.delete(changes)?;
        if changes.list.is_empty() {
            wasmtime::bail!("there are no changes");
        }
        let is_deletion = |change: &Change| matches!(change, Change::DeleteNamespace);
        let parts = changes.list.len() + changes.checks.len();
        if parts > 1 && changes.list.iter().any(is_deletion) {
            wasmtime::bail!("a namespace is deleted by a change of its own");
        }
        let (checks, list) =
            (std::mem::take(&mut changes.checks), std::mem::take(&mut changes.list));
        Ok((self.batch(&changes.namespace, checks, list), changes))
    }

    /// An error as a handle on it.
    pub(super) fn error<T>(
        &mut self,
        told: Result<T, Error>,
    ) -> wasmtime::Result<Result<T, Resource<Error>>> {
        Ok(match told {
            Ok(told) => Ok(told),
            Err(error) => Err(self.table.push(error)?),
        })
    }
}

/// A namespace as the interfaces have it.
pub(super) fn namespace(namespace: storage::Namespace) -> Namespace {
    Namespace { created: namespace.created.0, updated: namespace.updated.0 }
}

impl wit::Host for State {
    fn get(
        &mut self,
        namespace: String,
        key: String,
    ) -> wasmtime::Result<Result<Option<Entry>, Resource<Error>>> {
        self.enter()?;
        let found = match self.read(&namespace, &key)? {
            Ok(found) => Ok(found.map(|found| self.entry(found)).transpose()?),
            Err(error) => Err(error),
        };
        self.error(found)
    }

    fn list_entries(
        &mut self,
        namespace: String,
        options: wit::ListOptions,
    ) -> wasmtime::Result<Result<wit::Page, Resource<Error>>> {
        self.enter()?;
        let wit::ListOptions { prefix, after, limit, reverse, values } = options;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let request = lists::Request { prefix, after, limit, reverse, values };
        let Page { rows, after, newest } = match self.list(&namespace, &request)? {
            Ok(page) => page,
            Err(error) => return self.error(Err(error)),
        };
        let mut entries = Vec::with_capacity(rows.len());
        for Row { key, found } in rows {
            entries.push(self.listed(key, found, values)?);
        }
        Ok(Ok(wit::Page { entries, after, newest }))
    }

    fn get_many(
        &mut self,
        namespace: String,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<wit::FoundEntries, Resource<Error>>> {
        self.enter()?;
        let (many, newest) = match self.read_many(&namespace, &keys)? {
            Ok(read) => read,
            Err(error) => return self.error(Err(error)),
        };
        let mut entries = Vec::with_capacity(many.len());
        for one in many {
            entries.push(match one {
                OneOfMany::Absent => wit::Found::Absent,
                OneOfMany::Corrupt => wit::Found::Corrupt,
                OneOfMany::Present(found) => wit::Found::Present(self.entry(found)?),
            });
        }
        Ok(Ok(wit::FoundEntries { entries, newest }))
    }

    fn list_namespaces(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<wit::NamespacePage, Resource<Error>>> {
        self.enter()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let named = |(name, namespace): NamedNamespace| {
            let (created, updated) = (namespace.created.0, namespace.updated.0);
            wit::NamedNamespace { name, created, updated }
        };
        let page = self.namespaces(&prefix, after.as_deref(), limit).map(|(found, after)| {
            let namespaces = found.into_iter().map(named).collect();
            wit::NamespacePage { namespaces, after }
        });
        self.error(page)
    }

    fn usage(
        &mut self,
        namespace: String,
    ) -> wasmtime::Result<Result<wit::NamespaceUsage, Resource<Error>>> {
        self.enter()?;
        let usage = self.usage_of(&namespace).map(|Usage { keys, bytes, quotas }| {
            let Quotas { keys_max, bytes_max } = quotas;
            wit::NamespaceUsage { keys, bytes, keys_max, bytes_max }
        });
        self.error(usage)
    }

    fn namespace(&mut self, name: String) -> wasmtime::Result<Result<Namespace, Resource<Error>>> {
        self.enter()?;
        let found = self.look_up(&name).map(namespace);
        self.error(found)
    }

    fn writable(&mut self) -> wasmtime::Result<Result<(), Resource<Error>>> {
        self.enter()?;
        let writable = self.storage.writable().map_err(Error::from);
        self.error(writable)
    }

    async fn commit(
        &mut self,
        changes: Resource<Changes>,
    ) -> wasmtime::Result<Result<Resource<Outcomes>, Resource<Error>>> {
        self.enter()?;
        let (batch, changes) = self.judged(changes)?;
        let committed = self.queue(&changes.namespace, batch);
        // From here on the queue counts them.
        drop(changes);
        match committed.await {
            Ok(outcomes) => Ok(Ok(self.table.push(Outcomes(outcomes))?)),
            Err(error) => self.error(Err(error)),
        }
    }
}
