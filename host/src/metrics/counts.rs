//! Numbers that the server counts about itself, and how they are kept: each is written by one
//! thread with plain loads and stores, and added up by whoever reads them. Knows nothing of what is
//! counted.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// A number that only rises, and that only one thread raises; any thread may read it. Two that raise
/// it at once lose counts, and nothing worse.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        // No locked instruction: the one thread that writes sees what it wrote.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// How much was added so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bounds of a histogram's buckets, each the largest value that still belongs to its bucket.
#[derive(Debug)]
pub struct Bounds {
    pub(super) values: &'static [u64],
    /// How many make one of the unit that is shown.
    pub(super) per_unit: f64,
}

/// Times, counted in microseconds and shown in seconds: from 50 µs to 10 s.
pub static TIMES: Bounds = Bounds {
    values: &[
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 5_000_000, 10_000_000,
    ],
    per_unit: 1e6,
};

/// Sizes of batches: powers of two up to 1024.
pub static BATCHES: Bounds =
    Bounds { values: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024], per_unit: 1.0 };

/// How often values fell into each bucket, and their sum. Written by one thread.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    /// One for each bound, and one for what is above them all.
    counts: Box<[Counter]>,
    sum: Counter,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: &'static Bounds) -> Self {
        let counts = std::iter::repeat_with(Counter::default).take(bounds.values.len() + 1);
        Self { bounds, counts: counts.collect(), sum: Counter::default() }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        // Looking at all of them has no branch to be mistaken about.
        let bucket = self.bounds.values.iter().filter(|bound| value > **bound).count();
        self.counts[bucket].increment();
        self.sum.add(value);
    }

    /// Counts a time.
    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

/// What one or more histograms of the same bounds hold together.
#[derive(Clone, Debug)]
pub struct Distribution {
    bounds: &'static Bounds,
    counts: Vec<u64>,
    sum: u64,
}

impl Distribution {
    /// Nothing yet.
    #[must_use]
    pub fn empty(bounds: &'static Bounds) -> Self {
        Self { bounds, counts: vec![0; bounds.values.len() + 1], sum: 0 }
    }

    /// Adds what `histogram` holds now.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.counts.iter_mut().zip(&histogram.counts) {
            *sum += count.get();
        }
        self.sum = self.sum.wrapping_add(histogram.sum.get());
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each bound in the unit that is shown, with how many values are not above it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.values.iter().map(|bound| *bound as f64 / self.bounds.per_unit);
        let mut below = 0;
        bounds.zip(&self.counts).map(move |(bound, count)| {
            below += count;
            (bound, below)
        })
    }

    /// The sum in the unit that is shown.
    pub(super) fn sum(&self) -> f64 {
        self.sum as f64 / self.bounds.per_unit
    }
}

impl From<&Histogram> for Distribution {
    fn from(histogram: &Histogram) -> Self {
        let mut all = Self::empty(histogram.bounds);
        all.add(histogram);
        all
    }
}

/// Numbers of one thread, apart from those of others: what lies in one line of a processor's cache
/// is only ever written by one of them.
#[derive(Debug)]
#[repr(align(128))]
pub struct Own<T>(T);

impl<T> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The numbers of all threads that count the same. Threads join it once; only joining and reading take
/// its lock.
#[derive(Debug)]
pub struct PerThread<T> {
    threads: Mutex<Vec<(ThreadId, Arc<Own<T>>)>>,
}

impl<T> Default for PerThread<T> {
    fn default() -> Self {
        Self { threads: Mutex::default() }
    }
}

impl<T> PerThread<T> {
    /// Takes in the numbers of one more thread, and hands them to it.
    pub fn join(&self, numbers: T) -> Arc<Own<T>> {
        let numbers = Arc::new(Own(numbers));
        self.threads().push((thread::current().id(), Arc::clone(&numbers)));
        numbers
    }

    /// The numbers of the calling thread: those that it has joined with, or new ones.
    pub fn of_this_thread(&self) -> Arc<Own<T>>
    where
        T: Default,
    {
        let this = thread::current().id();
        let known =
            self.threads().iter().find(|(id, _)| *id == this).map(|(_, own)| Arc::clone(own));
        known.unwrap_or_else(|| self.join(T::default()))
    }

    /// The numbers of every thread that has joined, also of those that have ended.
    pub fn all(&self) -> Vec<Arc<Own<T>>> {
        self.threads().iter().map(|(_, own)| Arc::clone(own)).collect()
    }

    fn threads(&self) -> MutexGuard<'_, Vec<(ThreadId, Arc<Own<T>>)>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SMALL: Bounds = Bounds { values: &[1, 10], per_unit: 2.0 };

    #[test]
    fn a_value_at_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&SMALL);
        for value in [0, 1, 2, 10, 11, u64::MAX] {
            histogram.observe(value);
        }
        assert_eq!(Distribution::from(&histogram).counts, [2, 2, 2]);
    }

    #[test]
    fn histograms_of_several_threads_add_up() {
        let all = PerThread::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let own = all.join(Histogram::new(&SMALL));
                    (0..1000).for_each(|_| own.observe(2));
                });
            }
        });
        let mut sum = Distribution::empty(&SMALL);
        all.all().iter().for_each(|own| sum.add(own));
        assert_eq!((sum.count(), sum.sum()), (4000, 4000.0));
        assert_eq!(sum.buckets().collect::<Vec<_>>(), [(0.5, 0), (5.0, 4000)]);
    }

    #[test]
    fn bounds_rise_so_that_each_value_has_one_bucket() {
        for bounds in [&TIMES, &BATCHES] {
            assert!(bounds.values.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn times_are_counted_in_microseconds_and_shown_in_seconds() {
        let histogram = Histogram::new(&TIMES);
        histogram.observe_time(Duration::from_millis(1500));
        assert_eq!(Distribution::from(&histogram).sum(), 1.5);
    }
}
