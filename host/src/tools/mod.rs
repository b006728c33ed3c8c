//! The commands that work on a data directory from outside of a server: what they print and how
//! they exit. What they do is `data`'s and `auth`'s.

mod clock;
mod common;
pub mod data;
mod token;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command as Process, ExitCode, Stdio};

use self::common::data_dir;
use self::data::{Findings, Unpublished};
use crate::cli::Command;
use crate::clock::Clock;
use crate::process::console::say;
use crate::process::fatal_signals;
use crate::process::program;
use crate::storage::lmdb::layout::Counts;

/// Set for the process that does the reading for `check`.
const CHECKER: &str = "LARDER_CHECKER";
const STANDARD: &str = "-";
const RESTORED: &str = "holds the data, whole and on disk";
const OUT_BYTES: usize = 1 << 20;

/// Runs a command that is not `serve`.
///
/// # Errors
/// What went wrong, for standard error.
pub fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    fatal_signals::tell_size_limits();
    match command {
        Command::Serve(_) | Command::Compile => return Err("this is no tool".into()),
        Command::Check(data) => return check(&data_dir(data)?),
        Command::Backup { file, data } => {
            refuse_stream(&file)?;
            let made = data::backup(&data_dir(data)?, &file)?;
            let what = format!("{}, {} bytes", summary(&made.findings), made.bytes);
            done(&file, "is made, whole and on disk", &what)?;
        }
        Command::Restore { file, data } => {
            refuse_stream(&file)?;
            let dir = data_dir(data)?;
            let findings = data::restore(&file, &dir)?;
            done(&dir, RESTORED, &summary(&findings))?;
        }
        Command::Export { file, skip_damaged, data } => {
            return export(&data_dir(data)?, &file, skip_damaged);
        }
        Command::Import { file, data } => {
            let dir = data_dir(data)?;
            let imported = if file == Path::new(STANDARD) {
                data::import(&mut io::stdin().lock(), &dir, &Clock::system())
            } else {
                let opened = File::open(&file).map_err(|error| named(&file, &error))?;
                data::import(&mut BufReader::new(opened), &dir, &Clock::system())
            }?;
            let expired = match imported.expired {
                0 => String::new(),
                expired => format!("; {expired} had expired and were left out"),
            };
            done(&dir, RESTORED, &format!("{}{expired}", summary(&imported.findings)))?;
        }
        Command::Clock { set_back, data } => clock::run(&data_dir(data)?, set_back)?,
        Command::Token(command) => token::run(command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what was done; when that cannot be told, that it was done all the same.
fn done(what: &Path, stands: &str, told: &str) -> Result<(), String> {
    let what = what.display();
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{what}: {told}").and_then(|()| out.flush());
    written.map_err(|error| format!("{what} {stands}, and this could not be told: {error}"))
}

fn refuse_stream(file: &Path) -> Result<(), &'static str> {
    if file == Path::new(STANDARD) {
        return Err(
            "`-`: a backup is a file, checked when it was written and read from its end; name one",
        );
    }
    Ok(())
}

fn summary(findings: &Findings) -> String {
    let Findings { namespaces, entries, value_bytes, version, .. } = findings;
    format!(
        "{entries} entries in {namespaces} namespaces, {value_bytes} bytes of values, version {version}"
    )
}

fn named(file: &Path, error: &io::Error) -> String {
    format!("{}: {error}", file.display())
}

/// Has a process of its own do the reading, so that whatever the file does to it is told.
fn check(dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    if std::env::var_os(CHECKER).is_some() {
        return check_here(dir);
    }
    let mut checker = Process::new(program::path());
    checker.arg("check").arg("--data").arg(dir).env(CHECKER, "1").stdin(Stdio::null());
    let status = checker.status()?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(ExitCode::SUCCESS),
        (_, Some(signal)) => Err(format!(
            "{} is damaged: reading it ended the checker with signal {signal}; restore a backup",
            dir.display()
        )
        .into()),
        _ => Ok(ExitCode::FAILURE),
    }
}

fn check_here(dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let findings = data::check(dir)?;
    let mut out = io::stdout().lock();
    for fault in findings.faults.told() {
        writeln!(out, "{fault}")?;
    }
    let faults = findings.faults.count();
    writeln!(out, "{}: {}", dir.display(), summary(&findings))?;
    let Counts { keys, bytes } = findings.emptying;
    if keys > 0 {
        writeln!(
            out,
            "{keys} entries of deleted namespaces, {bytes} bytes, are still to be removed"
        )?;
    }
    if faults == 0 {
        writeln!(out, "nothing is wrong")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{faults} faults: what can still be read can be had by `larder export --skip-damaged`; restore a backup"
    )?;
    Ok(ExitCode::FAILURE)
}

fn export(dir: &Path, file: &Path, skip_damaged: bool) -> Result<ExitCode, Box<dyn Error>> {
    let exported = if file == Path::new(STANDARD) {
        let mut out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
        data::export(dir, &mut out, skip_damaged)?
    } else {
        let mut made = Unpublished::begin(file)?;
        let mut out = BufWriter::with_capacity(OUT_BYTES, made.file());
        let exported = data::export(dir, &mut out, skip_damaged)?;
        drop(out);
        made.publish()?;
        exported
    };
    for damaged in &exported.damaged {
        say(format_args!("larder: left out, its record is damaged: {damaged}"));
    }
    say(format_args!("{} entries in {} namespaces", exported.entries, exported.namespaces));
    Ok(if exported.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
