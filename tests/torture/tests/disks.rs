//! The short forms of the trials about disks, each with a control that plants what it looks for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use larder_tests::Larder;
use larder_torture::disk::beginnings::{Beginning, Beginnings};
use larder_torture::disk::full::{self, Limit};
use larder_torture::disk::images::Syncs;
use larder_torture::disk::io_errors::IoErrors;
use larder_torture::disk::power_cut;
use larder_torture::disk::rot::{self, Rot};
use larder_torture::disk::shim::{Watch, shimmed};
use larder_torture::disk::take_over::TakeOver;
use larder_torture::lies::{Liar, Lie};
use larder_torture::op::{Http, Op, Outcome, Store};
use larder_torture::{Tally, Trial};

#[test]
fn acknowledged_writes_survive_500_power_cuts() {
    let mut tally = Tally::default();
    for seed in 0.. {
        assert_eq!(power_cut::PowerCut.round(seed, &mut tally), Ok(()), "seed {seed}");
        if tally.get("images") >= 500 {
            break;
        }
    }
    assert!(tally.get("lost sectors") > 500, "{tally}");
}

#[test]
fn a_disk_that_syncs_nothing_is_noticed() {
    let (images, caught, _) =
        power_cut::cut(1, 100, Syncs::OfFolders, &mut Tally::default()).unwrap();
    assert!(images >= 20 && caught * 100 >= images * 99, "{caught} of {images}");
}

#[test]
fn calls_that_the_shim_does_not_know_are_noticed() {
    for function in ["pwrite", "writev", "write", "fdatasync"] {
        let dir = tempfile::tempdir().unwrap();
        let counts = dir.path().join("counts");
        let settings = [("SHIM_COUNT", counts.to_str().unwrap()), ("SHIM_OVERLOOK", function)];
        let larder = Larder::start_in(dir.path(), shimmed(dir.path(), &[], &settings));
        let watch = Watch::begin(&larder, &counts).unwrap();
        let written = Http::new(larder.address()).call("key", &Op::set("value"));
        assert!(matches!(written, Outcome::Written(_)), "{written:?}");
        let told = watch.judge(&larder).unwrap_err();
        assert!(told.contains("does not know all calls"), "{function}: {told}");
    }
}

#[test]
fn a_beginning_that_is_cut_short_leaves_all_or_nothing() {
    let trial = Beginnings::default();
    let mut tally = Tally::default();
    // Killed, with two kinds of errors, and with the power cut.
    for seed in 0..4 {
        assert_eq!(trial.some(seed, 8, &mut tally), Ok(()), "seed {seed}");
    }
    for what in ["beginnings", "new", "there", "refused"] {
        assert!(tally.get(what) > 3, "{what}: {tally}");
    }
}

#[test]
fn a_store_of_format_1_is_taken_over_or_as_it_was_whenever_it_is_killed() {
    let trial = TakeOver::new(100_000);
    let mut tally = Tally::default();
    // Starts take longer or shorter: until both were seen.
    for seed in 0..20 {
        assert_eq!(trial.round(seed, &mut tally), Ok(()), "seed {seed}");
        if tally.get("as it was") > 3 && tally.get("taken over") > 3 {
            return;
        }
    }
    panic!("{tally}");
}

#[test]
fn a_beginning_on_a_disk_that_syncs_no_files_or_no_folders_is_noticed() {
    let trial = Beginnings::default();
    for beginning in Beginning::ALL {
        assert_eq!(trial.lost(beginning, Syncs::Kept), Ok(None), "{beginning:?}");
        for syncs in [Syncs::OfFiles, Syncs::OfFolders] {
            let found = trial.lost(beginning, syncs).unwrap();
            assert!(found.is_some(), "{beginning:?} with {syncs:?}");
        }
    }
}

#[test]
fn errors_of_the_disk_make_no_false_acknowledgement() {
    let trial = IoErrors::new(300);
    let calls = trial.calls().unwrap();
    assert!(calls > 30, "{calls}");
    let mut rng = Rng::with_seed(1);
    let mut tally = Tally::default();
    for kind in ["eio", "enospc", "short"] {
        for _ in 0..8 {
            assert_eq!(trial.fail(rng.u64(..calls), kind, &mut tally), Ok(()));
        }
    }
    assert!(tally.get("ends") > 3, "{tally}");
}

#[test]
fn writes_that_the_disk_swallows_are_noticed() {
    let trial = IoErrors::new(300);
    let calls = trial.calls().unwrap();
    let swallow = |call| trial.fail(call, "swallow", &mut Tally::default());
    assert!((0..calls).any(|call| swallow(call).is_err()));
}

#[test]
fn damage_is_told_and_never_served() {
    let rot = Rot::default();
    let mut tally = Tally::default();
    for seed in 0..6 {
        assert_eq!(rot.round(seed, &mut tally), Ok(()), "seed {seed}");
    }
    assert!(tally.get("found by the check") > 30 && tally.get("errors") > 3, "{tally}");
}

#[test]
fn a_wrong_value_with_a_forged_checksum_is_noticed() {
    let trial = Rot::default();
    let forge = |file: &mut [u8], _: &mut Rng| rot::forge(file);
    let mut tally = Tally::default();
    let told = trial.judge(&mut Rng::with_seed(1), &forge, &mut tally);
    assert!(told.as_ref().is_err_and(|told| told.contains("not Some")), "{told:?}: {tally}");
}

#[test]
fn a_full_disk_and_a_full_quota_lose_nothing_and_recover() {
    let mut limits = vec![Limit::Disk, Limit::Quota];
    if full::can_mount() {
        limits.push(Limit::FileSystem);
    } else {
        eprintln!("left out: nobody may mount a small file system here");
    }
    for (seed, limit) in (1..).zip(limits) {
        let mut tally = Tally::default();
        assert_eq!(full::cycles(seed, limit, 2, &|http| http, &mut tally), Ok(()), "{limit:?}");
    }
}

#[test]
fn a_server_that_loses_writes_when_it_is_full_is_noticed() {
    let memory = Arc::new(Mutex::default());
    let seeds = Mutex::new(Rng::with_seed(1));
    let lie = |http| Liar::new(http, Lie::SetLost, &memory, seeds.lock().unwrap().fork());
    assert!(full::cycles(1, Limit::Quota, 1, &lie, &mut Tally::default()).is_err());
}
