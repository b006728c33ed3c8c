//! What changes of keys do, one alone or several together: conditions in their order, sums, quotas, versions.
//! Knows the API's rules; knows nothing of servers.

use super::op::{Behavior, Change, Changed, Fault, Op, Outcome, Part, Quota};
use super::state::{Held, Space, State, Version};

/// What changes that ran at `now` leave of a state; None when their answer does not fit.
#[must_use]
pub fn step(before: &State, op: &Op, outcome: &Outcome, now: u64) -> Option<State> {
    let (checks, changes) = op.parts()?;
    let mut state = before.clone();
    for (at, (key, version)) in checks.iter().enumerate() {
        if let Some((fault, newest)) = refusal(outcome, Part::Check(at)) {
            let differs = may_differ(&state, key, Some(*version), now);
            return before.clone().tells(newest).filter(|_| fault == Fault::Version && differs);
        }
        state = demand(state, key, Some(*version), now)?;
    }
    let results = match outcome {
        Outcome::Done { results, .. } if results.len() != changes.len() => return None,
        Outcome::Done { results, .. } => Some(results),
        _ => None,
    };
    for (at, change) in changes.iter().enumerate() {
        let (key, expected) = change.condition();
        let found = fault_of(change, state.space.as_ref()?.visible(key, now));
        if let Some((fault, newest)) = refusal(outcome, Part::Change(at)) {
            let is_right = match fault {
                Fault::Version => may_differ(&state, key, expected, now),
                other => found == Some(other) && demand(state, key, expected, now).is_some(),
            };
            return before.clone().tells(newest).filter(|_| is_right);
        }
        if found.is_some() {
            return None;
        }
        state = demand(state, key, expected, now)?;
        state = changed(state, change, results.map(|results| results[at]), now)?;
    }
    let quota = if let Outcome::Full(quota) = outcome { Some(*quota) } else { None };
    if !quotas_fit(before.space.as_ref()?, state.space.as_ref()?, now, quota) {
        return None;
    }
    match outcome {
        Outcome::Done { newest, .. } => state.tells(*newest),
        Outcome::Full(_) => Some(before.clone()),
        Outcome::Unknown(_) => Some(state),
        _ => None,
    }
}

/// Why this part was refused, and the newest version then, if it was.
fn refusal(outcome: &Outcome, at: Part) -> Option<(Fault, u64)> {
    match outcome {
        Outcome::Conflict { part, fault, newest } if *part == at => Some((*fault, *newest)),
        _ => None,
    }
}

/// The key has this version; None when it cannot.
fn demand(state: State, key: &str, expected: Option<u64>, now: u64) -> Option<State> {
    let is_there = state.space.as_ref()?.visible(key, now).is_some();
    match expected {
        None => Some(state),
        Some(0) => (!is_there).then_some(state),
        Some(expected) => {
            if is_there {
                state.learns(key, expected)
            } else {
                None
            }
        }
    }
}

/// Whether the key may have another version.
fn may_differ(state: &State, key: &str, expected: Option<u64>, now: u64) -> bool {
    let held = state.space.as_ref().and_then(|space| space.visible(key, now));
    match (expected, held) {
        (None, _) => false,
        (Some(expected), None) => expected != 0,
        (Some(expected), Some(held)) => held.version != Version::Told(expected),
    }
}

/// What a change runs against, its version aside.
fn fault_of(change: &Change, held: Option<&Held>) -> Option<Fault> {
    match (change, held) {
        (Change::Set { behavior: Behavior::Insert, .. }, Some(_)) => Some(Fault::Exists),
        (Change::Set { behavior: Behavior::Update, .. } | Change::Touch { .. }, None) => {
            Some(Fault::NotFound)
        }
        (Change::Add { delta, initial, max, .. }, _) => sum(held, *delta, *initial, *max).err(),
        _ => None,
    }
}

fn sum(held: Option<&Held>, delta: i64, initial: i64, max: Option<i64>) -> Result<i64, Fault> {
    let number = held.map_or(Ok(initial), |held| held.value.parse());
    let number: i64 = number.map_err(|_| Fault::NotANumber)?;
    let sum = number.checked_add(delta).ok_or(Fault::Overflow)?;
    if max.is_some_and(|max| sum > max) { Err(Fault::OutOfBounds) } else { Ok(sum) }
}

/// Does a change whose conditions hold. None when what was told of it does not fit.
fn changed(state: State, change: &Change, told: Option<Changed>, now: u64) -> Option<State> {
    let held = state.space.as_ref()?.visible(change.condition().0, now).cloned();
    let expires = |ttl_ms: &Option<u64>| ttl_ms.map(|ttl_ms| now + ttl_ms);
    let (key, value, expiry) = match change {
        Change::Delete { key, .. } => return deleted(state, key, held.is_some(), told),
        Change::Set { key, value, ttl_ms, .. } => (key, value.clone(), expires(ttl_ms)),
        Change::Touch { key, ttl_ms, .. } => (key, held?.value, expires(ttl_ms)),
        Change::Add { key, delta, initial, max, ttl_ms, .. } => {
            let sum = sum(held.as_ref(), *delta, *initial, *max).ok()?;
            if matches!(told, Some(Changed::Added(told, _)) if told != sum) {
                return None;
            }
            (key, sum.to_string(), held.map_or_else(|| expires(ttl_ms), |held| held.expiry))
        }
    };
    let is_add = matches!(change, Change::Add { .. });
    let (mut state, version) = match told {
        Some(Changed::Written(version)) if !is_add => (state.draws(version)?, Some(version)),
        Some(Changed::Added(_, version)) if is_add => (state.draws(version)?, Some(version)),
        Some(_) => return None,
        None => (state, None),
    };
    let untold = Version::Untold { above: state.newest, below: u64::MAX };
    let held = Held { value, version: version.map_or(untold, Version::Told), expiry };
    state.space.as_mut()?.keys.insert(key.clone(), held);
    Some(state)
}

fn deleted(mut state: State, key: &str, was_there: bool, told: Option<Changed>) -> Option<State> {
    if told.is_some_and(|told| told != Changed::Deleted(was_there)) {
        return None;
    }
    if was_there {
        state.space.as_mut()?.keys.remove(key);
    }
    Some(state)
}

/// Whether quotas may refuse a change for this one, or let it pass: what of the expired is removed already is
/// not known. They are judged by what all changes leave, and only where that is more than before.
fn quotas_fit(before: &Space, after: &Space, now: u64, refused: Option<Quota>) -> bool {
    let expired = before.expired(now);
    let over =
        |had: u64, has: u64, most: Option<u64>| has > had && most.is_some_and(|most| has > most);
    let counts = before.counts(before, &expired).into_iter().zip(after.counts(before, &expired));
    counts
        .map(|((keys_before, bytes_before), (keys, bytes))| {
            if over(keys_before, keys, after.keys_max) {
                Some(Quota::Keys)
            } else if over(bytes_before, bytes, after.bytes_max) {
                Some(Quota::Bytes)
            } else {
                None
            }
        })
        .any(|over| over == refused)
}
