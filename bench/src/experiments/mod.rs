//! The experiments: which sides are compared at which work, and what is aimed at. Each alternates
//! its sides within a round, so that what the machine does otherwise meets all of them alike.

mod base;
mod bench;
mod commit;
mod kinds;
mod large;
mod log;
mod open;
mod plan;
mod program;
mod rates;
mod rounds;
mod size;

use self::bench::Bench;
pub use self::plan::Plan;
use crate::failure::Failure;
use crate::report::results::{self, Results};
use crate::report::table;
use crate::system::Machine;

type Experiment = fn(&mut Bench) -> Result<(), Failure>;

/// All experiments, in their order.
pub const EXPERIMENTS: [(&str, Experiment); 19] = [
    ("get", rates::get),
    ("forms", rates::forms),
    ("set", rates::set),
    ("commit", commit::commit),
    ("half", rates::half),
    ("cas", rates::cas),
    ("list", kinds::list),
    ("batch", kinds::batch),
    ("add", kinds::add),
    ("plain", kinds::plain),
    ("large", large::values),
    ("open-set", open::set),
    ("open-get", open::get_beside_set),
    ("open-sweep", open::get_beside_sweep),
    ("keys", large::keys),
    ("file", size::file),
    ("start", program::start),
    ("memory", program::memory),
    ("base", base::base),
];

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
    let mut bench = Bench { plan, results };
    bench.remove_stores()?;
    let done = run_each(&mut bench, only);
    bench.remove_stores()?;
    done?;
    table::goals(&bench.results.findings);
    println!("\nwritten to {}", bench.plan.out.display());
    Ok(())
}

/// Runs them one after the other; what is measured is written after each.
fn run_each(bench: &mut Bench, only: &[String]) -> Result<(), Failure> {
    for (name, experiment) in EXPERIMENTS {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            experiment(bench)?;
            results::save(&bench.results, &bench.plan.out)?;
        }
    }
    Ok(())
}
