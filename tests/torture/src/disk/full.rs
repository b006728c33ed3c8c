//! A full disk and a full quota: writes are refused clearly, reads and deletes go on, nothing is lost,
//! and when there is room again writes are taken again, by themselves and soon.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use larder_tests::{Larder, Options};

use super::shim::{sees_every_byte, shimmed};
use super::{scratch, text};
use crate::client::Connection;
use crate::op::{Http, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};
use crate::writers::Crew;

const CLIENTS: usize = 64;
const KEYS: usize = 2;
/// Room of the small disk, and of the quota.
const ROOM_BYTES: u64 = 8 << 20;
/// Room of the small file system, which holds the compiled guests too.
const FILE_SYSTEM_BYTES: u64 = 24 << 20;
const FILL_BYTES: usize = 100_000;
/// After this long there must be room again.
const RECOVERY: Duration = Duration::from_secs(1);
/// Long enough for any disk to get full.
const FILLING: Duration = Duration::from_secs(30);

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// What the system says of the disk's room, to this process alone.
    Disk,
    /// A file system of its own, in memory, as long as the server lives.
    FileSystem,
    /// The configured quota.
    Quota,
}

/// The trial.
pub struct Full;

impl Trial for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("cycles", 100)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let limit = match seed % 3 {
            0 if can_mount() => Limit::FileSystem,
            1 => Limit::Quota,
            _ => Limit::Disk,
        };
        cycles(seed, limit, 5, &|http| http, tally).map_err(|error| format!("{limit:?}: {error}"))
    }
}

/// Fills, judges and frees a store so many times; answers pass through `lie`.
///
/// # Errors
/// What was lost, answered wrongly or did not recover.
pub fn cycles<S: Store + Send>(
    seed: u64,
    limit: Limit,
    cycles: usize,
    lie: &dyn Fn(Http) -> S,
    tally: &mut Tally,
) -> Result<(), String> {
    let dir = scratch();
    let (file, counts) = (dir.path().join("limit"), dir.path().join("counts"));
    let quota = ROOM_BYTES.to_string();
    let settings = [("SHIM_LIMIT", &*text(&file)), ("SHIM_COUNT", &*text(&counts))];
    let options = match limit {
        Limit::Disk => shimmed(dir.path(), &[], &settings),
        Limit::Quota => Options::flags(&["--storage-bytes-max", &quota]),
        Limit::FileSystem => Options { wrapper: small_file_system(), ..Options::default() },
    };
    let mut larder = Larder::start_in(dir.path(), options);
    let told = fill_and_free(&mut larder, seed, limit, cycles, &file, lie, tally);
    told.map_err(|error| {
        let log = larder.log();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        format!("{error}; the log ends with, the last first: {last:#?}")
    })
}

fn fill_and_free<S: Store + Send>(
    larder: &mut Larder,
    seed: u64,
    limit: Limit,
    cycles: usize,
    file: &Path,
    lie: &dyn Fn(Http) -> S,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut crew = Crew::new("f", CLIENTS, KEYS, &mut Rng::with_seed(seed));
    for _ in 0..cycles {
        if limit == Limit::Disk {
            fs::write(file, ROOM_BYTES.to_string()).map_err(|error| error.to_string())?;
        }
        let address = larder.address();
        let mut filler =
            Filler { store: Http::new(address), health: Connection::new(address), filled: 0 };
        crew.write(|| lie(Http::new(address)), tally, || filler.fill())??;
        // What deletes have made room for meanwhile is filled up too.
        let filled = filler.fill()?;
        tally.add("fills", filled);
        ready(larder, 503, Duration::ZERO)?;
        let mut store = lie(Http::new(address));
        refused(&mut store)?;
        crew.verify(&mut store)?;
        if limit == Limit::Disk {
            // Reads and deletes go on without any more room.
            delete(&mut store, filled / 2..filled)?;
            fs::remove_file(file).map_err(|error| error.to_string())?;
            ready(larder, 200, RECOVERY)?;
            delete(&mut store, 0..filled / 2)?;
        } else {
            delete(&mut store, 0..filled)?;
            ready(larder, 200, RECOVERY)?;
        }
        match store.call("room", &Op::set("again")) {
            Outcome::Written(_) => tally.add("cycles", 1),
            other => return Err(format!("with room again, a set was answered {other:?}")),
        }
    }
    if limit == Limit::Disk {
        sees_every_byte(larder, &file.with_file_name("counts"))?;
    }
    if limit != Limit::FileSystem {
        larder.kill();
        larder.start_again();
    }
    crew.verify(&mut Http::new(larder.address()))
}

/// Mounts a small file system on the data directory, where nobody else sees it, and becomes the
/// server.
fn small_file_system() -> Vec<String> {
    let mount = format!(
        "mkdir -p data && mount -t tmpfs -o size={FILE_SYSTEM_BYTES},mode=700 none data && exec \"$0\" \"$@\""
    );
    ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount]
        .map(str::to_owned)
        .into()
}

/// Whether this machine lets its users mount file systems for themselves.
#[must_use]
pub fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"]);
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Writes large values until there is no room for one.
struct Filler {
    store: Http,
    health: Connection,
    filled: u64,
}

impl Filler {
    fn is_full(&mut self) -> Result<bool, String> {
        let answer = self.health.send("GET", "/api/v1.health.ready", b"");
        answer.map(|answer| answer.status == 503).map_err(|lost| format!("ready: {lost:?}"))
    }

    fn fill(&mut self) -> Result<u64, String> {
        let value = "f".repeat(FILL_BYTES);
        let begun = now();
        loop {
            match self.store.call(&format!("fill/{}", self.filled), &Op::set(&*value)) {
                Outcome::Written(_) => self.filled += 1,
                // A large group may have found no room where a small one does.
                Outcome::Refused(507, code) if code == "storage-full" => {
                    if self.is_full()? {
                        return Ok(self.filled);
                    }
                }
                other => return Err(format!("while it was filled, a set was answered {other:?}")),
            }
            if begun.elapsed() > FILLING {
                return Err(format!("{} values of {FILL_BYTES} bytes fit", self.filled));
            }
        }
    }
}

fn refused(store: &mut dyn Store) -> Result<(), String> {
    let large = "f".repeat(FILL_BYTES);
    match store.call("large", &Op::set(large)) {
        Outcome::Refused(507, code) if code == "storage-full" => Ok(()),
        other => Err(format!("without room, a set was answered {other:?}")),
    }
}

fn delete(store: &mut dyn Store, numbers: std::ops::Range<u64>) -> Result<(), String> {
    for number in numbers {
        let outcome = store.call(&format!("fill/{number}"), &Op::Delete { expected: None });
        if outcome != Outcome::Deleted(true) {
            return Err(format!("the delete of fill/{number} was answered {outcome:?}"));
        }
    }
    Ok(())
}

/// Waits for the answer of the readiness check to become `status`.
fn ready(larder: &Larder, status: u16, within: Duration) -> Result<(), String> {
    let begun = now();
    let mut connection = Connection::new(larder.address());
    loop {
        let answer = connection.send("GET", "/api/v1.health.ready", b"");
        let found = answer.map(|answer| answer.status);
        if matches!(found, Ok(found) if found == status) {
            return Ok(());
        }
        if begun.elapsed() > within {
            return Err(format!("after {:?} ready is {found:?}, not {status}", begun.elapsed()));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[expect(clippy::disallowed_methods, reason = "a recovery's time is judged from outside")]
fn now() -> Instant {
    Instant::now()
}
