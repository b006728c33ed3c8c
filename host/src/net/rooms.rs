//! Memory that requests and answers take while they are under way, shared out as their bytes arrive. Owns
//! who may have how much of it, and who gives way when there is no more; knows no request and no guest.
//!
//! A *party* is whoever several claims belong to: a connection, a mount, a principal. It may have a multiple
//! of what is free, so that nobody takes everything and each newcomer finds something: a connection half of
//! a room that is otherwise empty, a mount or a principal three quarters. One claim alone may have all that
//! is free. Among bodies that still grow the youngest gives way, so that the oldest is always completed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A request up to this size, head and body, that arrives promptly belongs to no party: it only counts with
/// the others of its kind, which have a quarter of the room's size beside it.
pub const SMALL_BYTES: u64 = 16 << 10;
const SMALL_PART: u64 = 4;
/// Claims that may wait at a time, and how many of them look again when something was given back.
const WAITING_MAX: usize = 1024;
const WOKEN: usize = 8;
/// How many times what is free a mount or a principal may have, and which part of it strangers may.
const KNOWN_WEIGHT: u64 = 3;
const STRANGERS_PART: u64 = 4;

/// Whoever several claims belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A connection, by its number.
    Connection(u64),
    /// A mount, by its number.
    Mount(u64),
    /// A principal, by its name.
    Principal(Arc<str>),
    /// All whose requests nobody wants, whoever they are.
    Strangers,
}

impl Party {
    /// What it may have when so much is free.
    fn bytes_max(&self, free: u64) -> u64 {
        match self {
            Self::Connection(_) => free,
            Self::Mount(_) | Self::Principal(_) => free.saturating_mul(KNOWN_WEIGHT),
            Self::Strangers => free / STRANGERS_PART,
        }
    }
}

/// The parties of one claim.
pub type Parties = [Option<Party>; 3];

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Memory of so many bytes.
#[derive(Debug)]
pub struct Room {
    bytes_max: u64,
    wait_max: Duration,
    small: AtomicU64,
    shares: Mutex<Shares>,
}

#[derive(Debug, Default)]
struct Shares {
    used: u64,
    by_party: HashMap<Party, Usage>,
    /// Claims that still grow, by age.
    growing: BTreeMap<u64, Growing>,
    /// Those of them that wait, and those that wait for the room itself.
    waiting: BTreeSet<u64>,
    waiting_for_room: BTreeSet<u64>,
    claims: u64,
}

/// What a party has.
#[derive(Debug, Default)]
struct Usage {
    bytes: u64,
    /// Its claims that still grow, and those of them that wait for what it has itself.
    growing: BTreeSet<u64>,
    waiting: BTreeSet<u64>,
}

#[derive(Debug)]
struct Growing {
    /// It has to give way.
    gives_way: bool,
    /// Has whoever grows it look again.
    notify: Arc<Notify>,
}

/// What stands in the way of a claim.
enum Obstacle {
    /// All of the room.
    Room,
    /// What this party has already.
    Party(Party),
}

impl Room {
    /// Room for `bytes_max`, in which a claim that grows waits for up to `wait_max`.
    #[must_use]
    pub fn new(bytes_max: u64, wait_max: Duration) -> Self {
        Self { bytes_max, wait_max, small: AtomicU64::new(0), shares: Mutex::default() }
    }

    /// Bytes that it has.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes that are taken.
    pub fn used(&self) -> u64 {
        self.lock().used + self.small.load(Ordering::Relaxed)
    }

