//! `v1.kv.namespace.configure`: makes a namespace, or touches one that is there.

use crate::answer;
use crate::bindings::larder::guest::namespaces;
use crate::bindings::larder::guest::requests::Response;
use crate::endpoint::get_namespace::{self, decode};
use crate::error::Error;
use crate::router::Call;

/// Configures the namespace.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespaces::Configured { created, updated, version } = namespaces::configure(&name)
        .map_err(|error| Error::of_store(error, "namespace.configure", &name))?;
    let response = get_namespace::answer(&name, created, updated, call.answer);
    Ok(answer::with_mutation_version(response, version))
}
