//! The import `namespaces`: looks up and makes namespaces.

use super::bindings::larder::guest::namespaces::{Configured, Host, Namespace};
use super::bindings::larder::guest::types::ErrorResult as Error;
use super::errors::enumerated;
use super::operations::wrong_outcome;
use super::storage::namespace;
use crate::runtime::changes::Change;
use crate::runtime::error;
use crate::runtime::state::State;
use crate::storage::{Outcome, QuotaChanges};

fn configured(outcome: Outcome) -> Result<Configured, error::Error> {
    let Outcome::Configured { namespace: left, version } = outcome else {
        return Err(wrong_outcome());
    };
    let Namespace { created, updated } = namespace(left);
    Ok(Configured { created, updated, version: version.0 })
}

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<Namespace, Error>> {
        self.enter()?;
        Ok(self.look_up(&name).map(namespace).map_err(enumerated))
    }

    async fn configure(&mut self, name: String) -> wasmtime::Result<Result<Configured, Error>> {
        self.enter()?;
        let outcome = self.queue_one(&name, Change::Configure(QuotaChanges::default())).await;
        Ok(outcome.and_then(configured).map_err(enumerated))
    }
}
