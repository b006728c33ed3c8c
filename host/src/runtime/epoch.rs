//! The clockwork that makes guests give way: advances the engine's epoch. Knows no guest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How often running guests give way to their neighbours: often for a while after one of them had to,
/// seldom when none needs it, so that a server that has nothing to do hardly wakes.
const TICK_QUICK: Duration = Duration::from_micros(250);
const TICK_SLOW: Duration = Duration::from_millis(2);
/// Quick ticks that follow the last one at which a guest ran: about a second.
const QUICK_TICKS: u32 = 4000;

/// Ticks that pass in so much time at least, however often they come.
pub fn ticks_of(time: Duration) -> u64 {
    let ticks = time.as_nanos() / TICK_QUICK.as_nanos();
    u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
}

/// Whether ticks come quickly, as guests ask for by running long.
#[derive(Debug, Default)]
pub struct Pace(AtomicBool);

impl Pace {
    /// Has ticks come quickly for a while: a guest has run into one.
    pub fn quicken(&self) {
        // All workers' guests come here: who finds it said leaves the cache line shared.
        if !self.0.load(Ordering::Relaxed) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// The time to the next tick, when so many quick ones are left.
    fn next(&self, quick_left: &mut u32) -> Duration {
        *quick_left = if self.0.swap(false, Ordering::Relaxed) {
            QUICK_TICKS
        } else {
            quick_left.saturating_sub(1)
        };
        if *quick_left > 0 { TICK_QUICK } else { TICK_SLOW }
    }
}

/// Advances the engine's epoch, so that no guest holds its thread for longer than a tick.
pub struct Ticker {
    stopped: Arc<AtomicBool>,
    pace: Arc<Pace>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the one thread that does it.
    pub fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.clone();
        let stopped = Arc::new(AtomicBool::new(false));
        let pace = Arc::new(Pace::default());
        let (seen, asked) = (Arc::clone(&stopped), Arc::clone(&pace));
        let thread = thread::Builder::new().name("larder-ticker".to_owned()).spawn(move || {
            let mut quick_left = 0;
            while !seen.load(Ordering::Acquire) {
                thread::sleep(asked.next(&mut quick_left));
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stopped, pace, thread: Some(thread) })
    }

    /// What guests that run long tell.
    pub fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of the loop above has nothing to add here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_slow_but_for_a_while_after_a_guest_ran_into_one() {
        let (pace, mut quick_left) = (Pace::default(), 0);
        assert_eq!(pace.next(&mut quick_left), TICK_SLOW);
        pace.quicken();
        for _ in 0..QUICK_TICKS {
            assert_eq!(pace.next(&mut quick_left), TICK_QUICK);
        }
        assert_eq!(pace.next(&mut quick_left), TICK_SLOW);
    }
}
