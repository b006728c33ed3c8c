//! The API's endpoints, one a file: fields, decoding, effect, answer.

pub mod configure_namespace;
pub mod delete;
pub mod get;
pub mod get_namespace;
pub mod health;
pub mod set;
