//! Runs libFuzzer in pieces of a minute, counts executions over all runs in a state file, and keeps
//! what it finds. Knows nothing of what a target tries.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use larder_tests::progress;
use serde::{Deserialize, Serialize};

use crate::target::{Target, corpus_dir};

/// Executions that each target is to bear.
pub const EXECUTIONS_GOAL: u64 = 100_000_000;
/// Seconds of one piece: what is lost when a run is killed.
const PIECE_S: u64 = 60;
/// Memory of a target, address space and resident, in MiB: an input is hundreds of bytes.
const ADDRESS_SPACE_MIB_MAX: u64 = 1024;
const RESIDENT_MIB_MAX: u64 = 512;
/// Seconds that one input may take; thousands of times what it needs.
const INPUT_S_MAX: u64 = 2;

/// How far a target has come.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct State {
    /// Inputs that were tried.
    pub executions: u64,
    /// Inputs that broke a promise, ended the process, or took too much.
    pub crashes: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Runs a target from where its state in `dir` stands until the goal is reached or `time` is over.
/// `programs` holds the targets, built for libFuzzer.
///
/// # Errors
/// The input that broke a promise, or why the target could not be run.
pub fn run(target: &Target, programs: &Path, dir: &Path, time: Duration) -> Result<(), String> {
    let path = dir.join(format!("{}.json", target.name));
    let mut state: State = progress::read(&path)?;
    let begun = clock();
    let mut crash = Ok(());
    while crash.is_ok() && state.executions < EXECUTIONS_GOAL && begun.elapsed() < time {
        let left = (time - begun.elapsed().min(time)).as_secs();
        let started = clock();
        let (executions, result) = piece(target, programs, dir, left.clamp(1, PIECE_S))?;
        state.executions += executions;
        state.seconds += started.elapsed().as_secs_f64();
        state.crashes += u64::from(result.is_err());
        crash = result;
        progress::write(&path, &state).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    println!(
        "{}: {} of {} executions, {} crashes; {:.0} a second",
        target.name,
        grouped(state.executions),
        grouped(EXECUTIONS_GOAL),
        state.crashes,
        state.executions as f64 / state.seconds.max(1.0)
    );
    crash
}

/// One run of libFuzzer: its executions, and how it ended.
fn piece(
    target: &Target,
    programs: &Path,
    dir: &Path,
    seconds: u64,
) -> Result<(u64, Result<(), String>), String> {
    let own = dir.join(target.name);
    let [corpus, crashes] = ["corpus", "crashes"].map(|name| own.join(name));
    for dir in [&corpus, &crashes] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let program = programs.join(target.name);
    // An allocation that is too large fails, and ends the target; libFuzzer itself does not see it
    // without a sanitizer.
    let limited = format!("ulimit -v {} && exec \"$@\"", 1024 * ADDRESS_SPACE_MIB_MAX);
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh"]).arg(&program);
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={}", target.input_bytes_max),
        format!("-rss_limit_mb={RESIDENT_MIB_MAX}"),
        format!("-timeout={INPUT_S_MAX}"),
        format!("-artifact_prefix={}/", crashes.display()),
        "-print_final_stats=1".to_owned(),
        "-close_fd_mask=1".to_owned(),
    ]);
    command.arg(&corpus).arg(corpus_dir(target));
    let told = |error: io::Error| format!("{}: {error}", program.display());
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(told)?;
    let (mut executions, mut said) = (0, Vec::new());
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line.map_err(told)?;
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            executions = count.trim().parse().unwrap_or(0);
        }
        // The counts of a run fill the screen; what a fault says is kept.
        if !line.starts_with(['#', '\t']) && !line.starts_with("stat::") {
            said.push(line);
        }
    }
    let status = child.wait().map_err(told)?;
    if status.success() {
        return Ok((executions, Ok(())));
    }
    let said = said.join("\n");
    Ok((executions, Err(format!("{} ended with {status}:\n{said}", target.name))))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long runs take is told, and decides when to stop"
)]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_can_be_read() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}
