//! Torture tests of the promises in docs/reliability.md and docs/security.md: each a [`Trial`] that
//! one seed determines as far as threads and disks allow, run in rounds. Short forms are this crate's
//! tests, long forms the program `larder-torture`. They see the server from outside, over HTTP and
//! its files.

pub mod backup;
pub mod client;
pub mod clients;
pub mod components;
pub mod counts;
pub mod disk;
pub mod drain;
pub mod driven;
pub mod exchange;
pub mod guests;
pub mod kill;
pub mod lies;
pub mod linear;
pub mod namespaces;
pub mod op;
pub mod overload;
pub mod pages;
pub mod rounds;
pub mod rows;
pub mod tokens;
pub mod ttl;
pub mod writers;

use std::path::Path;

pub use rounds::{Tally, Trial};

use namespaces::Namespaces;

/// Keys that expire at once, in the long form.
const EXPIRING_KEYS: u64 = 1_000_000;
/// Entries of a store that is taken over.
const OLDER_ENTRIES: usize = 300_000;

/// Expired keys in the way of a page, in the long form.
const KEYS_IN_THE_WAY: u64 = 10_000_000;

/// All trials in their long form, in the order in which they are run. `program` is
/// `larder-torture`, which some of them run again; `linear` and `namespaces` judge histories.
#[must_use]
pub fn trials(
    program: &Path,
    linear: linear::Linear,
    namespaces: Namespaces,
) -> Vec<Box<dyn Trial>> {
    vec![
        Box::new(kill::Kill::default()),
        Box::new(linear),
        Box::new(counts::Counts),
        Box::new(namespaces),
        Box::new(drain::Drain),
        Box::new(backup::Backup),
        Box::new(disk::power_cut::PowerCut),
        Box::new(disk::beginnings::Beginnings::default()),
        Box::new(disk::take_over::TakeOver::new(OLDER_ENTRIES)),
        Box::new(disk::io_errors::IoErrors::new(10_000)),
        Box::new(disk::rot::Rot::default()),
        Box::new(disk::full::Full),
        Box::new(tokens::Scopes),
        Box::new(guests::Guests),
        Box::new(components::Components),
        Box::new(guests::beside::Beside::default()),
        Box::new(clients::Clients),
        Box::new(overload::Overload),
        Box::new(ttl::Expiry::new(program, EXPIRING_KEYS)),
        Box::new(pages::Pages::new(program, KEYS_IN_THE_WAY)),
    ]
}
