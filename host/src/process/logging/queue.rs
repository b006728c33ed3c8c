//! The log's lines on their way out: taken from whoever logs without a wait, and written by one thread
//! of their own, which may wait for as long as nobody reads. Owns what may wait, and the count of what
//! found no room or could not be written; knows nothing of what lines say.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

/// Lines that may wait.
const LINES_MAX: usize = 4096;
/// Bytes of lines that may wait.
const BYTES_MAX: usize = 1 << 20;
/// Bytes of short lines that are written at once: what others write to the same pipe does not get in
/// between so many.
const WRITE_BYTES: usize = 4096;
/// How long the last lines may take when the process ends.
const FINISH_TIME: Duration = Duration::from_secs(1);

thread_local! {
    /// What the writing thread itself logs: it goes past the queue, where there may be no room for it.
    static OWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Lines that were lost, by the reason.
#[derive(Debug)]
pub struct Dropped {
    full: AtomicU64,
    unwritable: AtomicU64,
}

impl Dropped {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self { full: AtomicU64::new(0), unwritable: AtomicU64::new(0) }
    }

    /// How many, by the reason's name.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u64); 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("queue-full", count(&self.full)), ("unwritable", count(&self.unwritable))]
    }

    fn sum(&self) -> u64 {
        self.by_reason().into_iter().map(|(_, count)| count).sum()
    }
}

/// How much of the queue a line may find taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of it but the line's own room.
    Whole,
    /// Half as much.
    Guests,
}

impl Share {
    fn of(self, whole: usize) -> usize {
        match self {
            Self::Whole => whole,
            Self::Guests => whole / 2,
        }
    }
}

/// What both ends see.
struct Shared {
    waiting_lines: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// Lines that were queued so far.
    queued: AtomicU64,
    /// Lines that were written so far, or lost in that.
    done: Mutex<u64>,
    progress: Condvar,
    dropped: &'static Dropped,
}

/// The end where lines go in. It never waits.
pub struct Lines {
    to: SyncSender<Box<[u8]>>,
    shared: Arc<Shared>,
}

