//! Latencies at a rate that leaves the server room: sets alone, and gets alone and beside sets.

use std::time::Duration;

use super::bench::Bench;
use super::log::Log;
use super::rounds::{Measured, filling, one, start, together};
use crate::clock;
use crate::failure::Failure;
use crate::load::latency::Figure;
use crate::load::{Pace, Stream, Work};
use crate::report::results::{Finding, Goal, Measurement, Spread};
use crate::sides::Side;
use crate::sides::child::Running;
use crate::sides::fill::Filling;

const CONNECTIONS: usize = 64;
/// The share of the peak that is asked for.
const SHARE: f64 = 1.0 / 3.0;
/// Percentiles take longer than means: a turn is so many times as long.
const LONGER: u32 = 2;

/// Values of the keys that expire, and of those that are asked for beside them.
const SMALL_BYTES: usize = 100;
/// How long after keys have expired the sweep has surely begun.
const SWEEP_BEGIN: Duration = Duration::from_millis(1000);
/// Each needs a store of its own.
const SWEEPS_MAX: usize = 3;

fn at(work: Work, per_s: f64) -> Stream {
    Stream { pace: Pace::Rate(per_s), ..Stream::new(work, CONNECTIONS) }
}

/// Sets at a third of their peak.
pub fn set(bench: &mut Bench) -> Result<(), Failure> {
    let closed = Stream::new(Work::Set, CONNECTIONS);
    let named = |stream: &Stream, note| Measurement::new("open-set", "reused", stream, note);
    let mut sides = start(&[Side::Reused], &filling(&closed), &bench.plan.dir)?;
    let mut peak = named(&closed, "peak");
    let mut open = named(&closed, "a third of it");
    for _ in 0..bench.plan.rounds {
        let figure = one(&mut sides[0], &closed, bench.plan.time)?;
        let stream = at(Work::Set, figure.requests_per_s * SHARE);
        peak.rounds.push(figure);
        open.rounds.push(one(&mut sides[0], &stream, LONGER * bench.plan.time)?);
    }
    let spread = Spread::of(open.rounds.iter().map(|figure| figure.p99_us / figure.p50_us));
    bench.keep_all("set of 1 KiB, open loop", &Measured(vec![peak, open]));
    let goal = Some(Goal::AtMost(4.0));
    bench.find(Finding::ratio("set at a third of the peak, p99 : p50", spread, goal));
    Ok(())
}

/// Gets at a third of their peak, alone and while sets come, in two ways: as many gets as alone and sets
/// at a third of their own peak, two thirds in all; and both at a third of what they reach together, the
/// same share of what can be done as alone. Beside the former the control: the same of a server that
/// answers constants, beside a log that is synced for the sets.
pub fn get_beside_set(bench: &mut Bench) -> Result<(), Failure> {
    let (gets, sets) = (Stream::new(Work::Get, CONNECTIONS), Stream::new(Work::Set, CONNECTIONS));
    let named =
        |side: Side, stream: &Stream, note| Measurement::new("open-get", side.name(), stream, note);
    let mut sides = start(&[Side::Reused, Side::Floor], &filling(&gets), &bench.plan.dir)?;
    let mut log = Log::make(&bench.stores().join("open-get"))?;
    let mut kept = [
        named(Side::Reused, &gets, "get peak"),
        named(Side::Reused, &sets, "set peak"),
        named(Side::Reused, &gets, "gets alone"),
        named(Side::Reused, &gets, "gets beside sets"),
        named(Side::Reused, &sets, "sets beside gets"),
        named(Side::Floor, &gets, "get peak"),
        named(Side::Floor, &gets, "gets alone"),
        named(Side::Floor, &gets, "gets beside a log"),
        named(Side::Floor, &sets, "constants for sets"),
        named(Side::Reused, &gets, "get peak beside sets"),
        named(Side::Reused, &sets, "set peak beside gets"),
        named(Side::Reused, &gets, "gets at a third of both"),
        named(Side::Reused, &sets, "sets at a third of both"),
    ];
    let time = bench.plan.time;
    for round in 0..bench.plan.rounds {
        let set_peak = one(&mut sides[0], &sets, time)?;
        let slow_sets = at(Work::Set, set_peak.requests_per_s * SHARE);
        let reused = beside_sets(&mut sides[0], &gets, &slow_sets, round, time, None)?;
        let floor = beside_sets(&mut sides[1], &gets, &slow_sets, round, time, Some(&mut log))?;
        let both = a_third_of_both(&mut sides[0], &gets, &sets, time)?;
        let [get_peak, alone, gets_beside, sets_beside] = reused;
        let figures = [get_peak, set_peak, alone, gets_beside, sets_beside];
        let figures = figures.into_iter().chain(floor).chain(both);
        for (measurement, figure) in kept.iter_mut().zip(figures) {
            measurement.rounds.push(figure);
        }
    }
    let ratio = |beside: usize, alone: usize| kept[beside].ratio_to(&kept[alone], |it| it.p99_us);
    let name = "get, p99 beside sets at a third of both's peak : p99 alone at a third of its own";
    let of_both = Finding::ratio(name, ratio(11, 2), Some(Goal::AtMost(2.0)));
    let name = "get at a third of the peak, p99 beside sets : p99 alone";
    let of_all = Finding::ratio(name, ratio(3, 2), Some(Goal::AtMost(2.0)));
    let name = "the same of `floor`, beside a log for the sets";
    let of_floor = Finding::ratio(name, ratio(7, 6), None);
    bench.keep_all("get of 1 KiB, open loop, at a third of the peak", &Measured(kept.to_vec()));
    bench.find(of_both);
    bench.find(of_all);
    bench.find(of_floor);
    Ok(())
}

