//! A siege of a server: rude clients of all kinds come again and again, and how long the server bore them
//! is judged, with what good clients and its memory say. Knows no kind of client more closely.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use larder::runtime::{Priority, give_way};
use larder_bench::system::{Process, raise_open_files};
use larder_tests::Larder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::floods::Flood;
use super::good::{self, Served};
use super::server::{Limits, PATIENCE, Server, put_large};
use super::slow::{Slow, rest};

/// A server that is flooded is to close by then.
const FLOOD_LIMIT: Duration = Duration::from_secs(1);
/// Memory that a connection may take on the average, besides what large answers take together.
const CONNECTION_KIB: u64 = 128;
/// What one may take besides that has as many streams of HTTP/2 as it may.
const STREAMS_KIB: u64 = 1280;
/// Memory that the server may keep when all are gone, of what it took meanwhile, and in any case.
const KEPT_SHARE: f64 = 0.25;
const KEPT_KIB: u64 = 64 << 10;
const WARM_UP: Duration = Duration::from_secs(3);
const MEMORY_LOOK: Duration = Duration::from_millis(200);

/// How long each kind of rude connection was borne, beyond its limit.
#[derive(Debug, Default)]
pub struct Closings {
    worst: BTreeMap<String, Duration>,
    /// Connections that the server closed.
    pub closed: u64,
    late: u64,
    refused: u64,
}

impl Closings {
    fn add(&mut self, kind: String, limit: Duration, grace: Duration, took: io::Result<Duration>) {
        match took {
            Ok(took) => {
                let over = took.saturating_sub(limit);
                self.closed += 1;
                self.late += u64::from(over > grace);
                let worst = self.worst.entry(kind).or_default();
                *worst = (*worst).max(over);
            }
            // It was made room of, or never got in.
            Err(_) => self.refused += 1,
        }
    }

    /// How many kinds of rude connections were closed.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.worst.len()
    }

    /// Whether each was closed in time.
    ///
    /// # Errors
    /// Which were not.
    pub fn judge(&self, grace: Duration) -> Result<(), String> {
        let late: Vec<_> = self.worst.iter().filter(|(_, over)| **over > grace).collect();
        if late.is_empty() {
            return Ok(());
        }
        Err(format!("{} connections were closed late, by {late:?}", self.late))
    }
}

/// Rude clients of one server, on a thread of their own.
pub struct Rabble {
    stop: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
    closings: Arc<Mutex<Closings>>,
    open: Arc<AtomicUsize>,
}

impl Rabble {
    /// Has so many slow clients of these kinds and one of each flood come, and come again when they were
    /// closed.
    ///
    /// # Errors
    /// When there are no threads.
    pub fn start(
        server: &Server,
        slow: usize,
        kinds: &'static [Slow],
        limits: Limits,
    ) -> io::Result<Self> {
        raise_open_files();
        let (stop, stopped) = watch::channel(false);
        let (closings, open) = (Arc::<Mutex<Closings>>::default(), Arc::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (server, counts) = (server.clone(), (Arc::clone(&closings), Arc::clone(&open)));
        let thread = thread::spawn(move || {
            // What rude clients cost by themselves is not the server's. Without this they are harsher.
            let _ = give_way(Priority::Idle);
            runtime.block_on(play(server, (slow, kinds), limits, counts, stopped));
        });
        Ok(Self { stop, thread, closings, open })
    }

    /// Slow clients that are connected, or about to be.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Sends all of them away, and says what they saw.
    #[must_use]
    pub fn stop(self) -> Closings {
        self.stop.send_replace(true);
        // A thread that panicked has seen nothing.
        let _ = self.thread.join();
        std::mem::take(&mut *self.closings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Counts = (Arc<Mutex<Closings>>, Arc<AtomicUsize>);

async fn play(
    server: Server,
    (slow, kinds): (usize, &[Slow]),
    limits: Limits,
    (closings, open): Counts,
    mut stopped: watch::Receiver<bool>,
) {
    let server = Arc::new(server);
    let mut clients = JoinSet::new();
    for number in 0..slow {
        let kind = kinds[number % kinds.len()];
        let (server, closings, open) =
            (Arc::clone(&server), Arc::clone(&closings), Arc::clone(&open));
        clients.spawn(async move {
            loop {
                rest(number).await;
                open.fetch_add(1, Ordering::AcqRel);
                let took = kind.play(&server, number, &limits).await;
                open.fetch_sub(1, Ordering::AcqRel);
                let (was, took) = match took {
                    Ok((was, took)) => (was, Ok(took)),
                    Err(error) => (kind, Err(error)),
                };
                let mut closings = closings.lock().unwrap_or_else(PoisonError::into_inner);
                closings.add(format!("{was:?}"), was.limit(&limits), limits.grace, took);
            }
        });
    }
    for (number, flood) in Flood::ALL.into_iter().enumerate() {
        let (server, closings) = (Arc::clone(&server), Arc::clone(&closings));
        clients.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let took = flood.play(&server, number, FLOOD_LIMIT + limits.grace + PATIENCE).await;
                let mut closings = closings.lock().unwrap_or_else(PoisonError::into_inner);
                closings.add(format!("flood of {flood:?}"), FLOOD_LIMIT, limits.grace, took);
            }
        });
    }
    // A sender that is gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
    clients.shutdown().await;
}

/// Memory of the server in KiB: before, at most, and when all rude clients were gone.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Before they came.
    pub before: u64,
    /// The most that was seen.
    pub most: u64,
    /// A while after they went.
    pub after: u64,
}

