//! Whether the load client is quick enough to measure with: it and wrk, in turns, against the side
//! that answers a constant, each from one thread with as many connections.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use larder_wire::Encoding;

use crate::cli::ClientArgs;
use crate::failure::Failure;
use crate::load::template::{self, TOKEN};
use crate::load::{Stream, Work};
use crate::report::results::{Goal, Spread, number};
use crate::sides::Side;
use crate::sides::child::Running;
use crate::sides::fill::{Filling, Order};

const CONNECTIONS: usize = 64;
/// As quick as wrk, about.
const GOAL: Goal = Goal::AtLeast(0.95);

/// Compares the two and prints the ratio.
pub fn compare(args: &ClientArgs) -> Result<(), Failure> {
    if Command::new("wrk").arg("--version").output().is_err() {
        println!("wrk is not installed: nothing to compare with");
        return Ok(());
    }
    let stream = Stream::new(Work::Get, CONNECTIONS);
    let (keys, value_bytes) = (stream.keys, stream.value_bytes);
    let filling =
        Filling { keys, value_bytes, order: Order::Sorted, list: 0, threads: 1, ..Filling::none() };
    let mut floor = Running::start(Side::Floor, &filling, &args.dir)?;
    let address = floor.address().ok_or("the floor does not listen")?;
    let script = tempfile::Builder::new().suffix(".lua").tempfile_in(&args.dir)?;
    fs::write(script.path(), lua())?;
    let script = script.path().to_str().ok_or("a path that is no text")?;
    let time = Duration::from_secs(args.seconds);
    println!("requests a second from one thread with {CONNECTIONS} connections, of a constant");
    let (mut ours, mut wrk) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let mut own = || -> Result<f64, Failure> {
            let figures = floor.run(std::slice::from_ref(&stream), time)?;
            Ok(figures.first().ok_or("no figure")?.requests_per_s)
        };
        if round % 2 == 0 {
            ours.push(own()?);
            wrk.push(run_wrk(address, script, args.seconds)?);
        } else {
            wrk.push(run_wrk(address, script, args.seconds)?);
            ours.push(own()?);
        }
    }
    for (name, figures) in [("larder-bench", &ours), ("wrk", &wrk)] {
        let Spread { least, median, most } = Spread::of(figures.iter().copied());
        let (least, most) = (number(least), number(most));
        println!("  {name:<14} {:>9}   ({least} to {most})", number(median));
    }
    let ratio = Spread::of(ours.iter().zip(&wrk).map(|(ours, wrk)| ours / wrk));
    let verdict = if GOAL.is_met(ratio.median) { "met" } else { "MISSED" };
    println!("  larder-bench : wrk = {:.2}   ({}: {verdict})", ratio.median, GOAL.words(""));
    Ok(())
}

/// One turn of wrk, in requests a second.
fn run_wrk(address: SocketAddr, script: &str, seconds: u64) -> Result<f64, Failure> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script", script])
        .arg(format!("http://{address}{}", template::api_path(false)))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("wrk had errors: {said}").into());
    }
    rate(&said).ok_or_else(|| format!("wrk said {said:?}").into())
}

fn rate(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?.trim().parse().ok()
}

/// What has wrk send the same request.
fn lua() -> String {
    let body = template::api_body(Encoding::MessagePack, None);
    let bytes: String = body.bytes().iter().map(|byte| format!("\\{byte:03}")).collect();
    let content_type = Encoding::MessagePack.content_type();
    format!(
        "wrk.method = \"POST\"\nwrk.body = \"{bytes}\"\nwrk.headers[\"authorization\"] = \"Bearer {TOKEN}\"\nwrk.headers[\"accept\"] = \"{content_type}\"\nwrk.headers[\"content-type\"] = \"{content_type}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_wrk_says() {
        let said = "  2 requests in 1s\nRequests/sec:  54321.50\nTransfer/sec: 1MB\n";
        assert_eq!(rate(said), Some(54_321.5));
        assert_eq!(rate("nothing"), None);
    }

    #[test]
    fn every_byte_of_the_body_is_escaped() {
        assert!(lua().contains("wrk.body = \"\\129\\163\\107\\101\\121\\172"));
    }
}
