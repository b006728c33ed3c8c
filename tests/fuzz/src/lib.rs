//! Fuzzing of everything in Larder that parses what others wrote. Each [`Target`] takes any bytes and
//! says which promise they broke. The long form is `make fuzz`, with libFuzzer; the short one, this
//! crate's tests, tries the corpus and mutations of it. Knows the formats; knows no server.

pub mod choices;
pub mod config;
pub mod fields;
pub mod import;
pub mod json;
pub mod layout;
pub mod msgpack;
pub mod mutate;
pub mod plain;
pub mod requests;
pub mod rounds;
mod target;

pub use crate::target::{Target, corpus, corpus_dir, run};

/// All targets.
pub const TARGETS: [&Target; 7] = [
    &json::TARGET,
    &msgpack::TARGET,
    &requests::TARGET,
    &plain::TARGET,
    &layout::TARGET,
    &import::TARGET,
    &config::TARGET,
];
