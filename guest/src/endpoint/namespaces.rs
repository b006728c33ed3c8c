//! `v1.kv.namespace.list`, `.usage` and `.delete`: which namespaces there are, what one takes, and the end
//! of one.

use alloc::string::String;

use larder_wire::{Encoding, Value};

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, Changes, NamespacePage, NamespaceUsage};
use crate::call::Call;
use crate::codec;
use crate::encoder::Encoder;
use crate::endpoint::list;
use crate::endpoint::namespace;
use crate::error::Error;
use crate::memo::Write;
use crate::options::{Bound, DEFAULT_NAMESPACE, Limit, Parse};

/// Bytes of an encoded namespace without its name, about.
const NAMESPACE_BYTES: usize = 48;

/// What a list is asked for: a prefix, the name to begin after, and the most names.
type Asked = (String, Option<String>, u32);

/// Decodes and validates the body of a list.
pub fn decode_list(body: &[u8], encoding: Encoding) -> Result<Asked, Error> {
    let names = &["prefix", "after", "limit"];
    let [prefix, after, limit] = codec::decode(body, encoding, names)?;
    let prefix = Bound::parse(prefix)?.map_or_else(String::new, |prefix| prefix.0.into_owned());
    let after = Bound::parse(after)?.map(|after| after.0.into_owned());
    Ok((prefix, after, Limit::parse(limit)?.map_or(list::LIMIT, |limit| limit.0)))
}

/// Lists the namespaces that the caller reaches.
pub fn list(call: &Call<'_>) -> Result<Response, Error> {
    let (prefix, after, limit) = decode_list(call.body, call.received)?;
    let page = storage::list_namespaces(&prefix, after.as_deref(), limit)
        .map_err(|error| Error::of_storage(&error, "namespace.list", &prefix))?;
    let encoder = encode(&page, call.answer);
    Ok(answer::parts(200, call.answer, encoder.into_parts()))
}

fn encode(page: &NamespacePage, encoding: Encoding) -> Encoder {
    let NamespacePage { namespaces, after } = page;
    let bytes = namespaces.iter().map(|namespace| NAMESPACE_BYTES + namespace.name.len()).sum();
    let mut encoder = Encoder::new(encoding, bytes);
    encoder.begin_map(2);
    encoder.name("namespaces");
    encoder.begin_array(namespaces.len());
    for namespace in namespaces {
        encoder.begin_map(3);
        encoder.name("name");
        encoder.text(&namespace.name);
        encoder.name("created");
        encoder.number(namespace.created);
        encoder.name("updated");
        encoder.number(namespace.updated);
        encoder.end_map();
    }
    encoder.end_array();
    encoder.name("after");
    encoder.optional_text(after.as_deref());
    encoder.end_map();
    encoder
}

/// Tells what a namespace takes.
pub fn usage(call: &Call<'_>) -> Result<Response, Error> {
    let name = namespace::decode(call.body, call.received)?.0;
    let usage = storage::usage(&name)
        .map_err(|error| Error::of_storage(&error, "namespace.usage", &name))?;
    let NamespaceUsage { keys, bytes, keys_max, bytes_max } = usage;
    let fields = [
        ("keys", Value::Number(keys)),
        ("bytes", Value::Number(bytes)),
        ("keys_max", keys_max.map_or(Value::Null, Value::Number)),
        ("bytes_max", bytes_max.map_or(Value::Null, Value::Number)),
    ];
    Ok(answer::ok(&fields, call.answer))
}

/// Ends the call with the end of a namespace. It is answered as a delete of a key is.
pub fn delete(call: &Call<'_>) -> Result<Response, Error> {
    let name = namespace::decode(call.body, call.received)?.0;
    if name == DEFAULT_NAMESPACE {
        return Err(Error::invalid_data("name", "The namespace `default` stays."));
    }
    let changes = Changes::new(&name);
    changes.delete_namespace();
    call.end_with(changes, Write::DeleteNamespace, &name)
}
