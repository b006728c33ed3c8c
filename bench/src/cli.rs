//! The command line, exactly as typed, and the defaults of the short and the full form.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::experiments::Plan;
use crate::sides::SideArgs;

/// Measures Larder: what the sandbox, the protocols and the disk cost, in alternating runs.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` unless said
    #[command(subcommand)]
    pub command: Option<Command>,
    /// For `run`
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Measure and write results.json
    Run(RunArgs),
    /// Compare this load client with wrk, against a constant answer
    Client(ClientArgs),
    /// Measure the same work against Redis and etcd, where they are installed
    Peers(PeersArgs),
    /// Make plots and tables of the results
    Draw(DrawArgs),
    /// The process of one side
    #[command(hide = true)]
    Side(SideArgs),
}

/// How to measure.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// Everything, with more and longer rounds: an hour and more instead of minutes
    #[arg(long)]
    pub full: bool,
    /// Only these experiments
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub only: Vec<String>,
    /// Rounds; each has a turn of every side [default: 7, full: 11]
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Milliseconds of a turn [default: 1000, full: 4000]
    #[arg(long)]
    pub ms: Option<u64>,
    /// Where the results are written
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    pub out: PathBuf,
    /// Folder for data, on the file system that is to be measured
    #[arg(long, default_value = "target/bench")]
    pub dir: PathBuf,
    /// The built program, for its start and its memory
    #[arg(long, value_name = "FILE", default_value = "target/release/larder")]
    pub program: PathBuf,
    /// A larder-bench that was built of another commit, for the experiment `base`
    #[arg(long, value_name = "FILE")]
    pub base: Option<PathBuf>,
}

impl RunArgs {
    /// The plan, with the defaults of its form.
    pub fn plan(&self) -> Plan {
        let (rounds, ms) = if self.full { (11, 4000) } else { (7, 1000) };
        Plan {
            full: self.full,
            rounds: self.rounds.unwrap_or(rounds).max(1),
            time: Duration::from_millis(self.ms.unwrap_or(ms)),
            dir: self.dir.clone(),
            program: self.program.clone(),
            base: self.base.clone(),
            out: self.out.clone(),
        }
    }
}

/// How to compare with wrk.
#[derive(Args)]
pub struct ClientArgs {
    /// Rounds; each has a turn of both clients
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds of a turn
    #[arg(long, default_value_t = 2)]
    pub seconds: u64,
    /// Folder for temporary files
    #[arg(long, default_value = "target/bench")]
    pub dir: PathBuf,
}

/// How to compare with other servers.
#[derive(Args)]
pub struct PeersArgs {
    /// Rounds; each has a turn of every server
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Milliseconds of a turn
    #[arg(long, default_value_t = 2000)]
    pub ms: u64,
    /// Connections at once
    #[arg(long, num_args = 1.., default_values_t = [1, 16, 64, 256])]
    pub connections: Vec<usize>,
    /// Keys of 1 KiB in each server
    #[arg(long, default_value_t = 100_000)]
    pub keys: u32,
    /// Where the results are written
    #[arg(long, value_name = "FILE", default_value = "target/bench/peers.json")]
    pub out: PathBuf,
    /// Folder for data, on the file system that is to be measured
    #[arg(long, default_value = "target/bench")]
    pub dir: PathBuf,
}

/// What to draw, and where.
#[derive(Args)]
pub struct DrawArgs {
    /// What `run` wrote
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    pub results: PathBuf,
    /// What `peers` wrote; left out when it is not there
    #[arg(long, value_name = "FILE", default_value = "target/bench/peers.json")]
    pub peers: PathBuf,
    /// The page whose marked regions are written anew
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    pub page: PathBuf,
    /// Folder for plots
    #[arg(long, value_name = "DIR", default_value = "docs/performance")]
    pub plots: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_what_is_done_unless_said() {
        let cli = Cli::try_parse_from(["larder-bench", "--full", "--ms", "10"]).expect("flags");
        assert!(cli.command.is_none() && cli.run.full);
        assert_eq!(cli.run.plan().time, Duration::from_millis(10));
        let cli = Cli::try_parse_from(["larder-bench", "run", "--only", "get", "set"]);
        let Some(Command::Run(args)) = cli.expect("flags").command else { panic!("not run") };
        assert_eq!(args.only, ["get", "set"]);
    }
}
