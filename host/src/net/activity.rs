//! What a connection has done, and what it is doing: bytes, requests, and answers under way. For
//! those who watch it and those who serve it; knows no byte's meaning.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::closed::Closed;
use super::rooms::Share;

/// Counts what happens on a worker: arrivals, answers and ends of its connections. It is the clock by
/// which idleness is judged: what matters is how much happened since, and reading it costs a request
/// nothing.
#[derive(Clone, Default)]
pub struct ActivityClock(Rc<Cell<u64>>);

impl ActivityClock {
    /// How much has happened so far.
    pub fn count(&self) -> u64 {
        self.0.get()
    }

    /// Counts one more, and says how much that makes.
    pub fn add(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// Streams of a connection that may be reset in a second before the body has ended: h2 remembers fifty for
/// a second, and takes what arrives for others as an error of the connection's.
const RESETS_A_SECOND: u32 = 40;

/// Numbers all connections of the process.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// What a connection has done so far, and what it is doing.
#[derive(Default)]
pub struct Activity {
    /// Tells it from all others.
    pub number: u64,
    /// Bytes that have arrived.
    pub read_bytes: Cell<u64>,
    /// Bytes that were sent.
    pub written_bytes: Cell<u64>,
    /// Whether bytes wait for the client to take them.
    pub is_stuck: Cell<bool>,
    /// Whether the connection is to be reset when it ends: what the client has not taken is thrown
    /// away, also by the system, which would otherwise go on offering it for minutes.
    pub is_cut: Cell<bool>,
    /// Whether the client still sends what nobody reads: the connection is closed once it has stopped.
    pub is_left: Cell<bool>,
    /// Whether the socket is to be asked for an error when it is next flushed: nobody reads while an
    /// answer is made.
    pub is_asked: Cell<bool>,
    /// Requests that are being answered.
    pub running: Cell<u32>,
    /// Requests that were answered.
    pub answered: Cell<u64>,
    /// Bytes that had been read when the last request was answered.
    pub answered_at_bytes: Cell<u64>,
    /// When the last request was answered, or the connection came, by its worker's clock.
    pub active_at: Cell<u64>,
    /// Why it was closed, if it did not end in order: the first reason of all.
    closed: Cell<Option<Closed>>,
    clock: ActivityClock,
    /// Answers that the client has not taken yet, with the time since when; only those that are
    /// watched.
    sending: RefCell<BTreeMap<u64, Instant>>,
    answers_watched: Cell<u64>,
    /// Resets in the second that began then.
    resets: Cell<(u32, Option<Instant>)>,
}

impl Activity {
    /// Of a connection that came now, to the worker that has this clock.
    #[must_use]
    pub fn new(clock: &ActivityClock) -> Self {
        let active_at = Cell::new(clock.count());
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Self { number, clock: clock.clone(), active_at, ..Self::default() }
    }

    /// Begins to count bytes anew, with so many that were read already.
    pub fn restart(&self, read_bytes: u64) {
        self.read_bytes.set(read_bytes);
        self.written_bytes.set(0);
        self.answered_at_bytes.set(0);
        self.is_stuck.set(false);
    }

    /// Whether part of a request has arrived that nobody answers yet.
    pub fn is_partial(&self) -> bool {
        self.read_bytes.get() > self.answered_at_bytes.get()
    }

    /// Whether nobody waits for anything: neither the client for an answer nor an answer for it.
    pub fn is_idle(&self) -> bool {
        self.running.get() == 0 && !self.is_stuck.get() && self.sending.borrow().is_empty()
    }

    /// Whether one more stream may be reset now; counts it.
    pub fn may_reset(&self) -> bool {
        let now = Instant::now();
        let (count, since) = self.resets.get();
        let since = since.filter(|since| now.duration_since(*since) < Duration::from_secs(1));
        let count = since.map_or(0, |_| count);
        let may = count < RESETS_A_SECOND;
        self.resets.set((count + u32::from(may), Some(since.unwrap_or(now))));
        may
    }

    /// Why it was closed, unless it ended in order.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.get()
    }

    /// Says why it is closed. What comes of that is no reason of its own.
    pub fn close_for(&self, reason: Closed) {
        if self.closed.get().is_none() {
            self.closed.set(Some(reason));
        }
    }

    /// Since when the client has been taking the oldest of the answers that are watched.
    pub fn sending_since(&self) -> Option<Instant> {
        self.sending.borrow().first_key_value().map(|(_, since)| *since)
    }
}

/// A request that is being answered.
pub struct Running(Rc<Activity>);

impl Running {
    /// Counts one more, until it is dropped.
    pub fn begin(activity: &Rc<Activity>) -> Self {
        activity.running.set(activity.running.get() + 1);
        Self(Rc::clone(activity))
    }

    /// Counts it as answered, which one whose client went away is not.
    pub fn answered(self) {
        self.0.answered.set(self.0.answered.get() + 1);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.answered_at_bytes.set(self.0.read_bytes.get());
        self.0.active_at.set(self.0.clock.add());
    }
}

/// An answer that the client has not taken yet, and the room that it takes.
pub struct Sending {
    activity: Rc<Activity>,
    number: u64,
    _room: Option<Share>,
}

impl Sending {
    /// Begins to send, until it is dropped.
    pub fn begin(activity: &Rc<Activity>, room: Option<Share>) -> Self {
        let number = activity.answers_watched.get();
        activity.answers_watched.set(number + 1);
        activity.sending.borrow_mut().insert(number, Instant::now());
        Self { activity: Rc::clone(activity), number, _room: room }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.activity.sending.borrow_mut().remove(&self.number);
        self.activity.clock.add();
    }
}
