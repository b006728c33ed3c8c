//! The load: callers on one thread, in a closed loop or at a fixed rate, and what a window of
//! their time came to. Knows protocols and requests; knows no side and no experiment.

mod answer;
mod caller;
mod closed;
mod http1;
mod http2;
pub mod keys;
pub mod latency;
mod open;
mod requests;
mod resp;
mod stream;
pub mod template;
mod window;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use self::caller::{Caller, Connection};
use self::keys::Choice;
use self::latency::{Done, Figure, Tally};
use self::open::Due;
pub use self::stream::{BATCH_KEYS, PAGE_KEYS, Pace, Protocol, Stream, Work};
use self::window::Window;
use crate::clock::{now_ns, own_cpu_us, sleep_until};
use crate::system::Process;

/// Time before the measurement, for connections and caches.
const WARM_UP: Duration = Duration::from_millis(250);
/// A run that takes so much longer than it should has hung.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that fill a server.
const FILL_CONNECTIONS: usize = 64;

/// A running part of a load, and where it counts.
struct Part {
    stream: Stream,
    callers: Vec<Caller>,
    tally: Arc<Mutex<Tally>>,
    due: Arc<Due>,
}

/// Runs all streams at once against one server and gives a figure for each. The server's
/// processor time and memory are those of all streams together.
pub fn run(
    address: SocketAddr,
    streams: &[Stream],
    time: Duration,
    server: Process,
) -> io::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = WARM_UP + time + PATIENCE;
    let done = runtime.block_on(async {
        tokio::time::timeout(limit, run_all(address, streams, time, server)).await
    });
    done.unwrap_or_else(|_| Err(io::Error::other("the server does not answer any more")))
}

async fn run_all(
    address: SocketAddr,
    streams: &[Stream],
    time: Duration,
    server: Process,
) -> io::Result<Vec<Figure>> {
    let mut parts = Vec::new();
    for (number, stream) in streams.iter().enumerate() {
        parts.push(connect(address, stream, number as u64).await?);
    }
    let begin_ns = now_ns() + WARM_UP.as_nanos() as u64;
    let window = Window { begin_ns, end_ns: begin_ns + time.as_nanos() as u64 };
    let mut running = JoinSet::new();
    for (number, part) in parts.iter_mut().enumerate() {
        start(part, number as u64, window, &mut running);
    }
    let usage = tokio::spawn(async move {
        sleep_until(window.begin_ns).await;
        let (before, own_before) = (server.cpu_us()?, own_cpu_us());
        sleep_until(window.end_ns).await;
        let cpu_us = (server.cpu_us()? - before, own_cpu_us() - own_before);
        io::Result::Ok((cpu_us, server.rss_kib()?, server.rss_peak_kib()?))
    });
    while let Some(done) = running.join_next().await {
        done.map_err(io::Error::other)??;
    }
    let ((cpu_us, own_cpu_us), rss_kib, rss_peak_kib) = usage.await.map_err(io::Error::other)??;
    let seconds = time.as_secs_f64();
    let figures = parts.iter().map(|part| part.figure(seconds));
    let mut figures: Vec<Figure> = figures.collect();
    let successes: f64 = figures.iter().map(|figure| figure.requests_per_s * seconds).sum();
    for figure in &mut figures {
        figure.cpu_us_per_request = cpu_us as f64 / successes.max(1.0);
        figure.client_core = own_cpu_us as f64 / 1e6 / seconds;
        figure.rss_kib = rss_kib;
        figure.rss_peak_kib = rss_peak_kib;
    }
    Ok(figures)
}

async fn connect(address: SocketAddr, stream: &Stream, number: u64) -> io::Result<Part> {
    let mut callers = Vec::with_capacity(stream.callers());
    for _ in 0..stream.connections {
        for connection in Connection::open(address, stream).await? {
            let seed = number << 32 | callers.len() as u64;
            callers.push(Caller {
                connection,
                work: stream.work,
                choice: Choice::random(seed, stream.choices()),
                value_bytes: stream.value_bytes,
                encoding: stream.encoding,
            });
        }
    }
    let tally = Arc::new(Mutex::new(Tally::new()?));
    Ok(Part { stream: stream.clone(), callers, tally, due: Arc::default() })
}

fn start(part: &mut Part, seed: u64, window: Window, running: &mut JoinSet<io::Result<()>>) {
    for caller in part.callers.drain(..) {
        let tally = Arc::clone(&part.tally);
        match part.stream.pace {
            Pace::Closed => running.spawn(closed::drive(caller, window, tally)),
            Pace::Rate(_) => {
                running.spawn(open::drive(caller, window, tally, Arc::clone(&part.due)))
            }
        };
    }
    if let Pace::Rate(per_s) = part.stream.pace {
        running.spawn(open::pace(per_s, seed, window, Arc::clone(&part.due)));
    }
}

impl Part {
    fn figure(&self, seconds: f64) -> Figure {
        let figure = self.tally.lock().unwrap_or_else(PoisonError::into_inner).figure(seconds);
        match self.stream.pace {
            Pace::Closed => figure,
            Pace::Rate(_) => {
                let (due, behind) = self.due.outcome();
                Figure { offered_per_s: Some(due as f64 / seconds), behind, ..figure }
            }
        }
    }
}

/// Writes every key once, through the server's own protocol.
pub fn fill(address: SocketAddr, stream: &Stream) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stream = Stream { connections: FILL_CONNECTIONS, ..stream.clone() };
    runtime.block_on(async {
        let part = connect(address, &stream, 0).await?;
        let next = Arc::new(AtomicU32::new(0));
        let mut running = JoinSet::new();
        for mut caller in part.callers {
            caller.choice = Choice::InOrder(Arc::clone(&next));
            let (next, keys) = (Arc::clone(&next), stream.keys);
            running.spawn(async move {
                while next.load(std::sync::atomic::Ordering::Relaxed) < keys {
                    let done = caller.turn().await?;
                    debug_assert_eq!(done, Done::Success, "a set without a condition");
                }
                io::Result::Ok(())
            });
        }
        while let Some(done) = running.join_next().await {
            done.map_err(io::Error::other)??;
        }
        Ok(())
    })
}
