//! Idle eviction: the connections of one worker thread, and which of them is closed when the server has as many
//! as it may: those of which nothing was ever answered before those that are idle between requests, and
//! of either kind the ones that have been idle for longest. Whoever waits for an answer, or is being
//! sent one, stays. Knows no protocol.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use tokio::task::AbortHandle;

use super::activity::{Activity, ActivityClock};

/// One in so many connections is chosen at a search, so that searching costs each newcomer little.
const SHARE: usize = 16;

/// Connections by their number, which rises with time.
#[derive(Default)]
pub struct Connections {
    /// What has happened to them.
    pub clock: ActivityClock,
    members: RefCell<HashMap<u64, Member>>,
    /// Who goes next, as it was at the last search: numbers, and when they had been active.
    next: RefCell<VecDeque<(u64, u64)>>,
}

struct Member {
    activity: Rc<Activity>,
    task: AbortHandle,
}

/// A connection that may be evicted, until this is dropped.
pub struct Tracked {
    connections: Rc<Connections>,
    number: u64,
}

impl Tracked {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.connections.members.borrow_mut().remove(&self.number);
        self.connections.clock.add();
    }
}

impl Connections {
    /// Tracks a connection that comes now; its activity is what is going to be known of it.
    pub fn track(self: &Rc<Self>) -> (Rc<Activity>, Tracked) {
        let number = self.clock.add();
        let activity = Rc::new(Activity::new(&self.clock));
        (activity, Tracked { connections: Rc::clone(self), number })
    }

    /// Takes in the one with this number, which `task` serves.
    pub fn add(&self, number: u64, activity: Rc<Activity>, task: AbortHandle) {
        self.members.borrow_mut().insert(number, Member { activity, task });
    }

    /// Closes the connection that can be spared most, and says whether there was one.
    pub fn evict_idle(&self) -> bool {
        let mut members = self.members.borrow_mut();
        let mut next = self.next.borrow_mut();
        if let Some(number) = pop_idle(&mut next, &members).or_else(|| {
            search(&mut next, &members);
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
        let activity = members.get(number).map(|member| &member.activity);
        activity.is_some_and(|activity| activity.is_idle() && activity.active_at.get() == since)
    };
    std::iter::from_fn(|| next.pop_front())
        .find(|(number, since)| is_idle(number, *since))
        .map(|(number, _)| number)
}

/// Chooses those that go next, in order.
fn search(next: &mut VecDeque<(u64, u64)>, members: &HashMap<u64, Member>) {
    let idle = members.iter().filter(|(_, member)| member.activity.is_idle());
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
    (member.activity.answered.get() > 0, member.activity.active_at.get())
}
