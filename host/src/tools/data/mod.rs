//! What is done with a data directory from outside of a server: check, back up, restore, export,
//! import. Each runs in a process of its own, and reads beside a server that writes, through a
//! reader's slot of LMDB's. Knows nothing of HTTP or guests.

mod backup;
mod check;
mod clock;
mod export;
mod import;
mod incoming;
pub mod lines;
mod lmdb_file;
mod owner;
mod publish;
mod reader;
mod restore;
pub mod text;
mod tokens;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub use self::backup::{BackedUp, backup};
pub use self::check::{Findings, check, check_file};
pub use self::clock::{SetBack, Times, set_back, times};
pub use self::export::{Exported, export};
pub use self::import::{Imported, import};
pub use self::lmdb_file::Faults;
pub use self::publish::Unpublished;
pub use self::restore::restore;
pub use self::tokens::{TokenRows, is_served, open_alone, token_rows};
use crate::storage::error::OpenError;
use crate::storage::lmdb::directory;
use crate::storage::{VERSION_LIMIT, Version};

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
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = file.display();
            Err(failed(format!("there is no {file}; name the data directory with --data")))
        }
        Err(error) => Err(at(&file)(error)),
    }
}

/// Names the file in an error of the operating system.
fn at(path: &Path) -> impl Fn(io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| failed(format!("{}: {}", path.display(), told(&error)))
}

/// What the system says, and what to do where its words alone do not tell.
#[must_use]
pub fn told(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::FileTooLarge => format!(
            "{error}: the file system holds no file as large, or this process may not write one \
             (`ulimit -f`)"
        ),
        _ => error.to_string(),
    }
}

/// Makes a file, or the names in a directory, durable.
fn sync(path: &Path) -> Result<(), ToolError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

/// Moves a version counter on, for a store that goes on elsewhere.
fn jump(version: Version) -> Result<Version, ToolError> {
    let jumped = version.0.saturating_add(VERSION_JUMP);
    if jumped >= VERSION_LIMIT {
        return Err(failed(format!(
            "the version counter stands at {version} and cannot be moved on"
        )));
    }
    Ok(Version(jumped))
}
