//! What a run came to: measurements with a figure for each round, findings with their goals, and
//! the machine. Owns the form of the results' file; knows no side and no plot.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::load::latency::Figure;
use crate::load::{Protocol, Stream, Work};
use crate::system::Machine;

/// A whole run.
#[derive(Debug, Deserialize, Serialize)]
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// `short` or `full`.
    pub form: String,
    /// Everything that was measured.
    pub measurements: Vec<Measurement>,
    /// What it says.
    pub findings: Vec<Finding>,
}

/// One side at one work, round by round.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Measurement {
    /// The experiment's name.
    pub experiment: String,
    /// The side's name.
    pub side: String,
    /// What was asked.
    pub work: Work,
    /// `http1`, `http2`, `redis` or `etcd`.
    pub protocol: String,
    /// `json` or `msgpack`.
    pub encoding: String,
    /// Connections, or threads when there is no HTTP.
    pub connections: usize,
    /// Keys in the store.
    pub keys: u32,
    /// Size of each value.
    pub value_bytes: usize,
    /// What is particular, such as an open loop.
    pub note: String,
    /// A figure for each round.
    pub rounds: Vec<Figure>,
}

impl Measurement {
    /// Nothing measured yet.
    pub fn new(experiment: &str, side: &str, stream: &Stream, note: &str) -> Self {
        let protocol = match stream.protocol {
            Protocol::Http1 => "http1",
            Protocol::Http2 { .. } => "http2",
            Protocol::Redis => "redis",
            Protocol::Etcd => "etcd",
        };
        let encoding = match stream.encoding {
            larder_wire::Encoding::Json => "json",
            larder_wire::Encoding::MessagePack => "msgpack",
        };
        Self {
            experiment: experiment.to_owned(),
            side: side.to_owned(),
            work: stream.work,
            protocol: protocol.to_owned(),
            encoding: encoding.to_owned(),
            connections: stream.connections,
            keys: stream.keys,
            value_bytes: stream.value_bytes,
            note: note.to_owned(),
            rounds: Vec::new(),
        }
    }

    /// Least, median and most of one quantity over the rounds.
    pub fn spread(&self, of: impl Fn(&Figure) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(of))
    }

    /// The ratio of one quantity to another measurement's, round by round.
    pub fn ratio_to(&self, other: &Self, of: impl Fn(&Figure) -> f64) -> Spread {
        Spread::of(self.rounds.iter().zip(&other.rounds).map(|(over, under)| of(over) / of(under)))
    }
}

/// Least, median and most.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The one in the middle, or between the two in the middle.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these figures; not-a-number when there are none.
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(sorted.len() / 2));
        Self { least: at(0), median, most: at(last) }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let Self { least, median, most } = self;
        Self { least: factor * least, median: factor * median, most: factor * most }
    }
}

/// What is aimed at.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Goal {
    /// The median is as much or more.
    AtLeast(f64),
    /// The median is as much or less.
    AtMost(f64),
}

impl Goal {
    /// Whether a figure reaches it.
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }

    /// In words.
    pub fn words(self, unit: &str) -> String {
        match self {
            Self::AtLeast(least) => format!("at least {}{unit}", number(least)),
            Self::AtMost(most) => format!("at most {}{unit}", number(most)),
        }
    }

    /// The figure that is aimed at.
    pub fn value(self) -> f64 {
        let (Self::AtLeast(value) | Self::AtMost(value)) = self;
        value
    }
}

/// One thing that the measurements say.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Finding {
    /// What it is, in words.
    pub name: String,
    /// The unit, with a space before it; empty for a ratio.
    pub unit: String,
    /// The figure.
    pub spread: Spread,
    /// What is aimed at, if anything.
    pub goal: Option<Goal>,
}

impl Finding {
    /// A ratio.
    pub fn ratio(name: impl Into<String>, spread: Spread, goal: Option<Goal>) -> Self {
        Self { name: name.into(), unit: String::new(), spread, goal }
    }

    /// Whether it reaches its goal, if it has one.
    pub fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met(self.spread.median))
    }
}

/// A number with as many digits as mean something.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let Some((whole, fraction)) = text.split_once('.') else { return thousands(&text) };
    if fraction.bytes().all(|digit| digit == b'0') { whole.to_owned() } else { text }
}

/// The same with a comma after every three digits.
fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes results of any form, whole or not at all.
pub fn save<T: Serialize>(results: &T, path: &Path) -> Result<(), Box<dyn Error>> {
    let unfinished = path.with_extension("tmp");
    fs::write(&unfinished, serde_json::to_vec_pretty(results)?)?;
    Ok(fs::rename(&unfinished, path)?)
}

/// Reads them again.
pub fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, Box<dyn Error>> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_least_middle_and_most() {
        let of = |figures: &[f64]| Spread::of(figures.iter().copied());
        let spread = |least, median, most| Spread { least, median, most };
        assert_eq!(of(&[3.0, 1.0, 2.0]), spread(1.0, 2.0, 3.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), spread(1.0, 2.5, 4.0));
        assert_eq!(of(&[5.0]), spread(5.0, 5.0, 5.0));
        assert!(of(&[]).median.is_nan());
        assert_eq!(of(&[1.0, 2.0, 4.0]).times(100.0), spread(100.0, 200.0, 400.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let measured = |rates: &[f64]| {
            let mut measurement = Measurement::new("x", "y", &Stream::new(Work::Get, 1), "");
            measurement.rounds = rates
                .iter()
                .map(|rate| Figure { requests_per_s: *rate, ..Figure::default() })
                .collect();
            measurement
        };
        let (over, under) = (measured(&[1.0, 6.0, 5.0]), measured(&[2.0, 2.0, 5.0]));
        let ratio = over.ratio_to(&under, |figure| figure.requests_per_s);
        assert_eq!(ratio, Spread { least: 0.5, median: 1.0, most: 3.0 });
    }

    #[test]
    fn goals_are_met_at_their_very_figure() {
        assert!(Goal::AtLeast(0.9).is_met(0.9) && !Goal::AtLeast(0.9).is_met(0.89));
        assert!(Goal::AtMost(4.0).is_met(4.0) && !Goal::AtMost(4.0).is_met(4.01));
        assert!(!Goal::AtLeast(0.9).is_met(f64::NAN) && !Goal::AtMost(0.9).is_met(f64::NAN));
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.866), "0.87");
        assert_eq!(number(50.0), "50");
    }
}
