//! Latencies at a rate that leaves the server room: sets alone, and gets alone and beside sets.

use std::time::Duration;

use super::rounds::{filling, one, start};
use super::{Bench, Measured};
use crate::Failure;
use crate::clock;
use crate::load::{Pace, Stream, Work};
use crate::report::results::{Finding, Goal, Measurement, Spread};
use crate::sides::Side;
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

/// Gets at a third of their peak, alone and while sets come at a third of theirs.
pub fn get_beside_set(bench: &mut Bench) -> Result<(), Failure> {
    let (gets, sets) = (Stream::new(Work::Get, CONNECTIONS), Stream::new(Work::Set, CONNECTIONS));
    let named = |stream: &Stream, note| Measurement::new("open-get", "reused", stream, note);
    let mut sides = start(&[Side::Reused], &filling(&gets), &bench.plan.dir)?;
    let side = &mut sides[0];
    let mut kept = [
        named(&gets, "get peak"),
        named(&sets, "set peak"),
        named(&gets, "gets alone"),
        named(&gets, "gets beside sets"),
        named(&sets, "sets beside gets"),
    ];
    let (time, longer) = (bench.plan.time, LONGER * bench.plan.time);
    for round in 0..bench.plan.rounds {
        let get_peak = one(side, &gets, time)?;
        let set_peak = one(side, &sets, time)?;
        let slow_gets = at(Work::Get, get_peak.requests_per_s * SHARE);
        let slow_sets = at(Work::Set, set_peak.requests_per_s * SHARE);
        let both = [slow_gets.clone(), slow_sets];
        // Which comes first changes with the round.
        let (alone, beside) = if round % 2 == 0 {
            let alone = one(side, &slow_gets, longer)?;
            (alone, side.run(&both, longer)?)
        } else {
            let beside = side.run(&both, longer)?;
            (one(side, &slow_gets, longer)?, beside)
        };
        let figures = [get_peak, set_peak, alone].into_iter().chain(beside);
        for (measurement, figure) in kept.iter_mut().zip(figures) {
            measurement.rounds.push(figure);
        }
    }
    let ratio = kept[3].ratio_to(&kept[2], |figure| figure.p99_us);
    bench.keep_all("get of 1 KiB, open loop, at a third of the peak", &Measured(kept.to_vec()));
    let name = "get at a third of the peak, p99 beside sets : p99 alone";
    bench.find(Finding::ratio(name, ratio, Some(Goal::AtMost(2.0))));
    Ok(())
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
