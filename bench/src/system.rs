//! What the system tells: a process's processor time and memory, the machine, limits. Reads
//! `/proc`; knows nothing of what is measured.

use std::fs;
use std::io;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::clock;

/// Clock ticks a second in `/proc`, which Linux has fixed at 100 for programs.
const TICKS_PER_S: u64 = 100;

/// The machine and the moment of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The commit that was built, `-dirty` when something was changed since.
    pub commit: String,
    /// When the run began.
    pub date: String,
    /// How the bench was called, without its path.
    pub command: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu = after(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned();
        let memory = kib(&read("/proc/meminfo"), "MemTotal").unwrap_or(0);
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: commit(),
            date: clock::date(clock::epoch_s()),
            command: format!("larder-bench {}", arguments.join(" ")).trim_end().to_owned(),
        }
    }
}

fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let said = git.ok().filter(|output| output.status.success());
    said.map_or("unknown".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// A process to look at.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Processor time used so far by all of its threads, in microseconds.
    pub fn cpu_us(self) -> io::Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        let ticks = ticks(&stat).ok_or_else(|| io::Error::other("an unknown form of stat"))?;
        Ok(ticks * 1_000_000 / TICKS_PER_S)
    }

    /// Memory that is resident now, in KiB.
    pub fn rss_kib(self) -> io::Result<u64> {
        self.status("VmRSS")
    }

    /// The most memory that was ever resident, in KiB.
    pub fn rss_peak_kib(self) -> io::Result<u64> {
        self.status("VmHWM")
    }

    fn status(self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        kib(&status, name).ok_or_else(|| io::Error::other(format!("no {name} in status")))
    }
}

/// User and system ticks of a `stat` line; the program's name in it may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// What stands behind a name and a colon.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn kib(text: &str, name: &str) -> Option<u64> {
    after(text, name)?.split(' ').next()?.parse().ok()
}

/// Raises the limit of open files as far as it may be raised, for this process and its children.
pub fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What cannot be raised is told by the first socket that cannot be had.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 700 80 0 0 20 0";
        assert_eq!(ticks(stat), Some(780));
        assert_eq!(ticks("12 (a"), None);
    }

    #[test]
    fn values_are_found_by_name() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(kib(status, "VmRSS"), Some(1024));
        assert_eq!(kib(status, "VmSwap"), None);
        assert_eq!(after("model name\t: A B\n", "model name"), Some("A B"));
    }
}
