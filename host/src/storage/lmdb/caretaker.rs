//! Looks after what goes on around an open store: files that are moved away under it, readers that died
//! in other processes, a disk that was full, a clock that is wrong. Changes no data.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::database::Database;
use super::periodic::Periodic;
use super::queue::Queue;
use super::site::Site;
use crate::clock::Clock;

/// How often it checks.
const INTERVAL: Duration = Duration::from_millis(250);
/// In every how many rounds it clears readers that died: LMDB asks the system about each process.
const ROUNDS_A_CLEARING: u32 = 4;
/// How far ahead of the wall clock time may be without a word: more than what is corrected now and then.
const AHEAD_USUAL: Duration = Duration::from_secs(60);

/// Starts the thread.
pub fn start(database: Database, queue: Queue, clock: Clock, site: Arc<Site>) -> Periodic {
    let mut caretaker = Caretaker { database, queue, clock, site, rounds: 0, is_ahead: false };
    // What is so from the start is told at the start.
    caretaker.check_clock();
    Periodic::start("larder-caretaker", INTERVAL, move |_| caretaker.check())
}

struct Caretaker {
    database: Database,
    queue: Queue,
    clock: Clock,
    site: Arc<Site>,
    rounds: u32,
    is_ahead: bool,
}

impl Caretaker {
    fn check(&mut self) {
        self.queue.check_space();
        self.queue.shared.set_displaced(self.site.check());
        self.check_clock();
        self.rounds = (self.rounds + 1) % ROUNDS_A_CLEARING;
        if self.rounds == 0 {
            self.clear_dead_readers();
        }
    }

    /// Frees the slots of processes that were killed while they read: LMDB itself looks for them only
    /// when one dies in the midst of a lock, and until then keeps every page that they could see.
    fn clear_dead_readers(&self) {
        match self.database.env.clear_stale_readers() {
            Ok(0) => {}
            Ok(cleared) => {
                let counter = &self.queue.shared.stats.dead_readers;
                counter.fetch_add(cleared as u64, Ordering::Relaxed);
                tracing::warn!(
                    cleared,
                    "a command that read the data was killed; what it could see is let go"
                );
            }
            Err(error) => tracing::warn!(%error, "readers that died cannot be looked for"),
        }
    }

    fn check_clock(&mut self) {
        let ahead = self.clock.ahead();
        if ahead > AHEAD_USUAL && !self.is_ahead {
            let ahead_seconds = ahead.as_secs();
            tracing::warn!(
                ahead_seconds,
                "this machine's clock is behind an instant that the store has seen: it was ahead once, \
                 or is behind now. Time goes on from that instant, and what is to expire does so by it. \
                 If the clock is right now: stop the server and run larder clock --set-back"
            );
        }
        self.is_ahead = ahead > AHEAD_USUAL;
    }
}
