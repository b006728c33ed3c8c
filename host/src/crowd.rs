//! The connections of one worker thread, and which of them make room when the server has as many as
//! it may: those of which nothing was ever answered before those that are idle between requests, and
//! of either kind the ones that have been idle for longest. Whoever waits for an answer, or is being
//! sent one, stays. Knows no protocol.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::task::AbortHandle;

use crate::http::stream::Traffic;

/// One in so many connections goes at a time, so that looking for them costs each newcomer little.
const SHARE: usize = 64;

/// Connections by their number, which rises with time.
#[derive(Default)]
pub struct Crowd {
    /// Counts arrivals, and is the clock by which idleness is judged: what matters is how many came
    /// since, and reading it costs a request nothing.
    arrivals: Rc<Cell<u64>>,
    members: RefCell<HashMap<u64, Member>>,
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
    }
}

impl Crowd {
    /// A place for a connection that comes now, and what is going to be known of it.
    pub fn enter(self: &Rc<Self>) -> (Rc<Traffic>, Place) {
        let number = self.arrivals.get() + 1;
        self.arrivals.set(number);
        let traffic = Rc::new(Traffic::new(&self.arrivals));
        (traffic, Place { crowd: Rc::clone(self), number })
    }

    /// Takes in the one with this number, which `task` serves.
    pub fn add(&self, number: u64, traffic: Rc<Traffic>, task: AbortHandle) {
        self.members.borrow_mut().insert(number, Member { traffic, task });
    }

    /// Closes a few idle connections, and says how many.
    pub fn make_room(&self) -> u64 {
        let mut members = self.members.borrow_mut();
        let idle = members.iter().filter(|(_, member)| member.traffic.is_idle());
        let mut idle: Vec<_> = idle.map(|(number, member)| (rank(member), *number)).collect();
        let count = (1 + members.len() / SHARE).min(idle.len());
        if count > 0 {
            idle.select_nth_unstable(count - 1);
        }
        for (_, number) in &idle[..count] {
            if let Some(member) = members.remove(number) {
                member.task.abort();
            }
        }
        tracing::debug!(count, "idle connections make room");
        count as u64
    }
}

/// Who goes first.
fn rank(member: &Member) -> (bool, u64) {
    (member.traffic.answered.get() > 0, member.traffic.active_at.get())
}
