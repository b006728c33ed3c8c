//! One process that loads a component: what became of it, how long it took and how much memory it and
//! its compiler had. Ends it when it serves, or is beyond its limits.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// How often the process is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(4);

/// What loading may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start of the process to its end, or until it serves.
    pub time: Duration,
    /// Resident memory of any process, in KiB.
    pub memory_kib: u64,
}

impl Limits {
    /// 10 s and 1 GiB of compiling, and what a start takes besides: the rest of it on a busy machine,
    /// and what a compiler that grows fast gets until it is looked at again.
    pub const PROMISED: Self =
        Self { time: Duration::from_secs(15), memory_kib: (1 << 20) + (256 << 10) };
}

/// What became of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It opened its port.
    Served,
    /// It ended with an error, and said this.
    Refused(String),
    /// It ended in another way, and said this.
    Broken(String),
}

/// What loading a component came to.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The most resident memory of any of its processes, in KiB.
    pub peak_kib: u64,
}

/// A process that is ended with whoever watches it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a process whose output goes to files in `dir`.
///
/// # Errors
/// Which limit it went beyond, or why it could not be run.
pub fn run(command: &mut Command, dir: &Path, limits: &Limits) -> Result<Loaded, String> {
    let told = |error: std::io::Error| error.to_string();
    let (out, err) = (dir.join("out"), dir.join("err"));
    command.stdout(File::create(&out).map_err(told)?).stderr(File::create(&err).map_err(told)?);
    let begun = now();
    let mut running = Running(command.spawn().map_err(told)?);
    let mut peak_kib = 0;
    loop {
        let ended = running.0.try_wait().map_err(told)?;
        peak_kib = peak_kib.max(memory_kib(running.0.id()));
        let took = begun.elapsed();
        if peak_kib > limits.memory_kib {
            return Err(format!("it has {peak_kib} KiB of memory after {took:?}"));
        }
        if took > limits.time {
            return Err(format!("it takes longer than {:?}, with {peak_kib} KiB", limits.time));
        }
        if let Some(status) = ended {
            let said = String::from_utf8_lossy(&fs::read(&err).map_err(told)?).into_owned();
            let outcome = match status.code() {
                Some(1) => Outcome::Refused(said),
                _ => Outcome::Broken(format!("{status}: {said}")),
            };
            return Ok(Loaded { outcome, took, peak_kib });
        }
        if fs::read(&out).map_err(told)?.starts_with(b"listening on ") {
            return Ok(Loaded { outcome: Outcome::Served, took, peak_kib });
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The most memory that the process or a child of it ever had, as far as they are there.
fn memory_kib(id: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.unwrap_or_default();
    let ids = children.split_whitespace().filter_map(|id| id.parse().ok()).chain([id]);
    let peak = |id| larder_bench::system::Process(id).rss_peak_kib().unwrap_or(0);
    ids.map(peak).max().unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "deadlines are judged from outside")]
fn now() -> Instant {
    Instant::now()
}
