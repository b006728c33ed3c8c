//! Worker threads: takes connections, hands each to the thread with the fewest, and winds them
//! down. Each thread runs a loop of its own, so that nothing in it needs a lock. What is answered
//! is the [`Handler`]'s.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio::time::timeout;

use crate::http::body::Reply;
use crate::http::connection::{self, ConnectionLimits};
use crate::metrics::Counter;
use crate::tls::Tls;

/// How long to rest when the system has no room for another connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Answers requests on one worker thread. The server's guests are one; benches have others.
pub trait Handler: Clone + 'static {
    /// Answers one request, whatever happens.
    fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = http::Response<Reply>> + 'static;
}

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
    open: AtomicUsize,
    stopping: AtomicBool,
}

impl Serving {
    /// Connections that were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
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
        serving.stopping.store(true, Ordering::Release);
        tracing::info!("shutting down");
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
        let (connections, mut arriving) = mpsc::unbounded_channel::<Arrival>();
        let open = Arc::new(AtomicUsize::new(0));
        let (counted, serving) = (Arc::clone(&open), Arc::clone(serving));
        let (limits, drain, tls) = (self.connection, self.drain_time_max, self.tls.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let (handler, tls) = (handler(), Rc::new(tls));
            let mut running = JoinSet::new();
            LocalSet::new().block_on(&runtime, async {
                while let Some((stream, permit)) = arriving.recv().await {
                    // Those that have ended need not be kept until the shutdown.
                    while let Some(ended) = running.try_join_next() {
                        report(ended);
                    }
                    let (counted, serving) = (Arc::clone(&counted), Arc::clone(&serving));
                    let open = Open { counted, serving, _permit: permit };
                    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
                    let (handler, stopped) = (handler.clone(), stopped.clone());
                    let tls = Rc::clone(&tls);
                    running.spawn_local(async move {
                        let tls = (*tls).as_ref();
                        connection::serve(stream, tls, handler, limits, stopped).await;
                        drop(open);
                    });
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

type Arrival = (TcpStream, OwnedSemaphorePermit);

struct WorkerThread {
    connections: mpsc::UnboundedSender<Arrival>,
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// An open connection: counted with its worker, and against the limit of all.
struct Open {
    counted: Arc<AtomicUsize>,
    serving: Arc<Serving>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counted.fetch_sub(1, Ordering::AcqRel);
        self.serving.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Hands each new connection to the worker with the fewest. Beyond the limit connections wait in
/// the system's queue. Returns only when there is no worker left.
async fn accept(
    listener: &tokio::net::TcpListener,
    workers: &[WorkerThread],
    connections: &Arc<Semaphore>,
    serving: &Serving,
) -> io::Error {
    let gone = || io::Error::other("a worker thread has ended");
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else { return gone() };
        let stream = match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let fewest = workers.iter().min_by_key(|worker| worker.open.load(Ordering::Acquire));
        let Some(worker) = fewest else { return gone() };
        worker.open.fetch_add(1, Ordering::AcqRel);
        serving.accepted.increment();
        serving.open.fetch_add(1, Ordering::Relaxed);
        if worker.connections.send((stream, permit)).is_err() {
            return gone();
        }
    }
}

/// A connection that panicked took nobody with it, but is a fault to be mended.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
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
