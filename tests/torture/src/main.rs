//! The program `larder-torture`: runs trials until their goals are reached, or one round again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use larder_torture::lies::Lie;
use larder_torture::linear::Linear;
use larder_torture::namespaces::Namespaces;
use larder_torture::rounds::{self, Until};
use larder_torture::{Tally, Trial, driven, trials};

/// Torture tests of larder's promises. Runs go on where they were interrupted.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a directory with a clock that standard input turns; for trials
    #[command(hide = true)]
    ServeDriven { dir: PathBuf, wall_ms: u64 },
}

#[derive(Args, Debug)]
struct Run {
    /// Trials to run [default: all of them, one after the other]
    trials: Vec<String>,
    /// Only the round of this seed, of one trial; changes no state
    #[arg(long, requires = "trials")]
    seed: Option<u64>,
    /// At most so many rounds of each trial
    #[arg(long)]
    rounds: Option<u64>,
    /// At most so many minutes for each trial
    #[arg(long)]
    minutes: Option<u64>,
    /// Where the state of runs is kept
    #[arg(long, default_value = "target/torture")]
    state: PathBuf,
    /// Write the histories of `linear` into this folder, for other checkers
    #[arg(long)]
    history: Option<PathBuf>,
    /// Falsify the answers that `linear` sees, which it must find out
    #[arg(long)]
    lie: Option<Lie>,
}

fn main() -> ExitCode {
    let Cli { command, run: chosen } = Cli::parse();
    let done = match command {
        Some(Command::ServeDriven { dir, wall_ms }) => {
            driven::serve(&dir, wall_ms).map_err(|error| error.to_string())
        }
        None => run(&chosen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder-torture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Run) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let linear = Linear::new(&program).recording(cli.history.as_deref()).lying(cli.lie);
    let namespaces = Namespaces::new(&program);
    let all = trials(&program, linear, namespaces);
    let names: Vec<&str> = all.iter().map(|trial| trial.name()).collect();
    if let Some(unknown) = cli.trials.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no trial {unknown:?}; there are {}", names.join(", ")));
    }
    let chosen = |trial: &&dyn Trial| {
        cli.trials.is_empty() || cli.trials.iter().any(|name| name == trial.name())
    };
    let mut failed = Vec::new();
    for trial in all.iter().map(AsRef::as_ref).filter(chosen) {
        let result = match cli.seed {
            Some(seed) => once(trial, seed),
            None => {
                let time = cli.minutes.map(|minutes| Duration::from_secs(60 * minutes));
                rounds::run(trial, &cli.state, Until { rounds: cli.rounds, time })
            }
        };
        failed.extend(result.err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn once(trial: &dyn Trial, seed: u64) -> Result<(), String> {
    let mut tally = Tally::default();
    let result = trial.round(seed, &mut tally);
    println!("{} seed {seed}: {tally}", trial.name());
    result
}
