//! What is done with a data directory from outside of a server: check, back up, restore, export,
//! import. Each runs in a process of its own, and reads beside a server that writes, through a
//! reader's slot of LMDB's. Knows nothing of HTTP or guests.

mod backup;
mod check;
mod clock;
mod export;
mod import;
pub mod lines;
mod pages;
mod publish;
mod reader;
mod restore;
pub mod text;
mod tokens;

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use self::backup::{BackedUp, backup};
pub use self::check::{Findings, check, check_file};
pub use self::clock::{SetBack, Times, set_back, times};
pub use self::export::{Exported, export};
pub use self::import::{Imported, import};
pub use self::pages::Faults;
pub use self::publish::Unpublished;
pub use self::restore::restore;
pub use self::tokens::{TokenRows, is_served, open_alone, token_rows};
use super::Version;
use super::error::OpenError;
use super::{directory, env};

/// How far a restore or an import moves the version counter on, so that no version that was drawn
/// after the backup is ever drawn again.
pub const VERSION_JUMP: u64 = 1 << 40;

/// Why a tool could not do its work. Says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Failed(String),
}

fn failed(what: impl Into<String>) -> ToolError {
    ToolError::Failed(what.into())
}

/// The data file of `dir`.
///
/// # Errors
/// There is none, or it is empty.
pub fn existing(dir: &Path) -> Result<PathBuf, ToolError> {
    let file = directory::data_file(dir);
    match fs::metadata(&file) {
        Ok(metadata) if metadata.len() == 0 => Err(OpenError::Empty(file).into()),
        Ok(_) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = file.display();
            Err(failed(format!("there is no {file}; name the data directory with --data")))
        }
        Err(error) => Err(at(&file)(error)),
    }
}

/// Names the file in an error of the operating system.
fn at(path: &Path) -> impl Fn(std::io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| failed(format!("{}: {error}", path.display()))
}

/// A data directory that is being filled. It is in its place only once it is whole: until then it
/// stands in a folder of its own, and no server serves the directory.
struct Incoming {
    dir: PathBuf,
    folder: PathBuf,
    _lock: File,
}

impl Incoming {
    /// Begins in a directory that holds no data.
    fn begin(dir: &Path) -> Result<Self, ToolError> {
        directory::make_private(dir)?;
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
        Ok(Self { dir: dir.to_owned(), folder, _lock: lock })
    }

    /// Where the data file is made.
    fn data_file(&self) -> PathBuf {
        directory::data_file(&self.folder)
    }

    /// Checks the data file, makes it durable and moves it to its place.
    fn publish(self) -> Result<Findings, ToolError> {
        let made = self.data_file();
        let findings = check_file(&made)?;
        if let Some(fault) = findings.faults.told().first() {
            return Err(failed(format!("what was made is not sound: {fault}")));
        }
        sync(&made)?;
        fs::rename(&made, directory::data_file(&self.dir)).map_err(at(&made))?;
        directory::mark(&self.dir)?;
        sync(&self.dir)?;
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        Ok(findings)
    }
}

/// Makes a file, or the names in a directory, durable.
fn sync(path: &Path) -> Result<(), ToolError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

/// Moves a version counter on, for a store that goes on elsewhere.
fn jump(version: Version) -> Result<Version, ToolError> {
    let jumped = version.0.saturating_add(VERSION_JUMP);
    if jumped >= super::layout::VERSION_LIMIT {
        return Err(failed(format!(
            "the version counter stands at {version} and cannot be moved on"
        )));
    }
    Ok(Version(jumped))
}
