//! Trials about disks: power cuts, errors, rot, no room, beginnings that are cut short, and older formats.

pub mod beginnings;
pub mod file;
pub mod full;
pub mod images;
pub mod io_errors;
pub mod log;
pub mod older;
pub mod power_cut;
pub mod rot;
pub mod shim;
pub mod take_over;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::op::{Op, Outcome, Store};

/// A folder for files that need not outlive the machine: in memory where there is room for that.
///
/// # Panics
/// When there is none to be had.
#[must_use]
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

/// Copies the files of a folder, not its folders.
///
/// # Errors
/// What could not be copied.
pub fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A path as an argument.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A store that ends after so many operations, over all that share the count.
pub struct Counted<'a, S> {
    inner: S,
    left: &'a AtomicU64,
}

impl<'a, S> Counted<'a, S> {
    /// Ends when `left` is 0.
    pub fn new(inner: S, left: &'a AtomicU64) -> Self {
        Self { inner, left }
    }
}

impl<S: Store> Store for Counted<'_, S> {
    fn call(&mut self, key: &str, op: &Op) -> Outcome {
        let one =
            self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        match one {
            Ok(_) => self.inner.call(key, op),
            Err(_) => Outcome::Unknown("it was not sent any more".to_owned()),
        }
    }
}

/// Where a round's files stay when it fails.
fn kept(dir: TempDir) -> PathBuf {
    dir.keep()
}
