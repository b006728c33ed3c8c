//! A thread that does something again and again until it is stopped. Knows nothing of what that is.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A running thread. Dropping it stops it.
pub struct Periodic {
    name: &'static str,
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

/// Tells the thread whether to end.
pub struct Stop(Receiver<()>);

impl Stop {
    /// Whether it is to end now, for work that takes long.
    pub fn is_asked(&self) -> bool {
        self.0.try_recv() != Err(TryRecvError::Empty)
    }
}

impl Periodic {
    /// Starts a thread that calls `step` after each `interval`.
    pub fn start(
        name: &'static str,
        interval: Duration,
        mut step: impl FnMut(&Stop) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let stop = Stop(receiver);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while stop.0.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                step(&stop);
            }
        });
        let thread = thread.inspect_err(|error| tracing::error!(%error, name, "no such thread"));
        Self { name, running: Mutex::new(thread.ok().map(|thread| (sender, thread))) }
    }

    /// Stops the thread and waits for it.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = running {
            drop(sender);
            if thread.join().is_err() {
                tracing::error!(name = self.name, "the thread had stopped with a panic");
            }
        }
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.stop();
    }
}
