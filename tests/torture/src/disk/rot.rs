//! Bit rot is told, never served: damages a data file anywhere, serves it, and compares every answer;
//! then the check must have found whatever changed an answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;
use larder_tests::{Larder, Options};
use tempfile::TempDir;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::io_errors::make_private;
use super::{copy_files, kept, scratch, text};
use crate::op::{Entry, Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};

/// Keys of the store that is damaged, and writes to it.
const KEYS: usize = 250;
const WRITES: usize = 900;
const PAGE_BYTES: usize = 4096;
/// Corruptions in a round.
const CORRUPTIONS: usize = 20;
/// The exit code of a server that met damage in its map.
const EXIT_DAMAGED: i32 = 74;

/// The trial.
#[derive(Default)]
pub struct Rot {
    made: Mutex<Option<Made>>,
}

/// A store to be damaged, and what it holds.
struct Made {
    dir: TempDir,
    entries: BTreeMap<String, Entry>,
    file: Vec<u8>,
}

impl Trial for Rot {
    fn name(&self) -> &'static str {
        "rot"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("corruptions", 10_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut rng = Rng::with_seed(seed);
        (0..CORRUPTIONS).try_for_each(|_| self.judge(&mut rng, &damage, tally))
    }
}

impl Rot {
    /// Damages a copy of the store by `damage`, serves it and checks it.
    ///
    /// # Errors
    /// A wrong value, a process that ended in any other way than it must, or damage that the check
    /// did not find.
    pub fn judge(
        &self,
        rng: &mut Rng,
        damage: &dyn Fn(&mut [u8], &mut Rng) -> String,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let io = |error: std::io::Error| error.to_string();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_none() {
            *made = Some(make()?);
        }
        let Some(made) = made.as_ref() else { return Ok(()) };
        let dir = scratch();
        for folder in ["data", "data/cache"] {
            make_private(&dir.path().join(folder)).map_err(io)?;
            copy_files(&made.dir.path().join(folder), &dir.path().join(folder)).map_err(io)?;
        }
        let mut file = made.file.clone();
        let done = damage(&mut file, rng);
        if file == made.file {
            return Ok(());
        }
        fs::write(dir.path().join("data/data.mdb"), &file).map_err(io)?;
        tally.add("corruptions", 1);
        let found = check(dir.path());
        let served = serve(dir.path(), &made.entries, tally);
        let judged = served.and_then(|changed| match (changed, found.status.code()) {
            (true, Some(0)) => Err("the check found nothing".to_owned()),
            (_, Some(0)) => Ok(()),
            (_, Some(1)) => {
                tally.add("found by the check", 1);
                Ok(())
            }
            (_, other) => Err(format!("the check ended with {other:?}")),
        });
        judged.map_err(|error| format!("{done}: {error}; kept in {}", text(&kept(dir))))
    }
}

/// Makes a store with records of all kinds, and pages that hold what was overwritten.
fn make() -> Result<Made, String> {
    let dir = scratch();
    let mut larder = Larder::start_in(dir.path(), Options::default());
    let mut store = Http::new(larder.address());
    let mut rng = Rng::with_seed(7);
    let mut entries = BTreeMap::new();
    for number in 0..WRITES {
        let key = format!("key/{}", rng.usize(..KEYS));
        if rng.u8(..10) == 0 {
            store.call(&key, &Op::Delete { expected: None });
            entries.remove(&key);
            continue;
        }
        let length = [10, 100, 1000, 1900, 9000][rng.usize(..5)];
        let op = Op::Set {
            value: format!("{number} {}", "v".repeat(rng.usize(..length))),
            ttl_ms: (rng.u8(..5) == 0).then_some(1_000_000_000),
            behavior: crate::op::Behavior::Upsert,
            expected: None,
        };
        store.call(&key, &op);
        match store.call(&key, &Op::Get) {
            Outcome::Got(Some(entry)) => entries.insert(key, entry),
            other => return Err(format!("{key}: {other:?}")),
        };
    }
    larder.terminate();
    let file = fs::read(dir.path().join("data/data.mdb")).map_err(|error| error.to_string())?;
    Ok(Made { dir, entries, file })
}

