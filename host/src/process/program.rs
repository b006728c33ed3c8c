//! This program as one that can be run again, for what needs a process of its own.

use std::env;
use std::path::PathBuf;

/// Where the program is: as the system tells, or, without `/proc`, as whoever started it called it.
#[must_use]
pub fn path() -> PathBuf {
    env::current_exe().unwrap_or_else(|_| env::args_os().next().unwrap_or_default().into())
}
