//! What is more than one key's get or set: pages, batches, sums and the plain face, each against gets or
//! sets of the same server.

use super::bench::Bench;
use super::rounds::{Measured, Turn, alternate, alternate_on_one, filling, start};
use crate::failure::Failure;
use crate::load::{BATCH_KEYS, Stream, Work};
use crate::report::results::{Finding, Goal, number};
use crate::sides::Side;

/// The connections that most is measured with.
const CONNECTIONS: usize = 64;
const BATCH_CONNECTIONS: usize = 16;
const SMALL_VALUE_BYTES: usize = 100;
const FEW_KEYS: u32 = 1000;
const MANY_KEYS: u32 = 10_000_000;
/// What the short form takes for many.
const SOME_KEYS: u32 = 1_000_000;
/// As many as a sum of some millions has, about.
const SUM_BYTES: usize = 8;

/// Pages against gets, and pages of a store of many keys against those of one of few.
pub fn list(bench: &mut Bench) -> Result<(), Failure> {
    let many = if bench.plan.full { MANY_KEYS } else { SOME_KEYS };
    let stream = |work, keys| small(work, CONNECTIONS, keys);
    let dir = bench.plan.dir.clone();
    let (usual, reused) = (stream(Work::Get, 100_000), [Side::Reused]);
    let mut sides = start(&reused, &filling(&usual), &dir)?;
    for keys in [FEW_KEYS, many] {
        sides.extend(start(&reused, &filling(&stream(Work::List, keys)), &dir)?);
    }
    let turn = |side, stream, note| Turn { side, stream, note };
    let turns = [
        turn(0, stream(Work::List, usual.keys), ""),
        turn(0, usual, ""),
        turn(1, stream(Work::List, FEW_KEYS), "few keys"),
        turn(2, stream(Work::List, many), "many keys"),
    ];
    let measured = alternate(&bench.plan, "list", &mut sides, &turns)?;
    let (few, many) = (number(FEW_KEYS.into()), number(many.into()));
    let title = format!(
        "pages of 100 keys with values of 100 B, and gets of 100 B; {few} keys (few), {many} keys (many), 64 connections"
    );
    bench.keep_all(&title, &measured);
    let name = "page of 100 entries of 100 B : get, 64 connections";
    bench.find(Finding::ratio(name, measured.ratio(0, 1), Some(Goal::AtLeast(0.30))));
    let name = format!("page of 100 entries of 100 B, {many} : {few} keys");
    bench.find(Finding::ratio(name, measured.ratio(3, 2), Some(Goal::AtLeast(0.80))));
    Ok(())
}

/// Batches of sets against single sets, in sets a second.
pub fn batch(bench: &mut Bench) -> Result<(), Failure> {
    let stream = |work| small(work, BATCH_CONNECTIONS, 100_000);
    let measured = writes(bench, "batch", &stream(Work::Batch), &stream(Work::Set))?;
    bench.keep_all("batches of 100 sets of 100 B, and single sets, 16 connections", &measured);
    let name = "sets/s of 100 B, in batches of 100 : single";
    let ratio = measured.ratio(0, 1).times(BATCH_KEYS as f64);
    bench.find(Finding::ratio(name, ratio, Some(Goal::AtLeast(3.0))));
    Ok(())
}

/// Adds to one key against sets of one key.
pub fn add(bench: &mut Bench) -> Result<(), Failure> {
    let stream =
        |work| Stream { keys: 1, value_bytes: SUM_BYTES, ..Stream::new(work, CONNECTIONS) };
    let measured = writes(bench, "add", &stream(Work::Add), &stream(Work::Set))?;
    bench.keep_all("adds to one key, and sets of 8 B of one key, 64 connections", &measured);
    let name = "add : set, one key, 64 connections";
    bench.find(Finding::ratio(name, measured.ratio(0, 1), Some(Goal::AtLeast(0.80))));
    Ok(())
}

/// Gets through the plain face against those of the API.
pub fn plain(bench: &mut Bench) -> Result<(), Failure> {
    let stream = |work| Stream::new(work, CONNECTIONS);
    let mut sides = start(&[Side::Reused], &filling(&stream(Work::Get)), &bench.plan.dir)?;
    let turns = [Turn::new(0, stream(Work::Plain)), Turn::new(0, stream(Work::Get))];
    let measured = alternate(&bench.plan, "plain", &mut sides, &turns)?;
    bench.keep_all("get of 1 KiB, plain face and API, 64 connections", &measured);
    let name = "get of 1 KiB, plain face : API, 64 connections";
    bench.find(Finding::ratio(name, measured.ratio(0, 1), Some(Goal::AtLeast(0.95))));
    Ok(())
}

/// Two works that write, on one store in turn.
fn writes(bench: &Bench, name: &str, over: &Stream, under: &Stream) -> Result<Measured, Failure> {
    let data = bench.fill_store(name, &filling(under))?;
    let turns = [Turn::new(0, over.clone()), Turn::new(0, under.clone())];
    alternate_on_one(&bench.plan, name, &[Side::Reused], &data, &turns)
}

/// Work of small values.
fn small(work: Work, connections: usize, keys: u32) -> Stream {
    Stream { keys, value_bytes: SMALL_VALUE_BYTES, ..Stream::new(work, connections) }
}
