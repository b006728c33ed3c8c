//! Commands for data run through a shell, as users do, and what makes the system around them poorer than
//! it is. Knows how to run them; what must come of it is the tests'.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use larder_tests::program;

/// How often something is looked for, and when that ends.
const INTERVAL: Duration = Duration::from_millis(2);
const LOOKS_MAX: usize = 10_000;

/// A command line of a shell in `dir`, to which `larder` is the program.
pub fn shell(dir: &Path, line: &str) -> Command {
    let mut command = Command::new("bash");
    let line = format!("larder() {{ {:?} \"$@\"; }}; {line}", program());
    command.args(["-c", &line]).current_dir(dir).stdin(Stdio::null());
    command.env_remove("LARDER_DATA").env_remove("LARDER_CONFIG");
    command
}

/// What a command printed, on both ways, and how it ended.
pub fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Runs a line that must end with `code` and say `words`.
pub fn runs(dir: &Path, line: &str, code: i32, words: &str) {
    let (found, text) = said(&shell(dir, line).output().unwrap());
    assert!(found == Some(code) && text.contains(words), "{line}: {found:?}, {text}");
}

/// The names in a directory, in order.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A library that makes the system poorer or slower, from `shim.c`.
pub fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/shim.c");
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools-shim.so");
        let compiler = std::env::var("CC").unwrap_or("cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&made);
        assert!(command.arg(source).arg("-ldl").status().unwrap().success());
        made
    })
}

/// Waits until something is so.
pub fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if so() {
            return;
        }
        std::thread::sleep(INTERVAL);
    }
    panic!("it never came: {what}");
}

/// A line of a shell with mounts of its own; None, said by name, where those cannot be had.
pub fn mounted(test: &str, line: &str) -> Option<String> {
    let unshare = ["unshare --mount --map-root-user", "unshare --mount"];
    let may = |unshare: &&&str| {
        let line = format!("{unshare} bash -c 'mount -t tmpfs none /mnt' 2>/dev/null");
        Command::new("bash").args(["-c", &line]).status().unwrap().success()
    };
    let Some(unshare) = unshare.iter().find(may) else {
        eprintln!("{test}: NOT TRIED, for mounts cannot be made here");
        return None;
    };
    Some(format!("export -f larder; {unshare} bash -c '{line}'"))
}

/// Makes `dir` read-only for a line.
pub fn read_only(test: &str, dir: &str, line: &str) -> Option<String> {
    let bind = format!("mount --bind {dir} {dir} && mount -o remount,ro,bind {dir} {dir}");
    mounted(test, &format!("{bind} && {line}"))
}
