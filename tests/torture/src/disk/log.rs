//! The log of what a server did to its data file, with the acknowledgements that clients got in
//! between. Knows the records; knows nothing of what a disk makes of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::op::{Op, Outcome, Store};

const HEAD_BYTES: usize = 16;
const WRITE: u32 = 1;
const SYNC_BEGIN: u32 = 2;
const SYNC_END: u32 = 3;
const TRUNCATE: u32 = 4;
const ACKNOWLEDGED: u32 = 5;
const WRITE_DURABLE: u32 = 6;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A write began.
    Write {
        /// Where in the file.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The newest write has ended, on a descriptor whose writes are durable when they end.
    WriteDurable,
    /// A sync began.
    SyncBegin,
    /// It ended well: what was written before it began is durable.
    SyncEnd,
    /// The file got this length.
    Truncate(u64),
    /// A write to this key was acknowledged.
    Acknowledged(String),
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
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (kind, length) = (number(0), number(4) as usize);
        let offset = u64::from(number(8)) | (u64::from(number(12)) << 32);
        let Some((data, after)) = after.split_at_checked(length) else { break };
        rest = after;
        events.push(match kind {
            WRITE => Event::Write { offset, bytes: data.to_vec() },
            SYNC_BEGIN => Event::SyncBegin,
            SYNC_END => Event::SyncEnd,
            TRUNCATE => Event::Truncate(offset),
            ACKNOWLEDGED => Event::Acknowledged(String::from_utf8_lossy(data).into_owned()),
            WRITE_DURABLE => Event::WriteDurable,
            _ => return Err(io::Error::other(format!("a record of kind {kind}"))),
        });
    }
    Ok(events)
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

/// Opens a log for acknowledgements.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> io::Result<Arc<File>> {
    OpenOptions::new().create(true).append(true).open(path).map(Arc::new)
}

impl<S: Store> Store for Acknowledging<S> {
    fn call(&mut self, key: &str, op: &Op) -> Outcome {
        let outcome = self.inner.call(key, op);
        if matches!(outcome, Outcome::Written(_) | Outcome::Deleted(_)) {
            let length = u32::try_from(key.len()).unwrap_or(0);
            let mut record = [ACKNOWLEDGED.to_le_bytes(), length.to_le_bytes()].concat();
            record.resize(HEAD_BYTES, 0);
            record.extend_from_slice(key.as_bytes());
            // In one call, so that it is one piece beside the server's records.
            if let Err(error) = (&*self.log).write_all(&record) {
                return Outcome::Unknown(error.to_string());
            }
        }
        outcome
    }
}
