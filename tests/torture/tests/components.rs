//! The short form of the trial of strangers' components, with controls that plant what it looks for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use larder_tests::program;
use larder_torture::Tally;
use larder_torture::components::bombs::{self, Scale};
use larder_torture::components::load::{Limits, Outcome, run};
use larder_torture::components::strangers::{Component, Due, draw};
use larder_torture::components::{harmless, judge, load};

#[test]
fn strangers_components_are_refused_or_served_and_harm_nobody() {
    let mut components = draw(&mut Rng::with_seed(1), 200, Scale::Small).unwrap();
    // Each kind of bomb once, though small.
    for (name, make, most) in bombs::ALL {
        let (name, bytes) = (format!("bomb {name}"), make(most.div_ceil(1000)));
        components.push(Component { name, bytes, due: Due::Either });
    }
    let mut tally = Tally::default();
    assert_eq!(harmless(&components, &mut tally), Ok(()));
    println!("{tally}");
    assert_eq!(tally.get("components"), components.len() as u64);
    for (what, most) in [("valid served", 10), ("misfit refused", 20), ("mutant refused", 50)] {
        assert!(tally.get(what) >= most, "{what}: {tally}");
    }
    assert!(tally.get("neighbour's requests") > 100, "{tally}");
}

fn bomb(name: &str, parts: u32) -> Component {
    let (name, make, _) = bombs::ALL.into_iter().find(|(known, ..)| *known == name).unwrap();
    Component { name: format!("bomb {name}"), bytes: make(parts), due: Due::Either }
}

#[test]
fn a_loader_that_refuses_all_or_takes_all_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let components = draw(&mut Rng::with_seed(2), 4, Scale::Small).unwrap();
    let (valid, misfit, artefact) = (&components[0], &components[1], &components[3]);
    let served = load(dir.path(), valid).unwrap();
    let refused = load(dir.path(), misfit).unwrap();
    assert_eq!((judge(valid, &served), judge(misfit, &refused)), (Ok(()), Ok(())));
    assert!(judge(valid, &refused).is_err());
    assert!(judge(misfit, &served).is_err() && judge(artefact, &served).is_err());
    // Refused, but not for its own reason; or without one; or not by being refused.
    assert!(judge(artefact, &refused).is_err());
    let mutant = Component { due: Due::Either, ..valid.clone() };
    for outcome in [Outcome::Refused("larder: no room".to_owned()), Outcome::Broken(String::new())]
    {
        assert!(judge(&mutant, &load::Loaded { outcome, ..refused.clone() }).is_err());
    }
}

#[test]
fn a_loader_without_limits_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    // The compiler alone, with nobody who watches it.
    let compile = |component: &Component, limits: Limits| {
        let file = dir.path().join("bomb.wasm");
        std::fs::write(&file, &component.bytes).unwrap();
        let mut command = Command::new(program());
        command.arg("compile").stdin(File::open(file).unwrap());
        run(&mut command, dir.path(), &limits).map(|_| ())
    };
    let large = bomb("long-functions", 1_000_000);
    assert!(compile(&large, Limits::PROMISED).unwrap_err().contains("KiB"));
    let soon = Limits { time: Duration::from_millis(500), ..Limits::PROMISED };
    let long = bomb("functions-of-some-length", 50_000);
    assert!(compile(&long, soon).unwrap_err().contains("takes longer"));
}
