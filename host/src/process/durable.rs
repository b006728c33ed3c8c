//! What is written made durable. Knows neither the store nor its tools.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a file, or the names in a directory, durable.
///
/// # Errors
/// What the system answers.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
