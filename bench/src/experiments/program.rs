//! The built program from outside: how soon it answers after a start, and what memory it takes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use larder_wire::Encoding;
use rustix::process::{Pid, Signal, kill_process};

use super::bench::Bench;
use super::size;
use crate::clock::now_ns;
use crate::failure::Failure;
use crate::load::template::{self, TOKEN};
use crate::report::results::{Finding, Goal, Spread};
use crate::system::Process;

const STARTS: usize = 10;
const MEMORY_STARTS: usize = 5;
const IDLE_CONNECTIONS: usize = 10_000;
/// Room for them, and for whatever else connects.
const CONNECTIONS_MAX: &str = "10100";
/// Longer than a connection is idle before it gives back what serving it takes.
const REST: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The program, serving.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts it on a data directory; ready as soon as it says where it listens.
    fn start(program: &Path, data: &Path) -> Result<Self, Failure> {
        let program = fs::canonicalize(program)
            .map_err(|error| format!("{}: {error}; see --program", program.display()))?;
        // The program makes the folder itself, private.
        let parent = fs::canonicalize(data.parent().ok_or("a data directory in nothing")?)?;
        let data = parent.join(data.file_name().ok_or("a data directory without a name")?);
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error"])
            .args(["--connections-max", CONNECTIONS_MAX, "--data"])
            .arg(&data)
            .current_dir(&parent)
            .env_clear()
            .env("LARDER_ADMIN_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no pipe to the program")?;
        let mut first = String::new();
        BufReader::new(out).read_line(&mut first)?;
        let address = first.trim_end().strip_prefix("listening on http://");
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            child.kill()?;
            child.wait()?;
            return Err(format!("the program said {first:?}").into());
        };
        Ok(Self { child, address })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// One get on a new connection, which is given back.
fn ask(address: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(template::http1(Encoding::MessagePack, None).bytes())?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let read = stream.read(&mut answer)?;
    if !answer[..read].starts_with(b"HTTP/1.1 200") {
        let said = String::from_utf8_lossy(&answer[..read]).into_owned();
        return Err(format!("the program answered {said:?}").into());
    }
    Ok(stream)
}

/// From the start to the first answer, in milliseconds.
fn first_answer_ms(program: &Path, data: &Path) -> Result<f64, Failure> {
    let begin = now_ns();
    let running = Program::start(program, data)?;
    let stream = ask(running.address)?;
    let taken = now_ns() - begin;
    drop(stream);
    Ok(taken as f64 / 1e6)
}

/// Starts on a million keys, the first with nothing compiled yet.
pub fn start(bench: &mut Bench) -> Result<(), Failure> {
    let program = bench.plan.program.clone();
    let data = size::million(bench)?;
    if data.join("cache").exists() {
        fs::remove_dir_all(data.join("cache"))?;
    }
    println!("\nstart to the first answer, 1,000,000 keys of 100 B");
    let ms = |name: &str, spread, goal| Finding {
        name: name.to_owned(),
        unit: " ms".to_owned(),
        spread,
        goal,
    };
    let cold = first_answer_ms(&program, &data)?;
    bench.find(ms("start, nothing compiled", Spread::of([cold].into_iter()), None));
    let warm: Vec<f64> =
        (0..STARTS).map(|_| first_answer_ms(&program, &data)).collect::<Result<_, _>>()?;
    let spread = Spread::of(warm.into_iter());
    bench.find(ms("start, compiled before", spread, Some(Goal::AtMost(50.0))));
    Ok(())
}

/// Memory after a start, and of idle connections; of several starts, since allocators and the system
/// give back when they like.
pub fn memory(bench: &mut Bench) -> Result<(), Failure> {
    let program = bench.plan.program.clone();
    fs::create_dir_all(bench.stores())?;
    let data = bench.stores().join("empty");
    // Compiles the guest.
    drop(Program::start(&program, &data)?);
    println!("\nmemory");
    let (mut idle, mut each) = (Vec::new(), Vec::new());
    for _ in 0..MEMORY_STARTS {
        let running = Program::start(&program, &data)?;
        let process = Process(running.child.id());
        thread::sleep(REST);
        let before = process.rss_kib()? as f64;
        idle.push(before / 1024.0);
        let connections =
            (0..IDLE_CONNECTIONS).map(|_| ask(running.address)).collect::<Result<Vec<_>, _>>()?;
        thread::sleep(REST);
        each.push((process.rss_kib()? as f64 - before) / IDLE_CONNECTIONS as f64);
        drop(connections);
    }
    let mut find = |name: &str, unit: &str, values: Vec<f64>, goal| {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        let spread = Spread::of(values.into_iter());
        bench.find(Finding { name, unit, spread, goal: Some(Goal::AtMost(goal)) });
    };
    find("memory, idle after a start", " MiB", idle, 40.0);
    find("memory, each of 10,000 idle connections", " KiB", each, 20.0);
    Ok(())
}
