//! What guests may call: the host's side of `wit/`, and WASI with nothing behind it. Each interface is a
//! thin file over `operations`.

pub mod bindings;
mod blobs;
mod changes;
mod deferral;
pub mod deferred;
mod errors;
mod kv;
mod lists;
mod namespaces;
mod operations;
pub mod requests;
pub mod responses;
mod storage;
mod wasi;
