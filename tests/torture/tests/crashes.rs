//! The short forms of the trials about processes that end: killed, shut down, backed up; each with a
//! control that plants what it looks for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use larder_tests::Larder;
use larder_torture::kill::cycles;
use larder_torture::lies::{Liar, Lie};
use larder_torture::{Tally, Trial, backup, counts, drain, kill};
use rustix::process::Signal;

fn rounds(trial: &dyn Trial, seeds: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let result = trial.round(seed, &mut tally);
        assert_eq!(result, Ok(()), "{} with seed {seed}", trial.name());
    }
    tally
}

#[test]
fn acknowledged_writes_survive_50_kills() {
    let tally = rounds(&kill::Kill::default(), 0..5);
    assert_eq!(tally.get("kills"), 50);
    assert!(tally.get("acknowledgements") > 500, "{tally}");
}

#[test]
fn writes_that_are_acknowledged_and_not_done_are_noticed() {
    for planted in [Lie::SetLost, Lie::DeleteLost, Lie::TtlDropped, Lie::VersionReused] {
        let memory = Arc::new(Mutex::default());
        let seeds = Mutex::new(Rng::with_seed(1));
        let lie = |http| Liar::new(http, planted, &memory, seeds.lock().unwrap().fork());
        let mut larder = Larder::start();
        let mut tally = Tally::default();
        let told = cycles(&mut larder, 1, 20, &mut tally, &lie);
        assert!(told.is_err(), "{planted:?}: {tally}");
    }
}

#[test]
fn namespaces_hold_what_they_are_said_to_after_any_history_and_kills() {
    let tally = rounds(&counts::Counts, 0..4);
    assert_eq!((tally.get("kills"), tally.get("counts")), (32, 64), "{tally}");
    for kind in [
        "counts with entries",
        "counts with what was deleted",
        "v1.kv.set 200",
        "v1.kv.delete 200",
        "v1.kv.touch 200",
        "v1.kv.add 200",
        "v1.kv.batch 200",
        "v1.kv.batch 400",
        "v1.kv.batch 507",
        "v1.kv.namespace.delete 200",
    ] {
        assert!(tally.get(kind) > 3, "{kind}: {tally}");
    }
}

#[test]
fn a_count_that_drifts_is_noticed() {
    let mut larder = Larder::start();
    larder.kill();
    let (data, mut tally) = (larder.data(), Tally::default());
    assert_eq!(counts::judge(&data, &mut tally), Ok(()));
    for (keys, bytes) in [(1, 0), (0, 1)] {
        counts::drift(&data, keys, bytes).unwrap();
        let told = counts::judge(&data, &mut tally).unwrap_err();
        let tells = format!("namespace 1 has 0 keys and 0 bytes, its row tells 1 and {bytes}");
        assert_eq!(told, tells);
    }
}

#[test]
fn shutdowns_lose_nothing_and_cut_nothing_short() {
    let tally = rounds(&drain::Drain, 0..20);
    assert_eq!(tally.get("shutdowns"), 20);
    assert!(tally.get("acknowledgements") > 100 && tally.get("large answers") > 10, "{tally}");
}

#[test]
fn a_process_that_does_not_wait_for_what_runs_is_noticed() {
    let told = drain::shut_down(1, Signal::KILL, &mut Tally::default());
    assert!(told.is_err());
}

#[test]
fn backups_under_load_restore_to_one_commit_or_are_refused() {
    let tally = rounds(&backup::Backup, 0..10);
    assert_eq!(tally.get("backups"), 10);
    assert!(tally.get("killed") > 0 && tally.get("killed") < 10, "{tally}");
}

#[test]
fn a_backup_that_lacks_what_was_acknowledged_is_noticed() {
    // Another server's backup, whole and sound, and without these writes.
    let other = Larder::start();
    assert!(other.tool(&["backup", "backup"]).status.success());
    let foreign = |file: &Path| {
        std::fs::copy(other.dir().join("backup"), file).unwrap();
    };
    let told = backup::judge(1, false, &mut Tally::default(), &foreign);
    assert!(told.is_err());
}
