//! Worker threads: takes connections, hands them out evenly, has idle ones make room when there are
//! too many, and winds them down. Each thread runs a loop of its own, so that nothing in it needs a
//! lock. What is answered is the [`Handler`]'s.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::activity::ActivityClock;
use super::closed::{Closed, ClosedCounts};
use super::connection::{self, ConnectionLimits};
use super::eviction::{Connections, Tracked};
use super::handler::Handler;
use super::tls::Tls;
use crate::metrics::Counter;
use crate::process::allocator;

/// How long to rest when the system has no room for another connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// What the system holds of an answer beyond what the client has room for.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;
/// How often a worker looks whether it has nothing to do.
const REST: Duration = Duration::from_secs(1);
/// A worker may have one in so many connections more than another and still be given the next one.
const HARDLY_MORE_SHARE: usize = 8;
/// How long a worker has to make room before the next one is asked.
const ROOM_TIME: Duration = Duration::from_millis(50);

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Workers {
    /// Threads.
    pub count: usize,
    /// Connections at once, over all threads.
    pub connections_max: usize,
    /// Limits of each connection.
    pub connection: ConnectionLimits,
    /// TLS, unless connections are plain.
    pub tls: Option<Tls>,
    /// How long a shutdown waits for what runs.
    pub drain_time_max: Duration,
}

/// What the workers do together, for whoever watches them.
#[derive(Debug, Default)]
pub struct Serving {
    accepted: Counter,
    closed: ClosedCounts,
    open: AtomicUsize,
    stopping: AtomicBool,
}