    /// Takes `bytes` at once or not at all, for a claim that does not grow.
    pub fn take(self: &Arc<Self>, bytes: u64, parties: Parties) -> Result<Share, Full> {
        let mut shares = self.lock();
        shares.obstacle(self.bytes_max, 0, bytes, &parties).map_or(Ok(()), |_| Err(Full))?;
        shares.add(bytes, &parties);
        drop(shares);
        Ok(Share { room: Arc::clone(self), parties, bytes, growing: None })
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        // What is done under the lock cannot panic halfway.
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_small(&self, bytes: u64) -> Result<(), Full> {
        let before = self.small.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > (self.bytes_max / SMALL_PART).max(SMALL_BYTES) {
            self.give_back_small(bytes);
            return Err(Full);
        }
        Ok(())
    }

    fn give_back_small(&self, bytes: u64) {
        self.small.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Shares {
    /// What hinders a claim that has `has_bytes` from having `more`.
    fn obstacle(
        &self,
        bytes_max: u64,
        has_bytes: u64,
        more: u64,
        parties: &Parties,
    ) -> Option<Obstacle> {
        let free = bytes_max.saturating_sub(self.used);
        if more > free {
            return Some(Obstacle::Room);
        }
        let is_too_much = |party: &&Party| {
            let has = self.by_party.get(party).map_or(0, |has| has.bytes);
            has > has_bytes && has + more > party.bytes_max(free)
        };
        parties.iter().flatten().find(is_too_much).cloned().map(Obstacle::Party)
    }

    fn add(&mut self, bytes: u64, parties: &Parties) {
        self.used += bytes;
        for party in parties.iter().flatten() {
            self.party(party).bytes += bytes;
        }
    }

    fn remove(&mut self, bytes: u64, parties: &Parties) {
        self.used -= bytes;
        for party in parties.iter().flatten() {
            self.party(party).bytes -= bytes;
            self.forget(party);
        }
        if bytes > 0 {
            self.wake();
        }
    }

    fn party(&mut self, party: &Party) -> &mut Usage {
        self.by_party.entry(party.clone()).or_default()
    }

    fn forget(&mut self, party: &Party) {
        let is_gone = |usage: &Usage| usage.bytes == 0 && usage.growing.is_empty();
        if self.by_party.get(party).is_some_and(is_gone) {
            self.by_party.remove(party);
        }
    }

    /// Takes in a claim that grows.
    fn begin(&mut self, parties: &Parties, notify: &Arc<Notify>) -> u64 {
        let number = self.claims;
        self.claims += 1;
        self.growing.insert(number, Growing { gives_way: false, notify: Arc::clone(notify) });
        for party in parties.iter().flatten() {
            self.party(party).growing.insert(number);
        }
        number
    }

    /// It grows no more.
    fn end(&mut self, number: u64, parties: &Parties) {
        self.stop_waiting(number, parties);
        self.growing.remove(&number);
        for party in parties.iter().flatten() {
            self.party(party).growing.remove(&number);
            self.forget(party);
        }
    }

    /// Has a growing claim wait for what is in its way, unless too many do. Of those that it stops the
    /// oldest makes the youngest give way, one at a time.
    fn wait(&mut self, number: u64, obstacle: &Obstacle) -> Result<(), Full> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Full);
        }
        self.waiting.insert(number);
        let (waiting, youngest) = match obstacle {
            Obstacle::Room => {
                let youngest = self.growing.keys().next_back().copied();
                (&mut self.waiting_for_room, youngest)
            }
            Obstacle::Party(party) => {
                let usage = self.party(party);
                (&mut usage.waiting, usage.growing.last().copied())
            }
        };
        waiting.insert(number);
        let is_oldest = waiting.first() == Some(&number);
        let youngest = youngest.filter(|youngest| is_oldest && *youngest > number);
        if let Some(growing) = youngest.and_then(|youngest| self.growing.get_mut(&youngest))
            && !growing.gives_way
        {
            growing.gives_way = true;
            growing.notify.notify_one();
        }
        Ok(())
    }

    fn stop_waiting(&mut self, number: u64, parties: &Parties) -> bool {
        if !self.waiting.remove(&number) {
            return false;
        }
        self.waiting_for_room.remove(&number);
        for party in parties.iter().flatten() {
            self.party(party).waiting.remove(&number);
        }
        true
    }

    /// Has the oldest that wait look again. The others do so when these have grown, or when their time is
    /// over.
    fn wake(&self) {
        for number in self.waiting.iter().take(WOKEN) {
            if let Some(growing) = self.growing.get(number) {
                growing.notify.notify_one();
            }
        }
    }
}

/// What a claim has of a room, until it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    parties: Parties,
    bytes: u64,
    growing: Option<(u64, Arc<Notify>)>,
}

impl Share {
    fn growing(room: &Arc<Room>, parties: Parties) -> Self {
        let notify = Arc::new(Notify::new());
        let number = room.lock().begin(&parties, &notify);
        Self { room: Arc::clone(room), parties, bytes: 0, growing: Some((number, notify)) }
    }

    /// Takes more; waits for it for a while, the oldest claim for as long as it takes.
    async fn grow(&mut self, more: u64) -> Result<(), Full> {
        let mut until = None;
        loop {
            if self.try_grow(more)? {
                return Ok(());
            }
            let until = *until.get_or_insert_with(|| Instant::now() + self.room.wait_max);
            let is_late = timeout_at(until, self.notified()).await.is_err();
            if is_late && !self.is_oldest() {
                // What was given back meanwhile may have gone to others.
                return if self.try_grow(more)? { Ok(()) } else { Err(Full) };
            }
            if is_late {
                self.notified().await;
            }
        }
    }

