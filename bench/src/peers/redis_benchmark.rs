//! Redis' own load client, where it is installed: its best figure beside ours. It names keys in its
//! own way and counts requests, not time. What fails here is left out.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::load::latency::Figure;
use crate::load::{Stream, Work};

/// How it writes a key's random number: always twelve digits.
const KEY: &str = "key-__rand_int__";
/// Random keys are written so many times over, so that nearly all are there.
const FILL_TIMES: u32 = 5;
const VALUE_BYTES: usize = 1 << 10;
/// Requests of a measurement: some seconds.
const GETS: usize = 200_000;
const SETS_OF_A_CONNECTION: usize = 5000;
const SETS_MAX: usize = 100_000;

/// Writes the keys that it will ask for.
pub fn fill(address: SocketAddr, keys: u32) {
    let value = "v".repeat(VALUE_BYTES);
    let mut command = command(address, 64, (FILL_TIMES * keys) as usize, keys);
    let _ = command.args(["-P", "64", "-q", "SET", KEY, &value]).stdout(Stdio::null()).status();
}

/// One measurement.
pub fn measure(address: SocketAddr, stream: &Stream) -> Option<Figure> {
    let value = "v".repeat(VALUE_BYTES);
    let sets = (SETS_OF_A_CONNECTION * stream.connections).min(SETS_MAX);
    let requests = if stream.work == Work::Get { GETS } else { sets };
    let mut command = command(address, stream.connections, requests, stream.keys);
    command.arg("--csv");
    match stream.work {
        Work::Get => command.args(["GET", KEY]),
        _ => command.args(["SET", KEY, &value]),
    };
    figure(&String::from_utf8_lossy(&command.output().ok()?.stdout))
}

fn command(address: SocketAddr, connections: usize, requests: usize, keys: u32) -> Command {
    let mut command = Command::new("redis-benchmark");
    let mut number = |name: &str, value: usize| {
        command.arg(name).arg(value.to_string());
    };
    number("-p", address.port().into());
    number("-c", connections);
    number("-n", requests);
    number("-r", keys as usize);
    command
}

/// The figure in its CSV. The last line has, behind the test's name: requests a second, and
/// average, least, p50, p95, p99 and most latency in milliseconds.
fn figure(csv: &str) -> Option<Figure> {
    let line = csv.lines().rfind(|line| line.starts_with('"'))?;
    let fields = line.rsplit('"').filter(|field| *field != "," && !field.is_empty());
    let numbers: Vec<f64> = fields.take(7).map_while(|field| field.parse().ok()).collect();
    // From the end on, as they were taken.
    let [_, p99_ms, _, p50_ms, _, _, requests_per_s] = numbers[..] else { return None };
    let (p50_us, p99_us) = (p50_ms * 1000.0, p99_ms * 1000.0);
    Some(Figure { requests_per_s, p50_us, p99_us, ..Figure::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_the_fields_behind_the_name() {
        let csv = concat!(
            "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",",
            "\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n",
            "\"SET a, \"x\"\",\"1234.50\",\"0.1\",\"0.2\",\"0.3\",\"0.4\",\"0.5\",\"0.6\"\n"
        );
        let figure = figure(csv).expect("a figure");
        assert!((figure.requests_per_s - 1234.5).abs() < 0.01);
        assert!((figure.p50_us - 300.0).abs() < 0.01 && (figure.p99_us - 500.0).abs() < 0.01);
    }

    #[test]
    fn what_is_no_csv_gives_no_figure() {
        assert!(figure("").is_none());
        assert!(figure("\"test\",\"rps\"\n").is_none());
    }
}
