//! Whose files are that a tool makes as root: the user's who has the directory, for it is that user who
//! serves it. Knows owners; knows nothing of what is in the files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, fstat, open};
use rustix::process::geteuid;

use super::error::{ToolError, failed};
use crate::storage::lmdb::directory;

/// Who has the nearest directory that is there: the one that something is made in.
pub fn of_nearest(dir: &Path) -> Option<(u32, u32)> {
    let above = dir.ancestors().map(|dir| if dir == Path::new("") { Path::new(".") } else { dir });
    let metadata = above.filter_map(|dir| fs::metadata(dir).ok()).next()?;
    Some((metadata.uid(), metadata.gid()))
}

/// Gives the owner of `dir` what root has made in it. What is not there, or not root's, stays as it is.
///
/// # Errors
/// What could not be given, to whom, and what to do.
pub fn hand_over(dir: &Path) -> Result<(), ToolError> {
    let Some(owner) = of_nearest(dir) else { return Ok(()) };
    directory::files(dir).iter().try_for_each(|path| give(path, owner))
}

/// Gives `path` to `owner` if this is root, it is root's and theirs it is not.
///
/// # Errors
/// What could not be given, to whom, and what to do.
pub fn give(path: &Path, owner: (u32, u32)) -> Result<(), ToolError> {
    let (user, group) = owner;
    if !geteuid().is_root() || user == 0 {
        return Ok(());
    }
    try_give(path, owner).map_err(|error| {
        let shown = path.display();
        failed(format!(
            "{shown} is root's and its directory user {user}'s, who could not serve it: {error}; \
             run: chown {user}:{group} {shown}"
        ))
    })
}

fn try_give(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    // Neither opened, for LMDB's locks go with any descriptor that is closed, nor followed, nor one
    // of several names: the directory's owner may have put there what is not theirs.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        file => file?,
    };
    let stat = fstat(&file)?;
    let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    if stat.st_uid != 0 || !(is_folder || stat.st_nlink == 1) {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    Ok(())
}
