//! Acknowledged writes survive a power cut: records what a server does to its data directory, rebuilds
//! what a disk could hold of that at any moment, opens it, and reads it.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use larder::clock::Clock;
use larder::storage::{DEFAULT_NAMESPACE, Key, Operation, Options, Storage};
use larder::tools::data::check_file;
use larder_tests::Larder;

use super::file::Cut;
use super::images::{Disk, Syncs};
use super::io_errors::make_private;
use super::log::{self, Acknowledging, Event};
use super::shim::{Watch, shimmed};
use super::{kept, scratch, text};
use crate::op::{Entry, Http};
use crate::rounds::{Tally, Trial};
use crate::writers::{Crew, State};

const WRITERS: usize = 16;
const KEYS: usize = 3;
const WRITING: Duration = Duration::from_millis(400);
/// A control must have lost at least this share of what was never synced for the loss to matter.
const LOST_SHARE: usize = 4;
/// Images of one recording.
const IMAGES: usize = 250;
/// Small, so that the file is soon as large as it gets.
const VALUE_BYTES_MAX: usize = 3000;

/// The trial.
pub struct PowerCut;

impl Trial for PowerCut {
    fn name(&self) -> &'static str {
        "power-cut"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("images", 100_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let (images, caught, first) = cut(seed, IMAGES, Syncs::Kept, tally)?;
        tally.add("images", images);
        first.map_or(Ok(()), |first| Err(format!("{caught} of {images} images: {first}")))
    }
}

/// Records a server and judges images. Returns how many there were, how many were found to be
/// wrong, and what was wrong with the first of these.
///
/// # Errors
/// When nothing can be recorded.
pub fn cut(
    seed: u64,
    images: usize,
    syncs: Syncs,
    tally: &mut Tally,
) -> Result<(u64, u64, Option<String>), String> {
    let io = |error: std::io::Error| error.to_string();
    let mut rng = Rng::with_seed(seed);
    let dir = scratch();
    let (crew, events, mut disk) = recorded(dir.path(), syncs, &mut rng, tally)?;
    let states: HashMap<String, Vec<State>> = crew.histories();
    let mut acknowledged: HashMap<&str, usize> = HashMap::new();
    // Moments with something to lose, and the same chance for each.
    let chance = images as f64 / events.len() as f64;
    let (mut count, mut caught, mut first) = (0, 0, None);
    let made = events.iter().position(|event| matches!(event, Event::Acknowledged(_)));
    for (at, event) in events.iter().enumerate() {
        disk.take(event)?;
        if let Event::Acknowledged(key) = event {
            *acknowledged.entry(key).or_default() += 1;
        }
        // Before the first acknowledgement there may be no store yet.
        if made.is_none_or(|made| at < made) || disk.pending() == 0 || rng.f64() > 2.0 * chance {
            continue;
        }
        let mut cut = Cut::draw(&mut rng);
        let mut image = disk.image(&mut cut);
        let lost = cut.lost;
        // What is free or was overwritten since may be lost by any disk.
        if lost < disk.pending() / LOST_SHARE && syncs != Syncs::Kept {
            continue;
        }
        count += 1;
        tally.add("lost sectors", lost as u64);
        let place = dir.path().join("image");
        // Nothing of what is compiled is read here.
        image.0.retain(|path, _| !path.starts_with("data/cache"));
        image.write(&place).map_err(io)?;
        let judged = judge(&place.join("data"), &states, &acknowledged);
        if let Err(error) = judged {
            caught += 1;
            first.get_or_insert(format!("event {at} of {}: {error}", events.len()));
            if syncs == Syncs::Kept {
                let place = kept(dir).join("image");
                return Ok((
                    count,
                    caught,
                    first.map(|first| format!("{}: {first}", text(&place))),
                ));
            }
        }
        std::fs::remove_dir_all(&place).map_err(io)?;
    }
    Ok((count, caught, first))
}

/// Has a crew write to a server that is recorded, and makes sure that the record is whole. The disk is as
/// it was before.
fn recorded(
    dir: &Path,
    syncs: Syncs,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(Crew, Vec<Event>, Disk), String> {
    let io = |error: std::io::Error| error.to_string();
    let (log, counts, server) = (dir.join("log"), dir.join("counts"), dir.join("server"));
    make_private(&server).map_err(io)?;
    let disk = Disk::before(&server.join("data"), syncs).map_err(io)?;
    let settings = [("SHIM_LOG", &*text(&log)), ("SHIM_COUNT", &*text(&counts))];
    let mut larder = Larder::start_in(&server, shimmed(&server, &[], &settings));
    let address = larder.address();
    let watch = Watch::begin(&larder, &counts)?;
    let acknowledgements = log::open(&log).map_err(io)?;
    let mut crew = Crew::new("p", WRITERS, KEYS, rng);
    crew.limit_values(VALUE_BYTES_MAX);
    let store = || Acknowledging::new(Http::new(address), &acknowledgements);
    crew.write(store, tally, || thread::sleep(WRITING))?;
    watch.judge(&larder)?;
    larder.kill();
    let events = log::read(&log).map_err(io)?;
    disk.explains(&server.join("data"), &events)?;
    Ok((crew, events, disk))
}

/// Opens an image and reads every key: it must hold what was acknowledged last, or what was on its way.
fn judge(
    dir: &Path,
    states: &HashMap<String, Vec<State>>,
    acknowledged: &HashMap<&str, usize>,
) -> Result<(), String> {
    // First without LMDB, which what is damaged could make end this process.
    let findings = check_file(&dir.join("data.mdb")).map_err(|error| error.to_string())?;
    if let Some(fault) = findings.faults.told().first() {
        return Err(format!("the check: {fault}"));
    }
    let options =
        Options { sweep_interval: None, bytes_max: Some(256 << 20), ..Options::default() };
    let storage =
        Storage::open(dir, options, Clock::system()).map_err(|error| error.to_string())?;
    let mut newest = 0;
    for (key, states) in states {
        let found = storage.get(DEFAULT_NAMESPACE, key.as_bytes(), |entry| Entry {
            value: String::from_utf8_lossy(entry.value).into_owned(),
            version: entry.version.0,
            expiry: entry.expiry.map(|expiry| expiry.0),
        });
        let found = found.map_err(|error| format!("{key}: {error}"))?;
        newest = newest.max(found.as_ref().map_or(0, |entry| entry.version));
        let count = acknowledged.get(key.as_str()).copied().unwrap_or(0);
        let known = if count == 0 { &State::Absent } else { &states[count - 1] };
        let next = states.get(count);
        if !known.fits(found.as_ref()) && !next.is_some_and(|next| next.fits(found.as_ref())) {
            return Err(format!("{key} holds {found:?}, not {known:?} or {next:?}"));
        }
    }
    let key = Key::new(b"after").map_err(|error| error.to_string())?;
    let (value, behavior) = (Bytes::from_static(b"the cut"), larder::storage::Behavior::Upsert);
    let set = Operation::Set { key, value, expected: None, behavior, ttl: None };
    let written =
        storage.submit(DEFAULT_NAMESPACE, vec![set]).and_then(larder::storage::Ticket::wait);
    storage.close();
    drop(storage);
    match written.as_deref() {
        Ok([larder::storage::Outcome::Set { version, .. }]) if version.0 > newest => Ok(()),
        other => Err(format!("after version {newest}, a set gave {other:?}")),
    }
}
