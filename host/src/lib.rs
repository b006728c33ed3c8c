//! Larder's host: serves HTTP requests with sandboxed WebAssembly guests over a durable
//! key-value store. The binary is a thin shell around this library; tests and benches use it too.
//!
//! From the outside in: [`cli`] and [`config`] say what to do, [`server`] opens and closes, [`net`]
//! owns threads and connections, [`gateway`] turns requests into calls, [`auth`] says who calls, [`runtime`]
//! runs guests, [`storage`] keeps their data, [`metrics`] counts what happens, and [`clock`] alone reads
//! time. [`tools`] are the commands for data without a server, and [`process`] is what the program has
//! of the system: memory, files, signals, output and log.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;

pub mod gateway;
mod hex;
pub mod metrics;
pub mod net;
pub mod process;
pub mod runtime;
pub mod server;
pub mod storage;
pub mod tools;
