//! A state file, from which a run that was interrupted goes on. Knows nothing of what is counted in it.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a run stands; the beginning where there is no file.
///
/// # Errors
/// Why the file could not be read, and what to do.
pub fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, String> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|error| format!("{}: {error}; delete it to begin anew", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Written beside its place and moved there, so that a run that is killed leaves a whole state.
///
/// # Errors
/// Why it could not be written.
pub fn write<T: Serialize>(path: &Path, state: &T) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    fs::write(&unfinished, serde_json::to_vec_pretty(state)?)?;
    fs::rename(unfinished, path)
}
