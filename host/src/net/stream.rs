//! A connection's bytes on their way in and out: tells HTTP/1 from HTTP/2 by the first of them,
//! counts, and closes in a way that lets the last of them arrive. Knows no request's content.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::activity::Activity;
use super::closed::Closed;
use super::fairness::{self, ByteBudget};
use super::frame_guard::{Frames, PREFACE};
use super::socket::Socket;

/// Read at first, to tell the protocol.
const FIRST_BYTES: usize = 2 << 10;

/// Whoever was sent less since the connection last rested, and sends nothing more, has it before a reset
/// can overtake it.
const LINGER_BYTES_MIN: u64 = 16 << 10;
/// A client that is silent for so long sends nothing more that could reset the connection.
const LINGER_SILENCE: Duration = Duration::from_secs(2);
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
const LINGER_READ_BYTES: usize = 16 << 10;

/// A connection whose protocol is known, with the bytes that told it put back before the rest.
pub struct Opened {
    /// The connection itself.
    pub stream: Socket,
    /// Bytes that were read from it and nobody has seen.
    pub first: Bytes,
    /// What it has done.
    pub activity: Rc<Activity>,
    /// Which protocol it speaks.
    pub is_http2: bool,
    /// Set once nothing more is sent.
    pub lingering: Option<Lingering>,
    /// What HTTP/2's frames are counted by.
    pub frames: Option<Frames>,
    /// What it may still move before others have their turn.
    budget: ByteBudget,
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
    pub async fn detect(mut stream: Socket, activity: &Rc<Activity>) -> io::Result<Self> {
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
        activity.read_bytes.set(first.len() as u64);
        let activity = Rc::clone(activity);
        let (first, frames) = (first.freeze(), is_http2.then(Frames::default));
        let budget = ByteBudget::default();
        Ok(Self { stream, first, activity, is_http2, lingering: None, frames, budget })
    }

    /// The same connection between two requests, with what has arrived of the next.
    #[must_use]
    pub fn rested(self, first: Bytes) -> Self {
        self.activity.restart(first.len() as u64);
        let mut rested = self;
        (rested.first, rested.lingering) = (first, None);
        rested
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.activity.is_cut.get() {
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
            ready!(self.budget.poll(context));
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let read = buffer.filled().len() - before;
            self.budget.spend(read);
            self.activity.read_bytes.set(self.activity.read_bytes.get() + read as u64);
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
            let activity = &this.activity;
            let (answered, sent) = (activity.answered.get(), activity.written_bytes.get());
            if frames.is_flood(answered, sent, Instant::now) {
                activity.close_for(Closed::Flood);
                return Poll::Ready(Err(io::Error::other(
                    "a flood of frames that ask for nothing",
                )));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Opened {
    /// Writes within this connection's budget.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Socket>, &mut Context<'_>, usize) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let polled = match self.budget.poll(context) {
            Poll::Ready(bytes_max) => write(Pin::new(&mut self.stream), context, bytes_max),
            Poll::Pending => Poll::Pending,
        };
        self.activity.is_stuck.set(polled.is_pending());
        if let Poll::Ready(Ok(written)) = &polled {
            self.budget.spend(*written);
            self.activity.written_bytes.set(self.activity.written_bytes.get() + *written as u64);
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
        self.write(context, |stream, context, bytes_max| {
            stream.poll_write(context, &bytes[..bytes.len().min(bytes_max)])
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context, bytes_max| {
            fairness::cut(slices, bytes_max, |slices| stream.poll_write_vectored(context, slices))
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_asked.take()
            && let Some(error) = self.stream.tcp().take_error()?
        {
            return Poll::Ready(Err(error));
        }
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        // TLS takes bytes before the system does.
        self.activity.is_stuck.set(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            let has_arrived = this.activity.written_bytes.get() < LINGER_BYTES_MIN;
            if has_arrived && !this.activity.is_left.get() {
                return Poll::Ready(Ok(()));
            }
            // It must not be taken for one that has nothing to do.
            this.activity.is_stuck.set(true);
        }
        let lingering = this.lingering.get_or_insert_with(Lingering::begin);
        lingering.poll(&mut this.stream, context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::{net, thread};

    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    use super::*;

    const ALL_BYTES: usize = 4 << 20;
    const BUDGET_BYTES: usize = 256 << 10;

    /// A connection, and its other end.
    async fn connection() -> (Opened, net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET").unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let socket = Socket::open(stream, None).await.unwrap();
        (Opened::detect(socket, &Rc::default()).await.unwrap(), client)
    }

    /// Takes steps until all bytes were moved, and tells how many at most before others had a turn.
    async fn most_at_once(
        mut step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> usize {
        let (mut all, mut most) = (0, 0);
        while all < ALL_BYTES {
            let before = all;
            let moved = poll_fn(|context| {
                while all < ALL_BYTES
                    && let Poll::Ready(bytes) = step(context)
                {
                    all += bytes.unwrap();
                }
                Poll::Ready(all - before)
            });
            most = most.max(moved.await);
            yield_now().await;
        }
        most
    }

    #[tokio::test]
    async fn what_a_client_takes_quickly_goes_out_in_turns() {
        let (mut opened, mut client) = connection().await;
        let reader = thread::spawn(move || client.read_exact(&mut vec![0; ALL_BYTES]).unwrap());
        let piece = vec![7; ALL_BYTES / 4];
        let most = most_at_once(|context| {
            let slices = [io::IoSlice::new(b"head"), io::IoSlice::new(&piece)];
            Pin::new(&mut opened).poll_write_vectored(context, &slices)
        });
        assert_eq!(most.await, BUDGET_BYTES);
        reader.join().unwrap();
    }

    #[tokio::test]
    async fn what_a_client_sends_quickly_comes_in_in_turns() {
        let (mut opened, mut client) = connection().await;
        let writer = thread::spawn(move || client.write_all(&vec![7; ALL_BYTES]).unwrap());
        let mut room = vec![0; ALL_BYTES / 32];
        let most = most_at_once(|context| {
            let mut buffer = ReadBuf::new(&mut room);
            let polled = Pin::new(&mut opened).poll_read(context, &mut buffer);
            polled.map_ok(|()| buffer.filled().len())
        });
        // The last read of a turn may be larger than what is left of it.
        assert!(most.await < BUDGET_BYTES + ALL_BYTES / 32);
        writer.join().unwrap();
    }
}
