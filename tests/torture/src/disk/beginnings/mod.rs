//! A store that is begun is there or is not, whatever cuts its beginning short: the first start of a server, a
//! restore, an import, the first start on data of format 1, killed before every step, with an error of the disk
//! in place of every step, and with the power cut after every step. What somebody was told stays true: the admin token that a server serves
//! with, a write, the success of a command.

mod left;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use larder_tests::{Larder, Options, program};
use tempfile::TempDir;

use self::left::{Told, judge, key, set, token};
use super::file::Cut;
use super::images::{Disk, Syncs};
use super::io_errors::make_private;
use super::log::{self, Event};
use super::older;
use super::shim::{Counts, Watch, shimmed, variables};
use super::{kept, scratch, text};
use crate::client::Connection;
use crate::rounds::{Tally, Trial};

/// Entries of the store that is restored.
const ENTRIES: usize = 20;
/// Cuts after the last step, when everything has been told.
const LAST_CUTS: usize = 8;
/// What may come in place of a step.
const KINDS: [&str; 3] = ["kill", "eio", "enospc"];

/// How a store begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// A server starts in a directory that is not there.
    Start,
    /// A backup is restored into one.
    Restore,
    /// An export is imported into one.
    Import,
    /// A server starts on data of format 1, which it takes over.
    TakeOver,
}

impl Beginning {
    /// All of them.
    pub const ALL: [Beginning; 4] =
        [Beginning::Start, Beginning::Restore, Beginning::Import, Beginning::TakeOver];

    /// Entries of the store that is begun.
    fn entries(self) -> usize {
        if self == Beginning::Start { 1 } else { ENTRIES }
    }

    /// Makes what is there before. Whatever happens, its entries stay.
    fn prepare(self, place: &Path) -> Result<Told, String> {
        make_private(place).map_err(|error| error.to_string())?;
        if self != Beginning::TakeOver {
            return Ok(Told::default());
        }
        let keys: Vec<String> = (0..ENTRIES).map(key).collect();
        older::make(&place.join("data"), &keys)?;
        Ok(Told { had: true, ..Told::default() })
    }
}

/// The trial.
#[derive(Default)]
pub struct Beginnings {
    /// A backup and an export of one store.
    sources: Mutex<Option<Arc<TempDir>>>,
}

impl Trial for Beginnings {
    fn name(&self) -> &'static str {
        "beginnings"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("beginnings", 3000)
    }

    /// Cuts and what may come in place of steps, in turn.
    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        self.some(seed, 1, tally)
    }
}

impl Beginnings {
    /// A round that takes one step of so many.
    ///
    /// # Errors
    /// What was told and is not there, or a directory that nobody can say what to do with.
    pub fn some(&self, seed: u64, of: usize, tally: &mut Tally) -> Result<(), String> {
        Beginning::ALL.into_iter().try_for_each(|beginning| {
            match KINDS.get(usize::try_from(seed % 4).unwrap_or(0)) {
                Some(kind) => self.fail(beginning, kind, seed / 4, of, tally),
                None => self.cut(beginning, seed, of, tally),
            }
        })
    }

