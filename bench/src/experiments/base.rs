//! The server as it is against that of another commit, whose benchmark is a program of its own: gets,
//! and durable sets. The load is the same.

use std::fs;
use std::path::Path;

use super::bench::Bench;
use super::rounds::{Turn, alternate, filling, in_rounds, one};
use crate::failure::Failure;
use crate::load::{Stream, Work};
use crate::report::results::{Finding, Goal};
use crate::sides::Side;
use crate::sides::child::Running;

const SIDES: [Side; 2] = [Side::Reused, Side::Reused];

/// Both works, if a program to compare with is named.
pub fn base(bench: &mut Bench) -> Result<(), Failure> {
    let Some(base) = bench.plan.base.clone() else {
        println!("\nno --base is named: nothing to compare with");
        return Ok(());
    };
    let path = |error| format!("{}: {error}; see --base", base.display());
    let programs = [std::env::current_exe()?, fs::canonicalize(&base).map_err(path)?];
    let programs = programs.each_ref().map(|program| &**program);
    let counts: &[usize] = if bench.plan.full { &[16, 64, 256] } else { &[64] };
    for count in counts {
        gets(bench, programs, *count)?;
        sets(bench, programs, *count)?;
    }
    Ok(())
}

fn gets(bench: &mut Bench, programs: [&Path; 2], count: usize) -> Result<(), Failure> {
    let stream = Stream::new(Work::Get, count);
    let mut sides = Vec::new();
    for program in programs {
        sides.push(Running::start_of(program, SIDES[0], &filling(&stream), &bench.plan.dir)?);
    }
    let measured = alternate(&bench.plan, "base", &mut sides, &turns(&stream))?;
    bench.keep_all(&format!("get of 1 KiB, {count} connections"), &measured);
    let name = format!("get, this commit : base, {count} connections");
    bench.find(Finding::ratio(name, measured.ratio(0, 1), Some(Goal::AtLeast(0.98))));
    Ok(())
}

/// Each has a new store for every turn: the two may not read each other's, and of two that were filled
/// alike one can be quicker for as long as it is there.
fn sets(bench: &mut Bench, programs: [&Path; 2], count: usize) -> Result<(), Failure> {
    let stream = Stream::new(Work::Set, count);
    let plan = &bench.plan;
    let measured = in_rounds(plan, "base", &SIDES, &turns(&stream), |side, stream| {
        let program = programs[side];
        let mut side = Running::start_of(program, SIDES[side], &filling(stream), &plan.dir)?;
        // Not counted: a new process touches most pages of its map, and its own, for the first time.
        one(&mut side, stream, plan.time)?;
        one(&mut side, stream, plan.time)
    })?;
    bench.keep_all(&format!("set of 1 KiB, {count} connections"), &measured);
    let name = format!("set, this commit : base, {count} connections");
    bench.find(Finding::ratio(name, measured.ratio(0, 1), None));
    Ok(())
}

fn turns(stream: &Stream) -> [Turn; 2] {
    let base = Turn { side: 1, stream: stream.clone(), note: "base" };
    [Turn::new(0, stream.clone()), base]
}
