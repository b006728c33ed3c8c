//! Starts a side as a child process and talks to it. Nothing is left behind: the child ends, and
//! removes its data, when the pipe to its standard input closes.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::Side;
use super::fill::{Filling, Order};
use crate::failure::Failure;
use crate::load::latency::Figure;
use crate::load::{self, Stream};
use crate::system::Process;

/// A running side.
pub struct Running {
    /// Which one.
    pub side: Side,
    address: Option<SocketAddr>,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts a side with its store filled; `dir` is where it keeps it.
    pub fn start(side: Side, filling: &Filling, dir: &Path) -> Result<Self, Failure> {
        Self::start_of(&std::env::current_exe()?, side, filling, dir)
    }

    /// The same of this program as it was built of another commit.
    pub fn start_of(
        program: &Path,
        side: Side,
        filling: &Filling,
        dir: &Path,
    ) -> Result<Self, Failure> {
        Self::spawn(side, command(program, side, filling, dir))
    }

    /// Starts a side on a data directory that was filled before, and stays.
    pub fn start_on(
        side: Side,
        filling: &Filling,
        dir: &Path,
        data: &Path,
    ) -> Result<Self, Failure> {
        let mut command = command(&std::env::current_exe()?, side, filling, dir);
        command.arg("--data").arg(data);
        Self::spawn(side, command)
    }

    fn spawn(side: Side, mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no pipe to a side")?;
        let output = BufReader::new(output);
        let mut running = Self { side, address: None, child, input, output };
        let first = running.line()?;
        running.address = first.strip_prefix("listening on ").and_then(|at| at.parse().ok());
        if running.address.is_none() && first != "ready" {
            return Err(format!("the side {} said {first:?}", side.name()).into());
        }
        Ok(running)
    }

    /// One measurement of some streams at once, a figure for each.
    pub fn run(&mut self, streams: &[Stream], time: Duration) -> Result<Vec<Figure>, Failure> {
        let process = self.process();
        let Some(address) = self.address else {
            let threads = streams.first().map_or(1, |stream| stream.connections);
            let input = self.input.as_mut().ok_or("a side without a pipe")?;
            writeln!(input, "{threads} {}", time.as_millis())?;
            let figure: Figure = serde_json::from_str(&self.line()?)?;
            let (rss_kib, rss_peak_kib) = (process.rss_kib()?, process.rss_peak_kib()?);
            return Ok(vec![Figure { rss_kib, rss_peak_kib, ..figure }]);
        };
        let named = |error| format!("{}, {streams:?}: {error}", self.side.name());
        Ok(load::run(address, streams, time, process).map_err(named)?)
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("the side {} has ended", self.side.name()).into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        // It takes the time that removing its data takes.
        let _ = self.child.wait();
    }
}

/// Fills a data directory that stays.
pub fn fill(filling: &Filling, dir: &Path, data: &Path) -> Result<(), Failure> {
    let mut command = command(&std::env::current_exe()?, Side::Fill, filling, dir);
    let output = command.arg("--data").arg(data).stdin(Stdio::null()).output()?;
    if !output.status.success() || output.stdout != b"filled\n" {
        return Err(format!("filling: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

fn command(program: &Path, side: Side, filling: &Filling, dir: &Path) -> Command {
    let Filling { keys, value_bytes, order, list, threads, expiring, expire_after_ms } = filling;
    let order = if *order == Order::Sorted { "sorted" } else { "shuffled" };
    let mut command = Command::new(program);
    command.args(["side", side.name(), "--order", order]).arg("--dir").arg(dir);
    let mut number = |name: &str, value: usize| {
        command.arg(name).arg(value.to_string());
    };
    number("--keys", *keys as usize);
    number("--value-bytes", *value_bytes);
    number("--list", *list);
    number("--threads", *threads);
    number("--expiring", *expiring as usize);
    number("--expire-after-ms", usize::try_from(*expire_after_ms).unwrap_or(usize::MAX));
    command
}
