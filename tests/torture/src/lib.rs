//! Torture tests of the promises in docs/reliability.md: each a [`Trial`] that one seed determines as
//! far as threads and disks allow, run in rounds. Short forms are this crate's tests, long forms
//! the program `larder-torture`. They see the server from outside, over HTTP and its files.

pub mod rounds;

pub use rounds::{Tally, Trial};

/// All trials, in the order in which they are run.
#[must_use]
pub fn trials() -> Vec<Box<dyn Trial>> {
    Vec::new()
}
