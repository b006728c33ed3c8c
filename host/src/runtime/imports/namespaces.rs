//! The import `namespaces`: looks up and makes namespaces, within the mount's grants.

use super::bindings::larder::guest::namespaces::{Configured, Host, Namespace};
use super::bindings::larder::guest::types::ErrorResult as Error;
use super::kv::wrong_outcome;
use crate::auth::access::Access;
use crate::runtime::state::State;
use crate::storage::{NamespaceName, Operation, Outcome};

impl State {
    fn look_up(&self, name: &str) -> Result<Namespace, Error> {
        self.check_namespace(name, Access::Read)?;
        let namespace = self.storage.namespace(name)?;
        Ok(Namespace { created: namespace.created.0, updated: namespace.updated.0 })
    }

    fn configure_operation(&self, name: &str) -> Result<Operation, Error> {
        self.check_namespace(name, Access::Write)?;
        Ok(Operation::Configure(NamespaceName::new(name)?))
    }
}

fn configured(outcome: Outcome) -> Result<Configured, Error> {
    let Outcome::Configured { namespace, version } = outcome else {
        return Err(wrong_outcome());
    };
    let (created, updated) = (namespace.created.0, namespace.updated.0);
    Ok(Configured { created, updated, version: version.0 })
}

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<Namespace, Error>> {
        self.enter()?;
        Ok(self.look_up(&name))
    }

    async fn configure(&mut self, name: String) -> wasmtime::Result<Result<Configured, Error>> {
        self.enter()?;
        let operation = self.configure_operation(&name);
        Ok(self.queue(operation).await.and_then(configured))
    }
}
