//! What is large: values of 1 MiB, and stores of many keys.

use super::bench::Bench;
use super::rounds::{Turn, alternate, filling, start};
use crate::failure::Failure;
use crate::load::{Stream, Work};
use crate::report::results::{Finding, Goal, number};
use crate::sides::Side;

const MIB: usize = 1 << 20;
const SMALL_KEYS: u32 = 100_000;
const MANY_KEYS: u32 = 10_000_000;
/// What the short form takes for many.
const SOME_KEYS: u32 = 1_000_000;
const SMALL_VALUE_BYTES: usize = 100;

/// Gets and sets of 1 MiB.
pub fn values(bench: &mut Bench) -> Result<(), Failure> {
    let stream = |work| Stream { keys: 200, value_bytes: MIB, ..Stream::new(work, 8) };
    let both = [Side::Native, Side::Reused];
    for (name, work) in [("get", Work::Get), ("set", Work::Set)] {
        let mut sides = start(&both, &filling(&stream(work)), &bench.plan.dir)?;
        let turns = [Turn::new(0, stream(work)), Turn::new(1, stream(work))];
        let measured = alternate(&bench.plan, "large", &mut sides, &turns)?;
        bench.keep_all(&format!("{name} of 1 MiB, 8 connections"), &measured);
        let name = format!("{name} of 1 MiB, reused : native, 8 connections");
        bench.find(Finding::ratio(name, measured.ratio(1, 0), Some(Goal::AtLeast(0.90))));
    }
    Ok(())
}

/// Gets from a store of many keys, and from one of few.
pub fn keys(bench: &mut Bench) -> Result<(), Failure> {
    let many = if bench.plan.full { MANY_KEYS } else { SOME_KEYS };
    let stream =
        |keys| Stream { keys, value_bytes: SMALL_VALUE_BYTES, ..Stream::new(Work::Get, 64) };
    let both = [Side::Native, Side::Reused];
    let dir = bench.plan.dir.clone();
    let mut sides = start(&both, &filling(&stream(SMALL_KEYS)), &dir)?;
    sides.extend(start(&both, &filling(&stream(many)), &dir)?);
    let turn = |side, keys, note| Turn { side, stream: stream(keys), note };
    let turns = [
        turn(0, SMALL_KEYS, "few keys"),
        turn(1, SMALL_KEYS, "few keys"),
        turn(2, many, "many keys"),
        turn(3, many, "many keys"),
    ];
    let measured = alternate(&bench.plan, "keys", &mut sides, &turns)?;
    let (few, many) = (number(SMALL_KEYS.into()), number(many.into()));
    bench.keep_all(
        &format!("get of 100 B, {few} keys (few) and {many} keys (many), 64 connections"),
        &measured,
    );
    for (side, over, under) in [("native", 2, 0), ("reused", 3, 1)] {
        let goal = (side == "reused").then_some(Goal::AtLeast(0.60));
        let name = format!("get of 100 B, {many} : {few} keys, {side}");
        bench.find(Finding::ratio(name, measured.ratio(over, under), goal));
    }
    Ok(())
}
