//! Backups: one file that holds the data of one commit, compact, and ends with a seal. A file without
//! its seal is no backup. Knows how to take one beside a running server, and how to read the seal.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::check::{Findings, check_opened};
use super::error::{ToolError, at, failed};
use super::publish::Unpublished;
use super::reader;
use crate::storage::lmdb::directory;

const MAGIC: &[u8; 16] = b"larder-backup-1\n";
const DIGEST_BYTES: usize = 32;
const SEAL_BYTES: usize = MAGIC.len() + 8 + DIGEST_BYTES + 8;
const COPY_BYTES: usize = 1 << 20;

/// What was backed up.
#[derive(Debug)]
pub struct BackedUp {
    /// What the backup holds.
    pub findings: Findings,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Backs the data directory `dir` up into `target`, which must not be there, beside a server or
/// without one. The backup holds one commit: at least every write that was acknowledged before
/// the call. It has its name once it is whole, checked and durable; before, there is nothing.
///
/// # Errors
/// What could not be read or written, or that the data are damaged.
pub fn backup(dir: &Path, target: &Path) -> Result<BackedUp, ToolError> {
    let mut made = Unpublished::begin(target)?;
    let backed_up = fill(dir, made.file(), target)?;
    made.publish()?;
    Ok(backed_up)
}

fn fill(dir: &Path, file: &mut File, target: &Path) -> Result<BackedUp, ToolError> {
    let io = at(target);
    reader::copy(dir, file)?.map_err(&io)?;
    // By descriptor: under the name that it will have there may be another's by then.
    let findings = check_opened(file.try_clone().map_err(&io)?, target)?;
    if findings.faults.count() > 0 {
        return Err(failed(format!(
            "{} is damaged, and a backup of it would be too; run: larder check",
            directory::data_file(dir).display()
        )));
    }
    let length = file.seek(SeekFrom::End(0)).map_err(&io)?;
    file.rewind().map_err(&io)?;
    let digest = copy_hashed(&mut BufReader::new(&*file), length, &mut std::io::sink());
    let seal = Seal { length, digest: digest.map_err(&io)? };
    file.seek(SeekFrom::End(0)).map_err(&io)?;
    file.write_all(&seal.encode()).map_err(&io)?;
    Ok(BackedUp { findings, bytes: length + SEAL_BYTES as u64 })
}

/// The end of a backup: `magic (16) | length (8) | SHA-256 (32) | checksum of the seal (8)`.
pub struct Seal {
    /// Bytes of data before the seal.
    pub length: u64,
    /// Their SHA-256.
    pub digest: [u8; DIGEST_BYTES],
}

impl Seal {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend_from_slice(&self.digest);
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (sealed, sum) = bytes.split_last_chunk::<8>()?;
        let (magic, rest) = sealed.split_first_chunk::<16>()?;
        let (length, digest) = rest.split_first_chunk::<8>()?;
        let whole = magic == MAGIC && xxh3_64(sealed).to_be_bytes() == *sum;
        let digest = digest.try_into().ok()?;
        whole.then_some(Self { length: u64::from_be_bytes(*length), digest })
    }

    /// Reads the seal of a backup and leaves the file at its beginning.
    pub fn read(file: &mut File, path: &Path) -> Result<Self, ToolError> {
        let io = at(path);
        let incomplete =
            || failed(format!("{} is no larder backup, or not a complete one", path.display()));
        let bytes = file.metadata().map_err(&io)?.len();
        let length = bytes.checked_sub(SEAL_BYTES as u64).ok_or_else(incomplete)?;
        let mut end = [0; SEAL_BYTES];
        file.seek(SeekFrom::Start(length)).map_err(&io)?;
        file.read_exact(&mut end).map_err(&io)?;
        file.rewind().map_err(&io)?;
        Self::decode(&end).filter(|seal| seal.length == length).ok_or_else(incomplete)
    }
}

/// Copies `length` bytes and returns their SHA-256.
pub fn copy_hashed(
    from: &mut impl Read,
    length: u64,
    to: &mut impl Write,
) -> std::io::Result<[u8; DIGEST_BYTES]> {
    let mut hash = Sha256::new();
    let mut from = from.take(length);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}
