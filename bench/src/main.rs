//! Measures what the sandbox costs: the same work done by sides that differ in one thing, run in
//! turn on the same machine, several rounds. Prints medians and ratios; ratios are what counts.
//!
//! Sides: `floor` answers a constant of the same size, `native` does the storage and the codecs
//! without a sandbox, `reused` and `fresh` are the server as it is, with instances that serve many
//! requests or one each.

mod load;
mod sides;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::load::{Load, Work};
use crate::sides::Side;

/// The same as the program's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SIDES: [&str; 4] = ["floor", "native", "reused", "fresh"];

/// Measures the sandbox against native calls, in one alternating run.
#[derive(Parser)]
struct Args {
    /// Rounds; each runs every side once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that a side runs in a round
    #[arg(long, default_value_t = 1500)]
    ms: u64,
    /// Keys of 1 KiB in each store
    #[arg(long, default_value_t = 20_000)]
    keys: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let sides: Vec<Side> =
        SIDES.iter().map(|name| Side::start(name, args.keys)).collect::<Result<_, _>>()?;
    println!("{} keys of 1 KiB, {} rounds of {} ms a side", args.keys, args.rounds, args.ms);
    let gets = measure(&args, &sides, Work::Get, 64)?;
    ratio("reused : native", &gets[2], &gets[1]);
    ratio("reused : floor", &gets[2], &gets[0]);
    ratio("fresh : reused", &gets[3], &gets[2]);
    let one = measure(&args, &sides[1..3], Work::Set, 1)?;
    let many = measure(&args, &sides[1..3], Work::Set, 64)?;
    ratio("reused : native, 64 connections", &many[1], &many[0]);
    ratio("64 connections : 1, reused", &many[1], &one[1]);
    Ok(())
}

/// Requests a second of each side, a figure a round. The order turns with every round, so that no
/// side always runs first.
fn measure(
    args: &Args,
    sides: &[Side],
    work: Work,
    connections: usize,
) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut figures = vec![Vec::new(); sides.len()];
    let time = Duration::from_millis(args.ms);
    for round in 0..args.rounds {
        for turn in 0..sides.len() {
            let at = (round + turn) % sides.len();
            let load =
                Load { address: sides[at].address, work, connections, keys: args.keys, time };
            figures[at].push(load.run()?);
        }
    }
    println!("\n{work:?} of 1 KiB, {connections} connections, requests a second");
    for (side, figures) in sides.iter().zip(&figures) {
        let [low, middle, high] = spread(figures);
        println!("  {:<8} {middle:>9.0}   ({low:.0} to {high:.0})", side.name);
    }
    Ok(figures)
}

/// The ratio of two sides, round by round: least, median, most.
fn ratio(name: &str, over: &[f64], under: &[f64]) {
    let ratios: Vec<f64> = over.iter().zip(under).map(|(over, under)| over / under).collect();
    let [low, middle, high] = spread(&ratios);
    println!("  {name} = {middle:.2}   ({low:.2} to {high:.2})");
}

fn spread(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}
