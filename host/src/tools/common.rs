//! What several commands need: the data directory that is meant, and instants as people write them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;

use crate::config::{self, ConfigError, DataArgs};
use crate::storage;

/// The data directory that is meant.
pub fn data_dir(flags: DataArgs) -> Result<PathBuf, ConfigError> {
    config::data_dir(flags, std::env::vars_os())
}

/// An instant as people write it.
pub fn instant(ms: u64) -> String {
    // The formatter knows four digits of a year.
    let known = Duration::from_millis(ms.min(storage::EXPIRY_MAX.0));
    format_rfc3339_seconds(SystemTime::UNIX_EPOCH + known).to_string()
}
