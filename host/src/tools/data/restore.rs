//! Restores a backup into a data directory that holds nothing yet. Owns the rule that no version is
//! drawn twice, whatever was written after the backup was taken.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::backup::{Seal, copy_hashed};
use super::check::{Findings, check_opened};
use super::error::{ToolError, at, failed};
use super::incoming::{Incoming, jump};
use crate::storage::Options;
use crate::storage::lmdb::layout::StateRow;

/// Restores the backup at `source` into `dir`. A backup that is not whole, or does not match its
/// seal, is refused, and a restore that is interrupted leaves a directory that no server serves.
///
/// # Errors
/// Why nothing was restored.
pub fn restore(source: &Path, dir: &Path) -> Result<Findings, ToolError> {
    let mut file = open(source)?;
    let seal = Seal::read(&mut file, source)?;
    let incoming = Incoming::begin(dir)?;
    let data = incoming.data_file();
    let mut options = OpenOptions::new();
    let to = options.read(true).write(true).create_new(true).mode(0o600).open(&data);
    let mut to = to.map_err(at(&data))?;
    let digest = copy_hashed(&mut file, seal.length, &mut to).map_err(at(&data))?;
    if digest != seal.digest {
        return Err(failed(format!(
            "{} does not match its seal: it was changed after it was made",
            source.display()
        )));
    }
    let findings = check_opened(to, source)?;
    if let Some(fault) = findings.faults.told().first() {
        return Err(failed(format!("{} is damaged: {fault}", source.display())));
    }
    raise_version(&incoming, &findings, seal.length)?;
    incoming.publish()
}

/// Opens what may be a backup: a file, for the seal at its end is read first.
fn open(source: &Path) -> Result<File, ToolError> {
    // What is no file, as a pipe that nobody writes, is not waited for.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(source);
    let file = file.map_err(at(source))?;
    if file.metadata().map_err(at(source))?.is_file() {
        return Ok(file);
    }
    Err(failed(format!(
        "{} is no file, which a backup is: its end is read first; write what comes from elsewhere to \
         a file",
        source.display()
    )))
}

/// Moves the version counter on, and changes nothing else: data of an older format stay of that format
/// until they are served.
fn raise_version(incoming: &Incoming, findings: &Findings, length: u64) -> Result<(), ToolError> {
    let version = jump(findings.version)?;
    // Address space for what is there, not for what a server may make of it.
    let options = Options { bytes_max: Some(length), ..Options::default() };
    incoming.change_state(&options, |state| StateRow { version, ..state })
}
