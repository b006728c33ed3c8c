//! A data directory that is being filled. It is in its place only once it is whole: until then it stands
//! in a folder of its own, and no server serves the directory.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use heed::MdbError;
use rustix::fs::statvfs;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::check::{Findings, check_file};
use super::error::{ToolError, at, failed, sync};
use super::owner;
use crate::clock::Clock;
use crate::storage::error::OpenError;
use crate::storage::lmdb::database::Database;
use crate::storage::lmdb::directory;
use crate::storage::lmdb::env::{self, Found};
use crate::storage::lmdb::layout::StateRow;
use crate::storage::{Options, VERSION_LIMIT, Version};

/// Less room than this is none: LMDB writes many pages at a time.
const LITTLE_BYTES: u64 = 2 << 20;

/// How far a restore or an import moves the version counter on, so that no version that was drawn
/// after the backup is ever drawn again.
pub const VERSION_JUMP: u64 = 1 << 40;

/// A data directory that is being filled. Dropped before it is published, it gives the room back, and
/// stays as a folder without data that says so.
pub struct Incoming {
    dir: PathBuf,
    /// Where the data are made.
    pub folder: PathBuf,
    /// Whose they are to be.
    owner: Option<(u32, u32)>,
    _lock: File,
}

impl Incoming {
    /// Begins in a directory that holds no data.
    ///
    /// # Errors
    /// Why nothing can be made there.
    pub fn begin(dir: &Path) -> Result<Self, ToolError> {
        let owner = owner::of_nearest(dir);
        let new: Vec<&Path> = dir.ancestors().take_while(|dir| is_missing(dir)).collect();
        directory::make_private(dir)?;
        if let Some(owner) = owner {
            new.into_iter().try_for_each(|dir| owner::give(dir, owner))?;
        }
        let lock = directory::take_lock(dir)?;
        let data = directory::data_file(dir);
        if data.exists() {
            return Err(failed(format!(
                "{} holds data already; name another directory with --data, or move {} away",
                dir.display(),
                data.display()
            )));
        }
        let folder = dir.join(directory::INCOMING);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        DirBuilder::new().mode(0o700).create(&folder).map_err(at(&folder))?;
        sync(dir)?;
        Ok(Self { dir: dir.to_owned(), folder, owner, _lock: lock })
    }

    /// Where the data file is made.
    pub fn data_file(&self) -> PathBuf {
        directory::data_file(&self.folder)
    }

    /// Opens the data for writing.
    ///
    /// # Errors
    /// Why they cannot be.
    pub fn open(&self, options: &Options, clock: &Clock) -> Result<(Database, Found), ToolError> {
        env::open(&self.folder, options, clock).map_err(|error| self.unopened(error))
    }

    /// Changes the state row of data that are there already.
    ///
    /// # Errors
    /// Why it cannot be changed.
    pub fn change_state(
        &self,
        options: &Options,
        change: impl FnOnce(StateRow) -> StateRow,
    ) -> Result<(), ToolError> {
        env::change_state(&self.folder, options, change).map_err(|error| self.unopened(error))
    }

    fn unopened(&self, error: OpenError) -> ToolError {
        match error {
            OpenError::Lmdb { source, .. } => self.unwritten(source),
            error => error.into(),
        }
    }

    /// An error of LMDB's where something was to be written, with what lacks.
    pub fn unwritten(&self, error: heed::Error) -> ToolError {
        let data = self.data_file();
        match error {
            heed::Error::Mdb(MdbError::MapFull) => failed(format!(
                "{}: the data take more address space than this process may have (`ulimit -v`)",
                data.display()
            )),
            // What LMDB says when less was written than it wanted, whatever the reason.
            heed::Error::Io(error) if error.raw_os_error() == Some(libc::EIO) => {
                at(&data)(lacking(&data).map_or(error, io::Error::from))
            }
            heed::Error::Io(error) => at(&data)(error),
            error => failed(format!("{}: {error}", data.display())),
        }
    }

    /// Checks the data file, makes it durable and moves it to its place.
    ///
    /// # Errors
    /// What is wrong with it, or what the system says.
    pub fn publish(self) -> Result<Findings, ToolError> {
        let made = self.data_file();
        let findings = check_file(&made)?;
        if let Some(fault) = findings.faults.told().first() {
            return Err(failed(format!("what was made is not sound: {fault}")));
        }
        sync(&made)?;
        if let Some(owner) = self.owner {
            owner::give(&made, owner)?;
        }
        fs::rename(&made, directory::data_file(&self.dir)).map_err(at(&made))?;
        directory::mark(&self.dir)?;
        owner::hand_over(&self.dir)?;
        sync(&self.dir)?;
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        Ok(findings)
    }
}

/// Moves a version counter on, for a store that goes on elsewhere.
pub fn jump(version: Version) -> Result<Version, ToolError> {
    let jumped = version.0.saturating_add(VERSION_JUMP);
    if jumped >= VERSION_LIMIT {
        return Err(failed(format!(
            "the version counter stands at {version} and cannot be moved on"
        )));
    }
    Ok(Version(jumped))
}

/// Which kind of room a file has no more of, if it is one.
fn lacking(file: &Path) -> Option<Errno> {
    let length = fs::metadata(file).ok()?.len();
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| length + LITTLE_BYTES > limit) {
        return Some(Errno::FBIG);
    }
    let disk = statvfs(file).ok()?;
    (disk.f_bavail.saturating_mul(disk.f_frsize) < LITTLE_BYTES).then_some(Errno::NOSPC)
}

fn is_missing(dir: &Path) -> bool {
    !dir.as_os_str().is_empty() && !dir.exists()
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // The folder stays: without it a server would begin with no data where some were wanted.
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }
}
