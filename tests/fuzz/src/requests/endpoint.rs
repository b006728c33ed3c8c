//! The endpoints whose bodies are tried, and what the guest decodes from them. Knows no rule.

use larder_api::endpoint::batch::Operation;
use larder_api::endpoint::{add, batch, get_many, list, namespace, namespaces, touch};
use larder_api::error::Error;
use larder_api::options::{Namespace, Quota};
use larder_wire::Encoding;

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `v1.kv.list`.
    List,
    /// `v1.kv.get_many`.
    GetMany,
    /// `v1.kv.touch`.
    Touch,
    /// `v1.kv.add`.
    Add,
    /// `v1.kv.batch`.
    Batch,
    /// The endpoints that take the name of a namespace and nothing else.
    Name,
    /// `v1.kv.namespace.configure`.
    Configure,
    /// `v1.kv.namespace.list`.
    Namespaces,
}

/// All of them.
pub const ENDPOINTS: [Endpoint; 8] = [
    Endpoint::List,
    Endpoint::GetMany,
    Endpoint::Touch,
    Endpoint::Add,
    Endpoint::Batch,
    Endpoint::Name,
    Endpoint::Configure,
    Endpoint::Namespaces,
];

/// A decoder under test. It tells what it found, in words that are the same for the same.
pub type Decoder = dyn Fn(Endpoint, &[u8], Encoding) -> Result<String, Error>;

/// The decoders that the guest uses.
///
/// # Errors
/// Their own.
pub fn decode(endpoint: Endpoint, body: &[u8], encoding: Encoding) -> Result<String, Error> {
    Ok(match endpoint {
        Endpoint::List => {
            let (namespace, options) = list::decode(body, encoding)?;
            format!("{} {options:?}", named(namespace.as_ref()))
        }
        Endpoint::GetMany => {
            let (namespace, keys) = get_many::decode(body, encoding)?;
            format!("{} {keys:?}", named(namespace.as_ref()))
        }
        Endpoint::Touch => {
            let (namespace, touch) = touch::decode(body, encoding)?;
            format!("{} {}", named(namespace.as_ref()), of_touch(&touch))
        }
        Endpoint::Add => {
            let (namespace, add) = add::decode(body, encoding)?;
            format!("{} {}", named(namespace.as_ref()), of_add(&add))
        }
        Endpoint::Batch => {
            let batch = batch::decode(body, encoding)?;
            let mut told = named(batch.namespace.as_ref());
            for check in &batch.checks {
                told += &format!(" check {} {}", check.key.0, check.version);
            }
            for operation in &batch.operations {
                told += &of_operation(operation);
            }
            told
        }
        Endpoint::Name => namespace::decode(body, encoding)?.0.into_owned(),
        Endpoint::Configure => {
            let configuration = namespace::decode_configuration(body, encoding)?;
            let quota = |quota: Option<Quota>| match quota {
                None => "kept".to_owned(),
                Some(Quota::Lift) => "lifted".to_owned(),
                Some(Quota::Limit(most)) => most.to_string(),
            };
            let (keys, bytes) = (quota(configuration.keys_max), quota(configuration.bytes_max));
            format!("{} {keys} {bytes}", configuration.name.0)
        }
        Endpoint::Namespaces => format!("{:?}", namespaces::decode_list(body, encoding)?),
    })
}

fn named(namespace: Option<&Namespace<'_>>) -> String {
    Namespace::resolve(namespace)
        .map_or_else(|error| error.code.to_owned(), |name| format!("in {name}"))
}

fn of_touch(touch: &touch::Touch<'_>) -> String {
    format!(" touch {} {:?} {:?}", touch.key.0, touch.ttl, touch.version)
}

fn of_add(add: &add::Add<'_>) -> String {
    format!(" add {} {} {:?}", add.key.0, add.delta, add.options)
}

fn of_operation(operation: &Operation<'_>) -> String {
    match operation {
        Operation::Set(set) => {
            format!(" set {} {:?} {:?}", set.key.0, set.value.0, set.options)
        }
        Operation::Delete(delete) => format!(" delete {} {:?}", delete.key.0, delete.version),
        Operation::Touch(touch) => of_touch(touch),
        Operation::Add(add) => of_add(add),
    }
}