/// The peak of gets, and at a third of it gets alone, gets beside sets and those sets. Which comes
/// first changes with the round. For a side that does not write, a log takes the sets.
fn beside_sets(
    side: &mut Running,
    gets: &Stream,
    slow_sets: &Stream,
    round: usize,
    time: Duration,
    log: Option<&mut Log>,
) -> Result<[Figure; 4], Failure> {
    let longer = LONGER * time;
    let peak = one(side, gets, time)?;
    let slow_gets = at(Work::Get, peak.requests_per_s * SHARE);
    let before = if round.is_multiple_of(2) { Some(one(side, &slow_gets, longer)?) } else { None };
    let both = [slow_gets.clone(), slow_sets.clone()];
    let [gets_beside, sets_beside] = match (log, slow_sets.pace) {
        (Some(log), Pace::Rate(per_s)) => log.beside(per_s, || together(side, &both, longer))?,
        _ => together(side, &both, longer)?,
    };
    let alone = before.map_or_else(|| one(side, &slow_gets, longer), Ok)?;
    Ok([peak, alone, gets_beside, sets_beside])
}

/// What gets and sets reach at once, and both at a third of that.
fn a_third_of_both(
    side: &mut Running,
    gets: &Stream,
    sets: &Stream,
    time: Duration,
) -> Result<[Figure; 4], Failure> {
    let [get_peak, set_peak] = together(side, &[gets.clone(), sets.clone()], time)?;
    let slow_gets = at(Work::Get, get_peak.requests_per_s * SHARE);
    let slow_sets = at(Work::Set, set_peak.requests_per_s * SHARE);
    let [gets, sets] = together(side, &[slow_gets, slow_sets], LONGER * time)?;
    Ok([get_peak, set_peak, gets, sets])
}

/// Gets at a third of their peak, alone and while a great many keys that expired at once are swept.
pub fn get_beside_sweep(bench: &mut Bench) -> Result<(), Failure> {
    let (expiring, expire_after_s) = if bench.plan.full { (1_000_000, 60) } else { (200_000, 20) };
    let gets = Stream { value_bytes: SMALL_BYTES, ..Stream::new(Work::Get, CONNECTIONS) };
    let named = |note| Measurement::new("open-sweep", "reused", &gets, note);
    let mut kept = [named("get peak"), named("gets alone"), named("gets beside the sweep")];
    let filling = Filling { expiring, expire_after_ms: 1000 * expire_after_s, ..filling(&gets) };
    for _ in 0..bench.plan.rounds.min(SWEEPS_MAX) {
        let begun_ns = clock::now_ns();
        let mut sides = start(&[Side::Reused], &filling, &bench.plan.dir)?;
        let side = &mut sides[0];
        let peak = one(side, &gets, bench.plan.time)?;
        let slow = at(Work::Get, peak.requests_per_s * SHARE);
        let slow = Stream { value_bytes: SMALL_BYTES, ..slow };
        let alone = one(side, &slow, LONGER * bench.plan.time)?;
        let due_ns = begun_ns + expire_after_s * 1_000_000_000;
        let left = due_ns.checked_sub(clock::now_ns()).ok_or("the keys have expired already")?;
        // The sweep begins with its next look, within a second.
        std::thread::sleep(Duration::from_nanos(left) + SWEEP_BEGIN);
        let beside = one(side, &slow, LONGER * bench.plan.time)?;
        for (measurement, figure) in kept.iter_mut().zip([peak, alone, beside]) {
            measurement.rounds.push(figure);
        }
    }
    let ratio = kept[2].ratio_to(&kept[1], |figure| figure.p99_us);
    let title = format!("get of 100 B, open loop, at a third of the peak; {expiring} keys expire");
    bench.keep_all(&title, &Measured(kept.to_vec()));
    let name = "get at a third of the peak, p99 beside a sweep : p99 alone";
    bench.find(Finding::ratio(name, ratio, Some(Goal::AtMost(2.0))));
    Ok(())
}
