//! LMDB's table of readers, which all processes with the data file open share: who of them reads,
//! and as of which commit. Knows the table's layout in `lock.mdb`; what this process' own threads read
//! is `readers`'.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::directory::lock_file;

/// What the table begins with on 64-bit Linux: `magic (4) | format (4) | newest transaction (8) |
/// slots that were ever used (4)`, then two mutexes, each padded to a cache line.
const MAGIC: u32 = 0xBEEF_C0DE;
const SLOTS_USED_AT: usize = 16;
const HEADER_BYTES: usize = 128;
/// A slot: `transaction (8) | process (4) | unused (4) | thread (8)`, padded to a cache line.
const SLOT_BYTES: usize = 64;
const PROCESS_AT: usize = 8;
/// In place of a transaction: the slot is held and nothing is read.
const NOT_READING: u64 = u64::MAX;

/// The table, open to be read.
///
/// LMDB tells whether a process lives by a lock on this file, and the system takes a process' locks
/// on a file away when it closes *any* descriptor of it. So it is opened before the environment and
/// closed after it.
pub struct ReaderTable {
    file: File,
}

/// Other processes that read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Their transactions.
    pub count: u64,
    /// The oldest commit that any of them sees.
    pub oldest: Option<u64>,
}

impl ReaderTable {
    /// Opens the table of the data directory `dir`, in which LMDB may not have been opened yet.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut open = OpenOptions::new();
        // LMDB fills a file that is empty.
        let open = open.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Self { file: open.open(lock_file(dir))? })
    }

    /// Who else reads now. Reads a few pages that are in memory, since LMDB maps them.
    pub fn others(&self) -> io::Result<Others> {
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, 0)?;
        if number(&header, 0) != Some(MAGIC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no table of readers"));
        }
        let used = number(&header, SLOTS_USED_AT).unwrap_or(0) as usize;
        let mut slots = vec![0; used.saturating_mul(SLOT_BYTES)];
        self.file.read_exact_at(&mut slots, HEADER_BYTES as u64)?;
        Ok(others(&slots, std::process::id()))
    }
}

fn others(slots: &[u8], own: u32) -> Others {
    let mut others = Others::default();
    for slot in slots.chunks_exact(SLOT_BYTES) {
        let (Some((id, _)), Some(process)) = (slot.split_first_chunk(), number(slot, PROCESS_AT))
        else {
            continue;
        };
        let id = u64::from_ne_bytes(*id);
        if process == 0 || process == own || id == NOT_READING {
            continue;
        }
        others.count += 1;
        others.oldest = Some(others.oldest.map_or(id, |oldest| oldest.min(id)));
    }
    others
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 7;

    fn slot(id: u64, process: u32) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&id.to_ne_bytes());
        slot[PROCESS_AT..][..4].copy_from_slice(&process.to_ne_bytes());
        slot
    }

    #[test]
    fn slots_that_are_free_own_or_do_not_read_are_no_other_readers() {
        let slots = [slot(3, 0), slot(2, OWN), slot(NOT_READING, 8)].concat();
        assert_eq!(others(&slots, OWN), Others::default());
    }

    #[test]
    fn the_oldest_of_the_other_readers_counts() {
        let slots = [slot(9, 8), slot(4, 9), slot(1, OWN), slot(6, 9)].concat();
        assert_eq!(others(&slots, OWN), Others { count: 3, oldest: Some(4) });
    }

    #[test]
    fn a_file_that_is_no_table_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(lock_file(dir.path()), [1; 4096]).unwrap();
        assert!(ReaderTable::open(dir.path()).unwrap().others().is_err());
    }
}
