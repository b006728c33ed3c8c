//! The shim that stands between a program and the system: how it is loaded, and whether it has seen all
//! that the program did. Knows the shim's settings and counts.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use larder_tests::{Larder, Options};

use super::text;
use crate::client::Connection;

/// The shim, as the build made it.
const SHIM: &str = env!("SHIM");
/// How often something is looked at that is to become so in a moment, as what was seen of a call that is
/// about to end.
pub const LOOKS_MAX: usize = 400;
/// How long between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A server's start in `dir` with the shim before it, which is told `settings`.
#[must_use]
pub fn shimmed(dir: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Options {
    let mut options = Options::flags(flags);
    options.variables = variables(dir, settings);
    options
}

/// The variables that load the shim before a program whose data are in `dir/data`.
///
/// # Panics
/// When there is no `dir`.
#[must_use]
pub fn variables(dir: &Path, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let root = text(&dir.canonicalize().expect("the folder of the data").join("data"));
    let all =
        [("LD_PRELOAD", SHIM), ("SHIM_ROOT", &root)].into_iter().chain(settings.iter().copied());
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What the shim counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps: writes, syncs, changes of lengths and of names.
    pub steps: u64,
    /// Bytes that were written to files, pipes and sockets.
    pub bytes: u64,
    /// Syncs of data files.
    pub syncs: u64,
    /// Writes to data files that were durable when they ended.
    pub durable: u64,
}

impl Counts {
    /// Reads the file in which the shim keeps them.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let numbers: Vec<u64> =
            bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        match numbers[..] {
            [steps, bytes, syncs, durable] => Ok(Self { steps, bytes, syncs, durable }),
            _ => Err(format!("{}: {} counts", path.display(), numbers.len())),
        }
    }
}

/// Compares what the shim sees of a server with what the system and the server itself count, so that no
/// trial passes because nothing was seen.
pub struct Watch<'a> {
    counts: &'a Path,
    /// Syncs, durable writes and commits when it began.
    before: [u64; 3],
}

impl<'a> Watch<'a> {
    /// Begins with a server that has just started, to which nobody else writes.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn begin(larder: &Larder, counts: &'a Path) -> Result<Self, String> {
        let mut before = written(larder, counts)?;
        for _ in 0..LOOKS_MAX {
            thread::sleep(LOOK_INTERVAL);
            // What the start has begun is over.
            let now = written(larder, counts)?;
            if now == before {
                return Ok(Self { counts, before });
            }
            before = now;
        }
        Err("a server that has just started goes on writing".to_owned())
    }

    /// Makes sure that everything was seen, now that nobody writes: each byte, and for each commit a sync
    /// of its pages and a durable write of the page that refers to them.
    ///
    /// # Errors
    /// What was counted differently.
    pub fn judge(&self, larder: &Larder) -> Result<(), String> {
        sees_every_byte(larder, self.counts)?;
        let mut found = [0; 3];
        for _ in 0..LOOKS_MAX {
            let now = written(larder, self.counts)?;
            found = std::array::from_fn(|at| now[at].saturating_sub(self.before[at]));
            if found[0] == found[2] && found[1] == found[2] {
                return Ok(());
            }
            thread::sleep(LOOK_INTERVAL);
        }
        let [syncs, durable, commits] = found;
        Err(format!(
            "the shim saw {syncs} syncs and {durable} durable writes of {commits} commits: it does not know all calls by which the server makes data durable"
        ))
    }
}

/// Makes sure that every byte that the process wrote, and those that it waited for, was seen.
///
/// # Errors
/// When the system counts others.
pub fn sees_every_byte(larder: &Larder, counts: &Path) -> Result<(), String> {
    let (mut seen, mut counted) = (0, 0);
    for _ in 0..LOOKS_MAX {
        seen = Counts::read(counts)?.bytes;
        counted = written_bytes(larder.id())?;
        if seen == counted {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(format!(
        "the shim saw {seen} bytes written, the system {counted}: it does not know all calls by which the server writes"
    ))
}

/// What a process has written by any call, as the system counts it.
fn written_bytes(process: u32) -> Result<u64, String> {
    let path = format!("/proc/{process}/io");
    let io = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|count| count.parse().ok()).ok_or_else(|| format!("{path}: {io}"))
}

/// Syncs and durable writes that were seen, and commits that the server counts.
fn written(larder: &Larder, counts: &Path) -> Result<[u64; 3], String> {
    const COMMITS: &str = "larder_storage_commit_duration_seconds_count ";
    let page = Connection::new(larder.address()).send("GET", "/metrics", b"");
    let page = page.map_err(|lost| format!("the metrics: {lost:?}"))?;
    let page = String::from_utf8_lossy(&page.body);
    let commits = page.lines().find_map(|line| line.strip_prefix(COMMITS)?.parse().ok());
    let Counts { syncs, durable, .. } = Counts::read(counts)?;
    Ok([syncs, durable, commits.ok_or("there is no count of commits")?])
}
