//! The end-to-end tests: the built program from outside, a module a subject. One program, so that
//! it is linked once; the harness is the library beside it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod api_docs;
mod batches;
mod browser;
mod changes;
mod closed;
mod components;
mod conformance;
mod cors;
mod crowds;
mod deferred;
mod encodings;
mod faults;
mod frames;
mod golden;
mod guests;
mod hostile;
mod hostile_lists;
mod limits;
mod lists;
mod logs;
mod memory;
mod namespaces;
mod official_rust_client;
mod openapi;
mod operator;
mod places;
mod plain;
mod protocol;
mod proxies;
mod published;
mod readme;
mod restart;
mod rooms;
mod settings;
mod shares;
mod shell;
mod store;
mod streams;
mod tls;
mod tokens;
mod tools;
