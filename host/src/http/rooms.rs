//! Memory that requests and answers take while they are under way, shared out as their bytes arrive. Owns
//! who may have how much of it, and who gives way when there is no more; knows no request and no guest.
//!
//! A *party* is whoever several claims belong to: a connection, a mount, a principal. It may have a multiple
//! of what is free, so that nobody takes everything and each newcomer finds something: a connection half of
//! a room that is otherwise empty, a mount or a principal three quarters. One claim alone may have all that
//! is free. Among bodies that still grow the youngest gives way, so that the oldest is always completed.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A request up to this size, head and body, that arrives promptly belongs to no party: it only counts with
/// the others of its kind, which have a quarter of the room's size beside it.
pub const SMALL_BYTES: u64 = 16 << 10;
const SMALL_PART: u64 = 4;
/// How many times what is free a mount or a principal may have, and which part of it strangers may.
const KNOWN_WEIGHT: u64 = 3;
const STRANGERS_PART: u64 = 4;

/// Whoever several claims belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A connection, by its number.
    Connection(u64),
    /// A mount, by its place among the routes.
    Mount(usize),
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
    /// Tells those who wait that something was given back, or that somebody gives way.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Shares {
    used: u64,
    by_party: HashMap<Party, u64>,
    /// Claims that still grow, by age.
    growing: BTreeMap<u64, Growing>,
    claims: u64,
}

#[derive(Debug)]
struct Growing {
    parties: Parties,
    /// It waits for room.
    waits: bool,
    /// It has to give way; whoever grows it hears of that here.
    gives_way: bool,
    told: Arc<Notify>,
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
        let (small, shares) = (AtomicU64::new(0), Mutex::default());
        Self { bytes_max, wait_max, small, shares, changed: Notify::new() }
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
    /// What hinders a claim that has `held` from having `more`.
    fn obstacle(
        &self,
        bytes_max: u64,
        held: u64,
        more: u64,
        parties: &Parties,
    ) -> Option<Obstacle> {
        let free = bytes_max.saturating_sub(self.used);
        if more > free {
            return Some(Obstacle::Room);
        }
        let is_too_much = |party: &&Party| {
            let has = self.by_party.get(party).copied().unwrap_or(0);
            has > held && has + more > party.bytes_max(free)
        };
        parties.iter().flatten().find(is_too_much).cloned().map(Obstacle::Party)
    }

    fn add(&mut self, bytes: u64, parties: &Parties) {
        self.used += bytes;
        for party in parties.iter().flatten() {
            match self.by_party.get_mut(party) {
                Some(has) => *has += bytes,
                None => {
                    self.by_party.insert(party.clone(), bytes);
                }
            }
        }
    }

    fn remove(&mut self, bytes: u64, parties: &Parties) {
        self.used -= bytes;
        for party in parties.iter().flatten() {
            if let Some(has) = self.by_party.get_mut(party) {
                *has -= bytes;
                if *has == 0 {
                    self.by_party.remove(party);
                }
            }
        }
    }

