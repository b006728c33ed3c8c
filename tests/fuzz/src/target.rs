//! What a target is, and the corpus that it begins with. Knows none of the targets.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Something that parses, with what is promised of it.
pub struct Target {
    /// Names it on the command line, and its corpus.
    pub name: &'static str,
    /// Longest input that is worth trying, in bytes.
    pub input_bytes_max: usize,
    /// Tries an input: what was promised and did not hold.
    pub judge: fn(&[u8]) -> Result<(), String>,
}

/// Tries an input for libFuzzer, which takes a panic for a fault.
///
/// # Panics
/// With what was promised and did not hold.
pub fn run(target: &Target, input: &[u8]) {
    if let Err(fault) = (target.judge)(input) {
        panic!("{}: {fault}", target.name);
    }
}

/// The inputs that a target begins with, in the order of their names.
///
/// # Errors
/// What could not be read.
pub fn corpus(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut files: Vec<PathBuf> = fs::read_dir(corpus_dir(target))?
        .map(|file| file.map(|file| file.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    files.iter().map(fs::read).collect()
}

/// Where they are kept.
#[must_use]
pub fn corpus_dir(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}
