//! The experiments: which sides are compared at which work, and what is aimed at. Each alternates
//! its sides within a round, so that what the machine does otherwise meets all of them alike.

mod commit;
mod large;
mod log;
mod open;
mod program;
mod rates;
mod rounds;
mod size;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use self::rounds::Measured;
use crate::failure::Failure;
use crate::report::results::{self, Finding, Measurement, Results};
use crate::report::table;
use crate::system::Machine;

type Experiment = fn(&mut Bench) -> Result<(), Failure>;

/// All experiments, in their order.
pub const EXPERIMENTS: [(&str, Experiment); 14] = [
    ("get", rates::get),
    ("forms", rates::forms),
    ("set", rates::set),
    ("commit", commit::commit),
    ("half", rates::half),
    ("cas", rates::cas),
    ("large", large::values),
    ("open-set", open::set),
    ("open-get", open::get_beside_set),
    ("open-sweep", open::get_beside_sweep),
    ("keys", large::keys),
    ("file", size::file),
    ("start", program::start),
    ("memory", program::memory),
];

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All of it, rather than what fits some minutes.
    pub full: bool,
    /// Rounds of each experiment.
    pub rounds: usize,
    /// Time of a turn.
    pub time: Duration,
    /// Folder for data, on the file system that is measured.
    pub dir: PathBuf,
    /// The built program.
    pub program: PathBuf,
    /// Where results are written.
    pub out: PathBuf,
}

/// A run in progress.
pub struct Bench {
    plan: Plan,
    results: Results,
}

impl Bench {
    /// Runs the experiments of these names, or all.
    pub fn run(plan: Plan, only: &[String]) -> Result<(), Failure> {
        let known = |name: &&String| EXPERIMENTS.iter().all(|(known, _)| known != name);
        if let Some(unknown) = only.iter().find(known) {
            let names: Vec<&str> = EXPERIMENTS.iter().map(|(name, _)| *name).collect();
            return Err(format!("no experiment {unknown}; there are {}", names.join(", ")).into());
        }
        let form = if plan.full { "full" } else { "short" }.to_owned();
        let machine = Machine::here();
        println!("{}, {} cores, {} MiB", machine.cpu, machine.cores, machine.memory_mib);
        println!("Linux {}, commit {}, {}", machine.kernel, machine.commit, machine.date);
        println!("{form} form: {} rounds of {} ms a turn", plan.rounds, plan.time.as_millis());
        let results = Results { machine, form, measurements: Vec::new(), findings: Vec::new() };
        let mut bench = Self { plan, results };
        bench.remove_stores()?;
        let done = bench.run_each(only);
        bench.remove_stores()?;
        done?;
        table::goals(&bench.results.findings);
        println!("\nwritten to {}", bench.plan.out.display());
        Ok(())
    }

    /// Runs them one after the other; what is measured is written after each.
    fn run_each(&mut self, only: &[String]) -> Result<(), Failure> {
        for (name, experiment) in EXPERIMENTS {
            if only.is_empty() || only.iter().any(|wanted| wanted == name) {
                experiment(self)?;
                results::save(&self.results, &self.plan.out)?;
            }
        }
        Ok(())
    }

    /// Keeps a measurement and prints it.
    fn keep(&mut self, measurement: &Measurement) {
        table::measurement(measurement);
        self.results.measurements.push(measurement.clone());
    }

    /// Keeps measurements and prints them under a heading.
    fn keep_all(&mut self, title: &str, measured: &Measured) {
        table::heading(title);
        for measurement in &measured.0 {
            self.keep(measurement);
        }
    }

    /// Keeps a finding and prints it.
    fn find(&mut self, finding: Finding) {
        table::finding(&finding);
        self.results.findings.push(finding);
    }

    /// Where stores lie that more than one experiment uses.
    fn stores(&self) -> PathBuf {
        self.plan.dir.join("stores")
    }

    /// Also what a run left that was killed.
    fn remove_stores(&self) -> Result<(), Failure> {
        match fs::remove_dir_all(self.stores()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
