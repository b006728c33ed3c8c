//! Backups under load: each one, killed midway or not, restores to one commit that holds every write
//! acknowledged before it began, or there is nothing of it; versions rise beyond all that were ever
//! given out.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use larder_tests::{Larder, Options, program};

use crate::op::{Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};
use crate::writers::{Crew, verify_one_commit};

const WRITERS: usize = 8;
const KEYS: usize = 40;
/// How long writers go on before a backup begins and after it has ended.
const WRITING_MS_MAX: u64 = 60;
/// Latest moment of a kill after a backup began.
const KILL_MS_MAX: u64 = 30;

/// The trial.
pub struct Backup;

impl Trial for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("backups", 100)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        judge(seed, true, tally, &|_| {})
    }
}

/// Backs a server up under load, killed midway in some rounds if it may be; has `spoil` do something
/// to a whole backup, and restores it.
///
/// # Errors
/// What was acknowledged before the backup began and is not in it.
pub fn judge(
    seed: u64,
    may_kill: bool,
    tally: &mut Tally,
    spoil: &dyn Fn(&Path),
) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let larder = Larder::start();
    let address = larder.address();
    let mut crew = Crew::new("b", WRITERS, KEYS, &mut rng);
    let before = Duration::from_micros(rng.u64(..WRITING_MS_MAX * 1000));
    crew.write(|| Http::new(address), tally, || thread::sleep(before))?;
    // What is known now must be in the backup: or what was written over it while it ran.
    let known = crew.writers.clone();
    let kill =
        (may_kill && rng.bool()).then(|| Duration::from_micros(rng.u64(..KILL_MS_MAX * 1000)));
    let made = crew.write(|| Http::new(address), tally, || back_up(larder.dir(), kill))??;
    tally.add("backups", 1);
    let name = "backup";
    if !made {
        tally.add("killed", 1);
        // Nothing is left of it, or it was killed behind its end.
        if !larder.dir().join(name).exists() {
            return nothing_left(larder.dir(), name);
        }
    }
    spoil(&larder.dir().join(name));
    let output = larder.tool(&["restore", name, "--data", "restored/data"]);
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("the restore: {said}"));
    }
    if !made {
        tally.add("killed and whole", 1);
    }
    let restored = Larder::start_in(&larder.dir().join("restored"), Options::default());
    let mut store = Http::new(restored.address());
    verify_one_commit(&known, &crew.writers, &mut store)?;
    match store.call("after", &Op::set("the restore")) {
        Outcome::Written(version) if version > crew.newest() => Ok(()),
        other => Err(format!("after version {}, a set was answered {other:?}", crew.newest())),
    }
}

/// That no file in `dir` has a name that begins like this.
fn nothing_left(dir: &Path, name: &str) -> Result<(), String> {
    let entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let names = entries.flatten().map(|entry| entry.file_name());
    match names.into_iter().find(|found| found.as_encoded_bytes().starts_with(name.as_bytes())) {
        Some(left) => Err(format!("a killed backup left {left:?}")),
        None => Ok(()),
    }
}

/// Whether a backup was made to its end.
fn back_up(dir: &Path, kill: Option<Duration>) -> Result<bool, String> {
    let io = |error: std::io::Error| format!("larder backup: {error}");
    let mut command = Command::new(program());
    command.args(["backup", "backup"]).current_dir(dir).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(io)?;
    if let Some(kill) = kill {
        thread::sleep(kill);
        child.kill().map_err(io)?;
    }
    let output = child.wait_with_output().map_err(io)?;
    match output.status.code() {
        Some(0) => Ok(true),
        None if kill.is_some() => Ok(false),
        _ => Err(format!("the backup: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
