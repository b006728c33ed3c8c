//! The API's endpoints, one a file: fields, decoding, effect, answer; of a write the answer comes after its
//! commit. Know nothing of routes.

pub mod add;
pub mod batch;
pub mod delete;
pub mod get;
pub mod get_many;
pub mod health;
pub mod list;
pub mod namespace;
pub mod namespaces;
pub mod set;
pub mod touch;
