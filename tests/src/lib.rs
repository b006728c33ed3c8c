//! The harness of the end-to-end tests: starts the built program, speaks HTTP to it, and reads
//! the recorded cases. Knows the program only from outside.

mod cases;
mod client;
pub mod http2;
mod larder;
mod metrics;
pub mod progress;

pub use crate::cases::{Case, Variant, load_cases, run_scenario};
pub use crate::client::{Client, Protocol, Reply, text};
pub use crate::larder::{
    BEARER, Larder, Options, TOKEN, guest_file, in_group, program, test_guest, test_guest_with,
};
pub use crate::metrics::Metrics;
