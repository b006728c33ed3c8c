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
use tokio::time::Instant;

use super::activity::{Activity, Sending};
use super::rooms::{Claim, Share};
use crate::clock::timeout::within;

/// How much of an unwanted body is read before its request is answered: a client that sends first and
/// reads then has its answer on a connection that goes on.
const DISCARD_BYTES_MAX: u64 = 256 << 10;
/// A client that sends nothing for so long sends nothing more.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);
/// What arrives within this time does so promptly.
const PROMPT_TIME: Duration = Duration::from_millis(50);
/// How much of what follows the answer is read on over HTTP/2, and for how long.
const READ_ON_BYTES_MAX: u64 = 64 << 20;
const READ_ON_TIME_MAX: Duration = Duration::from_secs(30);
/// How soon it is asked again whether a stream may be reset.
const RESET_REST: Duration = Duration::from_millis(100);
/// Room made at once for a body whose length is not known.
const FIRST_BYTES: usize = 8 << 10;

/// What has become of a body.
pub enum Received {
    /// All of it has arrived.
    Complete(Bytes),
    /// It is over the limit, and was not kept.
    TooLarge,
    /// There is no room for it.
    NoRoom,
    /// It takes too long.
    TooSlow,
}

/// What has arrived of a body so far.
#[derive(Default)]
struct Gathered {
    /// Its only piece: one that came whole, as small ones do, is taken as it is.
    only: Bytes,
    /// All pieces, when there are several.
    all: BytesMut,
}

impl Gathered {
    fn length(&self) -> usize {
        self.only.len() + self.all.len()
    }

    /// Adds a piece of a body of which so many bytes were announced.
    fn add(&mut self, data: Bytes, announced: u64) {
        if self.length() == 0 {
            self.only = data;
            return;
        }
        if self.all.is_empty() {
            let length = self.only.len() + data.len();
            let room = usize::try_from(announced).unwrap_or(0).max(length).max(FIRST_BYTES);
            self.all.reserve(room);
            self.all.extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.all.extend_from_slice(&data);
    }

    fn take(&mut self) -> Bytes {
        let all = std::mem::take(&mut self.all);
        if all.is_empty() { std::mem::take(&mut self.only) } else { all.freeze() }
    }
}

/// What a client has sent of a body so far.
enum Next {
    Data(Bytes),
    /// Its end.
    End,
    /// What there is of it has to give way.
    GivesWay,
}

/// A body on its way in, until its end.
pub struct Arriving {
    incoming: Incoming,
    is_over: bool,
    /// Whether it was asked for: then what is missing is not waited for again.
    is_asked_for: bool,
    /// What it takes once its request was answered.
    _share: Option<Share>,
}

impl Arriving {
    /// A body of which nothing was read.
    #[must_use]
    pub fn new(incoming: Incoming) -> Self {
        let is_over = incoming.is_end_stream();
        Self { incoming, is_over, is_asked_for: false, _share: None }
    }

    /// Bytes that it has at least.
    fn announced(&self) -> u64 {
        self.incoming.size_hint().lower()
    }

    /// Receives up to `limit` bytes within `time_max`, to the end of the body, in whatever form that comes.
    /// What has arrived is in `claim`, beside what was in it before; what does not arrive promptly has a
    /// share of the room.
    pub async fn receive(
        &mut self,
        (limit, time_max): (u64, Duration),
        claim: &mut Claim<'_>,
    ) -> Result<Received, hyper::Error> {
        if self.announced() > limit {
            return Ok(Received::TooLarge);
        }
        self.is_asked_for = true;
        let (before, mut gathered) = (claim.bytes(), Gathered::default());
        let prompt = PROMPT_TIME.min(time_max);
        let promptly = within(prompt, self.gather(&mut gathered, (before, limit), claim)).await;
        let received = match promptly {
            Some(received) => received,
            None if claim.share().await.is_err() => Ok(Received::NoRoom),
            None => {
                let gathering = self.gather(&mut gathered, (before, limit), claim);
                let slowly = within(time_max.saturating_sub(prompt), gathering).await;
                slowly.unwrap_or(Ok(Received::TooSlow))
            }
        };
        claim.settle();
        received
    }

    /// Gathers the rest. Given up halfway, it has lost nothing.
    async fn gather(
        &mut self,
        gathered: &mut Gathered,
        (before, limit): (u64, u64),
        claim: &mut Claim<'_>,
    ) -> Result<Received, hyper::Error> {
        let announced = self.announced() + gathered.length() as u64;
        loop {
            let length = gathered.length() as u64;
            if length > limit {
                return Ok(Received::TooLarge);
            }
            if claim.grow_to(before + length).await.is_err() {
                return Ok(Received::NoRoom);
            }
            match self.next_unless(claim).await? {
                Next::Data(data) => gathered.add(data, announced),
                Next::End => return Ok(Received::Complete(gathered.take())),
                Next::GivesWay => return Ok(Received::NoRoom),
            }
        }
    }

