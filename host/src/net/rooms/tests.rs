//! Facts about rooms, one a test.

use std::future::Future;
use std::pin::{Pin, pin};
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
    let kept: Vec<_> = claims.into_iter().map(Claim::into_owned).collect();
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

#[tokio::test]
async fn beyond_as_many_as_may_wait_claims_are_refused_at_once() {
    let room = room(100);
    let in_use = room.take(100 * MIB, of(0, "x")).unwrap();
    let parties: Vec<_> = (0..WAITING_MAX as u64 + 10).map(|n| move || of(n, "p")).collect();
    let mut claims: Vec<_> = parties.iter().map(|parties| Claim::new(&room, parties, 0)).collect();
    let mut waiting: Vec<_> = claims.iter_mut().map(|claim| Box::pin(claim.grow_to(MIB))).collect();
    let told: Vec<_> = waiting.iter_mut().map(|claim| at_once(claim.as_mut())).collect();
    // The first of them has made the youngest give way.
    assert!(told[..WAITING_MAX].iter().all(Option::is_none));
    assert!(told[WAITING_MAX..].iter().all(|told| *told == Some(Err(Full))));
    drop(waiting);
    drop((claims, in_use));
    assert_eq!(room.used(), 0);
    assert!(room.lock().by_party.is_empty() && room.lock().waiting.is_empty());
}
