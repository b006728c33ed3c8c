//! What a namespace may do, one operation after the other: the specification by which histories are judged.
//! Knows the API's rules; `batch` has those of changes, and neither knows anything of servers.

use super::batch;
use super::op::{Listing, Op, Outcome, QuotaChange, Row, Usage};
use super::state::{Space, State};

/// What an operation that ran at `now` leaves of a state; None when its answer does not fit. One whose outcome
/// is not known is done.
#[must_use]
pub fn step(state: &State, op: &Op, outcome: &Outcome, now: u64) -> Option<State> {
    let state = state.clone();
    match (op, outcome) {
        (Op::DeleteNamespace, _) => deleted(state, outcome),
        (Op::Configure { keys_max, bytes_max }, _) => {
            configured(state, (*keys_max, *bytes_max), outcome)
        }
        (_, Outcome::NoNamespace) => state.space.is_none().then_some(state),
        (Op::Get(key), Outcome::Got(found)) => state.finds(key, found.as_ref(), now),
        (Op::GetMany(keys), Outcome::Many { entries, newest }) if keys.len() == entries.len() => {
            let mut found = keys.iter().zip(entries);
            let state = state.tells(*newest)?;
            found.try_fold(state, |state, (key, entry)| state.finds(key, entry.as_ref(), now))
        }
        (Op::List(listing), Outcome::Page { rows, after, newest }) => {
            listed(state.tells(*newest)?, listing, rows, after.as_deref(), now)
        }
        (Op::Usage, Outcome::Used(usage)) => {
            uses(state.space.as_ref()?, usage, now).then_some(state)
        }
        (Op::One(_) | Op::Batch { .. }, _) => batch::step(&state, op, outcome, now),
        _ => None,
    }
}

fn deleted(mut state: State, outcome: &Outcome) -> Option<State> {
    match outcome {
        Outcome::NamespaceDeleted(false, newest) if state.space.is_none() => state.tells(*newest),
        Outcome::NamespaceDeleted(true, version) if state.space.is_some() => {
            state.space = None;
            state.draws(*version)
        }
        Outcome::Unknown(_) => {
            state.space = None;
            Some(state)
        }
        _ => None,
    }
}

fn configured(
    mut state: State,
    (keys_max, bytes_max): (QuotaChange, QuotaChange),
    outcome: &Outcome,
) -> Option<State> {
    let space = state.space.get_or_insert_default();
    space.keys_max = keys_max.unwrap_or(space.keys_max);
    space.bytes_max = bytes_max.unwrap_or(space.bytes_max);
    match outcome {
        Outcome::Configured(version) => state.draws(*version),
        Outcome::Unknown(_) => Some(state),
        _ => None,
    }
}

/// Whether a namespace can take this much, whatever of the expired is removed by now.
fn uses(space: &Space, usage: &Usage, now: u64) -> bool {
    let counts = space.counts(space, &space.expired(now));
    counts.contains(&(usage.keys, usage.bytes))
        && (usage.keys_max, usage.bytes_max) == (space.keys_max, space.bytes_max)
}

/// A page must hold the first of all that there are: a few entries never end one early.
fn listed(
    state: State,
    listing: &Listing,
    rows: &[Row],
    after: Option<&str>,
    now: u64,
) -> Option<State> {
    let space = state.space.clone()?;
    let is_beyond = |key: &str, other: Option<&str>| match other {
        Some(other) if listing.reverse => key < other,
        Some(other) => key > other,
        None => true,
    };
    let mut wanted: Vec<&String> = space.keys.keys().collect();
    wanted.retain(|key| {
        key.starts_with(&listing.prefix)
            && is_beyond(key, listing.after.as_deref())
            && space.visible(key, now).is_some()
    });
    if listing.reverse {
        wanted.reverse();
    }
    let page = wanted.len().min(listing.limit);
    let (page, rest) = wanted.split_at(page);
    if page.len() != rows.len() || (after.is_none() && !rest.is_empty()) {
        return None;
    }
    // Where it goes on: not before its last entry, and before all that it has not.
    let last = page.last().map(|key| key.as_str());
    if let Some(after) = after
        && (last.is_some_and(|last| last != after && !is_beyond(after, Some(last)))
            || rest.first().is_some_and(|next| !is_beyond(next, Some(after))))
    {
        return None;
    }
    page.iter().zip(rows).try_fold(state, |state, (key, row)| {
        let held = space.keys.get(*key)?;
        let value = listing.values.then(|| held.value.clone());
        if (&row.key, &row.value, row.expiry) != (*key, &value, held.expiry) {
            return None;
        }
        state.learns(key, row.version)
    })
}
