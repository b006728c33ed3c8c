//! The plain face, `/kv/NAMESPACE/KEY`: a key is a resource and its value the content, so that any HTTP client
//! reads and writes it. Errors are the API's, always in JSON. Knows no route of the API.

pub mod answer;
pub mod conditions;
pub mod date;
pub mod error;
pub mod headers;
pub mod memo;
pub mod page;
pub mod path;
pub mod percent;
pub mod query;
pub mod range;
pub mod read;
pub mod router;
pub mod write;
