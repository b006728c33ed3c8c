//! A store that is begun is there or is not, whatever cuts its beginning short: the first start of a server, a
//! restore, an import, killed before every step, and with the power cut after every step. What somebody was
//! told stays true: the admin token that a server serves with, a write, the success of a command.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use fastrand::Rng;
use larder_tests::{Larder, Options, program};
use serde_json::json;
use tempfile::TempDir;

use super::file::Cut;
use super::images::{Disk, Syncs};
use super::io_errors::make_private;
use super::log::{self, Event};
use super::shim::{Counts, LOOK_INTERVAL, LOOKS_MAX, Watch, shimmed, variables};
use super::{kept, scratch, text};
use crate::client::Connection;
use crate::rounds::{Tally, Trial};

/// Entries of the store that is restored.
const ENTRIES: usize = 20;
/// Cuts after the last step, when everything has been told.
const LAST_CUTS: usize = 8;
/// What a refusal must name, one of them: what to do.
const ADVICE: [&str; 3] = ["remove it", "run that again", "restore it from a backup"];

/// How a store begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// A server starts in a directory that is not there.
    Start,
    /// A backup is restored into one.
    Restore,
    /// An export is imported into one.
    Import,
}

impl Beginning {
    /// All of them.
    pub const ALL: [Beginning; 3] = [Beginning::Start, Beginning::Restore, Beginning::Import];
}

/// What somebody was told.
#[derive(Clone, Debug, Default)]
struct Told {
    /// The admin token, by a server that served with it.
    token: Option<String>,
    /// That a write is done, or the command.
    done: bool,
}

impl Told {
    const DONE: &str = "done";

    fn take(&mut self, event: &Event) {
        if let Event::Acknowledged(what) = event {
            self.hear(what);
        }
    }

    fn hear(&mut self, what: &str) {
        if what == Self::DONE {
            self.done = true;
        } else {
            self.token = Some(what.to_owned());
        }
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

    /// Kills and cuts in turn.
    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        self.some(seed, 1, tally)
    }
}

