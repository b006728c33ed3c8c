//! What several commands need: the data directory that is meant, a word before its format changes, and
//! instants as people write them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;

use super::data::{self, ToolError};
use crate::config::{self, ConfigError, DataArgs};
use crate::process::console::say;
use crate::storage;
use crate::storage::lmdb::layout;

/// The data directory that is meant.
pub fn data_dir(flags: DataArgs) -> Result<PathBuf, ConfigError> {
    config::data_dir(flags, std::env::vars_os())
}

/// Says so where a command that writes takes data of an older format over, as a server does.
///
/// # Errors
/// Why their format cannot be read.
pub fn tell_take_over(dir: &Path) -> Result<(), ToolError> {
    if let Some(found) = data::older_format(dir)? {
        say(format_args!(
            "{}: the data are of storage format {found}, and are taken over into format {}: older larders \
             refuse them from then on",
            dir.display(),
            layout::FORMAT
        ));
    }
    Ok(())
}

/// An instant as people write it.
pub fn instant(ms: u64) -> String {
    // The formatter knows four digits of a year.
    let known = Duration::from_millis(ms.min(storage::EXPIRY_MAX.0));
    format_rfc3339_seconds(SystemTime::UNIX_EPOCH + known).to_string()
}
