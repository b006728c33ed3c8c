//! Preallocation at the end of the data file: space that the file system promises before it is needed, and
//! pages that are brought into the page cache so that later writes of single pages are cheap. Knows the file; knows nothing
//! of what is in it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, getrlimit};

use super::directory::data_file;
use super::error::is_full;

/// Space that is kept free of data, so that deletes always find pages; one of many pages needs the
/// most, to write down which are free.
const DELETES_BYTES: u64 = 1 << 20;
/// Space that is taken from the disk at a time, and that there must be again after it was full.
const RESERVED_BYTES: u64 = 4 << 20;
/// Most space that is taken and prefaulted ahead of a file that grows fast.
const AHEAD_BYTES_MAX: u64 = 16 << 20;
/// Read at a time to prefault pages.
const PREFAULT_READ_BYTES: usize = 64 << 10;

/// What makes a file grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Values of which several share a page, or that take a few: they will be replaced one by one.
    Pages,
    /// Values of many pages, each of which is written, and will be replaced, in one piece.
    Pieces,
}

/// Space for data: free pages in the file, and what the file system has promised to it beyond its
/// last page. As long as there is enough, no write finds the disk full.
pub struct Preallocation {
    file: Option<File>,
    reserved: u64,
    exhausted: bool,
    /// Where the last page ended when it was last asked for.
    end: Option<u64>,
    /// Up to where the page cache has single pages, as far as is known.
    prefaulted: u64,
}

impl Preallocation {
    /// Opens the data file of `dir` to reserve space for it.
    pub fn new(dir: &Path) -> Self {
        // Without it the disk is found full by the write that finds it full.
        let file = OpenOptions::new().read(true).write(true).open(data_file(dir));
        let file =
            file.inspect_err(|error| tracing::warn!(%error, "no space can be reserved")).ok();
        if let Some(file) = &file {
            // Only for what is read through this descriptor. Without it pages come in larger pieces.
            let _ = fadvise(file, 0, None, Advice::Random);
        }
        let reserved = if file.is_some() { 0 } else { u64::MAX };
        Self { file, reserved, exhausted: false, end: None, prefaulted: 0 }
    }

    /// A write has found no space: from now on there must be plenty, so that it is not tried again
    /// and again.
    pub fn exhaust(&mut self) {
        self.exhausted = true;
    }

    /// Whether `error` says that the disk is full: as such, or as the I/O error that LMDB makes of a
    /// write that was cut short, while the disk has no more to promise. Even were it another error,
    /// nothing is lost by going on: what a failed commit has written, nobody refers to.
    pub fn is_out_of_space(&self, error: &heed::Error) -> bool {
        let cut_short = match error {
            heed::Error::Io(error) => error.raw_os_error() == Some(Errno::IO.raw_os_error()),
            _ => false,
        };
        is_full(error) || (cut_short && self.promises_no_more() == Some(true))
    }

    fn promises_no_more(&self) -> Option<bool> {
        let file = self.file.as_ref()?;
        let end = file.metadata().ok()?.len() + RESERVED_BYTES;
        Some(promise(file, end).is_err_and(is_no_space))
    }

    /// Whether there is space for more data in a file whose last page ends at `end`, and for deletes
    /// after that. Asks the disk only when what it has promised is used up, and for the bytes `used`
    /// up to the end only when the disk promises no more.
    pub fn has_space<E>(
        &mut self,
        end: u64,
        growth: Growth,
        used: impl FnOnce() -> Result<u64, E>,
    ) -> Result<bool, E> {
        let needed = if self.exhausted { RESERVED_BYTES } else { DELETES_BYTES };
        let grown = end.saturating_sub(self.end.replace(end).unwrap_or(end));
        let ahead = grown.saturating_mul(2).clamp(DELETES_BYTES, AHEAD_BYTES_MAX);
        if self.reserved < end + needed.max(ahead) {
            self.reserve(end + RESERVED_BYTES.max(ahead))
                .or_else(|| self.reserve(end + RESERVED_BYTES))
                .or_else(|| self.reserve(end + needed));
        }
        if growth == Growth::Pages && self.prefaulted < end + ahead / 2 {
            self.prefault(end, (end + ahead).min(self.reserved));
        }
        let mut space = self.reserved.saturating_sub(end);
        if space < needed {
            space += end.saturating_sub(used()?);
        }
        self.exhausted &= space < needed;
        Ok(space >= needed)
    }

