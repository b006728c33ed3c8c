//! The shim that stands between a program and the system: how it is loaded. Knows its settings and counts.

use std::fs;
use std::path::Path;

use larder_tests::Options;

use super::text;

/// The shim, as the build made it.
const SHIM: &str = env!("SHIM");
/// A server's start in `dir` with the shim before it, which is told `settings`.
#[must_use]
pub fn shimmed(dir: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Options {
    let mut options = Options::flags(flags);
    options.variables = variables(dir, settings);
    options
}

/// The variables that load the shim before a program whose data are in `dir/data`.
///
/// # Panics
/// When there is no `dir`.
#[must_use]
pub fn variables(dir: &Path, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let root = text(&dir.canonicalize().expect("the folder of the data").join("data"));
    let all =
        [("LD_PRELOAD", SHIM), ("SHIM_ROOT", &root)].into_iter().chain(settings.iter().copied());
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What the shim counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps: writes, syncs, changes of lengths and of names.
    pub steps: u64,
    /// Bytes that were written to files, pipes and sockets.
    pub bytes: u64,
    /// Syncs of data files.
    pub syncs: u64,
    /// Writes to data files that were durable when they ended.
    pub durable: u64,
}

impl Counts {
    /// Reads the file in which the shim keeps them.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let numbers: Vec<u64> =
            bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        match numbers[..] {
            [steps, bytes, syncs, durable] => Ok(Self { steps, bytes, syncs, durable }),
            _ => Err(format!("{}: {} counts", path.display(), numbers.len())),
        }
    }
}
