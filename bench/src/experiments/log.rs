//! A commit log as one would stand before LMDB, with nothing behind it: a ceiling for what sets could
//! cost. Knows nothing of sides and loads.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::now_ns;
use crate::failure::Failure;
use crate::load::keys::KEY_BYTES;

/// A value, and what is kept with it.
pub const RECORD_BYTES: usize = 16 + 1024;
const LOG_BYTES: u64 = 256 << 20;

/// An open log, whose room is written already.
pub struct Log {
    file: File,
    logged: u64,
}

impl Log {
    /// Makes it in a folder, which is made too.
    pub fn make(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let mut file = File::create(dir.join("log"))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..LOG_BYTES >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(Self { file, logged: 0 })
    }

    /// Appends a group of so many sets and syncs once.
    pub fn append(&mut self, sets: usize) -> Result<(), Failure> {
        let group = vec![b'v'; sets * (KEY_BYTES + RECORD_BYTES)];
        if self.logged + group.len() as u64 > LOG_BYTES {
            self.logged = 0;
        }
        if self.logged == 0 {
            self.file.seek(SeekFrom::Start(0))?;
        }
        self.file.write_all(&group)?;
        self.logged += group.len() as u64;
        Ok(self.file.sync_data()?)
    }

    /// Appends sets at a rate while something is done, which has the outcome.
    pub fn beside<T>(
        &mut self,
        per_s: f64,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let log = scope.spawn(|| self.follow(per_s, &stop).map_err(|error| error.to_string()));
            let outcome = work();
            stop.store(true, Ordering::Relaxed);
            log.join().map_err(|_| "the log's thread panicked")??;
            outcome
        })
    }

    /// Appends sets as they are due, those that came during a sync in one group, until told to stop.
    fn follow(&mut self, per_s: f64, stop: &AtomicBool) -> Result<(), Failure> {
        let (begin, ns_between, mut done) = (now_ns(), 1e9 / per_s, 0);
        while !stop.load(Ordering::Relaxed) {
            let elapsed = (now_ns() - begin) as f64;
            let due = (elapsed / ns_between) as usize;
            if due > done {
                self.append(due - done)?;
                done = due;
            } else {
                let next = (done + 1) as f64 * ns_between;
                thread::sleep(Duration::from_nanos((next - elapsed) as u64 + 1));
            }
        }
        Ok(())
    }
}
