//! Whether the files of a store stand where they were opened. People, cleaners and volumes move, empty
//! and delete them under a running server: what is written then reaches a file that nobody will find
//! again, and without the locks a second server could begin.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;

use super::directory::{data_file, lock_file, server_lock};

/// What was done to a data directory while its store was open. Each is a reason to refuse writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Displaced {
    /// The data file was moved, deleted or replaced, by itself or with its directory.
    Data = 1,
    /// The data file was made shorter.
    CutShort = 2,
    /// The table of readers was moved, deleted or replaced.
    Readers = 3,
    /// The file whose lock keeps other servers away was moved, deleted or replaced.
    Lock = 4,
}

impl Displaced {
    const ALL: [Self; 4] = [Self::Data, Self::CutShort, Self::Readers, Self::Lock];

    /// The one with this number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == number)
    }

    /// What is wrong, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Data => {
                "data.mdb is not where it was opened: it or its directory was moved, deleted or \
                 replaced; put it back, or stop the server and restore a backup"
            }
            Self::CutShort => {
                "data.mdb was cut short while it was open; stop the server, run larder check, and \
                 restore a backup"
            }
            Self::Readers => {
                "lock.mdb is not where it was opened: it was moved, deleted or replaced; restart \
                 the server"
            }
            Self::Lock => {
                "the file `lock` is not where it was opened: it was moved, deleted or replaced; \
                 restart the server"
            }
        }
    }
}

/// A file as it was opened.
struct Opened {
    path: PathBuf,
    identity: Identity,
}

/// Which file it is: its device's numbers and its own.
type Identity = (u32, u32, u64);

/// Looks a file up: which one it is, and its length. Asks for no times: a system that keeps fine ones
/// has to write them down at the next write after it was asked, which a commit would pay for.
fn look_up(path: &Path) -> Result<(Identity, u64), Errno> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::SIZE)?;
    Ok(((found.stx_dev_major, found.stx_dev_minor, found.stx_ino), found.stx_size))
}

impl Opened {
    fn new(path: PathBuf) -> io::Result<Self> {
        let (identity, _) = look_up(&path)?;
        Ok(Self { path, identity })
    }

    /// Its length, if it is where it was. A disk that cannot tell is no reason to think otherwise.
    fn length(&self) -> Result<Option<u64>, ()> {
        match look_up(&self.path) {
            Ok((identity, length)) if identity == self.identity => Ok(Some(length)),
            Err(error) if !matches!(error, Errno::NOENT | Errno::NOTDIR) => Ok(None),
            _ => Err(()),
        }
    }
}

/// The paths of an open store's files, and which files they led to when it was opened.
pub struct Site {
    data: Opened,
    readers: Opened,
    lock: Opened,
    /// The greatest length that was seen: the file never shrinks by itself.
    length: AtomicU64,
}

impl Site {
    /// Remembers where the files of the open store in `dir` are.
    pub fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            data: Opened::new(data_file(dir))?,
            readers: Opened::new(lock_file(dir))?,
            lock: Opened::new(server_lock(dir))?,
            length: AtomicU64::new(0),
        })
    }

    /// Whether the data file is where it was: what was committed is in the file that a restart finds.
    pub fn has_data(&self) -> bool {
        self.data.length().is_ok()
    }

    /// What is wrong with any of the files.
    pub fn check(&self) -> Option<Displaced> {
        let Ok(length) = self.data.length() else { return Some(Displaced::Data) };
        let length = length.unwrap_or(u64::MAX);
        if length < self.length.load(Ordering::Relaxed) {
            return Some(Displaced::CutShort);
        }
        if length < u64::MAX {
            self.length.store(length, Ordering::Relaxed);
        }
        if self.readers.length().is_err() {
            return Some(Displaced::Readers);
        }
        self.lock.length().is_err().then_some(Displaced::Lock)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        for path in [data_file(dir.path()), lock_file(dir.path()), server_lock(dir.path())] {
            fs::write(path, "some bytes").unwrap();
        }
        let site = Site::new(dir.path()).unwrap();
        assert_eq!(site.check(), None);
        (dir, site)
    }

    #[test]
    fn each_file_that_is_gone_or_another_is_told_and_one_that_is_back_is_not() {
        let (dir, site) = site();
        for (file, displaced) in [
            (data_file(dir.path()), Displaced::Data),
            (lock_file(dir.path()), Displaced::Readers),
            (server_lock(dir.path()), Displaced::Lock),
        ] {
            let aside = dir.path().join("aside");
            fs::rename(&file, &aside).unwrap();
            assert_eq!(site.check(), Some(displaced));
            fs::copy(&aside, &file).unwrap();
            assert_eq!(site.check(), Some(displaced), "a copy is another file");
            assert_eq!(site.has_data(), displaced != Displaced::Data);
            fs::rename(&aside, &file).unwrap();
            assert_eq!(site.check(), None);
        }
    }

    #[test]
    fn a_data_file_may_grow_and_not_shrink() {
        let (dir, site) = site();
        let data = fs::OpenOptions::new().write(true).open(data_file(dir.path())).unwrap();
        data.set_len(100).unwrap();
        assert_eq!(site.check(), None);
        data.set_len(99).unwrap();
        assert_eq!(site.check(), Some(Displaced::CutShort));
        assert!(site.has_data());
    }

    #[test]
    fn a_directory_that_is_replaced_takes_the_data_with_it() {
        let (dir, site) = site();
        let aside = dir.path().with_extension("aside");
        fs::rename(dir.path(), &aside).unwrap();
        assert_eq!(site.check(), Some(Displaced::Data));
        fs::rename(&aside, dir.path()).unwrap();
        assert_eq!(site.check(), None);
    }
}
