//! The log of what a server did to the files and folders below its data directory, with the
//! acknowledgements that clients got in between. Knows the records; knows nothing of what a disk makes of
//! them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::op::{Op, Outcome, Store};

const HEAD_BYTES: usize = 24;
// As in shim/shim.h.
const WRITE: u32 = 1;
const SYNC: u32 = 2;
const LENGTH: u32 = 3;
const ACKNOWLEDGED: u32 = 5;
const DURABLE: u32 = 6;
const MADE: u32 = 7;
const FOLDER: u32 = 8;
const LINKED: u32 = 9;
const RENAMED: u32 = 10;
const UNLINKED: u32 = 11;

/// One thing that happened. Files and folders are told apart by their inodes, and by paths that begin with
/// the data directory's name.
#[derive(Clone, Debug)]
pub enum Event {
    /// Bytes were written to a file.
    Write {
        /// Which.
        inode: u64,
        /// Where in it.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The newest write to a file was durable when it ended.
    WriteDurable(u64),
    /// What was done to a file or folder before is durable.
    Sync(u64),
    /// A file got this length.
    Length(u64, u64),
    /// A file was made, with a name or for the time being without.
    Made(String, u64),
    /// A folder was made.
    MadeFolder(String, u64),
    /// A file got another name.
    Linked(String, u64),
    /// The first path became the second.
    Renamed(String, String),
    /// A path is gone.
    Unlinked(String),
    /// Somebody was told something: of a write, its key.
    Acknowledged(String),
}

impl Event {
    /// What it is, without bytes.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Event::Write { inode, offset, bytes } => {
                format!("{} bytes at {offset} of inode {inode}", bytes.len())
            }
            other => format!("{other:?}"),
        }
    }
}

/// Reads a log.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    let bytes = fs::read(path)?;
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let [kind, length, offset, offset_high, inode, inode_high] = numbers(head);
        let wide = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
        let (offset, inode) = (wide(offset, offset_high), wide(inode, inode_high));
        let Some((data, after)) = after.split_at_checked(length as usize) else { break };
        rest = after;
        let text = || String::from_utf8_lossy(data).into_owned();
        events.push(match kind {
            WRITE => Event::Write { inode, offset, bytes: data.to_vec() },
            DURABLE => Event::WriteDurable(inode),
            SYNC => Event::Sync(inode),
            LENGTH => Event::Length(inode, offset),
            MADE => Event::Made(text(), inode),
            FOLDER => Event::MadeFolder(text(), inode),
            LINKED => Event::Linked(text(), inode),
            RENAMED => {
                let both = text();
                let (from, to) = both.split_once('\0').unwrap_or_default();
                Event::Renamed(from.to_owned(), to.to_owned())
            }
            UNLINKED => Event::Unlinked(text()),
            ACKNOWLEDGED => Event::Acknowledged(text()),
            _ => return Err(io::Error::other(format!("a record of kind {kind}"))),
        });
    }
    Ok(events)
}

fn numbers(head: &[u8; HEAD_BYTES]) -> [u32; HEAD_BYTES / 4] {
    std::array::from_fn(|at| u32::from_le_bytes(std::array::from_fn(|byte| head[4 * at + byte])))
}

/// Opens a log for acknowledgements.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> io::Result<Arc<File>> {
    OpenOptions::new().create(true).append(true).open(path).map(Arc::new)
}

/// Puts what somebody was told into a log.
///
/// # Errors
/// When it cannot be written.
pub fn acknowledge(mut log: &File, what: &str) -> io::Result<()> {
    let length = u32::try_from(what.len()).unwrap_or(0);
    let mut record = [ACKNOWLEDGED.to_le_bytes(), length.to_le_bytes()].concat();
    record.resize(HEAD_BYTES, 0);
    record.extend_from_slice(what.as_bytes());
    // In one call, so that it is one piece beside the server's records.
    log.write_all(&record)
}

/// A store that puts each acknowledgement into the log, behind what made it true.
pub struct Acknowledging<S> {
    inner: S,
    log: Arc<File>,
}

impl<S> Acknowledging<S> {
    /// Logs what `inner` acknowledges.
    pub fn new(inner: S, log: &Arc<File>) -> Self {
        Self { inner, log: Arc::clone(log) }
    }
}

impl<S: Store> Store for Acknowledging<S> {
    fn call(&mut self, key: &str, op: &Op) -> Outcome {
        let outcome = self.inner.call(key, op);
        if matches!(outcome, Outcome::Written(_) | Outcome::Deleted(_))
            && let Err(error) = acknowledge(&self.log, key)
        {
            return Outcome::Unknown(error.to_string());
        }
        outcome
    }
}
