//! A store of format 1 is taken over or is as it was, at whatever instant the process is killed: a large one is
//! served again and again, each time killed a little later or earlier, until it is of format 2.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use larder::tools::data;
use larder_tests::{Larder, Options, program};
use tempfile::TempDir;

use super::io_errors::make_private;
use super::{kept, older, scratch, text};
use crate::op::{Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};

/// Starts of one store that are killed.
const KILLS: usize = 8;
/// Longer than any store here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The trial.
pub struct TakeOver {
    entries: usize,
    made: Mutex<Option<Made>>,
}

/// A store of format 1.
struct Made {
    dir: TempDir,
    /// How long it takes from the start of the process until it is of format 2.
    usual: Duration,
}

impl TakeOver {
    /// With stores of so many entries.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self { entries, made: Mutex::default() }
    }
}

impl Trial for TakeOver {
    fn name(&self) -> &'static str {
        "take-over"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("kills", 1000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut rng = Rng::with_seed(seed);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_none() {
            *made = Some(make(self.entries)?);
        }
        let Some(made) = made.as_ref() else { return Ok(()) };
        let dir = scratch();
        let data = dir.path().join("data");
        copy(made.dir.path(), dir.path())?;
        let judged = (0..KILLS).try_for_each(|_| {
            kill_at(dir.path(), made.usual.mul_f64(rng.f64() * 1.2))?;
            tally.add("kills", 1);
            let format = judge(&data, self.entries)?;
            tally.add(if format == 1 { "as it was" } else { "taken over" }, 1);
            Ok(())
        });
        let judged = judged.and_then(|()| serve(dir.path(), self.entries, &mut rng));
        judged.map_err(|error: String| format!("{error}; kept in {}", text(&kept(dir))))
    }
}

/// Makes a store, and finds out how long it takes to be taken over.
fn make(entries: usize) -> Result<Made, String> {
    let dir = scratch();
    let keys: Vec<String> = (0..entries).map(key).collect();
    older::make(&dir.path().join("data"), &keys)?;
    let place = scratch();
    copy(dir.path(), place.path())?;
    let began = now();
    let mut child = start(place.path())?;
    let done = || data::older_format(&place.path().join("data")).is_ok_and(|older| older.is_none());
    while !done() {
        if began.elapsed() > PATIENCE {
            return Err("it is not taken over".to_owned());
        }
        thread::sleep(Duration::from_millis(1));
    }
    let usual = began.elapsed();
    end(&mut child)?;
    Ok(Made { dir, usual })
}

fn key(number: usize) -> String {
    format!("entry-{number}")
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    make_private(&to.join("data")).map_err(io)?;
    fs::copy(from.join("data/data.mdb"), to.join("data/data.mdb")).map(|_| ()).map_err(io)
}

/// Starts a server, and kills it after a while.
fn kill_at(dir: &Path, after: Duration) -> Result<(), String> {
    let mut child = start(dir)?;
    thread::sleep(after);
    end(&mut child)
}

fn start(dir: &Path) -> Result<Child, String> {
    let mut command = Command::new(program());
    command.args(["serve", "--data", "data", "--listen", "127.0.0.1:0"]).current_dir(dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| error.to_string())
}

fn end(child: &mut Child) -> Result<(), String> {
    child.kill().and_then(|()| child.wait()).map(|_| ()).map_err(|error| error.to_string())
}

/// Judges what is left; returns the format that it has.
///
/// # Errors
/// What is missing or wrong.
fn judge(data: &Path, entries: usize) -> Result<u32, String> {
    let findings = data::check(data).map_err(|error| error.to_string())?;
    if let Some(fault) = findings.faults.told().first() {
        return Err(format!("the check: {fault}"));
    }
    // Of those of the first version one has expired, and may have been removed.
    let all = older::GOLDEN_ENTRIES + entries as u64;
    if findings.entries != all && findings.entries + 1 != all {
        return Err(format!("{} entries are there, of {all}", findings.entries));
    }
    let older = data::older_format(data).map_err(|error| error.to_string())?;
    Ok(older.unwrap_or(larder::storage::lmdb::layout::FORMAT))
}

/// Serves what is left, which is taken over now at the latest.
fn serve(dir: &Path, entries: usize, rng: &mut Rng) -> Result<(), String> {
    let mut larder = Larder::start_in(dir, Options::default());
    let mut store = Http::new(larder.address());
    for _ in 0..20 {
        let key = key(rng.usize(..entries));
        match store.call(&key, &Op::Get) {
            Outcome::Got(Some(entry)) if entry.value == key => {}
            other => return Err(format!("{key} is {other:?}")),
        }
    }
    larder.terminate();
    match judge(&dir.join("data"), entries)? {
        1 => Err("it was served, and is of format 1".to_owned()),
        _ => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a take-over takes is judged from outside")]
fn now() -> Instant {
    Instant::now()
}
