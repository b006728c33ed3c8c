//! `v1.kv.namespace.get`: tells when a namespace was made and last configured. Also owns the form
//! of request and answer that it shares with `configure`.

use larder_wire::Encoding;
use serde::Serialize;

use crate::answer;
use crate::bindings::larder::guest::namespaces;
use crate::bindings::larder::guest::requests::Response;
use crate::codec;
use crate::error::Error;
use crate::options::{NamespaceName, Parse, required};
use crate::router::Call;

/// A namespace, as both endpoints answer it.
#[derive(Serialize)]
pub struct Answer<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was first configured, in milliseconds since the epoch.
    pub created: u64,
    /// When it was last configured.
    pub updated: u64,
}

/// Decodes and validates the body of both endpoints.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<NamespaceName<'_>, Error> {
    let mut fields = codec::decode(body, encoding, &["name"])?;
    required("name", NamespaceName::parse(fields.take("name"))?)
}

/// Looks the namespace up.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let name = decode(call.body, call.received)?.0;
    let namespaces::Namespace { created, updated } = namespaces::get(&name)?;
    Ok(answer::ok(&Answer { name: &name, created, updated }, call.answer))
}
