//! Files that stand under their name only once they are whole and on disk. Until then they have no name
//! at all, so that nothing is left of a process that was killed; where the file system has no files
//! without one, they have a name of their own beside it. Nothing that is there is ever replaced. Knows
//! nothing of what is written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, open, renameat_with};
use rustix::io::Errno;

use super::error::{ToolError, at, failed, sync};

/// Stands between a file's name and a number while it has no other.
const PARTIAL: &str = ".partial-";
/// Names that are tried: each is of a process that makes the same file now.
const NAMES_MAX: u32 = 1000;

/// A file that is being made. Dropped before it is published, it leaves nothing.
pub struct Unpublished {
    file: File,
    target: PathBuf,
    /// What it is named until then, if it must have a name.
    partial: Option<PathBuf>,
}

impl Unpublished {
    /// Begins a file that is to be `target`, which must not be there.
    ///
    /// # Errors
    /// Why it cannot be made there, as far as that can be known before it is.
    pub fn begin(target: &Path) -> Result<Self, ToolError> {
        let shown = target.display();
        if target.file_name().is_none() || target.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(failed(format!("{shown} is no name of a file; name one")));
        }
        match fs::symlink_metadata(target) {
            // A link that leads nowhere is there too.
            Ok(_) => return Err(taken(target)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(at(target)(error)),
        }
        remove_abandoned(target);
        if let Some(file) = nameless(target) {
            return Ok(Self { file, target: target.to_owned(), partial: None });
        }
        let (file, partial) = named(target).map_err(at(target))?;
        Ok(Self { file, target: target.to_owned(), partial: Some(partial) })
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the file durable, then gives it its name, and makes that durable.
    ///
    /// # Errors
    /// That somebody has made the target meanwhile, or what the system says.
    pub fn publish(mut self) -> Result<(), ToolError> {
        self.file.sync_all().map_err(at(&self.target))?;
        let named = match &self.partial {
            None => give_name(&self.file, &self.target),
            Some(partial) => rename(partial, &self.target),
        };
        named.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => taken(&self.target),
            _ => at(&self.target)(error),
        })?;
        self.partial = None;
        sync(folder(&self.target))
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // What cannot be removed now is so by who makes the same file next.
            let _ = fs::remove_file(partial);
        }
    }
}

fn taken(target: &Path) -> ToolError {
    failed(format!("{} is there already; name another file", target.display()))
}

fn folder(target: &Path) -> &Path {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn partial_name(target: &Path, number: u32) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("{PARTIAL}{number}"));
    name.into()
}

/// A file without a name in the target's folder; None where it could not be given one later, which is
/// tried with another before any work is done.
fn nameless(target: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let make = || open(folder(target), flags, Mode::RUSR | Mode::WUSR).ok().map(File::from);
    let other = make()?;
    let name = free_name(target, |name| give_name(&other, name)).ok()?.1;
    // Another process may have removed it as abandoned.
    let _ = fs::remove_file(name);
    make()
}

/// Gives a file that has no name one that nothing else has.
fn give_name(file: &File, name: &Path) -> io::Result<()> {
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, &*from, CWD, name, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
}

/// A file under a name of its own, locked for as long as it is open: so it is told from what a
/// process has left that was killed.
fn named(target: &Path) -> io::Result<(File, PathBuf)> {
    loop {
        let (file, name) = free_name(target, |name| {
            let mut open = OpenOptions::new();
            open.read(true).write(true).create_new(true).mode(0o600).open(name)
        })?;
        // Where nothing can be locked, nothing is removed either.
        let _ = file.try_lock();
        // Another process may have taken it for abandoned just before.
        if file.metadata()?.nlink() > 0 {
            return Ok((file, name));
        }
    }
}

/// Makes something under the first name that is free.
fn free_name<T>(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    for number in 0..NAMES_MAX {
        let name = partial_name(target, number);
        match make(&name) {
            Ok(made) => return Ok((made, name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Renames without replacing. Where neither the system's call for that nor a link can be had, by
/// looking first: what somebody makes between the look and the renaming would be replaced.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        done => return done.map_err(io::Error::from),
    }
    match fs::hard_link(from, to) {
        Ok(()) => return fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Removes what processes have left that were killed while they made the same file.
fn remove_abandoned(target: &Path) {
    let Some(name) = target.file_name() else { return };
    let mut begin = OsString::from(name);
    begin.push(PARTIAL);
    let begin = begin.as_encoded_bytes();
    let Ok(entries) = fs::read_dir(folder(target)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.as_encoded_bytes().strip_prefix(begin);
        let ours = number
            .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// Begins as where files have no name and as where they must have one.
    fn both(target: &Path) -> [Unpublished; 2] {
        let nameless = Unpublished::begin(target).unwrap();
        let (file, partial) = named(target).unwrap();
        [nameless, Unpublished { file, target: target.to_owned(), partial: Some(partial) }]
    }

    #[test]
    fn a_file_has_its_name_once_it_is_published_and_the_second_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        for swapped in [false, true] {
            let [mut first, mut second] = both(&target);
            assert!(!target.exists());
            if swapped {
                std::mem::swap(&mut first, &mut second);
            }
            first.file().write_all(b"first").unwrap();
            second.file().write_all(b"second").unwrap();
            first.publish().unwrap();
            let error = second.publish().unwrap_err().to_string();
            assert!(error.contains("is there already; name another file"), "{error}");
            assert_eq!(fs::read(&target).unwrap(), b"first");
            assert_eq!(names(dir.path()), ["target"]);
            fs::remove_file(&target).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_not_published_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(both(&dir.path().join("target")));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_running_one_makes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let (running, _) = named(&target).unwrap();
        for name in ["target.partial-1", "target.partial-x", "target.partial", "other.partial-1"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        Unpublished::begin(&target).unwrap();
        let left = ["other.partial-1", "target.partial", "target.partial-0", "target.partial-x"];
        assert_eq!(names(dir.path()), left);
        drop(running);
        Unpublished::begin(&target).unwrap();
        assert_eq!(names(dir.path()).len(), left.len() - 1);
    }

    #[test]
    fn what_is_there_already_is_told_before_any_work() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::os::unix::fs::symlink("nowhere", &target).unwrap();
        let error = Unpublished::begin(&target).err().unwrap().to_string();
        assert!(error.ends_with("target is there already; name another file"), "{error}");
        for (target, said) in [
            ("", "is no name of a file"),
            ("..", "is no name of a file"),
            ("new/", "is no name of a file"),
            ("target/below", "No such file"),
            ("absent/target", "No such file"),
        ] {
            let error = Unpublished::begin(&dir.path().join(target)).err().unwrap().to_string();
            assert!(error.contains(said), "{target}: {error}");
        }
    }
}
