//! The program `larder`: parses, resolves, serves, and exits with a code that tells how it went.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::io::{stderr, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use larder::cli::{Cli, Command};
use larder::clock::Clock;
use larder::config::{Config, Settings};
use larder::net::tls::Tls;
use larder::process::{allocator, console, fatal_signals, logging, program};
use larder::server::{self, Server};
use larder::{runtime, tools};
use mimalloc::MiMalloc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Small allocations are what a call costs most besides the sandbox itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit code for what must be mended before another start can succeed.
const EXIT_FAILURE: u8 = 1;
/// Exit code after a second signal, as the shell gives for SIGINT.
const EXIT_INTERRUPTED: i32 = 130;
/// How long what the server says may take to be taken: it serves, and ends, without readers too.
const SAY_TIME: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    allocator::prepare();
    let Cli { command } = Cli::parse();
    if matches!(command, Command::Compile) {
        // What faults there is no fault of the data.
        return runtime::compile();
    }
    fatal_signals::watch();
    match command {
        Command::Serve(settings) => match serve(*settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = console::write_within(stderr(), format!("larder: {error}\n"), SAY_TIME);
                ExitCode::from(EXIT_FAILURE)
            }
        },
        tool => tools::run(tool).unwrap_or_else(|error| {
            console::say(format_args!("larder: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }),
    }
}

fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    // Such a file is as good as a full disk.
    fatal_signals::tell_size_limits();
    let mut config = Config::resolve(settings, std::env::vars_os())?;
    config.compiler = Some(program::path());
    // To the end of this function, so that the last lines are written too.
    let _log = logging::start(&config.log, config.log_format)?;
    config.log();
    let address = config.listen;
    let server = Server::open(config, Clock::system())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        // Before the port opens, so that no signal is missed once somebody could send one.
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener = server::bind(address)?;
        tokio::spawn(reload(server.tls(), signal(SignalKind::hangup())?));
        announce(&server, listener.local_addr()?);
        server.serve(listener, signalled(terminate, interrupt)).await?;
        Ok(())
    });
    // What still hangs, as on a disk that does not answer, is left behind.
    runtime.shutdown_background();
    served
}

/// Tells whoever started the server where it listens; it serves without that too.
fn announce(server: &Server, address: SocketAddr) {
    let scheme = if server.tls().is_some() { "https" } else { "http" };
    let mut words = format!("listening on {scheme}://{address}\n");
    if let Some(path) = server.token_file() {
        words.push_str(&format!("the admin token is in {}\n", path.display()));
    }
    if let Err(error) = console::write_within(stdout(), words, SAY_TIME) {
        tracing::warn!(%error, %address, "listening, but standard output could not be told");
    }
}

/// Reads the certificate anew whenever the signal comes. Without one the signal has nothing to do, and
/// must not end the server as it does by default.
async fn reload(tls: Option<Tls>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        match tls.as_ref().map(Tls::reload) {
            None => tracing::info!("SIGHUP: there is no certificate to be read anew"),
            Some(Ok(())) => tracing::info!("the certificate was read anew"),
            Some(Err(error)) => {
                tracing::error!(%error, "the certificate cannot be used; the one of before stays");
            }
        }
    }
}

/// Ready at the first signal; the second ends the process on the spot.
async fn signalled(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(EXIT_INTERRUPTED);
    });
}