impl Beginnings {
    /// A round that takes one step of so many.
    ///
    /// # Errors
    /// As [`Beginnings::round`].
    pub fn some(&self, seed: u64, of: usize, tally: &mut Tally) -> Result<(), String> {
        Beginning::ALL.into_iter().try_for_each(|beginning| {
            if seed.is_multiple_of(2) {
                self.kill(beginning, seed, of, tally)
            } else {
                self.cut(beginning, seed, of, tally)
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
        let (events, mut disk) = self.recorded(beginning, dir.path(), Syncs::Kept)?;
        let mut told = Told::default();
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
                let judged = judge_cut(&disk, &mut cut, &place, &told, beginning, tally);
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
        let (events, mut disk) = self.recorded(beginning, dir.path(), syncs)?;
        let mut told = Told::default();
        for event in &events {
            disk.take(event)?;
            told.take(event);
        }
        let mut rng = Rng::with_seed(0);
        let mut cut = Cut::extreme(&mut rng, true);
        let place = dir.path().join("image");
        Ok(judge_cut(&disk, &mut cut, &place, &told, beginning, &mut Tally::default()).err())
    }

    /// Kills the process before one step of so many.
    fn kill(
        &self,
        beginning: Beginning,
        seed: u64,
        of: usize,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let io = |error: std::io::Error| error.to_string();
        for step in (seed / 2 % of as u64..).step_by(of) {
            let dir = scratch();
            let place = dir.path().join("place");
            make_private(&place).map_err(io)?;
            let kill = format!("{step}:kill");
            let mut told = Told::default();
            let mut tell = |what: &str| {
                told.hear(what);
                Ok(())
            };
            let died = self.begin(beginning, &place, &[("SHIM_FAIL", &kill)], &mut tell)?;
            if !died {
                return if step > 10 { Ok(()) } else { Err(format!("{step} steps were seen")) };
            }
            let steps = Counts::read(&place.join("counts"))?.steps;
            if steps != step + 1 {
                return Err(format!("{beginning:?} ended after {steps} steps, not before {step}"));
            }
            tally.add("beginnings", 1);
            judge(&place, &told, beginning, tally).map_err(|error| {
                let dir = kept(dir);
                format!(
                    "{beginning:?}, killed before step {step}: {error}; it is in {}",
                    text(&dir)
                )
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
    ) -> Result<(Vec<Event>, Disk), String> {
        let io = |error: std::io::Error| error.to_string();
        let (log, place) = (dir.join("log"), dir.join("place"));
        make_private(&place).map_err(io)?;
        let disk = Disk::before(&place.join("data"), syncs).map_err(io)?;
        let acknowledgements = log::open(&log).map_err(io)?;
        let mut tell = |what: &str| log::acknowledge(&acknowledgements, what).map_err(io);
        let died = self.begin(beginning, &place, &[("SHIM_LOG", &text(&log))], &mut tell)?;
        if died {
            return Err(format!("{beginning:?} does not end"));
        }
        let events = log::read(&log).map_err(io)?;
        disk.explains(&place.join("data"), &events)?;
        Ok((events, disk))
    }

    /// Begins a store in `dir`, and reports what is told meanwhile. Whether the process died of it.
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
        if beginning == Beginning::Start {
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
        let steps = Counts::read(&counts)?.steps;
        match output.status.code() {
            Some(0) if steps > 0 => tell(Told::DONE).map(|()| false),
            None => Ok(true),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!(
                    "larder {command} ended with {} after {steps} steps: {said}",
                    output.status
                ))
            }
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

fn key(number: usize) -> String {
    format!("entry-{number}")
}

/// The first start of a server, and a first write. Whether it died of it.
fn start(
    dir: &Path,
    settings: &[(&str, &str)],
    counts: &Path,
    tell: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<bool, String> {
    let options = Options { makes_token: true, ..shimmed(dir, &[], settings) };
    let Some(mut larder) = Larder::try_start_in(dir, options) else { return Ok(true) };
    let token = token(dir)?;
    tell(&token)?;
    let watch = Watch::begin(&larder, counts);
    let mut connection = Connection::new(larder.address());
    connection.set_token(&token);
    if let Err(error) = set(&mut connection, &key(0)) {
        // A process that was killed may take a moment to be gone.
        return (0..LOOKS_MAX).any(|_| ends(&mut larder)).then_some(true).ok_or(error);
    }
    tell(Told::DONE)?;
    watch?.judge(&larder)?;
    larder.kill();
    Ok(false)
}

fn ends(larder: &mut Larder) -> bool {
    thread::sleep(LOOK_INTERVAL);
    !larder.lives()
}

fn token(dir: &Path) -> Result<String, String> {
    let token = fs::read_to_string(dir.join("data/admin-token"));
    token.map(|token| token.trim().to_owned()).map_err(|error| format!("the token: {error}"))
}

/// Judges what a power cut leaves now, in `place`. That stays there when it is wrong.
fn judge_cut(
    disk: &Disk,
    cut: &mut Cut<'_>,
    place: &Path,
    told: &Told,
    beginning: Beginning,
    tally: &mut Tally,
) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    disk.image(cut).write(place).map_err(io)?;
    judge(place, told, beginning, tally)?;
    fs::remove_dir_all(place).map_err(io)
}

/// Judges what is left in `dir`: a server starts with what was told, or says what to do; and the tools agree
/// with it.
fn judge(dir: &Path, told: &Told, beginning: Beginning, tally: &mut Tally) -> Result<(), String> {
    let (checked, check) = tool(dir, &["check"])?;
    if told.done && !checked.success() {
        return Err(format!("the check: {check}"));
    }
    let options = Options { makes_token: true, ..Options::default() };
    let Some(larder) = Larder::try_start_in(dir, options) else {
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        let said = log.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        tally.add("refused", 1);
        if told.done || told.token.is_some() {
            return Err(format!("after {told:?} it does not start: {said}"));
        }
        if checked.success() {
            return Err(format!("the check finds nothing, and it does not start: {said}"));
        }
        let advised = ADVICE.iter().any(|advice| said.contains(advice));
        return if advised { Ok(()) } else { Err(format!("it does not say what to do: {said}")) };
    };
    let token = token(dir)?;
    if told.token.as_ref().is_some_and(|told| *told != token) {
        return Err("the admin token is another".to_owned());
    }
    let mut connection = Connection::new(larder.address());
    connection.set_token(&token);
    let numbers = if beginning == Beginning::Start { 0..1 } else { 0..ENTRIES };
    let all = numbers.len();
    let found: Result<Vec<bool>, String> =
        numbers.map(|number| has(&mut connection, &key(number))).collect();
    let found = found?.into_iter().filter(|found| *found).count();
    if found != all && (told.done || found > 0) {
        return Err(format!("{found} entries are there, of {all}"));
    }
    tally.add(if found == all { "there" } else { "new" }, 1);
    if found == all && !checked.success() {
        return Err(format!("it serves what the check did not find sound: {check}"));
    }
    set(&mut connection, "after")?;
    match tool(dir, &["check"])? {
        (status, _) if status.success() => Ok(()),
        (_, said) => Err(format!("the check beside the server: {said}")),
    }
}

fn tool(dir: &Path, arguments: &[&str]) -> Result<(ExitStatus, String), String> {
    let mut command = Command::new(program());
    command.args(arguments).args(["--data", "data"]).current_dir(dir).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status, String::from_utf8_lossy(&said).into_owned()))
}

fn set(connection: &mut Connection, key: &str) -> Result<(), String> {
    let body = json!({"key": key, "value": key}).to_string();
    match connection.post("/api/v1.kv.set", body.as_bytes()) {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("a set was answered {other:?}")),
    }
}

fn has(connection: &mut Connection, key: &str) -> Result<bool, String> {
    let body = json!({"key": key}).to_string();
    let value: Vec<u8> = key.bytes().collect();
    match connection.post("/api/v1.kv.get", body.as_bytes()) {
        Ok(answer) if answer.status == 200 => {
            let found: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match &found["value"] {
                serde_json::Value::Null => Ok(false),
                found if *found == json!(value) => Ok(true),
                found => Err(format!("{key} holds {found}")),
            }
        }
        other => Err(format!("a get was answered {other:?}")),
    }
}
