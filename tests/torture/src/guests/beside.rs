//! What a hostile guest costs its neighbours: the 99th percentile of gets through the API, in an open
//! loop at a third of their peak, alone and beside the guest, in turns on one server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use larder::runtime::{Priority, give_way};
use larder_bench::load::latency::Figure;
use larder_bench::load::template::TOKEN;
use larder_bench::load::{Pace, Stream, Work, fill, run};
use larder_bench::system::{Process, raise_open_files};

use super::kind::Kind;
use super::{Stage, kinds};
use crate::client::Connection;
use crate::rounds::{Tally, Trial};

/// The kinds that cost most, as they are named in `kinds`.
pub const WORST: [&str; 7] = [
    "loop",
    "memory",
    "flood?get",
    "log-bomb",
    "recursion",
    "answer?large-parts",
    "text fill-loop",
];
/// What holds a hostile mount down while it is measured.
const CAPS: &str = "calls_max = 4\ncpu_percent_max = 10\npriority = \"idle\"";
/// Time of a call that goes on until it ends.
const CALL_MS_MAX: u64 = 1000;
/// Connections that call the hostile guest, and those of the neighbours.
const CALLERS: usize = 4;
const CONNECTIONS: usize = 16;
const KEYS: u32 = 10_000;
/// Turns of either side in a round, and their length.
const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(3);

/// The trial. It measures and judges nothing but that all neighbours were answered.
pub struct Beside {
    kinds: Vec<&'static str>,
    caps: String,
    turns: usize,
    turn: Duration,
}

impl Default for Beside {
    fn default() -> Self {
        Self::new(&WORST, CAPS, TURNS, TURN)
    }
}

impl Beside {
    /// Measures these kinds, with these lines in their mounts.
    #[must_use]
    pub fn new(kinds: &[&'static str], caps: &str, turns: usize, turn: Duration) -> Self {
        Self { kinds: kinds.to_vec(), caps: caps.to_owned(), turns, turn }
    }
}

impl Trial for Beside {
    fn name(&self) -> &'static str {
        "beside"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("kinds measured", 3 * WORST.len() as u64)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let name = self.kinds[seed as usize % self.kinds.len()];
        let kind = kinds::all().into_iter().find(|kind| kind.name == name);
        let kind = kind.ok_or_else(|| format!("there is no kind {name:?}"))?;
        let variables = vec![("LARDER_ADMIN_TOKEN".to_owned(), TOKEN.to_owned())];
        let stage = Stage::start(CALL_MS_MAX, &self.caps, variables)?;
        let told = |error: std::io::Error| format!("beside {name}: {error}");
        raise_open_files();
        let turns = Turns {
            address: stage.larder.address(),
            server: Process(stage.larder.id()),
            time: self.turn,
        };
        let (ratios, calls) = turns.take(&kind, self.turns).map_err(told)?;
        tally.add("kinds measured", 1);
        tally.add(&format!("turns beside {name}"), ratios.len() as u64);
        tally.add(&format!("hostile calls of {name}"), calls);
        // Hundredths, added up over rounds.
        let median = (100.0 * median(ratios)) as u64;
        tally.add(&format!("p99 beside {name} to alone, in hundredths"), median);
        Ok(())
    }
}

struct Turns {
    address: SocketAddr,
    server: Process,
    time: Duration,
}

impl Turns {
    /// The ratios of p99s of so many pairs of turns, and how often the hostile guest was called.
    fn take(&self, kind: &Kind, turns: usize) -> std::io::Result<(Vec<f64>, u64)> {
        let mut gets = Stream { keys: KEYS, ..Stream::new(Work::Get, CONNECTIONS) };
        fill(self.address, &Stream { work: Work::Set, ..gets.clone() })?;
        let peak = self.gets(&gets)?.requests_per_s;
        gets.pace = Pace::Rate(peak / 3.0);
        let (mut ratios, mut calls) = (Vec::new(), 0);
        for _ in 0..turns {
            let alone = self.gets(&gets)?;
            let over = AtomicBool::new(false);
            let called = AtomicU64::new(0);
            let beside = thread::scope(|scope| {
                for _ in 0..CALLERS {
                    scope.spawn(|| self.call(kind, &over, &called));
                }
                let beside = self.gets(&gets);
                over.store(true, Ordering::Release);
                beside
            })?;
            let ratio = beside.p99_us / alone.p99_us;
            println!(
                "beside {}: {:.0}/s of {peak:.0}: p99 alone {:.0} us, beside {:.0} us (p50 {:.0}, {:.0}): {ratio:.2}{}",
                kind.name,
                beside.requests_per_s,
                alone.p99_us,
                beside.p99_us,
                alone.p50_us,
                beside.p50_us,
                if beside.behind { ", behind" } else { "" }
            );
            ratios.push(ratio);
            calls += called.into_inner();
        }
        Ok((ratios, calls))
    }

    fn gets(&self, stream: &Stream) -> std::io::Result<Figure> {
        let figures = run(self.address, std::slice::from_ref(stream), self.time, self.server)?;
        figures.first().copied().ok_or_else(|| std::io::Error::other("no figure"))
    }

    /// Calls the hostile guest again and again, whatever it answers.
    fn call(&self, kind: &Kind, over: &AtomicBool, called: &AtomicU64) {
        // What reading the answers costs is not the server's. Without this the guest is harsher.
        let _ = give_way(Priority::Idle);
        let mut connection = Connection::new(self.address);
        connection.set_token(TOKEN);
        while !over.load(Ordering::Acquire) {
            if connection.send("GET", &kind.path, b"").is_ok() {
                called.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
