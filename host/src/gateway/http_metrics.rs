//! HTTP metrics: which counters there are, and for how long. A mount's counters outlive its routes: a route that
//! takes its place goes on with them, and those of one that was removed are still shown. Knows nothing of how
//! they are shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::errors::Reason;
use super::labels::{CALL_OUTCOMES, METHODS, OUTCOMES, STATUS_COUNT};
use crate::metrics::{Counter, Histogram, PerThread, TIMES};
use crate::runtime::Guest;

/// What the host answers by itself is counted as this guest's.
const HOST: &str = "host";
/// What none of a guest's operations is.
const OTHER: &str = "other";

/// One thread's counts of one operation.
#[derive(Debug)]
pub struct OperationCounts {
    /// Answers by method and status.
    pub answers: [[Counter; STATUS_COUNT]; METHODS.len()],
    /// Their times by outcome.
    pub times: [Histogram; OUTCOMES.len()],
}

impl Default for OperationCounts {
    fn default() -> Self {
        Self {
            answers: std::array::from_fn(|_| std::array::from_fn(|_| Counter::default())),
            times: std::array::from_fn(|_| Histogram::new(&TIMES)),
        }
    }
}

/// One thread's counts of the calls of one mount's guest.
#[derive(Debug)]
pub struct CallCounts {
    /// Calls by outcome.
    pub ended: [Counter; CALL_OUTCOMES.len()],
    /// Their times.
    pub times: Histogram,
}

impl Default for CallCounts {
    fn default() -> Self {
        let ended = std::array::from_fn(|_| Counter::default());
        Self { ended, times: Histogram::new(&TIMES) }
    }
}

/// One thread's counts of requests that the host refused, by reason.
#[derive(Debug, Default)]
pub struct RefusedCounts(pub [Counter; Reason::ALL.len()]);

impl RefusedCounts {
    /// Counts a request that the host refused.
    pub fn count(&self, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.0[reason as usize].increment();
        }
    }
}

/// An operation that is counted apart, by all threads.
#[derive(Debug)]
pub struct OperationMetrics {
    /// The label: a path, or what stands for all others.
    pub name: String,
    /// What each thread counts.
    pub threads: PerThread<OperationCounts>,
}

impl OperationMetrics {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), threads: PerThread::default() })
    }
}

/// What is counted for one mount, or for the host itself, by all threads.
pub struct MountMetrics {
    /// Stands for the mount wherever something is kept for it.
    pub id: u64,
    /// The label: the guest's name, told from all others.
    pub guest: String,
    /// The guest's name and the mount's prefix.
    mount: (String, String),
    /// All operations that there ever were.
    operations: Mutex<Vec<Arc<OperationMetrics>>>,
    /// What none of them is.
    pub other: Arc<OperationMetrics>,
    /// Calls of the guest.
    pub calls: PerThread<CallCounts>,
    guests: Mutex<Guests>,
}

/// Whose instances are counted for a mount.
#[derive(Default)]
struct Guests {
    present: Vec<Arc<Guest>>,
    /// Instances of those that are gone.
    past_instances: u64,
}

impl MountMetrics {
    fn new(id: u64, guest: String, mount: (String, String)) -> Self {
        Self {
            id,
            guest,
            mount,
            operations: Mutex::default(),
            other: OperationMetrics::new(OTHER),
            calls: PerThread::default(),
            guests: Mutex::default(),
        }
    }

    /// The metrics of these operations, sorted and each once: new ones, or those that there were before.
    pub fn operations_of(&self, names: &[String]) -> Vec<Arc<OperationMetrics>> {
        let mut names: Vec<&String> = names.iter().collect();
        names.sort_unstable();
        names.dedup();
        let mut all = lock(&self.operations);
        let mut of = |name: &String| {
            if let Some(known) = all.iter().find(|known| known.name == *name) {
                return Arc::clone(known);
            }
            let new = OperationMetrics::new(name);
            all.push(Arc::clone(&new));
            new
        };
        names.into_iter().map(&mut of).collect()
    }

