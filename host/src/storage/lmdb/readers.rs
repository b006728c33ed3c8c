//! Which threads of this process read now, and as of which transaction: LMDB keeps every page that the
//! oldest of them can see, so one that lags makes the file grow. Knows nothing of what is read; other
//! processes' readers are `reader_table`'s.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Slots for threads. Two threads that share one may hide each other's transaction for a moment.
const SLOTS: usize = 1024;
const NOT_READING: u64 = u64::MAX;

static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's slot, in every store alike.
    static SLOT: Cell<usize> = Cell::new(NEXT_SLOT.fetch_add(1, Ordering::Relaxed) % SLOTS);
}

/// The transactions that threads read in now. Beginning one costs two plain stores to memory that no
/// other thread writes.
pub struct Readers {
    slots: Box<[Slot]>,
}

/// Where a thread tells which transaction it reads in, or [`NOT_READING`].
#[repr(align(64))]
struct Slot(AtomicU64);

impl Default for Readers {
    fn default() -> Self {
        let slots = std::iter::repeat_with(|| Slot(AtomicU64::new(NOT_READING))).take(SLOTS);
        Self { slots: slots.collect() }
    }
}

impl Readers {
    /// Counts this thread as a reader of the transaction `id`, until what is returned is dropped.
    pub fn enter(&self, id: u64) -> Reader<'_> {
        let Slot(slot) = &self.slots[SLOT.get()];
        slot.store(id, Ordering::Relaxed);
        Reader(slot)
    }

    /// How many threads read now, and the oldest transaction that any of them reads in.
    pub fn oldest(&self) -> (u64, Option<u64>) {
        let ids = self.slots.iter().map(|slot| slot.0.load(Ordering::Relaxed));
        let (mut count, mut oldest) = (0, None);
        for id in ids.filter(|id| *id != NOT_READING) {
            count += 1;
            oldest = Some(oldest.map_or(id, |oldest: u64| oldest.min(id)));
        }
        (count, oldest)
    }
}

/// A thread that reads.
pub struct Reader<'a>(&'a AtomicU64);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.store(NOT_READING, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_several_threads_counts_until_it_leaves() {
        let readers = Readers::default();
        assert_eq!(readers.oldest(), (0, None));
        let old = readers.enter(7);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _new = readers.enter(9);
                assert_eq!(readers.oldest(), (2, Some(7)));
            });
        });
        assert_eq!(readers.oldest(), (1, Some(7)));
        drop(old);
        assert_eq!(readers.oldest(), (0, None));
    }
}
