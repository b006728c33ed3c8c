//! Backups under load: each one, killed midway or not, restores to one commit that holds every write
//! acknowledged before it began, or is refused as incomplete; versions rise beyond all that were
//! ever given out.

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
        judge(seed, tally, &|_| {})
    }
}

/// Backs a server up under load, has `spoil` do something to a whole backup, and restores it.
///
/// # Errors
/// What was acknowledged before the backup began and is not in it.
pub fn judge(seed: u64, tally: &mut Tally, spoil: &dyn Fn(&Path)) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let larder = Larder::start();
    let address = larder.address();
    let mut crew = Crew::new("b", WRITERS, KEYS, &mut rng);
    let before = Duration::from_micros(rng.u64(..WRITING_MS_MAX * 1000));
    crew.write(|| Http::new(address), tally, || thread::sleep(before))?;
    // What is known now must be in the backup: or what was written over it while it ran.
    let known = crew.writers.clone();
    let kill = rng.bool().then(|| Duration::from_micros(rng.u64(..KILL_MS_MAX * 1000)));
    let made = crew.write(|| Http::new(address), tally, || back_up(larder.dir(), kill))??;
    tally.add("backups", 1);
    let file = larder.dir().join("backup");
    if !made {
        tally.add("killed", 1);
        if file.exists() {
            // It was killed behind its end.
            tally.add("killed and whole", 1);
        } else {
            return refused(&larder, "backup.partial");
        }
    }
    spoil(&file);
    let output = larder.tool(&["restore", "backup", "--data", "restored/data"]);
    if !output.status.success() {
        return Err(format!("the restore: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let restored = Larder::start_in(&larder.dir().join("restored"), Options::default());
    let mut store = Http::new(restored.address());
    verify_one_commit(&known, &crew.writers, &mut store)?;
    match store.call("after", &Op::set("the restore")) {
        Outcome::Written(version) if version > crew.newest() => Ok(()),
        other => Err(format!("after version {}, a set was answered {other:?}", crew.newest())),
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

/// What a killed backup leaves is no backup, and leaves the directory that it is restored to empty.
fn refused(larder: &Larder, partial: &str) -> Result<(), String> {
    if !larder.dir().join(partial).exists() {
        return Ok(());
    }
    let output = larder.tool(&["restore", partial, "--data", "restored/data"]);
    if output.status.success() || larder.dir().join("restored/data/data.mdb").exists() {
        return Err("a backup that was killed was restored".to_owned());
    }
    Ok(())
}
