//! The import `kv`: entries by namespace and key. Reads answer at once; writes suspend the guest until
//! their commit is on disk.

use wasmtime::component::Resource;

use super::bindings::larder::guest::kv::{Deletion, Entry, Host, SetOptions};
use super::bindings::larder::guest::types::ErrorResult as Error;
use super::changes::options;
use super::errors::enumerated;
use super::operations::wrong_outcome;
use crate::runtime::blob::Blob;
use crate::runtime::changes::Change;
use crate::runtime::error;
use crate::runtime::state::State;
use crate::storage::Outcome;

/// The version that a set wrote.
pub(super) fn written(outcome: Outcome) -> Result<u64, error::Error> {
    if let Outcome::Set { version, .. } = outcome { Ok(version.0) } else { Err(wrong_outcome()) }
}

/// What a delete did.
pub(super) fn deleted(outcome: Outcome) -> Result<Deletion, error::Error> {
    match outcome {
        Outcome::Deleted { existed, version } => Ok(Deletion { existed, version: version.0 }),
        _ => Err(wrong_outcome()),
    }
}

impl Host for State {
    fn get(
        &mut self,
        namespace: String,
        key: String,
    ) -> wasmtime::Result<Result<Option<Entry>, Error>> {
        self.enter()?;
        Ok(match self.read(&namespace, &key)? {
            Ok(found) => Ok(found.map(|found| self.entry(found)).transpose()?),
            Err(error) => Err(enumerated(error)),
        })
    }

    async fn set(
        &mut self,
        namespace: String,
        key: String,
        value: Vec<u8>,
        set_options: SetOptions,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.enter()?;
        self.budget.spend_bytes(value.len())?;
        let set = Change::Set(key, value.into(), options(set_options));
        Ok(self.queue_one(&namespace, set).await.and_then(written).map_err(enumerated))
    }

    async fn set_blob(
        &mut self,
        namespace: String,
        key: String,
        value: Resource<Blob>,
        set_options: SetOptions,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.enter()?;
        let value = self.table.get(&value)?.bytes.clone();
        let set = Change::Set(key, value, options(set_options));
        Ok(self.queue_one(&namespace, set).await.and_then(written).map_err(enumerated))
    }

    async fn delete(
        &mut self,
        namespace: String,
        key: String,
        version: Option<u64>,
    ) -> wasmtime::Result<Result<Deletion, Error>> {
        self.enter()?;
        let delete = Change::Delete(key, version);
        Ok(self.queue_one(&namespace, delete).await.and_then(deleted).map_err(enumerated))
    }

    fn writable(&mut self) -> wasmtime::Result<Result<(), Error>> {
        self.enter()?;
        Ok(self.storage.writable().map_err(|error| enumerated(error.into())))
    }
}
