//! Rounds of a trial: seeds, counts, and a state file from which an interrupted run goes on. Knows
//! nothing of what a trial does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use larder_tests::progress;
use serde::{Deserialize, Serialize};

/// What rounds counted, by name: "acknowledgements", "kills".
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts `more` of `what`.
    pub fn add(&mut self, what: &str, more: u64) {
        *self.0.entry(what.to_owned()).or_default() += more;
    }

    /// How many of `what` were counted.
    #[must_use]
    pub fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Takes over what another counted.
    pub fn merge(&mut self, other: &Tally) {
        for (what, count) in &other.0 {
            self.add(what, *count);
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts: Vec<String> =
            self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// A promise under torture.
pub trait Trial {
    /// Names the trial on the command line and its state file.
    fn name(&self) -> &'static str;

    /// What its goal counts, and how many of it: a key of the tally that each round adds to.
    fn goal(&self) -> (&'static str, u64);

    /// Runs the round that `seed` determines and counts what it did.
    ///
    /// # Errors
    /// What was promised and did not hold, with all that is needed to see why.
    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String>;
}

/// How far a run has come.
#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    next_seed: u64,
    rounds: u64,
    seconds: f64,
    tally: Tally,
    failed_seeds: Vec<u64>,
}

/// How long to go on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Until {
    /// Ends after so many rounds.
    pub rounds: Option<u64>,
    /// Ends after so long.
    pub time: Option<Duration>,
}

/// Runs rounds from where the state file in `dir` stands until the goal or `until` is reached.
/// Stops at the first round that fails, names its seed, and begins with the next one next time.
///
/// # Errors
/// What the failed round said, or why the state could not be kept.
pub fn run(trial: &dyn Trial, dir: &Path, until: Until) -> Result<(), String> {
    let path = dir.join(format!("{}.json", trial.name()));
    let io = |error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(dir).map_err(io)?;
    let mut state: State = progress::read(&path)?;
    let (what, goal) = trial.goal();
    let begun = clock();
    let mut rounds = 0;
    while state.tally.get(what) < goal
        && until.rounds.is_none_or(|most| rounds < most)
        && until.time.is_none_or(|most| begun.elapsed() < most)
    {
        let (seed, started) = (state.next_seed, clock());
        let mut tally = Tally::default();
        let result = trial.round(seed, &mut tally);
        state.next_seed += 1;
        state.rounds += 1;
        state.seconds += started.elapsed().as_secs_f64();
        state.tally.merge(&tally);
        if result.is_err() {
            state.failed_seeds.push(seed);
        }
        progress::write(&path, &state).map_err(io)?;
        println!("{} seed {seed}: {}; so far {}", trial.name(), tally, state.tally);
        result.map_err(|error| {
            format!(
                "{0} failed with seed {seed}: {error}\nreplay: make torture TRIAL={0} SEED={seed}",
                trial.name()
            )
        })?;
        rounds += 1;
    }
    println!(
        "{}: {} rounds in {:.0} s, {} of {goal} {what}: {}; failed seeds: {:?}",
        trial.name(),
        state.rounds,
        state.seconds,
        state.tally.get(what),
        state.tally,
        state.failed_seeds
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how long rounds take is told, and decides nothing")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at one seed.
    struct Sample;

    impl Trial for Sample {
        fn name(&self) -> &'static str {
            "sample"
        }

        fn goal(&self) -> (&'static str, u64) {
            ("things", 10)
        }

        fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
            tally.add("things", 2);
            if seed == 1 { Err("broken".to_owned()) } else { Ok(()) }
        }
    }

    #[test]
    fn a_run_stops_at_a_failure_names_its_seed_and_goes_on_behind_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let error = run(&Sample, dir.path(), Until::default()).expect_err("seed 1 fails");
        assert!(error.contains("SEED=1") && error.contains("broken"), "{error}");
        run(&Sample, dir.path(), Until { rounds: Some(1), time: None }).expect("seed 2 holds");
        run(&Sample, dir.path(), Until::default()).expect("so do the others");
        let state: State = progress::read(&dir.path().join("sample.json")).expect("a state");
        assert_eq!((state.rounds, state.tally.get("things")), (5, 10));
        assert_eq!(state.failed_seeds, [1]);
    }
}