    /// All operations, those of earlier routes included, and what stands for all others.
    pub fn operations(&self) -> Vec<Arc<OperationMetrics>> {
        let mut all = lock(&self.operations).clone();
        all.push(Arc::clone(&self.other));
        all
    }

    /// Counts the instances of `guest` from now on.
    pub fn add_guest(&self, guest: &Arc<Guest>) {
        lock(&self.guests).present.push(Arc::clone(guest));
    }

    /// Forgets `guest`, but not how many instances it had.
    pub fn remove_guest(&self, guest: &Arc<Guest>) {
        let mut guests = lock(&self.guests);
        if let Some(index) = guests.present.iter().position(|present| Arc::ptr_eq(present, guest)) {
            guests.present.swap_remove(index);
            guests.past_instances += guest.instances_made();
        }
    }

    /// Instances that were made.
    pub fn instances_made(&self) -> u64 {
        let guests = lock(&self.guests);
        let present = guests.present.iter().map(|guest| guest.instances_made());
        guests.past_instances + present.sum::<u64>()
    }
}

/// All HTTP metrics.
pub struct HttpMetrics {
    /// Those of the host itself.
    pub host: Arc<MountMetrics>,
    /// The host's operations.
    pub host_operations: Vec<Arc<OperationMetrics>>,
    mounts: Mutex<Vec<Arc<MountMetrics>>>,
    /// Requests that the host refused, by thread.
    pub refused: PerThread<RefusedCounts>,
}

impl HttpMetrics {
    /// Those of the host with these operations, and no mount's yet.
    #[must_use]
    pub fn new(host_operations: &[&str]) -> Self {
        let host = Arc::new(MountMetrics::new(0, HOST.to_owned(), Default::default()));
        let operations = host_operations.iter().map(|path| (*path).to_owned());
        let host_operations = host.operations_of(&operations.collect::<Vec<_>>());
        Self { host, host_operations, mounts: Mutex::default(), refused: PerThread::default() }
    }

    /// The metrics of the guest of this name at this prefix: new ones, or those that there were before. Two
    /// guests of one name are told apart by where they are mounted.
    pub fn mount(&self, name: &str, prefix: &str) -> Arc<MountMetrics> {
        let mut mounts = lock(&self.mounts);
        let mount = (name.to_owned(), prefix.to_owned());
        if let Some(known) = mounts.iter().find(|known| known.mount == mount) {
            return Arc::clone(known);
        }
        let mut guest = name.to_owned();
        while guest == HOST || mounts.iter().any(|other| other.guest == guest) {
            guest = format!("{guest}:{prefix}");
        }
        let new = Arc::new(MountMetrics::new(mounts.len() as u64 + 1, guest, mount));
        mounts.push(Arc::clone(&new));
        new
    }

    /// The metrics of all mounts that there ever were.
    pub fn mounts(&self) -> Vec<Arc<MountMetrics>> {
        lock(&self.mounts).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is done under these locks cannot panic halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_one_name_are_told_apart() {
        let metrics = HttpMetrics::new(&[]);
        let paths = ["/b/two", "/b/one", "/b/two"].map(str::to_owned);
        let all = [("g", "/a"), ("g", "/b"), ("host", "/h")];
        let all = all.map(|(name, prefix)| metrics.mount(name, prefix));
        let mut guests: Vec<&str> = all.iter().map(|mount| mount.guest.as_str()).collect();
        guests.push(&metrics.host.guest);
        assert_eq!(guests, ["g", "g:/b", "host:/h", "host"]);
        let names = |all: Vec<Arc<OperationMetrics>>| {
            all.iter().map(|operation| operation.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(all[1].operations_of(&paths)), ["/b/one", "/b/two"]);
        assert_eq!(names(all[1].operations()), ["/b/one", "/b/two", "other"]);
        // Whoever comes back finds what was counted before.
        assert!(Arc::ptr_eq(&metrics.mount("g", "/b"), &all[1]));
        let again = all[1].operations_of(&paths[..1]);
        assert_eq!(names(again.clone()), ["/b/two"]);
        assert!(Arc::ptr_eq(&again[0], &all[1].operations()[1]));
    }
}
