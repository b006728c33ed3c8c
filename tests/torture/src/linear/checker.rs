//! Whether a history of one key is linearizable: whether its operations could have taken effect one
//! after the other, each at some moment between its begin and its end, with the answers that were
//! given. Knows the API's rules for one key; the search over orders is `search`'s.

use super::search::{Span, is_explained};
use crate::op::{Behavior, Entry, Op, Outcome};

/// One operation on the key, and what came of it.
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

/// What the key holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    value: String,
    /// None while nobody was told.
    version: Option<u64>,
    expiry: Option<u64>,
}

type State = Option<Held>;

/// Checks a history.
///
/// # Errors
/// That there is no order that explains it, with the history.
pub fn check(events: &[Event]) -> Result<(), String> {
    let spans: Vec<Span> = events.iter().map(span).collect();
    if is_explained(&spans, &None, &|state: &State, at| step(state, &events[at])) {
        return Ok(());
    }
    let mut told: Vec<&Event> = events.iter().collect();
    told.sort_by_key(|event| event.begun);
    let lines: Vec<String> = told.into_iter().map(|event| format!("{event:?}")).collect();
    Err(format!("no order explains this history:\n{}", lines.join("\n")))
}

fn span(event: &Event) -> Span {
    let must = !matches!(event.outcome, Outcome::Unknown(_));
    Span { begun: event.begun, ended: event.ended, must }
}

