//! Expired keys in the way of a page cost no more than its rows: many keys expire at once on a driven clock, and
//! whoever lists what is behind them gets pages that end early, until they are passed; others are served
//! meanwhile, and the server's memory stays what it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;

use crate::driven::Driven;
use crate::namespaces::http::Http;
use crate::namespaces::op::{Behavior, Change, Entry, Listing, Op, Outcome, Store};
use crate::rounds::{Tally, Trial};

const NAMESPACE: &str = "crowded";
/// The one key behind all others, which lives.
const LAST: &str = "last";
/// Sets of a batch.
const BATCH: u64 = 1000;
/// Connections that fill the server.
const WRITERS: u64 = 4;
/// Rows that a page looks at, at most.
const ROWS_MAX: u64 = 10_000;
/// Far longer than it takes to write all keys: the clock stands still meanwhile.
const TTL_MS: u64 = 1000;
/// Memory of its own that the server may take for pages and gets, in KiB.
const GROWTH_KIB_MAX: u64 = 64 << 10;

/// The trial, with so many keys a round.
pub struct Pages {
    program: PathBuf,
    keys: u64,
}

impl Pages {
    /// `program` is `larder-torture`, which runs the server.
    #[must_use]
    pub fn new(program: &Path, keys: u64) -> Self {
        Self { program: program.to_owned(), keys }
    }
}

impl Trial for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("keys", 10_000_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let io = |error: std::io::Error| error.to_string();
        let mut rng = Rng::with_seed(seed);
        let mut driven = Driven::start(&self.program).map_err(io)?;
        let mut store = Http::new(driven.address());
        expect_done(&mut store, &Op::Configure { keys_max: None, bytes_max: None })?;
        expect_done(&mut store, &Op::One(set(LAST.to_owned(), None)))?;
        self.fill(&driven)?;
        tally.add("keys", self.keys);
        let before = memory_kib(&driven)?;
        driven.advance(TTL_MS).map_err(io)?;
        let (address, stop) = (driven.address(), AtomicBool::new(false));
        let reverse = rng.bool();
        let (pages, gets) = thread::scope(|scope| {
            let gets = scope.spawn(|| reads(&mut Http::new(address), &stop));
            let pages =
                first_page(&mut driven, &mut store).and_then(|()| pass(&mut store, reverse));
            stop.store(true, Ordering::Release);
            let gets = gets.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()));
            pages.and_then(|pages| gets.map(|gets| (pages, gets)))
        })?;
        tally.add("pages", pages);
        tally.add("gets", gets);
        let growth = memory_kib(&driven)?.saturating_sub(before);
        if growth > GROWTH_KIB_MAX {
            return Err(format!("the server took {growth} KiB more"));
        }
        Ok(())
    }
}

impl Pages {
    fn fill(&self, driven: &Driven) -> Result<(), String> {
        let (address, batches) = (driven.address(), self.keys / BATCH);
        let write = |first: u64| {
            let mut store = Http::new(address);
            (first..batches).step_by(WRITERS as usize).try_for_each(|batch| {
                let keys = batch * BATCH..(batch + 1) * BATCH;
                let changes = keys.map(|number| set(format!("k{number:08}"), Some(TTL_MS)));
                let op = Op::Batch { checks: Vec::new(), changes: changes.collect() };
                expect_done(&mut store, &op)
            })
        };
        thread::scope(|scope| {
            let writers: Vec<_> =
                (0..WRITERS).map(|first| scope.spawn(move || write(first))).collect();
            writers.into_iter().try_for_each(|writer| {
                writer.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
            })
        })
    }
}

fn set(key: String, ttl_ms: Option<u64>) -> Change {
    let (value, behavior) = ("v".to_owned(), Behavior::Upsert);
    Change::Set { key, value, ttl_ms, behavior, expected: None }
}

fn expect_done(store: &mut Http, op: &Op) -> Result<(), String> {
    match store.call(NAMESPACE, op) {
        Outcome::Done { .. } | Outcome::Configured(_) => Ok(()),
        other => Err(format!("a write was answered {other:?}")),
    }
}

fn listing(after: Option<String>, reverse: bool) -> Op {
    Op::List(Listing { prefix: String::new(), after, limit: 1000, reverse, values: false })
}

/// While more expired rows are in the way than a page looks at, it is empty and tells where to go on.
fn first_page(driven: &mut Driven, store: &mut Http) -> Result<(), String> {
    let outcome = store.call(NAMESPACE, &listing(None, false));
    let (_, left, _) = driven.look().map_err(|error| error.to_string())?;
    let Outcome::Page { rows, after, .. } = &outcome else {
        return Err(format!("a list was answered {outcome:?}"));
    };
    let fits = left <= ROWS_MAX + 1 || (rows.is_empty() && after.is_some());
    if fits {
        Ok(())
    } else {
        Err(format!("with {left} rows left, a list was answered {outcome:?}"))
    }
}

/// Goes on from page to page until the end; how many there were.
fn pass(store: &mut Http, reverse: bool) -> Result<u64, String> {
    let (mut after, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        match store.call(NAMESPACE, &listing(after, reverse)) {
            Outcome::Page { rows, after: next, .. } => {
                found.extend(rows.into_iter().map(|row| row.key));
                pages += 1;
                after = next;
            }
            other => return Err(format!("a list was answered {other:?}")),
        }
        if after.is_none() {
            break;
        }
    }
    if found == [LAST] { Ok(pages) } else { Err(format!("the pages have {found:?}")) }
}

/// Reads what lives and what has expired until `stop`; how often.
fn reads(store: &mut Http, stop: &AtomicBool) -> Result<u64, String> {
    let mut gets = 0;
    while !stop.load(Ordering::Acquire) {
        for (key, there) in [(LAST, true), ("k00000000", false)] {
            match store.call(NAMESPACE, &Op::Get(key.to_owned())) {
                Outcome::Got(Some(Entry { value, .. })) if there && value == "v" => {}
                Outcome::Got(None) if !there => {}
                other => return Err(format!("{key}: the get was answered {other:?}")),
            }
            gets += 1;
        }
    }
    Ok(gets)
}

/// Memory of its own that the server's process has, without what it maps of files.
fn memory_kib(driven: &Driven) -> Result<u64, String> {
    let path = format!("/proc/{}/status", driven.process_id());
    let status = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| "the process tells no memory".to_owned())
}
