//! Which threads of this process read now, and as of which transaction: LMDB keeps every page that the
//! oldest of them can see, so one that lags makes the file grow. Knows nothing of what is read; other
//! processes' readers are `reader_table`'s.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Places for threads. Two threads that share one may hide each other's transaction for a moment.
const PLACES: usize = 1024;
const NOBODY: u64 = u64::MAX;

static NEXT_PLACE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's place, in every store alike.
    static PLACE: Cell<usize> = Cell::new(NEXT_PLACE.fetch_add(1, Ordering::Relaxed) % PLACES);
}

/// The transactions that threads read in now. Beginning one costs two plain stores to memory that no
/// other thread writes.
pub struct Readers {
    places: Box<[Place]>,
}

/// Where a thread tells which transaction it reads in, or [`NOBODY`]'s.
#[repr(align(64))]
struct Place(AtomicU64);

impl Default for Readers {
    fn default() -> Self {
        let places = std::iter::repeat_with(|| Place(AtomicU64::new(NOBODY))).take(PLACES);
        Self { places: places.collect() }
    }
}

impl Readers {
    /// Counts this thread as a reader of the transaction `id`, until what is returned is dropped.
    pub fn enter(&self, id: u64) -> Reader<'_> {
        let Place(place) = &self.places[PLACE.get()];
        place.store(id, Ordering::Relaxed);
        Reader(place)
    }

    /// How many threads read now, and the oldest transaction that any of them reads in.
    pub fn oldest(&self) -> (u64, Option<u64>) {
        let ids = self.places.iter().map(|place| place.0.load(Ordering::Relaxed));
        let (mut count, mut oldest) = (0, None);
        for id in ids.filter(|id| *id != NOBODY) {
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
        self.0.store(NOBODY, Ordering::Relaxed);
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
