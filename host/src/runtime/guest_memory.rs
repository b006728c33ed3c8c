//! What guests take of the host's memory, over all calls and idle instances: an account with a limit,
//! and charges to it that are given back when what they stand for is gone. Knows neither what is charged nor
//! what becomes of a call for which there is no room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The account. Charged by every thread, but not by calls of an instance that is there and stays as it is.
#[derive(Debug)]
pub struct GuestMemory {
    used_bytes: AtomicUsize,
    bytes_max: usize,
}

impl GuestMemory {
    /// An account of which so much may be used.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { used_bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that may be in use.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let taken = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.bytes_max);
        let taken = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        taken.map(drop).map_err(|_| NoRoom)
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// All calls together use what they may, so that one of them gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no room for it: all calls together use guests_bytes_max")
    }
}

impl std::error::Error for NoRoom {}

/// Bytes that are charged for as long as this is there.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<GuestMemory>,
    bytes: usize,
}

impl Charge {
    /// A charge of nothing, which may grow.
    #[must_use]
    pub fn nothing(memory: &Arc<GuestMemory>) -> Self {
        Self { memory: Arc::clone(memory), bytes: 0 }
    }

    /// A charge of `bytes`.
    pub fn new(memory: &Arc<GuestMemory>, bytes: usize) -> Result<Self, NoRoom> {
        let mut charge = Self::nothing(memory);
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Charges so many bytes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        // As for a table without elements.
        if bytes > 0 {
            self.memory.take(bytes)?;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Bytes that are charged.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

/// Charges that parts of something have in common with others, or for themselves.
#[derive(Debug, Default)]
pub struct Charges(Vec<Arc<Charge>>);

impl Charges {
    /// Takes one in.
    pub fn push(&mut self, charge: Arc<Charge>) {
        self.0.push(charge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_fit_or_are_refused_whole_and_are_given_back() {
        let memory = Arc::new(GuestMemory::new(100));
        let mut first = Charge::new(&memory, 60).unwrap();
        assert_eq!(Charge::new(&memory, 41).unwrap_err(), NoRoom);
        assert_eq!(first.grow(usize::MAX), Err(NoRoom));
        assert_eq!(first.grow(40), Ok(()));
        assert_eq!((first.bytes(), memory.used_bytes()), (100, 100));
        drop(first);
        assert_eq!(memory.used_bytes(), 0);
        assert!(Charge::new(&memory, 101).is_err());
    }

    #[test]
    fn what_several_share_is_given_back_with_the_last_of_them() {
        let memory = Arc::new(GuestMemory::new(100));
        let charge = Arc::new(Charge::new(&memory, 100).unwrap());
        let mut charges = Charges::default();
        charges.push(Arc::clone(&charge));
        charges.push(charge);
        assert!(Charge::new(&memory, 1).is_err());
        drop(charges);
        assert!(Charge::new(&memory, 100).is_ok());
    }

    #[test]
    fn threads_that_charge_at_once_never_use_more_than_there_is() {
        let memory = Arc::new(GuestMemory::new(10));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let charge = Charge::new(&memory, 3);
                        assert!(memory.used_bytes() <= 10);
                        drop(charge);
                    }
                });
            }
        });
        assert_eq!(memory.used_bytes(), 0);
    }
}