impl Lines {
    /// Queues a line, which ends with a newline; without room it is lost and counted.
    pub fn push(&self, line: &[u8], share: Share) {
        if own(line) {
            return;
        }
        let shared = &*self.shared;
        let lines = shared.waiting_lines.fetch_add(1, Ordering::AcqRel);
        let bytes = shared.waiting_bytes.fetch_add(line.len(), Ordering::AcqRel);
        let fits = lines < share.of(LINES_MAX) && bytes + line.len() <= share.of(BYTES_MAX);
        if fits && self.to.try_send(line.into()).is_ok() {
            shared.queued.fetch_add(1, Ordering::AcqRel);
        } else {
            shared.leave(line.len());
            shared.dropped.full.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Takes a line of the writing thread's own; false on all others.
fn own(line: &[u8]) -> bool {
    let take = |own: &RefCell<Option<Vec<u8>>>| match &mut *own.borrow_mut() {
        Some(own) => {
            own.extend_from_slice(line);
            true
        }
        None => false,
    };
    OWN.try_with(take).unwrap_or(false)
}

impl Shared {
    fn leave(&self, bytes: usize) {
        self.waiting_lines.fetch_sub(1, Ordering::AcqRel);
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A log that runs. Dropping it waits until what was logged is written, though not for long.
#[must_use]
pub struct Log {
    shared: Arc<Shared>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let queued = self.shared.queued.load(Ordering::Acquire);
        let done = self.shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Who does not read cannot keep the process.
        let _ = self.shared.progress.wait_timeout_while(done, FINISH_TIME, |done| *done < queued);
    }
}

/// Starts the thread that writes to `out`.
pub fn start(out: File, dropped: &'static Dropped) -> io::Result<(Lines, Log)> {
    let (to, from) = sync_channel(LINES_MAX);
    let shared = Arc::new(Shared {
        waiting_lines: AtomicUsize::new(0),
        waiting_bytes: AtomicUsize::new(0),
        queued: AtomicU64::new(0),
        done: Mutex::new(0),
        progress: Condvar::new(),
        dropped,
    });
    let mut writer = Writer { out, shared: Arc::clone(&shared), torn: false, told: 0 };
    thread::Builder::new().name("larder-log".to_owned()).spawn(move || writer.run(&from))?;
    Ok((Lines { to, shared: Arc::clone(&shared) }, Log { shared }))
}

/// The writing thread's end.
struct Writer {
    out: File,
    shared: Arc<Shared>,
    /// Whether what was written last ends within a line.
    torn: bool,
    /// Lost lines that the log tells of.
    told: u64,
}

impl Writer {
    /// Writes what comes, until nobody can log any more.
    fn run(&mut self, from: &Receiver<Box<[u8]>>) {
        let mut next = from.recv().ok();
        let mut together = Vec::with_capacity(WRITE_BYTES);
        while let Some(first) = next.take() {
            let mut lines = 0;
            let mut line = Some(first);
            while let Some(fits) = line.take() {
                self.shared.leave(fits.len());
                together.extend_from_slice(&fits);
                lines += 1;
                next = from.try_recv().ok();
                line = next.take_if(|next| together.len() + next.len() <= WRITE_BYTES);
            }
            if self.write(&together) {
                self.tell();
            }
            together.clear();
            *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner) += lines;
            self.shared.progress.notify_all();
            if next.is_none() {
                next = from.recv().ok();
            }
        }
    }

    /// Writes whole lines; false when some of them, which are counted, could not be written.
    fn write(&mut self, lines: &[u8]) -> bool {
        let mut left = lines;
        let begun =
            if self.torn { self.write_some(b"\n").map(|_| self.torn = false) } else { Ok(()) };
        while begun.is_ok() && !left.is_empty() {
            match self.write_some(left) {
                Ok(0) | Err(_) => break,
                Ok(written) => {
                    self.torn = left[written - 1] != b'\n';
                    left = &left[written..];
                }
            }
        }
        let lost = left.iter().filter(|byte| **byte == b'\n').count();
        self.shared.dropped.unwritable.fetch_add(lost as u64, Ordering::Relaxed);
        lost == 0
    }

    /// Waits where the descriptor does not, as one that is shared with others may be set.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = &mut [PollFd::from_borrowed_fd(self.out.as_fd(), PollFlags::OUT)];
                    poll(ready, None)?;
                }
                done => return done,
            }
        }
    }

    /// Has the log tell how many lines it lacks, now that it can be written again.
    fn tell(&mut self) {
        let lost = self.shared.dropped.sum();
        if lost == self.told {
            return;
        }
        OWN.set(Some(Vec::new()));
        let lines = lost - self.told;
        tracing::error!(lines, "the log lacks lines: nobody read it, or it could not be written");
        let line = OWN.take().unwrap_or_default();
        if self.write(&line) {
            self.told = lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn lines_are_written_or_counted_and_guests_leave_room_for_others() {
        let (mut unread, out) = io::pipe().unwrap();
        let dropped = &*Box::leak(Box::new(Dropped::new()));
        let (lines, log) = start(File::from(OwnedFd::from(out)), dropped).unwrap();
        let line = [&[b'x'; 127][..], b"\n"].concat();
        for _ in 0..2 * LINES_MAX {
            lines.push(&line, Share::Guests);
        }
        let of_guests = dropped.sum();
        assert!(of_guests > 0);
        for _ in 0..LINES_MAX / 4 {
            lines.push(b"from the server\n", Share::Whole);
        }
        assert_eq!(dropped.sum(), of_guests);
        lines.push(&vec![b'x'; BYTES_MAX], Share::Whole);
        assert_eq!(dropped.sum(), of_guests + 1);
        drop(lines);
        let read = thread::spawn(move || io::read_to_string(&mut unread).unwrap());
        drop(log);
        let read = read.join().unwrap();
        assert_eq!(
            read.lines().count() as u64 + of_guests,
            2 * LINES_MAX as u64 + LINES_MAX as u64 / 4
        );
        assert_eq!(read.matches("from the server").count(), LINES_MAX / 4);
    }

    #[test]
    fn lines_that_nobody_can_read_any_more_are_counted() {
        let (reader, out) = io::pipe().unwrap();
        drop(reader);
        let dropped = &*Box::leak(Box::new(Dropped::new()));
        let (lines, log) = start(File::from(OwnedFd::from(out)), dropped).unwrap();
        for _ in 0..3 {
            lines.push(b"lost\n", Share::Whole);
        }
        drop(log);
        assert_eq!(dropped.by_reason(), [("queue-full", 0), ("unwritable", 3)]);
    }
}
