//! A server whose clock a trial turns, in a process of its own so that it can be killed: this
//! program run as `larder-torture serve-driven`. Knows how to start one and how to be one.

use std::future::pending;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use larder::clock::{Clock, DrivenClock, Millis};
use larder::config::{Config, Settings};
use larder::server::Server;
use larder_tests::TOKEN;
use tempfile::TempDir;

/// Where driven clocks begin: in 2027.
pub const START_MS: u64 = 1_800_000_000_000;

/// A server under test. Dropping it kills it.
pub struct Driven {
    dir: TempDir,
    program: PathBuf,
    running: Option<Running>,
    wall_ms: u64,
}

struct Running {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Driven {
    /// Starts one with data of its own. `program` is `larder-torture`.
    ///
    /// # Errors
    /// Why it does not come up.
    pub fn start(program: &Path) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let program = program.to_owned();
        let mut driven = Self { dir, program, running: None, wall_ms: START_MS };
        driven.start_again()?;
        Ok(driven)
    }

    /// Starts it again on the same data, with its wall clock where it was.
    ///
    /// # Errors
    /// Why it does not come up.
    pub fn start_again(&mut self) -> io::Result<()> {
        let mut child = Command::new(&self.program)
            .arg("serve-driven")
            .arg(self.dir.path())
            .arg(self.wall_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        let mut answers = BufReader::new(answers);
        let mut first = String::new();
        answers.read_line(&mut first)?;
        let address = first.trim_end().parse().map_err(io::Error::other)?;
        self.running = Some(Running { child, commands, answers, address });
        Ok(())
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("a running server").address
    }

    /// The process's id.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.running.as_ref().expect("a running server").child.id()
    }

    /// Kills it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Fails only when it has ended already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Lets time pass on both clocks.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn advance(&mut self, ms: u64) -> io::Result<()> {
        self.wall_ms += ms;
        self.command(&format!("advance {ms}")).map(|_| ())
    }

    /// Sets the wall clock alone.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn step_wall_to(&mut self, ms: u64) -> io::Result<()> {
        self.wall_ms = ms;
        self.command(&format!("wall {ms}")).map(|_| ())
    }

    /// The server's present instant, and how many records and expiry rows it holds.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn look(&mut self) -> io::Result<(u64, u64, u64)> {
        let answer = self.command("look")?;
        let mut numbers = answer.split(' ').map(|number| number.parse().map_err(io::Error::other));
        let mut next = || numbers.next().unwrap_or_else(|| Err(io::Error::other("too few")));
        Ok((next()?, next()?, next()?))
    }

    fn command(&mut self, command: &str) -> io::Result<String> {
        let running = self.running.as_mut().ok_or_else(|| io::Error::other("not running"))?;
        writeln!(running.commands, "{command}")?;
        let mut answer = String::new();
        running.answers.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Is such a server: serves `dir` and obeys the lines of standard input, until that ends.
///
/// # Errors
/// Why it cannot serve.
pub fn serve(dir: &Path, wall_ms: u64) -> Result<(), Box<dyn std::error::Error>> {
    let file = dir.join("driven.toml");
    std::fs::write(&file, format!("admin_token = '{TOKEN}'\ndata = 'data'\nlog = 'warn'\n"))?;
    let config = Config::resolve(Settings { config: Some(file), ..Settings::default() }, [])?;
    let driver = DrivenClock::at(Millis(wall_ms));
    let clock = Clock::driven(&driver);
    let server = Server::open(config, clock.clone())?;
    let storage = server.storage().clone();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(server.serve(listener, pending())))
    });
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number = number.parse()?;
        match command {
            "advance" => driver.advance(number),
            "wall" => driver.step_wall_to(Millis(number)),
            _ => {}
        }
        let (records, rows) = storage.stored_rows()?;
        println!("{} {records} {rows}", clock.now().0);
    }
    Ok(())
}