/// Damages a few bytes or bits, anywhere or where it hurts. Returns what was done.
fn damage(file: &mut [u8], rng: &mut Rng) -> String {
    // What is laid out behind the last page holds nothing that could be damaged.
    let end = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let pages = end.div_ceil(PAGE_BYTES);
    let page = if rng.u8(..8) == 0 { rng.usize(..2) } else { rng.usize(..pages) };
    // Half of the time in the page's head and its list of rows, where the structure is.
    let within = if rng.bool() { rng.usize(..64) } else { rng.usize(..PAGE_BYTES) };
    let at = page * PAGE_BYTES + within;
    let length = (1 << rng.u32(..10)).min(file.len() - at);
    match rng.u8(..5) {
        0 | 1 => {
            let bit = rng.u32(..8);
            file[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            file[at..at + length].fill(0);
            format!("{length} bytes from {at} zeroed")
        }
        3 => {
            let by = rng.usize(1..=16).min(length);
            file[at..at + length].rotate_left(by);
            format!("{length} bytes from {at} shifted by {by}")
        }
        _ => {
            let from = rng.usize(..=file.len() - length);
            file.copy_within(from..from + length, at);
            format!("{length} bytes from {from} copied to {at}")
        }
    }
}

fn check(dir: &Path) -> Output {
    let command = std::process::Command::new(larder_tests::program())
        .args(["check", "--data", "data"])
        .current_dir(dir)
        .output();
    command.expect("the program runs")
}

/// Serves a damaged store. Whether anything that was read differs from what was written.
fn serve(dir: &Path, entries: &BTreeMap<String, Entry>, tally: &mut Tally) -> Result<bool, String> {
    let Some(mut larder) = Larder::try_start_in(dir, Options::default()) else {
        tally.add("refused at the start", 1);
        return Ok(true);
    };
    let mut changed = false;
    let mut store = Http::new(larder.address());
    for number in 0..KEYS {
        let key = format!("key/{number}");
        let right = entries.get(&key);
        match store.call(&key, &Op::Get) {
            Outcome::Got(found) if found.as_ref() == right => {}
            Outcome::Got(None) => {
                tally.add("absent", 1);
                changed = true;
            }
            Outcome::Got(wrong) => return Err(format!("{key} is {wrong:?}, not {right:?}")),
            Outcome::Refused(500, _) => {
                tally.add("errors", 1);
                changed = true;
            }
            Outcome::Unknown(_) => {
                tally.add("ends", 1);
                let status = larder.wait();
                return match status.code() {
                    Some(EXIT_DAMAGED) => Ok(true),
                    _ => Err(format!("it ended with {status}: {}", larder.log())),
                };
            }
            other => return Err(format!("{key} was answered {other:?}")),
        }
    }
    Ok(changed)
}

/// Changes the values of all records that share a page with others, and forges their checksums to
/// match: what a server would serve that does not look at checksums. For the control.
pub fn forge(file: &mut [u8]) -> String {
    const NODE_HEAD: usize = 8;
    let starts: Vec<usize> = (NODE_HEAD..file.len().saturating_sub(64))
        .filter(|at| file[*at..].starts_with(b"\0\0\0\x01key/"))
        .collect();
    let mut forged = 0;
    for at in starts {
        let number = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
        let (size, flags, key_length) = (number(at - 8), number(at - 4), number(at - 2));
        // Only what the page lists: what was moved away may still stand there.
        let page = at / PAGE_BYTES * PAGE_BYTES;
        let rows = number(page + 12).saturating_sub(16) / 2;
        let listed =
            (0..rows.min(2000)).any(|row| number(page + 16 + 2 * row) + page + NODE_HEAD == at);
        let leaf = number(page + 10) == 2 && listed;
        let digits = file.get(at + 8..at + key_length).unwrap_or_default();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            continue;
        }
        let start = at + key_length;
        let head = if file.get(start) == Some(&0x11) { 14 } else { 8 };
        let (sum, end) = (start + head, start + size);
        if !leaf || flags != 0 || size < head + 9 || end > file.len() {
            continue;
        }
        file[end - 1] = b'w';
        let length = u16::try_from(key_length).unwrap_or(0).to_be_bytes();
        let front = [&length[..], &file[at..sum]].concat();
        let checksum = xxh3_64_with_seed(&file[sum + 8..end], xxh3_64(&front));
        file[sum..sum + 8].copy_from_slice(&checksum.to_be_bytes());
        forged += 1;
    }
    format!("{forged} values changed together with their checksums")
}
