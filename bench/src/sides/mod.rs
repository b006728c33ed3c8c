//! The sides of a comparison. Each runs in a process of its own, so that its processor time and
//! memory are its alone; this file is what happens in that process, `child` starts it.

mod alone;
pub mod child;
pub mod fill;
mod floor;
mod native;

use std::error::Error;
use std::fs;
use std::future::{Future, pending};
use std::io::{BufRead, Write, stdin, stdout};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use larder::clock::Clock;
use larder::config::{Config, Settings};
use larder::net::handler::Handler;
use larder::runtime::Runtime;
use larder::server::Server;
use larder::storage::{Options, Storage};
use tempfile::TempDir;

use self::fill::Filling;
use self::floor::Floor;
use self::native::Native;
use crate::failure::Failure;
use crate::load::template::TOKEN;

/// What a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// A constant answer.
    Floor,
    /// Storage and codecs without a sandbox.
    Native,
    /// The server as it is.
    Reused,
    /// The server with an instance for each request.
    Fresh,
    /// Storage without HTTP.
    Storage,
    /// Fills a store and ends.
    Fill,
}

impl Side {
    /// Its name in tables and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Native => "native",
            Self::Reused => "reused",
            Self::Fresh => "fresh",
            Self::Storage => "storage",
            Self::Fill => "fill",
        }
    }
}

/// How a side is started.
#[derive(Args, Clone, Debug)]
pub struct SideArgs {
    /// Which one
    #[arg(value_enum)]
    pub side: Side,
    /// What is in its store
    #[command(flatten)]
    pub filling: Filling,
    /// Folder in which it makes its data directory, and removes it
    #[arg(long)]
    pub dir: PathBuf,
    /// Data directory that it uses instead, and keeps; filled already when it is there
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// The process of a side: opens, fills, serves, and ends when its standard input does.
pub fn run(args: &SideArgs) -> Result<(), Failure> {
    let temporary = tempfile::Builder::new().prefix("data-").tempdir_in(&args.dir)?;
    let data = args.data.clone().unwrap_or_else(|| temporary.path().join("data"));
    let filling = (!data.exists()).then_some(&args.filling);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let listening = format!("listening on {}", listener.local_addr()?);
    match args.side {
        Side::Floor => {
            let floor = Floor::new(args.filling.value_bytes);
            serve(config(&temporary, &data, false)?, listener, move || floor.clone());
        }
        Side::Native | Side::Reused | Side::Fresh => {
            let config = config(&temporary, &data, args.side == Side::Fresh)?;
            let server = Server::open(config, Clock::system())?;
            prepare(server.storage(), filling, &data)?;
            let is_native = args.side == Side::Native;
            background(async move || {
                let storage = server.storage().clone();
                let served = if is_native {
                    let native = move |_: &Runtime| Native::new(storage.clone());
                    server.serve_with(listener, pending(), native).await
                } else {
                    server.serve(listener, pending()).await
                };
                if let Err(error) = served {
                    eprintln!("the server: {error}");
                }
            });
        }
        Side::Storage | Side::Fill => {
            let storage = Storage::open(&data, Options::default(), Clock::system())?;
            prepare(&storage, filling, &data)?;
            if args.side == Side::Fill {
                storage.close();
                return say("filled");
            }
            say("ready")?;
            return measure_on_demand(&storage, &args.filling);
        }
    }
    say(&listening)?;
    // Nothing is ever written to it: it ends when whoever started this process ends.
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(())
}

/// Fills a store that is not filled yet, and has its file in memory.
fn prepare(storage: &Storage, filling: Option<&Filling>, data: &Path) -> Result<(), Failure> {
    if let Some(filling) = filling {
        filling.fill(storage)?;
    }
    Ok(fill::read_once(data)?)
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Measures storage alone at each line of `THREADS MILLISECONDS`, and answers a line of JSON.
fn measure_on_demand(storage: &Storage, filling: &Filling) -> Result<(), Failure> {
    for line in stdin().lock().lines() {
        let line = line?;
        let (threads, ms) = line.split_once(' ').ok_or("two numbers make a measurement")?;
        let time = Duration::from_millis(ms.parse()?);
        let figure = alone::measure(storage, filling, threads.parse()?, time)?;
        say(&serde_json::to_string(&figure)?)?;
    }
    Ok(())
}

/// The server's own configuration; with `fresh` every request gets an instance of its own.
fn config(dir: &TempDir, data: &Path, fresh: bool) -> Result<Config, Box<dyn Error>> {
    let file = dir.path().join("larder.toml");
    let mount =
        "[[mount]]\nprefix = \"/api\"\ncomponent = \"builtin:api\"\ninstance_calls_max = 1\n";
    let mount = if fresh { mount } else { "" };
    fs::write(&file, format!("admin_token = \"{TOKEN}\"\n{mount}"))?;
    let data = Some(data.to_owned());
    let args = Settings { config: Some(file), data, ..Settings::default() };
    Ok(Config::resolve(args, [])?)
}

fn background<F: Future<Output = ()>>(run: impl FnOnce() -> F + Send + 'static) {
    thread::spawn(|| match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => eprintln!("no runtime: {error}"),
    });
}

fn serve<H: Handler>(
    config: Config,
    listener: TcpListener,
    handler: impl Fn() -> H + Clone + Send + 'static,
) {
    background(async move || {
        let served =
            config.workers.serve(listener, handler, pending::<()>(), &Arc::default()).await;
        if let Err(error) = served {
            eprintln!("a side: {error}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{self, Stream, Work};
    use crate::system::Process;

    const TURN: Duration = Duration::from_millis(50);

    #[test]
    fn the_server_answers_every_work_as_the_load_expects() -> Result<(), Failure> {
        let temporary = tempfile::tempdir()?;
        let data = temporary.path().join("data");
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = Server::open(config(&temporary, &data, false)?, Clock::system())?;
        let filling = Filling { keys: 300, value_bytes: 100, ..Filling::none() };
        prepare(server.storage(), Some(&filling), &data)?;
        background(async move || {
            server.serve(listener, pending()).await.expect("a server");
        });
        for work in [
            Work::Get,
            Work::Set,
            Work::Half,
            Work::Cas,
            Work::List,
            Work::Batch,
            Work::Add,
            Work::Plain,
        ] {
            let (keys, value_bytes) = (filling.keys, filling.value_bytes);
            let stream = Stream { keys, value_bytes, ..Stream::new(work, 2) };
            let figures = load::run(address, &[stream], TURN, Process(std::process::id()))?;
            assert!(figures[0].requests_per_s > 0.0, "{work:?}");
        }
        Ok(())
    }
}