impl Serving {
    /// Connections that were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Connections that were closed so far, by why.
    #[must_use]
    pub fn closed(&self) -> &ClosedCounts {
        &self.closed
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Begins a shutdown: from now on the server is not ready, though it serves on.
    pub fn stop(&self) {
        if !self.stopping.swap(true, Ordering::AcqRel) {
            tracing::info!("shutting down");
        }
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl Workers {
    /// Serves connections with a handler for each thread until `over` is ready; then takes no
    /// more, finishes what runs within the drain's limit, and returns what `over` gave. Tells
    /// `serving` what happens.
    pub async fn serve<H: Handler, T>(
        &self,
        listener: TcpListener,
        handler: impl Fn() -> H + Clone + Send + 'static,
        over: impl Future<Output = T>,
        serving: &Arc<Serving>,
    ) -> io::Result<T> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        hold_back_little(&listener);
        let (stop, stopped) = watch::channel(false);
        let threads = (0..self.count)
            .map(|number| self.start(number, handler.clone(), stopped.clone(), serving))
            .collect::<io::Result<Vec<_>>>()?;
        let connections = Arc::new(Semaphore::new(self.connections_max));
        let over = tokio::select! {
            over = over => over,
            error = accept(&listener, &threads, &connections, serving) => return Err(error),
        };
        // Before anybody can hear of it.
        serving.stop();
        drop(listener);
        stop.send_replace(true);
        join(threads, self.drain_time_max).await;
        Ok(over)
    }

    fn start<H: Handler>(
        &self,
        number: usize,
        handler: impl Fn() -> H + Send + 'static,
        stopped: watch::Receiver<bool>,
        serving: &Arc<Serving>,
    ) -> io::Result<WorkerThread> {
        let (connections, mut arriving) = mpsc::unbounded_channel::<Message>();
        let open = Arc::new(AtomicUsize::new(0));
        let (counted, serving) = (Arc::clone(&open), Arc::clone(serving));
        let (limits, drain, tls) = (self.connection, self.drain_time_max, self.tls.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let (handler, tls) = (handler(), Rc::new(tls));
            let mut running = JoinSet::new();
            let tracked = Rc::<Connections>::default();
            LocalSet::new().block_on(&runtime, async {
                spawn_local(rest(tracked.clock.clone()));
                while let Some(message) = arriving.recv().await {
                    let Message::Arrival(stream, permit) = message else {
                        if tracked.evict_idle() {
                            serving.closed.count(Closed::Evicted);
                        }
                        continue;
                    };
                    // Those that have ended need not be kept until the shutdown.
                    while let Some(ended) = running.try_join_next() {
                        report(ended);
                    }
                    let (counted, serving) = (Arc::clone(&counted), Arc::clone(&serving));
                    let (activity, entry) = tracked.track();
                    let open = Open { counted, serving, entry, _permit: permit };
                    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
                    let (handler, stopped) = (handler.clone(), stopped.clone());
                    let tls = Rc::clone(&tls);
                    let (number, seen) = (open.entry.number(), Rc::clone(&activity));
                    let done = Rc::clone(&activity);
                    let task = running.spawn_local(async move {
                        let tls = (*tls).as_ref();
                        connection::serve(stream, tls, handler, limits, stopped, activity).await;
                        if let Some(closed) = done.closed() {
                            open.serving.closed.count(closed);
                        }
                        drop(open);
                    });
                    tracked.add(number, seen, task);
                }
                let ended = async {
                    while let Some(ended) = running.join_next().await {
                        report(ended);
                    }
                };
                if timeout(drain, ended).await.is_err() {
                    tracing::warn!(connections = running.len(), "the drain's time is over");
                }
            });
        };
        let thread = thread::Builder::new().name(format!("larder-worker-{number}")).spawn(work)?;
        Ok(WorkerThread { connections, open, thread })
    }
}

/// Gives memory back when nothing has happened for a while, and only once. By itself the allocator would
/// do so only while this thread goes on to work.
async fn rest(clock: ActivityClock) {
    let (mut seen, mut given_back) = (0, 0);
    loop {
        sleep(REST).await;
        let count = clock.count();
        if count == seen && count != given_back {
            allocator::give_back();
            given_back = count;
        }
        seen = count;
    }
}

/// What the acceptor tells a worker.
enum Message {
    /// To serve a connection.
    Arrival(TcpStream, OwnedSemaphorePermit),
    /// To close an idle connection, since there are too many.
    EvictIdle,
}

struct WorkerThread {
    connections: mpsc::UnboundedSender<Message>,
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// An open connection: counted with its worker, and against the limit of all.
struct Open {
    counted: Arc<AtomicUsize>,
    serving: Arc<Serving>,
    entry: Tracked,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counted.fetch_sub(1, Ordering::AcqRel);
        self.serving.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has the system take only a little more of an answer than it can send, on all connections of this
/// listener. Else its buffers hold megabytes for each client that is slow to read, which nothing here
/// counts, and an answer seems taken that is not.
fn hold_back_little(listener: &tokio::net::TcpListener) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(%error, "the system decides how much unsent it holds");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
}

/// Hands each new connection to a worker. Beyond the limit idle connections make room for it; while
/// there are none, it waits, and the next ones wait in the system's queue. Returns only when there is
/// no worker left.
async fn accept(
    listener: &tokio::net::TcpListener,
    workers: &[WorkerThread],
    connections: &Arc<Semaphore>,
    serving: &Serving,
) -> io::Error {
    let gone = || io::Error::other("a worker thread has ended");
    let mut last = 0;
    loop {
        let stream = match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let permit = match Arc::clone(connections).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match room(workers, connections).await {
                Some(permit) => permit,
                None => return gone(),
            },
        };
        let open = workers.iter().map(|worker| worker.open.load(Ordering::Acquire));
        last = next_worker(&open.collect::<Vec<_>>(), last);
        let Some(worker) = workers.get(last) else { return gone() };
        worker.open.fetch_add(1, Ordering::AcqRel);
        serving.accepted.increment();
        serving.open.fetch_add(1, Ordering::Relaxed);
        if worker.connections.send(Message::Arrival(stream, permit)).is_err() {
            return gone();
        }
    }
}

/// The worker for the next connection, by how many each has: in turn, of those that have hardly more
/// than the one with the fewest. By that one alone, clients that come together would all be one
/// worker's when many idle connections of it have just gone.
fn next_worker(open: &[usize], last: usize) -> usize {
    let fewest = open.iter().copied().min().unwrap_or(0);
    let hardly_more = fewest + fewest / HARDLY_MORE_SHARE;
    let after = (1..=open.len()).map(|step| (last + step) % open.len());
    after.into_iter().find(|worker| open[*worker] <= hardly_more).unwrap_or(0)
}

/// Has the workers make room, one after the other and those with the most connections first, until
/// there is some.
async fn room(
    workers: &[WorkerThread],
    connections: &Arc<Semaphore>,
) -> Option<OwnedSemaphorePermit> {
    let mut asked: Vec<&WorkerThread> = workers.iter().collect();
    asked.sort_by_key(|worker| std::cmp::Reverse(worker.open.load(Ordering::Acquire)));
    for worker in asked.into_iter().cycle() {
        worker.connections.send(Message::EvictIdle).ok()?;
        let free = Arc::clone(connections).acquire_owned();
        if let Ok(permit) = timeout(ROOM_TIME, free).await {
            return permit.ok();
        }
    }
    None
}

/// A connection that panicked took nobody with it, but is a fault to be mended; one that made room is
/// none.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!(%error, "a connection ended with a panic");
    }
}

/// Ends the workers and waits for them a little longer than they may take.
async fn join(threads: Vec<WorkerThread>, drain: Duration) {
    let handles: Vec<_> = threads.into_iter().map(|worker| worker.thread).collect();
    let joined = tokio::task::spawn_blocking(|| {
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a worker thread had panicked");
            }
        }
    });
    if timeout(drain + Duration::from_secs(1), joined).await.is_err() {
        tracing::error!("a worker thread does not end; leaving it behind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out so many connections, and says how many each worker got.
    fn handed_out(mut open: Vec<usize>, connections: usize) -> Vec<usize> {
        let before = open.clone();
        let mut last = 0;
        for _ in 0..connections {
            last = next_worker(&open, last);
            open[last] += 1;
        }
        open.iter().zip(before).map(|(open, before)| open - before).collect()
    }

    #[test]
    fn few_connections_are_even_and_many_that_come_together_too() {
        assert_eq!(handed_out(vec![0, 0, 0], 7).iter().max(), Some(&3));
        assert_eq!(handed_out(vec![2, 0], 2), [0, 2]);
        assert_eq!(handed_out(vec![5000, 4600], 32), [16, 16]);
        assert_eq!(handed_out(vec![5000, 3000], 32), [0, 32]);
        assert_eq!(next_worker(&[], 0), 0);
    }
}
