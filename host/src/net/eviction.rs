//! The connections of one worker thread, and which of them make room when the server has as many as
//! it may: those of which nothing was ever answered before those that are idle between requests, and
//! of either kind the ones that have been idle for longest. Whoever waits for an answer, or is being
//! sent one, stays. Knows no protocol.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use tokio::task::AbortHandle;

use super::activity::{Events, Traffic};

/// One in so many connections is chosen at a look, so that looking costs each newcomer little.
const SHARE: usize = 16;

/// Connections by their number, which rises with time.
#[derive(Default)]
pub struct Crowd {
    /// What has happened to them.
    pub events: Events,
    members: RefCell<HashMap<u64, Member>>,
    /// Who goes next, as it was at the last look: numbers, and when they had been active.
    next: RefCell<VecDeque<(u64, u64)>>,
}

struct Member {
    traffic: Rc<Traffic>,
    task: AbortHandle,
}

/// A connection's place, until it is dropped.
pub struct Place {
    crowd: Rc<Crowd>,
    number: u64,
}

impl Place {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members.borrow_mut().remove(&self.number);
        self.crowd.events.add();
    }
}

impl Crowd {
    /// A place for a connection that comes now, and what is going to be known of it.
    pub fn enter(self: &Rc<Self>) -> (Rc<Traffic>, Place) {
        let number = self.events.add();
        let traffic = Rc::new(Traffic::new(&self.events));
        (traffic, Place { crowd: Rc::clone(self), number })
    }

    /// Takes in the one with this number, which `task` serves.
    pub fn add(&self, number: u64, traffic: Rc<Traffic>, task: AbortHandle) {
        self.members.borrow_mut().insert(number, Member { traffic, task });
    }

    /// Closes the connection that can be spared most, and says whether there was one.
    pub fn make_room(&self) -> bool {
        let mut members = self.members.borrow_mut();
        let mut next = self.next.borrow_mut();
        if let Some(number) = pop_idle(&mut next, &members).or_else(|| {
            look(&mut next, &members);
            pop_idle(&mut next, &members)
        }) {
            tracing::debug!("an idle connection makes room");
            return members.remove(&number).map(|member| member.task.abort()).is_some();
        }
        false
    }
}

/// The next one that has been idle since it was chosen.
fn pop_idle(next: &mut VecDeque<(u64, u64)>, members: &HashMap<u64, Member>) -> Option<u64> {
    let is_idle = |number: &u64, since| {
        let traffic = members.get(number).map(|member| &member.traffic);
        traffic.is_some_and(|traffic| traffic.is_idle() && traffic.active_at.get() == since)
    };
    std::iter::from_fn(|| next.pop_front())
        .find(|(number, since)| is_idle(number, *since))
        .map(|(number, _)| number)
}

/// Chooses those that go next, in order.
fn look(next: &mut VecDeque<(u64, u64)>, members: &HashMap<u64, Member>) {
    let idle = members.iter().filter(|(_, member)| member.traffic.is_idle());
    let mut idle: Vec<_> = idle.map(|(number, member)| (rank(member), *number)).collect();
    let count = (1 + members.len() / SHARE).min(idle.len());
    if count > 0 {
        idle.select_nth_unstable(count - 1);
    }
    idle.truncate(count);
    idle.sort_unstable();
    next.extend(idle.into_iter().map(|((_, since), number)| (number, since)));
}

/// Who goes first.
fn rank(member: &Member) -> (bool, u64) {
    (member.traffic.answered.get() > 0, member.traffic.active_at.get())
}