    /// Takes more if there is room; an error when this claim has to give way, or too many wait.
    fn try_grow(&mut self, more: u64) -> Result<bool, Full> {
        let Some((number, _)) = self.growing else { return Err(Full) };
        let mut shares = self.room.lock();
        let has_waited = shares.stop_waiting(number, &self.parties);
        if shares.growing.get(&number).is_none_or(|own| own.gives_way) {
            return Err(Full);
        }
        match shares.obstacle(self.room.bytes_max, self.bytes, more, &self.parties) {
            None => {
                shares.add(more, &self.parties);
                self.bytes += more;
                if has_waited {
                    shares.wake();
                }
                Ok(true)
            }
            Some(obstacle) => shares.wait(number, &obstacle).map(|()| false),
        }
    }

    /// Returns when it is to look again.
    async fn notified(&self) {
        match &self.growing {
            Some((_, notify)) => notify.notified().await,
            None => pending().await,
        }
    }

    /// Returns when this claim has to give way.
    async fn gives_way(&self) {
        loop {
            self.notified().await;
            let shares = self.room.lock();
            let own = self.growing.as_ref().and_then(|(number, _)| shares.growing.get(number));
            if own.is_some_and(|own| own.gives_way) {
                return;
            }
        }
    }

    fn is_oldest(&self) -> bool {
        let first = self.room.lock().growing.keys().next().copied();
        self.growing.as_ref().is_some_and(|(number, _)| Some(*number) == first)
    }

    fn settle(&mut self) {
        if let Some((number, _)) = self.growing.take() {
            self.room.lock().end(number, &self.parties);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.room.lock();
        if let Some((number, _)) = self.growing {
            shares.end(number, &self.parties);
        }
        shares.remove(self.bytes, &self.parties);
    }
}

/// A request's claim: small at first, a share of the room when it is more.
pub struct Claim<'a> {
    room: &'a Arc<Room>,
    parties: &'a dyn Fn() -> Parties,
    /// What waiting takes besides.
    waiting: u64,
    small: u64,
    share: Option<Share>,
}

/// What a request takes of a room, apart from whoever made the claim.
#[derive(Debug)]
pub struct OwnedClaim {
    room: Arc<Room>,
    small: u64,
    _share: Option<Share>,
}

impl<'a> Claim<'a> {
    /// Claims nothing yet, for `parties`, who are asked for when it is more than small. A request that does
    /// not come promptly takes `waiting` bytes besides.
    #[must_use]
    pub fn new(room: &'a Arc<Room>, parties: &'a dyn Fn() -> Parties, waiting: u64) -> Self {
        Self { room, parties, waiting, small: 0, share: None }
    }

    /// Bytes that are taken, besides what waiting takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.small + self.share.as_ref().map_or(0, |share| share.bytes - self.waiting)
    }

    /// Takes as much more as makes `bytes` together.
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.bytes());
        if more == 0 {
            return Ok(());
        }
        if self.share.is_none() && bytes <= SMALL_BYTES {
            self.room.take_small(more)?;
            self.small += more;
            return Ok(());
        }
        self.share().await?;
        match &mut self.share {
            Some(share) => share.grow(more).await,
            None => Err(Full),
        }
    }

    /// Becomes a share, if it is none yet: what it waits for does not come promptly.
    pub async fn share(&mut self) -> Result<(), Full> {
        if self.share.is_some() {
            return Ok(());
        }
        let mut share = Share::growing(self.room, (self.parties)());
        share.grow(self.small + self.waiting).await?;
        self.room.give_back_small(std::mem::take(&mut self.small));
        self.share = Some(share);
        Ok(())
    }

    /// The same at once or not at all.
    pub fn share_at_once(&mut self) -> Result<(), Full> {
        if self.share.is_none() {
            self.share = Some(self.room.take(self.small + self.waiting, (self.parties)())?);
            self.room.give_back_small(std::mem::take(&mut self.small));
        }
        Ok(())
    }

    /// Returns when what has arrived so far has to give way to others.
    pub async fn gives_way(&self) {
        match &self.share {
            Some(share) => share.gives_way().await,
            None => pending().await,
        }
    }

    /// It grows no more, and gives way to nobody.
    pub fn settle(&mut self) {
        if let Some(share) = &mut self.share {
            share.settle();
        }
    }

    /// The same, for whoever outlives the one that made it.
    #[must_use]
    pub fn into_owned(mut self) -> OwnedClaim {
        let small = std::mem::take(&mut self.small);
        OwnedClaim { room: Arc::clone(self.room), small, _share: self.share.take() }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.small > 0 {
            self.room.give_back_small(self.small);
        }
    }
}

impl Drop for OwnedClaim {
    fn drop(&mut self) {
        self.room.give_back_small(self.small);
    }
}

#[cfg(test)]
mod tests;
