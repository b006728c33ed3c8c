//! Rounds: every turn once in each, in an order that rotates, so that no side always runs first
//! or after the same other.

use std::path::Path;
use std::time::Duration;

use super::plan::Plan;
use crate::failure::Failure;
use crate::load::Stream;
use crate::load::latency::Figure;
use crate::report::results::{Measurement, Spread};
use crate::sides::Side;
use crate::sides::child::Running;
use crate::sides::fill::Filling;

/// What is measured once a round: a side, by its place among those that run, at some work.
pub struct Turn {
    /// Its place.
    pub side: usize,
    /// The work.
    pub stream: Stream,
    /// What is particular about it.
    pub note: &'static str,
}

impl Turn {
    /// A turn with nothing particular.
    pub fn new(side: usize, stream: Stream) -> Self {
        Self { side, stream, note: "" }
    }
}

/// Measurements, in the order of their turns.
pub struct Measured(pub Vec<Measurement>);

impl Measured {
    /// The ratio of two turns' rates, by their places.
    pub fn ratio(&self, over: usize, under: usize) -> Spread {
        self.0[over].ratio_to(&self.0[under], |figure| figure.requests_per_s)
    }
}

/// Starts sides, each filled alike.
pub fn start(sides: &[Side], filling: &Filling, dir: &Path) -> Result<Vec<Running>, Failure> {
    sides.iter().map(|side| Running::start(*side, filling, dir)).collect()
}

/// What fills a store that a stream then works on.
pub fn filling(stream: &Stream) -> Filling {
    Filling {
        keys: stream.keys,
        value_bytes: stream.value_bytes,
        order: crate::sides::fill::Order::Sorted,
        list: 0,
        threads: 2,
        ..Filling::none()
    }
}

/// Measures all turns in every round.
pub fn alternate(
    plan: &Plan,
    experiment: &str,
    sides: &mut [Running],
    turns: &[Turn],
) -> Result<Measured, Failure> {
    let kinds: Vec<Side> = sides.iter().map(|running| running.side).collect();
    in_rounds(plan, experiment, &kinds, turns, |side, stream| {
        one(&mut sides[side], stream, plan.time)
    })
}

/// The same of sides that write to the disk. They work on one store in turn, each started for its
/// turn: of two stores that were filled alike one can be quicker for as long as it is there, by where
/// its pages have come to lie.
pub fn alternate_on_one(
    plan: &Plan,
    experiment: &str,
    kinds: &[Side],
    data: &Path,
    turns: &[Turn],
) -> Result<Measured, Failure> {
    in_rounds(plan, experiment, kinds, turns, |side, stream| {
        let mut side = Running::start_on(kinds[side], &filling(stream), &plan.dir, data)?;
        // Not counted: a new process touches most pages of its map, and its own, for the first time.
        one(&mut side, stream, plan.time)?;
        one(&mut side, stream, plan.time)
    })
}

/// Measures all turns in every round in a way of its own; `kinds` are the sides that turns name.
pub fn in_rounds(
    plan: &Plan,
    experiment: &str,
    kinds: &[Side],
    turns: &[Turn],
    mut measure: impl FnMut(usize, &Stream) -> Result<Figure, Failure>,
) -> Result<Measured, Failure> {
    let named = |turn: &Turn| {
        Measurement::new(experiment, kinds[turn.side].name(), &turn.stream, turn.note)
    };
    let mut measured: Vec<Measurement> = turns.iter().map(named).collect();
    for round in 0..plan.rounds {
        for at in order(round, turns.len()) {
            let figure = measure(turns[at].side, &turns[at].stream)?;
            measured[at].rounds.push(figure);
        }
    }
    Ok(Measured(measured))
}

/// One turn of one stream.
pub fn one(side: &mut Running, stream: &Stream, time: Duration) -> Result<Figure, Failure> {
    let [figure] = together(side, std::array::from_ref(stream), time)?;
    Ok(figure)
}

/// One turn of streams that run at once.
pub fn together<const N: usize>(
    side: &mut Running,
    streams: &[Stream; N],
    time: Duration,
) -> Result<[Figure; N], Failure> {
    let figures = <[Figure; N]>::try_from(side.run(streams, time)?);
    Ok(figures.map_err(|figures| format!("{N} streams have {} figures", figures.len()))?)
}

/// The order of a round: it begins one further each time, and once all have been first it runs
/// backwards.
pub fn order(round: usize, turns: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..turns).map(|turn| (round + turn) % turns).collect();
    if round / turns % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_turn_once() {
        for round in 0..8 {
            let mut order = order(round, 4);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn each_of_two_sides_runs_first_as_often_as_the_other() {
        let first: Vec<usize> = (0..4).map(|round| order(round, 2)[0]).collect();
        assert_eq!(first.iter().filter(|side| **side == 0).count(), 2, "{first:?}");
    }
}
