//! A stranger's component cannot hurt when it is loaded: malformed, huge, made to keep a compiler busy or
//! written for another world, it is refused with its reason or served, within the compiler's time
//! and memory, by a server of its own; one that runs beside it is not touched.

pub mod bombs;
pub mod load;
pub mod strangers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use fastrand::Rng;
use larder_tests::{Larder, program};

use self::load::{Limits, Loaded, Outcome};
use self::strangers::{Component, Due};
use crate::guests::neighbour::Neighbour;
use crate::rounds::{Tally, Trial};

/// Components in a round.
const COMPONENTS: usize = 500;
/// Processes that load components at once.
const LOADERS: usize = 2;

/// The trial.
pub struct Components;

impl Trial for Components {
    fn name(&self) -> &'static str {
        "components"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("components", 10_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let rng = &mut Rng::with_seed(seed);
        let components = strangers::draw(rng, COMPONENTS, bombs::Scale::Any)?;
        harmless(&components, tally)
    }
}

/// Loads each component in a server of its own, while another one serves.
///
/// # Errors
/// What was not as it was due, or not within its limits.
pub fn harmless(components: &[Component], tally: &mut Tally) -> Result<(), String> {
    let larder = Larder::start();
    let neighbour = Neighbour::start(larder.address());
    let (next, told) = (AtomicUsize::new(0), Mutex::new((Tally::default(), Vec::new())));
    let loader = || {
        let Ok(dir) = tempfile::tempdir() else { return };
        while let Some(component) = components.get(next.fetch_add(1, Ordering::Relaxed)) {
            let loaded = load(dir.path(), component);
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            match loaded.and_then(|loaded| judge(component, &loaded).map(|()| loaded)) {
                Ok(loaded) => count(&mut told.0, component, &loaded),
                Err(error) => told.1.push(error),
            }
        }
    };
    thread::scope(|scope| (0..LOADERS).for_each(|_| drop(scope.spawn(loader))));
    let (counts, mut wrong) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.merge(&counts);
    match neighbour.stop() {
        Ok(requests) => tally.add("neighbour's requests", requests),
        Err(error) => wrong.push(format!("the neighbour: {error}")),
    }
    if tally.get("components") as usize + wrong.len() < components.len() {
        wrong.push("not all components were loaded".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Has a server in `dir` load this component.
///
/// # Errors
/// When it cannot be run, or not be kept to its limits.
pub fn load(dir: &Path, component: &Component) -> Result<Loaded, String> {
    let path = dir.join("stranger.wasm");
    fs::write(&path, &component.bytes).map_err(|error| error.to_string())?;
    let config: PathBuf = dir.join("larder.toml");
    let text = "[[mount]]\nprefix = '/stranger'\ncomponent = 'stranger.wasm'\n";
    fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut command = std::process::Command::new(program());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data", "data", "--config", "larder.toml"]);
    let loaded = load::run(command.current_dir(dir), dir, &Limits::PROMISED);
    loaded.map_err(|error| format!("{}: {error}", component.name))
}

/// Whether that is what was due.
///
/// # Errors
/// What it was instead.
pub fn judge(component: &Component, loaded: &Loaded) -> Result<(), String> {
    let fits = match (&component.due, &loaded.outcome) {
        (_, Outcome::Broken(_)) => false,
        (Due::Served, outcome) => *outcome == Outcome::Served,
        (Due::Refused(reason), Outcome::Refused(said)) => said.contains(reason),
        (Due::Refused(_), Outcome::Served) => false,
        (Due::Either, Outcome::Served) => true,
        // In words of the loader's own, and for a reason.
        (Due::Either, Outcome::Refused(said)) => {
            let reason = said.split_once("guest stranger: ").map(|(_, reason)| reason.trim());
            reason.is_some_and(|reason| !reason.is_empty())
        }
    };
    if fits {
        return Ok(());
    }
    Err(format!("{}: {:?} was due, not {:?}", component.name, component.due, loaded.outcome))
}

fn count(tally: &mut Tally, component: &Component, loaded: &Loaded) {
    tally.add("components", 1);
    let kind = component.name.split(' ').next().unwrap_or_default();
    let outcome = match &loaded.outcome {
        Outcome::Served => "served",
        Outcome::Refused(said) if said.contains("compiling it takes longer") => "out of time",
        Outcome::Refused(said) if said.contains("compiling it takes more") => "out of memory",
        Outcome::Refused(said) if said.contains("panicked") => "refused by a panic",
        Outcome::Refused(_) | Outcome::Broken(_) => "refused",
    };
    tally.add(&format!("{kind} {outcome}"), 1);
}
