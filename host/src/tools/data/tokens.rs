//! Tokens' rows, read and written where no server has the data. What they say is not known here.

use std::path::Path;

use super::error::{ToolError, at};
use super::owner;
use super::reader::{self, LockState, Reader, existing};
use crate::clock::Clock;
use crate::storage::lmdb::system_rows;
use crate::storage::{Options, Storage};

/// Room for a few rows beside the data.
const GROWTH_BYTES: u64 = 64 << 20;

/// What is stored about tokens.
#[derive(Debug, Default)]
pub struct TokenRows {
    /// By id, what each row says.
    pub rows: Vec<(String, Vec<u8>)>,
    /// Ids of rows that are damaged: their tokens are not valid.
    pub damaged: Vec<String>,
}

/// Reads the rows of all tokens of the data directory `dir`, beside a server or without one, and
/// changes nothing.
///
/// # Errors
/// Why they cannot be read, or that they are of a newer format.
pub fn token_rows(dir: &Path) -> Result<TokenRows, ToolError> {
    let reader = Reader::open(dir)?;
    let mut found = TokenRows::default();
    let Some(tokens) = &reader.trees.tokens else { return Ok(found) };
    let unreadable = |error: heed::Error| reader.unreadable(&error);
    let all = system_rows::read(*tokens, &reader.txn).map_err(unreadable)?;
    for (id, content) in all.rows {
        match content {
            Some(content) => found.rows.push((id, content)),
            None => found.damaged.push(id.as_bytes().escape_ascii().to_string()),
        }
    }
    found.damaged.extend(all.damaged_ids);
    Ok(found)
}

/// Whether a server has the data directory `dir`.
///
/// # Errors
/// What the system says.
pub fn is_served(dir: &Path) -> Result<bool, ToolError> {
    Ok(matches!(reader::lock_state(dir)?, LockState::Taken))
}

/// Options of who changes a few rows in `dir` where no server runs: address space for what is there.
pub fn few_rows(dir: &Path) -> Result<Options, ToolError> {
    let path = existing(dir)?;
    let length = path.metadata().map_err(at(&path))?.len();
    Ok(Options { bytes_max: Some(length.saturating_add(GROWTH_BYTES)), ..Options::default() })
}

/// Opens the store in `dir`, which holds data that no server has, to write a few rows.
///
/// # Errors
/// Why it cannot be opened.
pub fn open_alone(dir: &Path, clock: Clock) -> Result<Storage, ToolError> {
    let options = Options { sweep_interval: None, ..few_rows(dir)? };
    let storage = Storage::open(dir, options, clock)?;
    owner::hand_over(dir)?;
    Ok(storage)
}
