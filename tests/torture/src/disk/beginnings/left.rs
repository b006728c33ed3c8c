//! What a beginning that was cut short leaves: judged by the server and the tools, with what somebody was told.
//! Knows nothing of how it was cut short.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use larder_tests::{Larder, Options, program};
use serde_json::json;

use crate::client::Connection;
use crate::disk::log::Event;
use crate::rounds::Tally;

/// What a refusal must name, one of them: what to do.
const ADVICE: [&str; 3] = ["remove it", "run that again", "restore it from a backup"];

/// What somebody was told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The admin token, by a server that served with it.
    pub token: Option<String>,
    /// That a write is done, or the command.
    pub done: bool,
    /// All entries, before it began.
    pub had: bool,
}

impl Told {
    /// What tells that it is done.
    pub const DONE: &str = "done";

    /// Somebody may have been told something.
    pub fn take(&mut self, event: &Event) {
        if let Event::Acknowledged(what) = event {
            self.hear(what);
        }
    }

    /// Somebody was told something: that it is done, or the token.
    pub fn hear(&mut self, what: &str) {
        if what == Self::DONE {
            self.done = true;
        } else {
            self.token = Some(what.to_owned());
        }
    }
}

/// Judges what is left in `dir`: a server starts with what was told, all of `entries`, or with none of them, or
/// says what to do; and the tools agree with it.
pub fn judge(dir: &Path, told: &Told, entries: usize, tally: &mut Tally) -> Result<(), String> {
    let (checked, check) = tool(dir, &["check"])?;
    if (told.done || told.had) && !checked.success() {
        return Err(format!("the check: {check}"));
    }
    let options = Options { makes_token: true, ..Options::default() };
    let Some(larder) = Larder::try_start_in(dir, options) else {
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        let said = log.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        tally.add("refused", 1);
        if told.done || told.had || told.token.is_some() {
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
    let found: Result<Vec<bool>, String> =
        (0..entries).map(|number| has(&mut connection, &key(number))).collect();
    let found = found?.into_iter().filter(|found| *found).count();
    if found != entries && (told.done || told.had || found > 0) {
        return Err(format!("{found} entries are there, of {entries}"));
    }
    tally.add(if found == entries { "there" } else { "new" }, 1);
    if found == entries && !checked.success() {
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

/// Writes a key.
pub fn set(connection: &mut Connection, key: &str) -> Result<(), String> {
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

/// The admin token that a server in `dir` has made.
pub fn token(dir: &Path) -> Result<String, String> {
    let token = fs::read_to_string(dir.join("data/admin-token"));
    token.map(|token| token.trim().to_owned()).map_err(|error| format!("the token: {error}"))
}

/// A key of the store that is begun.
pub fn key(number: usize) -> String {
    format!("entry-{number}")
}