impl Memory {
    /// Whether it stayed within bounds: so much for each of `connections`, and what bodies and answers may
    /// take.
    ///
    /// # Errors
    /// What it was.
    pub fn judge(&self, connections: usize, limits: &Limits) -> Result<(), String> {
        let rooms = limits.answers_kib + limits.bodies_kib;
        let many = (connections * Slow::OF_MANY_STREAMS).div_ceil(Slow::ALL.len()) as u64;
        let connections = CONNECTION_KIB * connections as u64 + STREAMS_KIB * many;
        let bound = self.before + connections + rooms;
        if self.most > bound {
            return Err(format!("the memory grew beyond {bound} KiB: {self:?}"));
        }
        let grown = self.most.saturating_sub(self.before) as f64;
        if self.after as f64 > self.before as f64 + KEPT_KIB as f64 + KEPT_SHARE * grown {
            return Err(format!("the memory did not come back: {self:?}"));
        }
        Ok(())
    }
}

/// What a siege came to.
#[derive(Debug)]
pub struct Siege {
    /// How rude connections ended.
    pub closings: Closings,
    /// What good clients saw meanwhile.
    pub served: Served,
    /// The server's memory.
    pub memory: Memory,
}

impl Siege {
    /// Whether all that was promised held, speed aside.
    ///
    /// # Errors
    /// What did not.
    pub fn judge(&self, connections: usize, limits: &Limits) -> Result<(), String> {
        if let Some(wrong) = &self.served.wrong {
            return Err(wrong.clone());
        }
        if self.closings.closed == 0 || self.served.answers == 0 {
            return Err(format!("nothing happened: {self:?}"));
        }
        self.closings.judge(limits.grace)?;
        self.memory.judge(connections, limits)
    }
}

/// Besieges a server for a time with slow clients and floods, good clients beside them. In the midst of it
/// something else may happen.
///
/// # Errors
/// When it cannot be done, or the server does not serve afterwards.
pub fn besiege(
    larder: &Larder,
    server: &Server,
    slow: usize,
    limits: Limits,
    time: Duration,
    midst: impl FnOnce(),
) -> Result<Siege, String> {
    let told = |error: io::Error| error.to_string();
    let process = Process(larder.process_id());
    put_large(server)?;
    // A server that has served as many before has what it keeps for the next ones.
    let rabble = Rabble::start(server, slow, &Slow::ALL, limits).map_err(told)?;
    let ((), warmed) = good::beside(server.address, &server.token, || thread::sleep(WARM_UP));
    let _ = rabble.stop();
    let before = settled(process, server).map_err(told)?;
    let (outcome, served) = good::beside(server.address, &server.token, || {
        let rabble = Rabble::start(server, slow, &Slow::ALL, limits).map_err(told)?;
        let (mut most, mut midst) = (before, Some(midst));
        let begun = crate::exchange::now();
        while begun.elapsed() < time {
            if begun.elapsed() > time / 4
                && let Some(midst) = midst.take()
            {
                midst();
            }
            thread::sleep(MEMORY_LOOK);
            // A server that is gone is what good clients tell.
            most = most.max(process.rss_kib().unwrap_or(0));
        }
        Ok::<_, String>((rabble.stop(), most))
    });
    let (closings, most) = outcome?;
    let mut siege = Siege { closings, served, memory: Memory { before, most, after: most } };
    if siege.served.wrong.is_none() {
        siege.memory.after = settled(process, server).map_err(told)?;
        let (_, after) = good::beside(server.address, &server.token, || {
            thread::sleep(MEMORY_LOOK);
        });
        siege.served.wrong = after.wrong;
    }
    siege.served.wrong = warmed.wrong.or(siege.served.wrong);
    Ok(siege)
}

/// The memory when it falls no more, with little to do: the allocator gives back while it works.
fn settled(process: Process, server: &Server) -> io::Result<u64> {
    let (least, _) = good::beside(server.address, &server.token, || {
        let mut least = process.rss_kib()?;
        for _ in 0..20 {
            thread::sleep(MEMORY_LOOK);
            least = least.min(process.rss_kib()?);
        }
        Ok(least)
    });
    least
}
