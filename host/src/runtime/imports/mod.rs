//! What guests may call: the host's side of `wit/`, and WASI with nothing behind it.

pub mod bindings;
pub mod blobs;
pub mod deferred;
pub mod kv;
pub mod namespaces;
pub mod requests;
pub mod wasi;
