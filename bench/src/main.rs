//! Larder's benchmark. It compares sides that differ in one thing, in turns on the same machine,
//! and prints medians and ratios; ratios are what counts. `run` measures, `draw` makes plots and
//! tables of what was measured, `client` and `peers` compare with other programs.

mod cli;
mod client;
mod clock;
mod experiments;
mod load;
mod peers;
mod report;
mod sides;
mod system;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::cli::{Cli, Command};
use crate::experiments::Bench;

/// The same as the program's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Why something could not be measured; told to people.
pub type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    system::raise_open_files();
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => {
            fs::create_dir_all(&args.dir)?;
            Bench::run(args.plan(), &args.only)
        }
        Command::Client(args) => {
            fs::create_dir_all(&args.dir)?;
            client::compare(&args)
        }
        Command::Peers(args) => {
            fs::create_dir_all(&args.dir)?;
            peers::compare(&args)
        }
        Command::Draw(args) => report::draw(&args),
        Command::Side(args) => sides::run(&args),
    }
}