/// What the key holds after an operation, if its answer fits.
fn step(state: &State, event: &Event) -> Option<State> {
    let now = event.now;
    let visible = state.as_ref().filter(|held| held.expiry.is_none_or(|expiry| now < expiry));
    match (&event.op, &event.outcome) {
        (Op::Get, Outcome::Got(None)) => visible.is_none().then(|| state.clone()),
        (Op::Get, Outcome::Got(Some(entry))) => got(visible?, entry).map(Some),
        (Op::Set { value, ttl_ms, .. }, outcome) => {
            let held = |version| {
                let expiry = ttl_ms.map(|ttl_ms| now + ttl_ms);
                Some(Held { value: value.clone(), version, expiry })
            };
            let holds = holds(&event.op, visible);
            match outcome {
                Outcome::Written(version) => {
                    let rises = visible.is_none_or(|held| held.version < Some(*version));
                    (holds != Some(false) && rises).then(|| held(Some(*version)))
                }
                Outcome::Conflict(_) => (holds != Some(true)).then(|| state.clone()),
                Outcome::Unknown(_) => (holds != Some(false)).then(|| held(None)),
                _ => None,
            }
        }
        (Op::Delete { .. }, outcome) => {
            let holds = holds(&event.op, visible);
            match outcome {
                Outcome::Deleted(existed) => {
                    (holds != Some(false) && *existed == visible.is_some()).then_some(None)
                }
                Outcome::Conflict(_) => (holds != Some(true)).then(|| state.clone()),
                Outcome::Unknown(_) => (holds != Some(false)).then_some(None),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A get that finds this entry; from then on its version is known.
fn got(held: &Held, entry: &Entry) -> Option<Held> {
    let same = held.value == entry.value && held.expiry == entry.expiry;
    let version = held.version.is_none_or(|version| version == entry.version);
    (same && version).then(|| Held { version: Some(entry.version), ..held.clone() })
}

/// Whether an operation's conditions hold; None when that depends on a version nobody was told.
fn holds(op: &Op, visible: Option<&Held>) -> Option<bool> {
    let (expected, behavior) = match op {
        Op::Set { expected, behavior, .. } => (*expected, *behavior),
        Op::Delete { expected } => (*expected, Behavior::Upsert),
        Op::Get => (None, Behavior::Upsert),
    };
    let behaves = match behavior {
        Behavior::Upsert => true,
        Behavior::Insert => visible.is_none(),
        Behavior::Update => visible.is_some(),
    };
    let version = match (expected, visible) {
        (None, _) => Some(true),
        (Some(expected), None) => Some(expected == 0),
        (Some(0), Some(_)) => Some(false),
        (Some(expected), Some(held)) => held.version.map(|version| version == expected),
    };
    if behaves { version } else { Some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(op: Op, outcome: Outcome, begun: u64, ended: u64) -> Event {
        Event { op, outcome, begun, ended: Some(ended), now: 0 }
    }

    fn set(value: &str, version: u64, begun: u64, ended: u64) -> Event {
        event(Op::set(value), Outcome::Written(version), begun, ended)
    }

    fn get(found: Option<(&str, u64)>, begun: u64, ended: u64) -> Event {
        let entry = |(value, version): (&str, u64)| Entry {
            value: value.to_owned(),
            version,
            expiry: None,
        };
        event(Op::Get, Outcome::Got(found.map(entry)), begun, ended)
    }

    #[test]
    fn what_overlaps_may_come_in_any_order_and_what_does_not_in_one() {
        check(&[set("a", 1, 0, 9), get(None, 1, 2), get(Some(("a", 1)), 3, 4)])
            .expect("in between");
        let late = [set("a", 1, 0, 1), get(None, 2, 3)];
        assert!(check(&late).is_err());
        let back = [set("a", 1, 0, 9), get(Some(("a", 1)), 1, 2), get(None, 3, 4)];
        assert!(check(&back).is_err());
    }

    #[test]
    fn versions_tell_the_order_of_writes() {
        let twice = [set("a", 2, 0, 9), set("b", 1, 0, 9), get(Some(("a", 2)), 10, 11)];
        check(&twice).expect("b, then a");
        let wrong = [set("a", 2, 0, 9), set("b", 1, 0, 9), get(Some(("b", 1)), 10, 11)];
        assert!(check(&wrong).is_err());
    }

    #[test]
    fn what_is_unknown_may_have_happened_but_not_half_and_not_after_its_end() {
        let unknown =
            |ended| Event { ended, ..event(Op::set("u"), Outcome::Unknown(String::new()), 0, 1) };
        check(&[unknown(None), get(None, 2, 3), get(Some(("u", 7)), 4, 5)]).expect("late");
        check(&[unknown(Some(1)), get(None, 2, 3)]).expect("never");
        assert!(check(&[unknown(Some(1)), get(None, 2, 3), get(Some(("u", 7)), 4, 5)]).is_err());
        let mixed = [unknown(None), get(Some(("u", 7)), 2, 3), get(Some(("u", 8)), 4, 5)];
        assert!(check(&mixed).is_err());
    }

    #[test]
    fn conflicts_must_be_justified() {
        let insert = |outcome| {
            let op = Op::Set {
                value: "i".to_owned(),
                ttl_ms: None,
                behavior: Behavior::Insert,
                expected: None,
            };
            event(op, outcome, 2, 3)
        };
        check(&[set("a", 1, 0, 1), insert(Outcome::Conflict(1))]).expect("it was there");
        assert!(check(&[insert(Outcome::Conflict(1))]).is_err());
        assert!(check(&[set("a", 1, 0, 1), insert(Outcome::Written(2))]).is_err());
    }

    #[test]
    fn expiry_is_exact() {
        let op = Op::Set {
            value: "t".into(),
            ttl_ms: Some(10),
            behavior: Behavior::Upsert,
            expected: None,
        };
        let written = Event { now: 100, ..event(op, Outcome::Written(1), 0, 1) };
        let entry = Entry { value: "t".to_owned(), version: 1, expiry: Some(110) };
        let found = event(Op::Get, Outcome::Got(Some(entry)), 2, 3);
        let at = |now| [written.clone(), Event { now, ..found.clone() }];
        check(&at(109)).expect("still there");
        assert!(check(&at(110)).is_err());
        let gone = |now| [written.clone(), Event { now, ..get(None, 2, 3) }];
        check(&gone(110)).expect("gone");
        assert!(check(&gone(109)).is_err());
    }
}