    /// Has a growing claim wait for what is in its way. Of those that it stops the oldest makes the
    /// youngest give way, one at a time.
    fn wait(&mut self, number: u64, obstacle: &Obstacle) {
        let stopped = |growing: &Growing| match obstacle {
            Obstacle::Room => true,
            Obstacle::Party(party) => growing.parties.iter().flatten().any(|own| own == party),
        };
        if let Some(own) = self.growing.get_mut(&number) {
            own.waits = true;
        }
        let mut before = self.growing.range(..number).map(|(_, growing)| growing);
        if before.any(|growing| growing.waits && stopped(growing)) {
            return;
        }
        let mut after = self.growing.range_mut(number + 1..).map(|(_, growing)| growing);
        if let Some(youngest) = after.rfind(|growing| stopped(growing))
            && !youngest.gives_way
        {
            youngest.gives_way = true;
            youngest.told.notify_one();
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
        let told = Arc::new(Notify::new());
        let mut shares = room.lock();
        let number = shares.claims;
        shares.claims += 1;
        let (own, seen) = (parties.clone(), Arc::clone(&told));
        let growing = Growing { parties: own, waits: false, gives_way: false, told: seen };
        shares.growing.insert(number, growing);
        drop(shares);
        Self { room: Arc::clone(room), parties, bytes: 0, growing: Some((number, told)) }
    }

    /// Takes more; waits for it for a while, the oldest claim for as long as it takes.
    async fn grow(&mut self, more: u64) -> Result<(), Full> {
        let mut until = None;
        loop {
            let room = Arc::clone(&self.room);
            let mut changed = pin!(room.changed.notified());
            // From here on nothing that is given back is missed.
            changed.as_mut().enable();
            if self.try_grow(more)? {
                return Ok(());
            }
            let until = *until.get_or_insert_with(|| Instant::now() + room.wait_max);
            let told = self.gives_way();
            let waited = tokio::select! {
                waited = timeout_at(until, changed) => waited,
                () = told => return Err(Full),
            };
            if waited.is_err() && !self.is_oldest() {
                return Err(Full);
            }
        }
    }

    /// Takes more if there is room; an error when this claim has to give way.
    fn try_grow(&mut self, more: u64) -> Result<bool, Full> {
        let mut shares = self.room.lock();
        let number = self.growing.as_ref().map(|(number, _)| *number);
        let own = number.and_then(|number| shares.growing.get_mut(&number));
        if let Some(own) = own {
            own.waits = false;
            if own.gives_way {
                return Err(Full);
            }
        }
        let obstacle = shares.obstacle(self.room.bytes_max, self.bytes, more, &self.parties);
        match (obstacle, number) {
            (None, _) => {
                shares.add(more, &self.parties);
                self.bytes += more;
                Ok(true)
            }
            (Some(obstacle), Some(number)) => {
                shares.wait(number, &obstacle);
                Ok(false)
            }
            (Some(_), None) => Err(Full),
        }
    }

    /// Returns when this claim has to give way.
    async fn gives_way(&self) {
        match &self.growing {
            Some((_, told)) => told.notified().await,
            None => pending().await,
        }
    }

    fn is_oldest(&self) -> bool {
        let first = self.room.lock().growing.keys().next().copied();
        self.growing.as_ref().is_some_and(|(number, _)| Some(*number) == first)
    }

    fn settle(&mut self) {
        if let Some((number, _)) = self.growing.take() {
            self.room.lock().growing.remove(&number);
            self.room.changed.notify_waiters();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.room.lock();
        if let Some((number, _)) = &self.growing {
            shares.growing.remove(number);
        }
        shares.remove(self.bytes, &self.parties);
        let somebody_waits = !shares.growing.is_empty();
        drop(shares);
        if somebody_waits {
            self.room.changed.notify_waiters();
        }
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

/// What a request holds, apart from whoever made the claim.
#[derive(Debug)]
pub struct Kept {
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

    /// The same, held for as long as something else lives.
    #[must_use]
    pub fn keep(mut self) -> Kept {
        let small = std::mem::take(&mut self.small);
        Kept { room: Arc::clone(self.room), small, _share: self.share.take() }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.small > 0 {
            self.room.give_back_small(self.small);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.give_back_small(self.small);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MIB: u64 = 1 << 20;
    const NOT_LONG: Duration = Duration::from_millis(10);

    fn room(mib: u64) -> Arc<Room> {
        Arc::new(Room::new(mib * MIB, NOT_LONG))
    }

    fn of(connection: u64, principal: &str) -> Parties {
        [Some(Party::Connection(connection)), None, Some(Party::Principal(principal.into()))]
    }

    /// Whether it is over at once, and how.
    fn at_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_party_has_a_part_of_what_is_free_and_one_alone_all_of_it() {
        let room = room(64);
        let takes = |connection: &dyn Fn(u64) -> u64, name: &str| {
            let shares = (0..).map_while(|n| room.take(MIB, of(connection(n), name)).ok());
            shares.collect::<Vec<_>>()
        };
        let first = takes(&|_| 1, "a");
        assert_eq!(first.len(), 32);
        // The same principal over connections of its own, up to three quarters with the first.
        let second = takes(&|n| 10 + n, "a");
        assert_eq!(second.len(), 16);
        // Whoever else comes finds something.
        let third = takes(&|n| 1000 + n, "b");
        assert_eq!(third.len(), 12);
        drop((first, second, third));
        assert_eq!(room.used(), 0);
        let all = room.take(64 * MIB, of(1, "a")).unwrap();
        assert_eq!(room.take(1, of(2, "b")).unwrap_err(), Full);
        drop(all);
        assert!(room.lock().by_party.is_empty());
    }

    #[test]
    fn small_claims_have_a_quarter_beside_the_room_and_no_party() {
        let room = room(1);
        let parties = || unreachable!("small claims have none");
        let claims: Vec<_> = std::iter::from_fn(|| {
            let mut claim = Claim::new(&room, &parties, 0);
            let grown = at_once(pin!(claim.grow_to(SMALL_BYTES))).unwrap();
            grown.ok().map(|()| claim)
        })
        .collect();
        assert_eq!(claims.len() as u64 * SMALL_BYTES, MIB / SMALL_PART);
        let kept: Vec<_> = claims.into_iter().map(Claim::keep).collect();
        assert_eq!(room.used(), MIB / SMALL_PART);
        drop(kept);
        assert_eq!(room.used(), 0);
    }

    #[tokio::test]
    async fn when_half_bodies_fill_the_room_the_youngest_gives_way_and_the_oldest_is_completed() {
        let room = room(100);
        let parties: Vec<_> = (0..3).map(|number| move || of(number, "p")).collect();
        let mut claims = Vec::new();
        for (number, parties) in parties.iter().enumerate() {
            let mut claim = Claim::new(&room, parties, 0);
            claim.grow_to((20 + 5 * number as u64) * MIB).await.unwrap();
            claims.push(claim);
        }
        let [mut oldest, mut middle, youngest] = <[_; 3]>::try_from(claims).ok().unwrap();
        let more = {
            let mut more = Box::pin(oldest.grow_to(60 * MIB));
            assert_eq!(at_once(more.as_mut()), None);
            assert_eq!(at_once(pin!(middle.gives_way())), None);
            // The one in the middle waits behind the oldest, and makes nobody give way.
            let mut behind = Box::pin(middle.grow_to(30 * MIB));
            assert_eq!(at_once(behind.as_mut()), None);
            drop(behind);
            youngest.gives_way().await;
            assert_eq!(at_once(more.as_mut()), None);
            drop(youngest);
            more.await
        };
        assert_eq!(more, Ok(()));
        drop((oldest, middle));
        assert_eq!(room.used(), 0);
    }

    #[tokio::test]
    async fn the_oldest_waits_for_what_is_in_use_and_others_for_a_while() {
        let room = room(100);
        let in_use = room.take(50 * MIB, of(7, "x")).unwrap();
        let (first, second) = (|| of(1, "p"), || of(2, "q"));
        let mut oldest = Claim::new(&room, &first, 0);
        let mut younger = Claim::new(&room, &second, 0);
        oldest.grow_to(20 * MIB).await.unwrap();
        younger.grow_to(20 * MIB).await.unwrap();
        assert_eq!(younger.grow_to(60 * MIB).await, Err(Full));
        drop(younger);
        let mut more = Box::pin(oldest.grow_to(60 * MIB));
        // Longer than others wait.
        assert!(tokio::time::timeout(3 * NOT_LONG, more.as_mut()).await.is_err());
        drop(in_use);
        assert_eq!(more.await, Ok(()));
    }
}
