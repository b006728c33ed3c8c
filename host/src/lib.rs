//! Larder's host: serves HTTP requests with sandboxed WebAssembly guests over a durable
//! key-value store. The binary is a thin shell around this library; tests and benches use it too.
//!
//! From the outside in: [`cli`] and [`config`] say what to do, [`server`] opens and
//! closes, [`workers`] owns threads and shutdown, [`http`] turns requests into calls, [`auth`] says who calls, [`runtime`] runs guests,
//! [`storage`] keeps their data, [`metrics`] counts what happens, and [`clock`] alone reads time.
//! [`logging`] and [`console`] are what is said of it. [`tools`] are the commands for data without a server,
//! [`program`] is how it runs itself again, [`memory`] is how the process takes memory, and [`faults`] ends
//! it when the data file is damaged where it is mapped.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod control;
mod crowd;
mod deadline;
mod descriptors;
pub mod faults;
mod hex;
pub mod http;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod program;
pub mod runtime;
pub mod server;
pub mod storage;
pub mod tls;
pub mod tools;
pub mod workers;
