//! How much is measured, and where. Knows no experiment.

use std::path::PathBuf;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All of it, rather than what fits some minutes.
    pub full: bool,
    /// Rounds of each experiment.
    pub rounds: usize,
    /// Time of a turn.
    pub time: Duration,
    /// Folder for data, on the file system that is measured.
    pub dir: PathBuf,
    /// The built program.
    pub program: PathBuf,
    /// This program, built of the commit to compare with.
    pub base: Option<PathBuf>,
    /// Where results are written.
    pub out: PathBuf,
}
