//! Why a command about a data directory could not do its work, in words that say what to do.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::process::durable;
use crate::storage::error::OpenError;

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

/// Anything that went wrong, in a sentence.
pub fn failed(what: impl Into<String>) -> ToolError {
    ToolError::Failed(what.into())
}

/// Names the file in an error of the operating system.
pub fn at(path: &Path) -> impl Fn(io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| failed(format!("{}: {}", path.display(), explain(&error)))
}

/// What the system says, and what to do where its words alone do not tell.
#[must_use]
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::FileTooLarge => format!(
            "{error}: the file system holds no file as large, or this process may not write one \
             (`ulimit -f`)"
        ),
        _ => error.to_string(),
    }
}

/// Makes a file, or the names in a directory, durable.
pub fn sync(path: &Path) -> Result<(), ToolError> {
    durable::sync(path).map_err(at(path))
}