    fn reserve(&mut self, end: u64) -> Option<()> {
        match promise(self.file.as_ref()?, end) {
            Ok(()) => self.reserved = self.reserved.max(end),
            Err(error) if is_no_space(error) => return None,
            Err(_) => {
                // A file system that makes no promises: what it holds is found out by writing.
                self.file = None;
                self.reserved = u64::MAX;
            }
        }
        Some(())
    }

    /// Has the page cache hold single pages between `from` and `to`, behind the last page.
    ///
    /// What is written there first in one piece would be held as one: newer file systems of Linux keep
    /// up to hundreds of pages together, and whoever then changes one of them pays for all, at the
    /// write and at the sync. A page that is there already stays as it is when it is written. It is
    /// no more than a favour: whatever fails here changes nothing but the speed.
    fn prefault(&mut self, from: u64, to: u64) {
        let Some(file) = &self.file else { return };
        let mut offset = self.prefaulted.max(from);
        self.prefaulted = to;
        let length = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
        if length < to && file.set_len(to).is_err() {
            return;
        }
        let mut buffer = vec![0; PREFAULT_READ_BYTES];
        while offset < to {
            match file.read_at(&mut buffer, offset) {
                Ok(read) if read > 0 => offset += read as u64,
                _ => return,
            }
        }
    }
}

/// Whether there is no more space: on the disk, in a quota, or because no file may be longer, as by a
/// limit of the process or of the file system.
fn is_no_space(error: Errno) -> bool {
    matches!(error, Errno::NOSPC | Errno::DQUOT | Errno::FBIG)
}

/// Has the file system promise space for `file` up to `end`, however many signals come meanwhile. It does
/// so beyond the process's own limit for files too, which only a write would find.
fn promise(file: &File, end: u64) -> Result<(), Errno> {
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < end) {
        return Err(Errno::FBIG);
    }
    retry_on_intr(|| fallocate(file, FallocateFlags::KEEP_SIZE, 0, end))
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use rustix::io::{ReadWriteFlags, preadv2};
    use tempfile::TempDir;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A data file of `bytes`, in a folder that goes with what is returned.
    fn data(bytes: u64) -> (TempDir, Preallocation) {
        let dir = TempDir::new().expect("a folder");
        let file = File::create(data_file(dir.path())).expect("a file");
        file.set_len(bytes).expect("its length");
        let space = Preallocation::new(dir.path());
        (dir, space)
    }

    fn check(space: &mut Preallocation, end: u64, growth: Growth) {
        let used = || Ok::<_, ()>(end);
        assert_eq!(space.has_space(end, growth, used), Ok(true));
    }

    fn length(dir: &TempDir) -> u64 {
        data_file(dir.path()).metadata().expect("a file").len()
    }

    #[test]
    fn pages_are_in_the_page_cache_before_they_are_written() {
        let (dir, mut space) = data(8192);
        check(&mut space, 8192, Growth::Pages);
        assert_eq!(length(&dir), 8192 + DELETES_BYTES);
        let file = File::open(data_file(dir.path())).expect("the file");
        let (mut buffer, mut at) = (vec![0; 4096], 8192);
        while at < length(&dir) {
            // Fails where it would have to wait for the disk.
            let parts = &mut [IoSliceMut::new(&mut buffer)];
            let read = preadv2(&file, parts, at, ReadWriteFlags::NOWAIT).expect("in the cache");
            at += read as u64;
        }
    }

    #[test]
    fn a_file_that_grows_fast_is_prefaulted_further_ahead() {
        let (dir, mut space) = data(8192);
        check(&mut space, 8192, Growth::Pages);
        check(&mut space, 3 * MIB, Growth::Pages);
        assert!(length(&dir) > 8 * MIB, "{}", length(&dir));
        check(&mut space, 300 * MIB, Growth::Pages);
        assert_eq!(length(&dir), 300 * MIB + AHEAD_BYTES_MAX);
        // What has been prefaulted lasts for a while.
        check(&mut space, 301 * MIB, Growth::Pages);
        assert_eq!(length(&dir), 300 * MIB + AHEAD_BYTES_MAX);
    }

    #[test]
    fn nothing_is_prefaulted_for_large_values() {
        let (dir, mut space) = data(8192);
        check(&mut space, 8192, Growth::Pieces);
        check(&mut space, 3 * MIB, Growth::Pieces);
        assert_eq!(length(&dir), 8192);
    }
}