    /// What comes next, unless what has arrived has to give way.
    async fn next_unless(&mut self, claim: &Claim<'_>) -> Result<Next, hyper::Error> {
        tokio::select! {
            biased;
            next = self.next() => next,
            () = claim.gives_way() => Ok(Next::GivesWay),
        }
    }

    /// The next data, or the end; trailers are left out.
    async fn next(&mut self) -> Result<Next, hyper::Error> {
        while !self.is_over {
            let Some(frame) = self.incoming.frame().await.transpose().inspect_err(|_| {
                self.is_over = true;
            })?
            else {
                break;
            };
            self.is_over = self.incoming.is_end_stream();
            if let Ok(data) = frame.into_data() {
                return Ok(Next::Data(data));
            }
        }
        self.is_over = true;
        Ok(Next::End)
    }

    /// Reads and forgets up to so many bytes.
    async fn discard(&mut self, bytes_max: u64) {
        let mut bytes = 0;
        while bytes <= bytes_max
            && let Ok(Next::Data(data)) = self.next().await
        {
            bytes += data.len() as u64;
        }
    }

    /// Reads a small unwanted body and forgets it. A large or slow one is left, and so is one that the
    /// client only sends when it is told to, which `waits` says, and one for which there is no room to wait
    /// in.
    pub async fn discard_little(&mut self, waits: bool, claim: &mut Claim<'_>) {
        let is_left = self.is_asked_for || waits || self.announced() > DISCARD_BYTES_MAX;
        if self.is_over || is_left {
            return;
        }
        let promptly = within(PROMPT_TIME, self.discard(DISCARD_BYTES_MAX)).await;
        if promptly.is_none() && claim.share_at_once().is_ok() {
            within(DISCARD_TIME_MAX, self.discard(DISCARD_BYTES_MAX)).await;
        }
    }

    /// Whether the client has sent all of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// What the client still sends; None when that is nothing.
    #[must_use]
    pub fn rest(self) -> Option<Self> {
        (!self.is_over).then_some(self)
    }

    /// The same with room of its own.
    #[must_use]
    pub fn with_share(self, share: Share) -> Self {
        Self { _share: Some(share), ..self }
    }

    /// Reads on after the request was answered, over HTTP/2, until the body ends, or goes beyond what anybody
    /// sends in good faith, or stops. Then the stream is reset. That is late, for HAProxy takes a reset for
    /// a failure and keeps the answer to itself; and it is seldom, as `may_reset` says, for what arrives for
    /// streams that were reset long ago counts as an error of the connection.
    pub async fn read_on(mut self, may_reset: impl Fn() -> bool) {
        let (end, mut bytes) = (Instant::now() + READ_ON_TIME_MAX, 0);
        while bytes <= READ_ON_BYTES_MAX && Instant::now() < end {
            match within(DISCARD_TIME_MAX, self.next()).await {
                Some(Ok(Next::Data(data))) => bytes += data.len() as u64,
                Some(_) => return,
                None => break,
            }
        }
        while !may_reset() && !self.is_over && Instant::now() < end {
            within(RESET_REST, self.discard(DISCARD_BYTES_MAX)).await;
        }
    }
}

/// A body on its way out: parts, sent one after the other.
pub struct Reply {
    parts: std::vec::IntoIter<Bytes>,
    bytes_left: u64,
    room: Option<Share>,
    rest: Option<Arriving>,
    sending: Option<Rc<Sending>>,
}

impl Reply {
    /// A body of these parts.
    pub fn new(parts: Vec<Bytes>) -> Self {
        let bytes_left = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts: parts.into_iter(), bytes_left, room: None, rest: None, sending: None }
    }

    /// The same in room that is its own until the client has taken all of it.
    #[must_use]
    pub fn in_room(self, room: Share) -> Self {
        Self { room: Some(room), ..self }
    }

    /// The same to a request whose body has not been read to its end.
    #[must_use]
    pub fn leaving(self, rest: Option<Arriving>) -> Self {
        Self { rest, ..self }
    }

    /// What has not been read of the request's body.
    pub fn take_rest(&mut self) -> Option<Arriving> {
        self.rest.take()
    }

    /// Bytes that are still to be sent.
    pub fn bytes_left(&self) -> u64 {
        self.bytes_left
    }

    /// Lets the connection know of it until the client has taken all of it.
    #[must_use]
    pub fn watched(mut self, activity: &Rc<Activity>) -> Self {
        let room = self.room.take();
        Self { sending: Some(Rc::new(Sending::begin(activity, room))), ..self }
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
