//! The program `larder-fuzz`: runs targets with libFuzzer until their goal is reached. `make fuzz` builds
//! them for it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use larder_fuzz::{TARGETS, rounds};

/// Fuzzing of what parses. Runs go on where they were interrupted.
#[derive(Debug, Parser)]
struct Cli {
    /// Targets to run [default: all of them, one after the other]
    targets: Vec<String>,
    /// So many minutes for each target
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Where the targets are, built for libFuzzer
    #[arg(long)]
    programs: PathBuf,
    /// Where the state of runs is kept, and what they found
    #[arg(long, default_value = "target/fuzz")]
    state: PathBuf,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let names = TARGETS.map(|target| target.name);
    if let Some(unknown) = cli.targets.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no target {unknown:?}; there are {}", names.join(", ")));
    }
    let mut failed = Vec::new();
    for target in TARGETS {
        if cli.targets.is_empty() || cli.targets.iter().any(|name| name == target.name) {
            let time = Duration::from_secs(60 * cli.minutes);
            failed.extend(rounds::run(target, &cli.programs, &cli.state, time).err());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
