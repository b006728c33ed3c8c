//! Whether a history of one namespace is linearizable, from before it was made. Knows how histories are
//! recorded; what operations mean is `model`'s.

use std::fmt::Write as _;

use super::model;
use super::op::{Changed, Op, Outcome};
use super::state::State;
use crate::linear::search::{Span, is_explained};
use crate::linear::versions::{self, Drawn};

/// One operation on the namespace, and what came of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was asked.
    pub op: Op,
    /// What was answered.
    pub outcome: Outcome,
    /// When it began, on a clock that counts events.
    pub begun: u64,
    /// When it can have had its effect at the latest; None when it may still have it.
    pub ended: Option<u64>,
    /// The server's clock while it ran, in milliseconds.
    pub now: u64,
}

/// Checks the history of a namespace.
///
/// # Errors
/// That there is no order that explains it, with the history.
pub fn check(events: &[Event]) -> Result<(), String> {
    let span = |event: &Event| {
        let must = !matches!(event.outcome, Outcome::Unknown(_));
        Span { begun: event.begun, ended: event.ended, must }
    };
    let spans: Vec<Span> = events.iter().map(span).collect();
    let step = |state: &State, at: usize| {
        let Event { op, outcome, now, .. } = &events[at];
        model::step(state, op, outcome, *now)
    };
    if is_explained(&spans, &State::default(), &step) {
        return Ok(());
    }
    let mut told: Vec<&Event> = events.iter().collect();
    told.sort_by_key(|event| event.begun);
    let mut lines = String::new();
    for event in told {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{event:?}");
    }
    Err(format!("no order explains this history:\n{lines}"))
}

/// Checks the versions of all namespaces together: they are unique, and rise.
///
/// # Errors
/// The version that is wrong.
pub fn check_versions<'a>(events: impl Iterator<Item = &'a Event>) -> Result<(), String> {
    let (mut drawn, mut told) = (Vec::new(), Vec::new());
    for event in events {
        let Event { begun, ended, .. } = *event;
        match &event.outcome {
            Outcome::Done { results, newest } => {
                let versions = results.iter().filter_map(|result| match result {
                    Changed::Written(version) | Changed::Added(_, version) => Some(*version),
                    Changed::Deleted(_) => None,
                });
                drawn.extend(versions.map(|version| Drawn { begun, ended, version }));
                told.push((begun, *newest));
            }
            Outcome::Configured(version) | Outcome::NamespaceDeleted(true, version) => {
                drawn.push(Drawn { begun, ended, version: *version });
            }
            Outcome::NamespaceDeleted(false, newest)
            | Outcome::Page { newest, .. }
            | Outcome::Many { newest, .. }
            | Outcome::Conflict { newest, .. } => told.push((begun, *newest)),
            _ => {}
        }
    }
    versions::check(&drawn, &told)
}
