//! Stores of format 1, as large as is wanted: what the first version wrote, with more entries in the namespace
//! `default`. Knows the bytes of both; knows nothing of what is done to them.

use std::fs;
use std::path::Path;

use larder::storage::Version;
use larder::storage::lmdb::layout::{self, Record, RecordKey};

use super::io_errors::make_private;
use crate::rows;

/// Entries that the store of the first version holds without those.
pub const GOLDEN_ENTRIES: u64 = 212;
/// Entries in one transaction: bounds its dirty pages.
const BATCH: usize = 50_000;

/// Makes the data directory `data`, with these entries: each is a key whose value is the key.
///
/// # Errors
/// What could not be made.
pub fn make(data: &Path, keys: &[String]) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/store-1/data.mdb");
    make_private(data).map_err(io)?;
    fs::copy(golden, data.join("data.mdb")).map_err(io)?;
    fill(data, keys).map_err(|error| error.to_string())?;
    // LMDB's table of readers: as if the machine had started anew.
    fs::remove_file(data.join("lock.mdb")).map_err(io)
}

fn fill(data: &Path, keys: &[String]) -> Result<(), heed::Error> {
    for batch in keys.chunks(BATCH) {
        rows::change(data, "main", |main, txn| {
            for key in batch {
                let Some(stored_key) = RecordKey::new(layout::DEFAULT_ID, key.as_bytes()) else {
                    continue;
                };
                let record = Record { version: Version(1), expiry: None, value: key.as_bytes() };
                let header = record.header(stored_key.as_bytes());
                let stored = [header.as_bytes(), key.as_bytes()].concat();
                main.put(txn, stored_key.as_bytes(), &stored)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
