//! The data directory: whose it is, whether it holds a store, and what a first start leaves in it.
//! Owns the names of what stands there; knows nothing of what is inside the data file.
//!
//! A new store is made in a folder of its own and moved to its place when it is whole, so that a data
//! file without data is never ours. After that a mark tells that there was a store: only a directory
//! with neither is new.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

use crate::process::durable;
use crate::storage::error::OpenError;

/// Folder in which a restore or an import makes the data.
pub const INCOMING: &str = "incoming";
/// Folder in which a first start makes the data. What is in it was never acknowledged to anybody.
const NEW: &str = "new";
/// The mark: there is a store here, or was.
const MARK: &str = "store";
const MARK_TEXT: &str = "This directory holds a Larder store; its data are in data.mdb.\n\
If that file is gone, larder does not begin anew as long as this one is here.\n";
/// What a store leaves beside its data. Where only these are, the data may have been lost.
const REMAINS: [&str; 5] = ["lock.mdb", "cache", "admin-token", "control.sock", NEW];
/// What is found in a directory that nobody has used: file systems make it.
const LOST_AND_FOUND: &str = "lost+found";

/// What is in a data directory.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// A data file.
    Store,
    /// No store, nor a trace of one, but perhaps what one leaves beside its data.
    Nothing {
        /// Names of what was left.
        remains: Vec<&'static str>,
    },
}

/// The file that holds the data.
pub fn data_file(dir: &Path) -> PathBuf {
    dir.join("data.mdb")
}

/// The file whose lock a server holds.
pub fn server_lock(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Where LMDB keeps the table of its readers.
pub fn lock_file(dir: &Path) -> PathBuf {
    dir.join("lock.mdb")
}

/// All files of a store that need not be made anew by whoever serves it.
pub fn files(dir: &Path) -> [PathBuf; 4] {
    [data_file(dir), server_lock(dir), lock_file(dir), dir.join(MARK)]
}

/// Names the file in an error of the operating system.
pub fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}

/// Makes the directory, or sees to it that what is there is private, this user's, and on a disk of this
/// machine.
pub fn make_private(dir: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(io_error("create the data directory", dir))?;
    let metadata = fs::metadata(dir).map_err(io_error("look at", dir))?;
    let on = rustix::fs::statfs(dir).map_err(|error| io_error("look at", dir)(error.into()))?;
    if let Some(kind) = network_file_system(on.f_type as u64) {
        return Err(OpenError::OnNetwork { path: dir.to_owned(), kind });
    }
    if metadata.mode() & 0o077 != 0 {
        tighten(dir, &metadata)?;
    }
    let rights = Access::READ_OK | Access::WRITE_OK;
    refuse_foreign(dir, rights | Access::EXEC_OK)?;
    let files = [server_lock(dir), lock_file(dir), data_file(dir)];
    files.iter().try_for_each(|path| refuse_foreign(path, rights))
}

/// Takes a directory's rights from others, if it is this user's and a store's or empty: one with
/// anything else in it may be shared on purpose.
fn tighten(dir: &Path, metadata: &Metadata) -> Result<(), OpenError> {
    let (mode, owner, user) = (metadata.mode() & 0o7777, metadata.uid(), geteuid().as_raw());
    let ours = data_file(dir).exists() || dir.join(MARK).exists() || is_empty(dir);
    if owner != user || !ours || mode & 0o1000 != 0 {
        return Err(OpenError::NotPrivate {
            path: dir.to_owned(),
            mode: mode & 0o777,
            owner,
            user,
        });
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700))
        .map_err(io_error("take other users' rights from", dir))?;
    let (path, mode) = (dir.display(), format!("{mode:o}"));
    tracing::warn!(%path, mode, "the data directory was open to other users; it is private now");
    Ok(())
}

fn is_empty(dir: &Path) -> bool {
    let other = |entry: io::Result<fs::DirEntry>| {
        entry.map_or(true, |entry| entry.file_name() != LOST_AND_FOUND)
    };
    fs::read_dir(dir).is_ok_and(|entries| !entries.into_iter().any(other))
}

/// Tells whose a file is that cannot be used for that reason, as after a restore by another user.
fn refuse_foreign(path: &Path, rights: Access) -> Result<(), OpenError> {
    match accessat(CWD, path, rights, AtFlags::EACCESS) {
        Err(rustix::io::Errno::ACCESS) => {
            let owner = fs::metadata(path).map_err(io_error("look at", path))?.uid();
            Err(OpenError::Foreign { path: path.to_owned(), owner, user: geteuid().as_raw() })
        }
        // Whatever else is wrong with it is told when it is used.
        _ => Ok(()),
    }
}

