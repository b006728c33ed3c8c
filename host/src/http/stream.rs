//! A connection's bytes on their way in and out: tells HTTP/1 from HTTP/2 by the first of them,
//! counts, and closes in a way that lets the last of them arrive. Knows no request's content.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::frames::Frames;
use super::socket::Socket;

/// What HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read at first, to tell the protocol.
const FIRST_BYTES: usize = 2 << 10;

/// Whoever was sent less since the connection last rested has it before a reset can overtake it.
const LINGER_BYTES_MIN: u64 = 16 << 10;
/// A client that is silent for so long sends nothing more that could reset the connection.
const LINGER_SILENCE: Duration = Duration::from_secs(2);
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
const LINGER_READ_BYTES: usize = 4 << 10;

/// What a connection has done so far, and what it is doing.
#[derive(Default)]
pub struct Traffic {
    /// Bytes that have arrived.
    pub read_bytes: Cell<u64>,
    /// Bytes that were sent.
    pub written_bytes: Cell<u64>,
    /// Whether bytes wait for the client to take them.
    pub is_stuck: Cell<bool>,
    /// Whether the connection is to be reset when it ends: what the client has not taken is thrown
    /// away, also by the system, which would otherwise go on offering it for minutes.
    pub is_cut: Cell<bool>,
    /// Requests that are being answered.
    pub running: Cell<u32>,
    /// Requests that were answered.
    pub answered: Cell<u64>,
    /// Bytes that had been read when the last request was answered.
    pub answered_at_bytes: Cell<u64>,
    /// When the last request was answered, or the connection came, on the clock of its worker's
    /// connections.
    pub active_at: Cell<u64>,
    clock: Rc<Cell<u64>>,
    /// Answers that the client has not taken yet, with the time since when; only those that are
    /// watched.
    sending: RefCell<BTreeMap<u64, Instant>>,
    answers_watched: Cell<u64>,
}

impl Traffic {
    /// Of a connection that came now, on a clock that somebody else turns.
    #[must_use]
    pub fn new(clock: &Rc<Cell<u64>>) -> Self {
        let active_at = Cell::new(clock.get());
        Self { clock: Rc::clone(clock), active_at, ..Self::default() }
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

    /// Since when the client has been taking the oldest of the answers that are watched.
    pub fn sending_since(&self) -> Option<Instant> {
        self.sending.borrow().first_key_value().map(|(_, since)| *since)
    }
}

/// A request that is being answered.
pub struct Running(Rc<Traffic>);

impl Running {
    /// Counts one more, until it is dropped.
    pub fn begin(traffic: &Rc<Traffic>) -> Self {
        traffic.running.set(traffic.running.get() + 1);
        Self(Rc::clone(traffic))
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
        self.0.active_at.set(self.0.clock.get());
    }
}

/// An answer that the client has not taken yet, and the room that it takes.
pub struct Sending {
    traffic: Rc<Traffic>,
    number: u64,
    _room: Option<OwnedSemaphorePermit>,
}

impl Sending {
    /// Begins to send, until it is dropped.
    pub fn begin(traffic: &Rc<Traffic>, room: Option<OwnedSemaphorePermit>) -> Self {
        let number = traffic.answers_watched.get();
        traffic.answers_watched.set(number + 1);
        traffic.sending.borrow_mut().insert(number, Instant::now());
        Self { traffic: Rc::clone(traffic), number, _room: room }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.traffic.sending.borrow_mut().remove(&self.number);
    }
}

/// A connection whose protocol is known, with the bytes that told it put back before the rest.
pub struct Opened {
    /// The connection itself.
    pub stream: Socket,
    /// Bytes that were read from it and nobody has seen.
    pub first: Bytes,
    /// What it has done.
    pub traffic: Rc<Traffic>,
    /// Which protocol it speaks.
    pub is_http2: bool,
    /// Set once nothing more is sent.
    pub lingering: Option<Lingering>,
    /// What HTTP/2's frames are counted by.
    pub frames: Option<Frames>,
}

/// Waits for the client to close. The system answers what still arrives for a closed socket with a
/// reset, which throws away what the client has not yet been sent: the rest of an answer.
pub struct Lingering {
    silence: Pin<Box<Sleep>>,
    end: Instant,
}

impl Lingering {
    fn begin() -> Self {
        let end = Instant::now() + LINGER_TIME_MAX;
        Self { silence: Box::pin(sleep(LINGER_SILENCE)), end }
    }

    /// Reads and forgets until the client has closed or is silent.
    fn poll(&mut self, stream: &mut Socket, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; LINGER_READ_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(stream.tcp()).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let until = (Instant::now() + LINGER_SILENCE).min(self.end);
                    self.silence = Box::pin(sleep_until(until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.silence.as_mut().poll(context),
            }
            // Not even for a client that sends without end.
            if Instant::now() >= self.end {
                return Poll::Ready(());
            }
        }
    }
}

impl Opened {
    /// Reads as much as tells the protocol.
    pub async fn detect(mut stream: Socket, traffic: &Rc<Traffic>) -> io::Result<Self> {
        let mut first = BytesMut::with_capacity(FIRST_BYTES);
        let is_http2 = loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = first.len().min(PREFACE.len());
            if first[..length] != PREFACE[..length] {
                break false;
            }
            if length == PREFACE.len() {
                break true;
            }
        };
        traffic.read_bytes.set(first.len() as u64);
        let traffic = Rc::clone(traffic);
        let (first, frames) = (first.freeze(), is_http2.then(Frames::default));
        Ok(Self { stream, first, traffic, is_http2, lingering: None, frames })
    }

    /// The same connection between two requests, with what has arrived of the next.
    #[must_use]
    pub fn rested(self, first: Bytes) -> Self {
        self.traffic.restart(first.len() as u64);
        let mut rested = self;
        (rested.first, rested.lingering) = (first, None);
        rested
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.traffic.is_cut.get() {
            // At worst it is closed as others are.
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.first.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let read = buffer.filled().len() - before;
            self.traffic.read_bytes.set(self.traffic.read_bytes.get() + read as u64);
        } else {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..length]);
            self.first.advance(length);
            if self.first.is_empty() {
                // Gives the memory back, which an idle connection has no use for.
                self.first = Bytes::new();
            }
        }
        let this = &mut *self;
        if let Some(frames) = &mut this.frames {
            frames.read(&buffer.filled()[before..]);
            let traffic = &this.traffic;
            let (answered, sent) = (traffic.answered.get(), traffic.written_bytes.get());
            if frames.is_flood(answered, sent, Instant::now) {
                return Poll::Ready(Err(io::Error::other(
                    "a flood of frames that ask for nothing",
                )));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Opened {
    fn count(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.traffic.is_stuck.set(polled.is_pending());
        if let Poll::Ready(Ok(written)) = &polled {
            self.traffic.written_bytes.set(self.traffic.written_bytes.get() + *written as u64);
        }
        polled
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.count(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        // TLS takes bytes before the system does.
        self.traffic.is_stuck.set(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if this.traffic.written_bytes.get() < LINGER_BYTES_MIN {
                return Poll::Ready(Ok(()));
            }
            // It must not be taken for one that has nothing to do.
            this.traffic.is_stuck.set(true);
        }
        let lingering = this.lingering.get_or_insert_with(Lingering::begin);
        lingering.poll(&mut this.stream, context).map(Ok)
    }
}