    /// Cuts the power after one step of so many, and after the last one in several ways.
    fn cut(
        &self,
        beginning: Beginning,
        seed: u64,
        of: usize,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let mut rng = Rng::with_seed(seed);
        let dir = scratch();
        let (events, mut disk, mut told) = self.recorded(beginning, dir.path(), Syncs::Kept)?;
        let first = rng.usize(..of);
        for (at, event) in events.iter().enumerate() {
            disk.take(event)?;
            told.take(event);
            let cuts = if told.done { LAST_CUTS } else { usize::from(at % of == first) };
            for _ in 0..cuts {
                // Those that lose all are the ones that syncs are for.
                let mut cut = match rng.u8(..4) {
                    0 => Cut::extreme(&mut rng, true),
                    1 => Cut::extreme(&mut rng, false),
                    _ => Cut::draw(&mut rng),
                };
                tally.add("beginnings", 1);
                let place = dir.path().join("image");
                let judged = judge_cut(&disk, &mut cut, &place, &told, beginning.entries(), tally);
                tally.add("lost sectors and names", cut.lost as u64);
                if let Err(error) = judged {
                    let (place, event) = (text(&kept(dir).join("image")), event.told());
                    return Err(format!(
                        "{beginning:?}, cut after {event}: {error}; it is in {place}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What is found wrong when the disk loses all that it may after a beginning has ended; it is nothing
    /// but for `syncs`.
    ///
    /// # Errors
    /// When nothing can be recorded.
    pub fn lost(&self, beginning: Beginning, syncs: Syncs) -> Result<Option<String>, String> {
        let dir = scratch();
        let (events, mut disk, mut told) = self.recorded(beginning, dir.path(), syncs)?;
        for event in &events {
            disk.take(event)?;
            told.take(event);
        }
        let mut rng = Rng::with_seed(0);
        let mut cut = Cut::extreme(&mut rng, true);
        let place = dir.path().join("image");
        Ok(judge_cut(&disk, &mut cut, &place, &told, beginning.entries(), &mut Tally::default())
            .err())
    }

    /// Has something else happen in place of one step of so many.
    fn fail(
        &self,
        beginning: Beginning,
        kind: &str,
        seed: u64,
        of: usize,
        tally: &mut Tally,
    ) -> Result<(), String> {
        for step in (seed % of as u64..).step_by(of) {
            let dir = scratch();
            let place = dir.path().join("place");
            let mut told = beginning.prepare(&place)?;
            let fail = format!("{step}:{kind}");
            let mut tell = |what: &str| {
                told.hear(what);
                Ok(())
            };
            let well = self.begin(beginning, &place, &[("SHIM_FAIL", &fail)], &mut tell);
            let steps = Counts::read(&place.join("counts"))?.steps;
            if steps <= step {
                // Everything has been done before.
                return if well? && step > 10 { Ok(()) } else { Err(format!("{steps} steps")) };
            }
            tally.add("beginnings", 1);
            let judged = match well {
                Ok(true) if kind == "kill" => Err("the process was not killed".to_owned()),
                Ok(_) => judge(&place, &told, beginning.entries(), tally),
                Err(error) => Err(error),
            };
            judged.map_err(|error| {
                let dir = text(&kept(dir));
                format!("{beginning:?}, {kind} in place of step {step}: {error}; it is in {dir}")
            })?;
        }
        Ok(())
    }

    /// Records a beginning. The disk is as it was before.
    fn recorded(
        &self,
        beginning: Beginning,
        dir: &Path,
        syncs: Syncs,
    ) -> Result<(Vec<Event>, Disk, Told), String> {
        let io = |error: std::io::Error| error.to_string();
        let (log, place) = (dir.join("log"), dir.join("place"));
        let told = beginning.prepare(&place)?;
        let disk = Disk::before(&place.join("data"), syncs).map_err(io)?;
        let acknowledgements = log::open(&log).map_err(io)?;
        let mut tell = |what: &str| log::acknowledge(&acknowledgements, what).map_err(io);
        if !self.begin(beginning, &place, &[("SHIM_LOG", &text(&log))], &mut tell)? {
            return Err(format!("{beginning:?} does not end well"));
        }
        let events = log::read(&log).map_err(io)?;
        disk.explains(&place.join("data"), &events)?;
        Ok((events, disk, told))
    }

    /// Begins a store in `dir`, and reports what is told meanwhile. Whether it ends well.
    fn begin(
        &self,
        beginning: Beginning,
        dir: &Path,
        settings: &[(&str, &str)],
        tell: &mut dyn FnMut(&str) -> Result<(), String>,
    ) -> Result<bool, String> {
        let counts = dir.join("counts");
        let count = text(&counts);
        let settings = [settings, &[("SHIM_COUNT", &count)]].concat();
        if matches!(beginning, Beginning::Start | Beginning::TakeOver) {
            return start(dir, &settings, &counts, tell);
        }
        let sources = self.sources()?;
        let (command, source) = match beginning {
            Beginning::Restore => ("restore", "backup"),
            _ => ("import", "export"),
        };
        let mut command_line = Command::new(program());
        command_line.arg(command).arg(sources.path().join(source)).args(["--data", "data"]);
        command_line.current_dir(dir).envs(variables(dir, &settings));
        command_line.stdin(Stdio::null()).stdout(Stdio::null());
        let output = command_line.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return tell(Told::DONE).map(|()| true);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            None => Ok(false),
            Some(1) if said.contains("larder: ") => Ok(false),
            _ => Err(format!("larder {command} ended with {}: {said}", output.status)),
        }
    }

    /// A backup and an export of one store, made when they are first asked for.
    fn sources(&self) -> Result<Arc<TempDir>, String> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sources) = &*sources {
            return Ok(Arc::clone(sources));
        }
        let dir = scratch();
        let larder = Larder::start_in(dir.path(), Options::default());
        let mut connection = Connection::new(larder.address());
        for number in 0..ENTRIES {
            set(&mut connection, &key(number))?;
        }
        for arguments in [["backup", "backup"], ["export", "export"]] {
            let output = larder.tool(&arguments);
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
        }
        drop(larder);
        Ok(Arc::clone(sources.insert(Arc::new(dir))))
    }
}

/// The first start of a server, and a first write. Whether it ends well.
fn start(
    dir: &Path,
    settings: &[(&str, &str)],
    counts: &Path,
    tell: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<bool, String> {
    let options = Options { makes_token: true, ..shimmed(dir, &[], settings) };
    let Some(mut larder) = Larder::try_start_in(dir, options) else { return Ok(false) };
    let token = token(dir)?;
    tell(&token)?;
    let planted = settings.iter().any(|(name, _)| *name == "SHIM_FAIL");
    let watch = (!planted).then(|| Watch::begin(&larder, counts)).transpose()?;
    let mut connection = Connection::new(larder.address());
    connection.set_token(&token);
    match set(&mut connection, &key(0)) {
        Ok(()) => tell(Told::DONE)?,
        // It ends, or was killed, or goes on and has refused what it could not do.
        Err(_) if planted => return Ok(false),
        Err(error) => return Err(error),
    }
    watch.map_or(Ok(()), |watch| watch.judge(&larder))?;
    larder.kill();
    Ok(true)
}

/// Judges what a power cut leaves now, in `place`. That stays there when it is wrong.
fn judge_cut(
    disk: &Disk,
    cut: &mut Cut<'_>,
    place: &Path,
    told: &Told,
    entries: usize,
    tally: &mut Tally,
) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    disk.image(cut).write(place).map_err(io)?;
    judge(place, told, entries, tally)?;
    fs::remove_dir_all(place).map_err(io)
}
