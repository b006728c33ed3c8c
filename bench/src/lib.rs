//! Larder's benchmark. It compares sides that differ in one thing, in turns on the same machine,
//! and prints medians and ratios; ratios are what counts. The load is also that of tests which
//! measure what a server's callers notice.

mod cli;
mod client;
mod clock;
mod experiments;
mod failure;
pub mod load;
mod peers;
mod report;
mod sides;
pub mod system;

use std::fs;

use clap::Parser;

use crate::cli::{Cli, Command};
pub use crate::failure::Failure;

/// Does what the command line says.
///
/// # Errors
/// Why it could not be done, for people.
pub fn run() -> Result<(), Failure> {
    let cli = Cli::parse();
    system::raise_open_files();
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => {
            fs::create_dir_all(&args.dir)?;
            experiments::run(args.plan(), &args.only)
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