/// Names the network file system that a magic number of `statfs` stands for: LMDB's locks and maps
/// do not work across machines. Numbers from Linux' `magic.h` and the file systems' own headers.
fn network_file_system(magic: u64) -> Option<&'static str> {
    // The field is signed on some systems: the numbers have 32 bits.
    match magic & 0xFFFF_FFFF {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x00C3_6400 => Some("Ceph"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x7461_636F => Some("OCFS2"),
        0x0116_1970 => Some("GFS2"),
        0x564C => Some("NCP"),
        _ => None,
    }
}

/// Takes the lock that keeps every other server and restore away, for as long as the file is open.
pub fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = server_lock(dir);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Whether a store is there to be opened. To be asked under the lock.
///
/// # Errors
/// There was one, or one was begun: its data are missing or empty, or not restored to the end.
pub fn inspect(dir: &Path) -> Result<State, OpenError> {
    let (data, incoming, mark) = (data_file(dir), dir.join(INCOMING), dir.join(MARK));
    match fs::symlink_metadata(&data) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if incoming.exists() {
                return Err(OpenError::Unfinished(incoming));
            }
            if mark.exists() {
                return Err(OpenError::Missing { data, mark });
            }
            let left = |name: &&str| dir.join(name).exists();
            let remains = REMAINS.into_iter().filter(left).collect();
            return Ok(State::Nothing { remains });
        }
        Err(error) => return Err(io_error("look at", &data)(error)),
    }
    // Follows a link, which may lead to where nothing is mounted.
    let metadata = fs::metadata(&data).map_err(io_error("look at", &data))?;
    if metadata.len() == 0 {
        return Err(OpenError::Empty(data));
    }
    if incoming.exists() {
        // A restore has ended but for this.
        fs::remove_dir_all(&incoming).map_err(io_error("remove", &incoming))?;
    }
    Ok(State::Store)
}

/// Whether a store is known to have been opened here.
pub fn is_marked(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Makes the folder in which a first start makes the store. What an earlier one has left is removed.
pub fn begin_new(dir: &Path) -> Result<PathBuf, OpenError> {
    let folder = dir.join(NEW);
    remove_new(dir)?;
    DirBuilder::new().mode(0o700).create(&folder).map_err(io_error("create", &folder))?;
    Ok(folder)
}

/// Moves the store that was made to its place, durably.
pub fn publish_new(dir: &Path, folder: &Path) -> Result<(), OpenError> {
    let (made, data) = (data_file(folder), data_file(dir));
    sync(&made)?;
    fs::rename(&made, &data).map_err(io_error("move", &made))?;
    sync(dir)
}

/// Marks that there is a store, once it can be opened and its name is durable, and tidies up after a
/// first start.
pub fn mark(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(MARK);
    if !path.exists() {
        // The data file's name is durable only once its directory is, and so is the directory's.
        sync(dir)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        // A user may not be allowed to read what the directory stands in.
        match sync(parent.unwrap_or(Path::new("."))) {
            Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
            other => other?,
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| {
            file.write_all(MARK_TEXT.as_bytes())?;
            file.sync_all()
        })
        .map_err(io_error("write", &path))?;
        sync(dir)?;
    }
    remove_new(dir)
}

/// Removes what a first start has left. A folder of that name with anything else in it, as a store that
/// somebody keeps there, is none of ours.
fn remove_new(dir: &Path) -> Result<(), OpenError> {
    let folder = dir.join(NEW);
    let made = [data_file(&folder), lock_file(&folder)];
    let is_made =
        |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| made.contains(&entry.path()));
    let ours = match fs::read_dir(&folder) {
        Ok(mut entries) => entries.all(is_made),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(io_error("look at", &folder)(error)),
    };
    if ours {
        fs::remove_dir_all(&folder).map_err(io_error("remove", &folder))?;
    }
    Ok(())
}

/// Makes a file, or the names in a directory, durable.
fn sync(path: &Path) -> Result<(), OpenError> {
    durable::sync(path).map_err(io_error("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_are_not() {
        // What statfs gives for NFS, CIFS (signed, as 32 bits and extended to 64) and 9P ...
        for magic in [0x6969, 0xFF53_4D42, 0xFFFF_FFFF_FF53_4D42, 0x0102_1997] {
            assert!(network_file_system(magic).is_some(), "{magic:#x}");
        }
        // ... and for ext4, XFS, btrfs, tmpfs, overlayfs and ZFS.
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1] {
            assert!(network_file_system(magic).is_none(), "{magic:#x}");
        }
    }
}
