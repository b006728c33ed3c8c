//! The short forms of the trials on a driven clock, histories and expiry, each with its controls.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use larder_torture::lies::{Liar, Lie};
use larder_torture::linear::Linear;
use larder_torture::namespaces::{self, Namespaces};
use larder_torture::pages::Pages;
use larder_torture::ttl::Expiry;
use larder_torture::{Tally, Trial};

/// Rounds in which a lie must be found.
const ROUNDS_MAX: u64 = 10;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_larder-torture"))
}

#[test]
fn twenty_thousand_operations_are_linearizable() {
    let linear = Linear::new(program());
    let mut tally = Tally::default();
    for seed in 0.. {
        assert_eq!(linear.round(seed, &mut tally), Ok(()), "seed {seed}");
        if tally.get("operations") >= 20_000 {
            break;
        }
    }
}

#[test]
fn every_lie_is_caught() {
    let mut missed = Vec::new();
    for lie in Lie::ALL {
        let linear = Linear::new(program());
        let memory = Arc::new(Mutex::default());
        let lying = |http, rng: Rng| Liar::new(http, lie, &memory, rng);
        let caught =
            (0..ROUNDS_MAX).any(|seed| linear.judge(seed, &mut Tally::default(), &lying).is_err());
        if !caught {
            missed.push(lie);
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn two_thousand_operations_on_namespaces_are_linearizable() {
    let trial = Namespaces::new(program());
    let mut tally = Tally::default();
    for seed in 0.. {
        assert_eq!(trial.round(seed, &mut tally), Ok(()), "seed {seed}");
        if tally.get("operations") >= 2_000 {
            break;
        }
    }
}

#[test]
fn every_lie_about_namespaces_is_caught() {
    let mut missed = Vec::new();
    for lie in namespaces::lies::Lie::ALL {
        let trial = Namespaces::new(program());
        let memory = Arc::new(Mutex::default());
        let lying = |http, rng: Rng| namespaces::lies::Liar::new(http, lie, &memory, rng);
        let caught =
            (0..ROUNDS_MAX).any(|seed| trial.judge(seed, &mut Tally::default(), &lying).is_err());
        if !caught {
            missed.push(lie);
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn twenty_thousand_keys_expire_at_once_and_stay_away() {
    let expiry = Expiry::new(program(), 20_000);
    let mut tally = Tally::default();
    assert_eq!(expiry.round(1, &mut tally), Ok(()));
}

#[test]
fn a_server_that_forgets_times_to_live_is_noticed() {
    for lie in [Lie::TtlDropped, Lie::TtlShortened] {
        let memory = Arc::new(Mutex::default());
        let seeds = Mutex::new(Rng::with_seed(1));
        let lying = |http| Liar::new(http, lie, &memory, seeds.lock().unwrap().fork());
        let expiry = Expiry::new(program(), 1000);
        assert!(expiry.judge(1, &mut Tally::default(), &lying).is_err(), "{lie:?}");
    }
}

#[test]
fn a_page_passes_20_000_expired_keys() {
    let mut tally = Tally::default();
    assert_eq!(Pages::new(program(), 20_000).round(1, &mut tally), Ok(()));
    assert!(tally.get("gets") > 0, "{tally}");
}
