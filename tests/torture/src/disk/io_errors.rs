//! Errors of the disk make no false acknowledgement: each write and each sync of a trace fails once, in
//! each way that disks fail; the server goes on with right answers or ends well, and soon.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use larder_tests::{Larder, Options};
use tempfile::TempDir;

use super::shim::{Counts, sees_every_byte, shimmed};
use super::{Counted, copy_files, kept, scratch, text};
use crate::op::Http;
use crate::rounds::{Tally, Trial};
use crate::writers::Crew;

const WRITERS: usize = 16;
const KEYS: usize = 8;
/// Ways of failing that must do no harm.
const KINDS: [&str; 3] = ["eio", "enospc", "short"];
/// What a process that cannot go on may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// The trial, with traces of so many operations.
pub struct IoErrors {
    operations: u64,
    /// A store that has been made, so that a trace begins with the first write to it.
    made: Mutex<Option<TempDir>>,
}

impl IoErrors {
    /// Traces of so many operations.
    #[must_use]
    pub fn new(operations: u64) -> Self {
        Self { operations, made: Mutex::new(None) }
    }

    /// Writes and syncs of a trace.
    ///
    /// # Errors
    /// When the trace cannot be run.
    pub fn calls(&self) -> Result<u64, String> {
        let dir = self.copy()?;
        let count = dir.path().join("count");
        let options = shimmed(dir.path(), &[], &[("SHIM_COUNT", &text(&count))]);
        let mut larder = Larder::start_in(dir.path(), options);
        self.trace(&mut larder, 0, &mut Tally::default())?;
        larder.kill();
        Ok(Counts::read(&count)?.steps)
    }

    /// Fails call `number` in one way, and judges what came of it.
    ///
    /// # Errors
    /// What was acknowledged and is not there, or a process that did not end as it must.
    pub fn fail(&self, number: u64, kind: &str, tally: &mut Tally) -> Result<(), String> {
        let dir = self.copy()?;
        let fail = format!("{number}:{kind}");
        let judged = self.judge(dir.path(), &fail, number, tally);
        judged.map_err(|error| format!("call {fail}: {error}; kept in {}", text(&kept(dir))))
    }

    fn judge(&self, dir: &Path, fail: &str, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let counts = dir.join("counts");
        let settings = [("SHIM_FAIL", fail), ("SHIM_COUNT", &*text(&counts))];
        let Some(mut larder) = Larder::try_start_in(dir, shimmed(dir, &[], &settings)) else {
            // A failure at the start: it ended, and must have said why.
            tally.add("failed starts", 1);
            return self.verify(dir, &mut Crew::new("i", 0, 0, &mut Rng::with_seed(seed)));
        };
        let mut crew = self.trace(&mut larder, seed, tally)?;
        if larder.lives() {
            sees_every_byte(&larder, &counts)?;
            larder.kill();
        } else {
            tally.add("ends", 1);
            judge_end(larder.wait(), &larder.log())?;
        }
        drop(larder);
        self.verify(dir, &mut crew)
    }

    fn verify(&self, dir: &Path, crew: &mut Crew) -> Result<(), String> {
        let Some(larder) = Larder::try_start_in(dir, Options::default()) else {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(format!("it does not start again: {log}"));
        };
        crew.verify(&mut Http::new(larder.address()))
    }

    /// Has writers do the operations of a trace, as far as the server answers; then gives a server
    /// that is ending the time to do so.
    fn trace(&self, larder: &mut Larder, seed: u64, tally: &mut Tally) -> Result<Crew, String> {
        let mut rng = Rng::with_seed(seed);
        let mut crew = Crew::new("i", WRITERS, KEYS, &mut rng);
        let left = AtomicU64::new(self.operations);
        let address = larder.address();
        let mut ending = None;
        crew.write(
            || Counted::new(Http::new(address), &left),
            tally,
            || {
                while left.load(Ordering::Acquire) > 0 && larder.lives() {
                    thread::sleep(Duration::from_millis(1));
                }
                ending = (left.load(Ordering::Acquire) > 0).then(now);
            },
        )?;
        tally.add("failures", 1);
        // The failure may have come with the last operations.
        let failed = larder.log().contains("nothing more is written");
        let since = ending.unwrap_or_else(now);
        while failed && larder.lives() {
            if since.elapsed() > ENDING {
                return Err("the process does not end".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(crew)
    }

    /// A copy of a store that holds nothing, with its compiled guest.
    fn copy(&self) -> Result<TempDir, String> {
        let io = |error: std::io::Error| error.to_string();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let from = made.get_or_insert_with(|| {
            let dir = scratch();
            Larder::start_in(dir.path(), Options::default()).terminate();
            dir
        });
        let dir = scratch();
        for folder in ["data", "data/cache"] {
            make_private(&dir.path().join(folder)).map_err(io)?;
            copy_files(&from.path().join(folder), &dir.path().join(folder)).map_err(io)?;
        }
        Ok(dir)
    }
}

/// Makes a folder that only its owner may look into.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A process that cannot go on ends with an error that it tells.
fn judge_end(status: ExitStatus, log: &str) -> Result<(), String> {
    match status.code() {
        Some(code) if code != 0 && log.contains("the store has failed") => Ok(()),
        _ => Err(format!("the process ended with {status}; its log: {log}")),
    }
}

impl Trial for IoErrors {
    fn name(&self) -> &'static str {
        "io-errors"
    }

    /// Every call of a trace in each of three ways: as many calls as commits of 16 writers make.
    fn goal(&self) -> (&'static str, u64) {
        ("failures", 9000)
    }

    /// The round of a seed fails one call in one way, all of them one after the other.
    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let kind = KINDS[usize::try_from(seed % 3).unwrap_or(0)];
        self.fail(seed / 3, kind, tally)
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline of the process is judged from outside")]
fn now() -> Instant {
    Instant::now()
}
