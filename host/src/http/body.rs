//! Bodies on their way in and out: received up to a limit into one piece of memory, sent part by
//! part without being joined, and held to account until the last byte was taken. Knows no header and
//! no guest.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::traffic::{Sending, Traffic};
use crate::deadline::within;

/// How much of a refused body is read on, so that a client that sends first and reads then gets
/// its answer instead of a broken connection.
const DISCARD_BYTES_MAX: u64 = 64 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);
/// The same for a client that may not send a body at all.
const DISCARD_LITTLE_BYTES_MAX: u64 = 256 << 10;
const DISCARD_LITTLE_TIME_MAX: Duration = Duration::from_secs(2);
/// Room made at once for a body whose length is not known.
const FIRST_BYTES: usize = 8 << 10;

/// A body that has arrived.
pub enum Received {
    /// All of it.
    Complete(Bytes),
    /// Over the limit; it was not kept, and this may be the rest of it.
    TooLarge(Option<Incoming>),
}

/// How many bytes a body may take, at most `limit`.
pub fn expected_bytes(incoming: &Incoming, limit: u64) -> u64 {
    incoming.size_hint().upper().unwrap_or(limit).min(limit)
}

/// Receives a body of up to `limit` bytes. With `continues` the client waits to be told to go on,
/// and one that announces too much is refused without being told.
pub async fn receive(
    mut incoming: Incoming,
    limit: u64,
    continues: bool,
) -> Result<Received, hyper::Error> {
    let announced = incoming.size_hint().lower();
    if announced > limit {
        return Ok(Received::TooLarge((!continues).then_some(incoming)));
    }
    // A body that came in one frame, as small ones do, is taken as it is.
    let first = match next(&mut incoming).await? {
        None => return Ok(Received::Complete(Bytes::new())),
        Some(data) if incoming.is_end_stream() || data.len() as u64 == announced => data,
        Some(data) => {
            return receive_rest(incoming, data, announced, limit).await;
        }
    };
    let fits = first.len() as u64 <= limit;
    Ok(if fits { Received::Complete(first) } else { Received::TooLarge(None) })
}

async fn receive_rest(
    mut incoming: Incoming,
    first: Bytes,
    announced: u64,
    limit: u64,
) -> Result<Received, hyper::Error> {
    let room = usize::try_from(announced).unwrap_or(0).max(first.len()).max(FIRST_BYTES);
    let mut all = BytesMut::with_capacity(room);
    all.extend_from_slice(&first);
    drop(first);
    while all.len() as u64 <= limit {
        match next(&mut incoming).await? {
            Some(data) => all.extend_from_slice(&data),
            None => return Ok(Received::Complete(all.freeze())),
        }
    }
    Ok(Received::TooLarge(Some(incoming)))
}

/// The next data; trailers are left out.
async fn next(incoming: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads on and forgets, up to `bytes_max`.
async fn discard(mut incoming: Incoming, bytes_max: u64) {
    if incoming.size_hint().lower() > bytes_max {
        return;
    }
    let mut bytes = 0;
    while let Ok(Some(data)) = next(&mut incoming).await {
        bytes += data.len() as u64;
        if bytes > bytes_max {
            return;
        }
    }
}

/// Reads what follows of a body that was too large, for a while.
pub async fn discard_refused(rest: Option<Incoming>) {
    if let Some(rest) = rest {
        within(DISCARD_TIME_MAX, discard(rest, DISCARD_BYTES_MAX)).await;
    }
}

/// Reads a small unwanted body and forgets it; a large or slow one is left, which closes the
/// connection.
pub async fn discard_little(incoming: Incoming) {
    if !incoming.is_end_stream() {
        within(DISCARD_LITTLE_TIME_MAX, discard(incoming, DISCARD_LITTLE_BYTES_MAX)).await;
    }
}

/// A body on its way out: parts, sent one after the other.
pub struct Reply {
    parts: std::vec::IntoIter<Bytes>,
    bytes_left: u64,
    room: Option<OwnedSemaphorePermit>,
    sending: Option<Rc<Sending>>,
}

impl Reply {
    /// A body of these parts.
    pub fn new(parts: Vec<Bytes>) -> Self {
        let bytes_left = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts: parts.into_iter(), bytes_left, room: None, sending: None }
    }

    /// The same in room that is its own until the client has taken all of it.
    #[must_use]
    pub fn in_room(self, room: OwnedSemaphorePermit) -> Self {
        Self { room: Some(room), ..self }
    }

    /// Bytes that are still to be sent.
    pub fn bytes_left(&self) -> u64 {
        self.bytes_left
    }

    /// Whether it takes room of its own.
    pub fn has_room(&self) -> bool {
        self.room.is_some()
    }

    /// Lets the connection know of it until the client has taken all of it.
    #[must_use]
    pub fn watched(mut self, traffic: &Rc<Traffic>) -> Self {
        let room = self.room.take();
        Self { sending: Some(Rc::new(Sending::begin(traffic, room))), ..self }
    }
}

impl Body for Reply {
    type Data = Part;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Part>, Infallible>>> {
        let part = self.parts.next();
        if let Some(part) = &part {
            self.bytes_left -= part.len() as u64;
        }
        let sending = &self.sending;
        let part = part.map(|bytes| Part { bytes, _sending: sending.clone() });
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left)
    }
}

/// A part on its way out. hyper drops it when its last byte was written.
pub struct Part {
    bytes: Bytes,
    _sending: Option<Rc<Sending>>,
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
