//! What the program has of the system it runs on: its memory, open files, fatal signals, standard
//! output and log, and its own executable. Knows nothing of requests, guests or data.

pub mod allocator;
pub mod console;
pub(crate) mod durable;
pub mod fatal_signals;
pub mod logging;
pub(crate) mod open_files;
pub mod program;
