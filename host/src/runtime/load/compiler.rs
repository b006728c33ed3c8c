//! Compiles strangers' components in a process of their own, so that one that takes too long or too
//! much memory, or crashes the compiler, costs an error and nothing else. Knows the limits and the
//! words in which it is told; what is compiled for which engine is `engine`'s and `cache`'s.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use crate::clock::Clock;
use crate::process::console::say;
use crate::runtime::engine;

/// The hidden command of the program that compiles what comes from standard input.
pub const COMMAND: &str = "compile";
/// How long compiling a component may take, and how much memory.
const TIME_MAX: Duration = Duration::from_secs(10);
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Largest compiled component, and longest complaint.
const CODE_BYTES_MAX: u64 = 512 << 20;
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;
/// How often the process is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process: for what came with the program.
    Here,
    /// In a process of its own, which runs this program.
    Apart(PathBuf),
}

impl Compiler {
    /// Compiles `wasm` for `engine`.
    pub fn compile(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::Here => engine.precompile_component(wasm),
            Self::Apart(program) => {
                let limits = Limits { time: TIME_MAX, memory_bytes: MEMORY_BYTES_MAX };
                apart(program, wasm, limits).map_err(wasmtime::Error::msg)
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Limits {
    time: Duration,
    memory_bytes: u64,
}

/// A process that is ended with whoever waits for it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended by itself, unless it was given up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn apart(program: &Path, wasm: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("the compiler's process cannot be run: {error}");
    let mut command = Command::new(program);
    // Nothing of the server's reaches it, least of all secrets.
    command.arg(COMMAND).env_clear().stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut process = Process(child.map_err(failed)?);
    let (input, output, complaints) =
        (process.0.stdin.take(), process.0.stdout.take(), process.0.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| {
            // A process that has given up reads no more; why is told by its end.
            let _ = input.map(|mut input| input.write_all(wasm));
        });
        let complaint = scope.spawn(|| read_up_to(complaints, COMPLAINT_BYTES_MAX));
        let (done, code) = channel();
        scope.spawn(move || done.send(read_up_to(output, CODE_BYTES_MAX)));
        let code = watch(&process.0, &code, limits);
        if code.is_err() {
            // Whatever the threads wait for ends with it.
            let _ = process.0.kill();
        }
        let code = code?;
        let status = process.0.wait().map_err(failed)?;
        let complaint = complaint.join().unwrap_or_default();
        if status.success() {
            return Ok(code);
        }
        match String::from_utf8_lossy(&complaint).trim() {
            "" => Err(format!("the compiler ended with {status}")),
            complaint => Err(complaint.to_owned()),
        }
    })
}

/// Waits for what the process writes, as long as it keeps to its limits.
fn watch(child: &Child, code: &Receiver<Vec<u8>>, limits: Limits) -> Result<Vec<u8>, String> {
    let clock = Clock::system();
    loop {
        match code.recv_timeout(LOOK_INTERVAL) {
            Ok(code) => return Ok(code),
            Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if clock.monotonic() >= limits.time {
            return Err(format!("compiling it takes longer than {} s", limits.time.as_secs()));
        }
        if resident_bytes(child.id()) > limits.memory_bytes {
            let mebibytes = limits.memory_bytes >> 20;
            return Err(format!("compiling it takes more than {mebibytes} MiB of memory"));
        }
    }
}

/// Memory that a process has in use; 0 when the system does not tell.
fn resident_bytes(id: u32) -> u64 {
    let told = fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
    let pages = told.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

fn read_up_to(from: Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What could not be read is missing, and told by the process's end.
        let _ = from.take(bytes_max).read_to_end(&mut bytes);
    }
    bytes
}

/// The command itself: compiles standard input to standard output.
#[must_use]
pub fn run() -> ExitCode {
    let compile = || -> wasmtime::Result<()> {
        let mut wasm = Vec::new();
        io::stdin().lock().read_to_end(&mut wasm)?;
        let code = engine::build_compiler()?.precompile_component(&wasm)?;
        io::stdout().lock().write_all(&code)?;
        Ok(())
    };
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that does this in place of compiling.
    fn program(dir: &Path, does: &str) -> PathBuf {
        let path = dir.join("program");
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    fn told(does: &str, limits: Limits) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        apart(&program(dir.path(), does), &[0; 1 << 20], limits)
    }

    const PLENTY: Limits = Limits { time: Duration::from_secs(60), memory_bytes: 1 << 40 };

    #[test]
    fn what_is_compiled_apart_fits_the_engine_that_runs_it() {
        let options = engine::EngineOptions {
            calls_max: 2,
            workers: 1,
            memory_bytes_max: 1 << 20,
            guests_bytes_max: 1 << 20,
        };
        let running = engine::build(&options, 1).unwrap();
        let wasm = b"\0asm\x0d\0\x01\0";
        let code = engine::build_compiler().unwrap().precompile_component(wasm).unwrap();
        assert_eq!(code, running.precompile_component(wasm).unwrap());
    }

    #[test]
    fn the_compiler_s_words_and_its_end_are_told() {
        assert_eq!(told("cat >/dev/null; printf code", PLENTY), Ok(b"code".to_vec()));
        assert_eq!(told("echo no good >&2; exit 1", PLENTY), Err("no good".to_owned()));
        let error = told("kill -SEGV $$", PLENTY).unwrap_err();
        assert!(error.contains("signal"), "{error}");
    }

    #[test]
    fn a_compiler_beyond_its_time_or_memory_is_ended() {
        let soon = Limits { time: Duration::from_millis(50), ..PLENTY };
        let error = told("exec sleep 1000", soon).unwrap_err();
        assert!(error.contains("takes longer"), "{error}");
        let error = told("exec sleep 1000", Limits { memory_bytes: 1, ..PLENTY }).unwrap_err();
        assert!(error.contains("memory"), "{error}");
    }
}
