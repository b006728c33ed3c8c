//! What one key of larder may do, as its documentation says it: the specification by which histories are
//! judged. Written apart from the one in larder's own checker.

use todc_utils::specifications::Specification;

use crate::edn::Edn;

/// An operation with what came of it.
#[derive(Clone, Debug)]
pub struct Done {
    /// `get`, `set` or `delete`.
    pub function: String,
    /// What was asked.
    pub asked: Edn,
    /// What was answered; None when it is not known whether it was done.
    pub answered: Option<Edn>,
    /// The server's clock.
    pub now: i64,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    value: String,
    /// None while nobody was told.
    version: Option<i64>,
    expiry: Option<i64>,
}

/// One key.
pub struct Key;

impl Specification for Key {
    type State = Option<Entry>;
    type Operation = Done;

    fn init() -> Self::State {
        None
    }

    fn apply(done: &Done, state: &Self::State) -> (bool, Self::State) {
        match after(done, state) {
            Some(after) => (true, after),
            None => (false, state.clone()),
        }
    }
}

/// What the key holds afterwards; None when it cannot have been answered like this.
fn after(done: &Done, state: &Option<Entry>) -> Option<Option<Entry>> {
    let alive = state.as_ref().filter(|entry| entry.expiry.is_none_or(|expiry| done.now < expiry));
    if done.function == "get" {
        return read(alive, state, done.answered.as_ref()?);
    }
    let possible = possible(&done.asked, alive);
    let Some(answered) = &done.answered else {
        // Done now, if it can be; what comes of it later is what it did. One that has no effect is free to come
        // at the very end.
        return match possible {
            Possible::Never => Some(state.clone()),
            _ => Some(written(done, None)),
        };
    };
    if answered.get("conflict").number().is_some() {
        return (possible != Possible::Surely).then(|| state.clone());
    }
    if possible == Possible::Never {
        return None;
    }
    if done.function == "delete" {
        return (*answered.get("existed") == Edn::Bool(alive.is_some())).then_some(None);
    }
    let version = answered.get("version").number()?;
    let rises = alive.is_none_or(|entry| entry.version.is_none_or(|before| before < version));
    rises.then(|| written(done, Some(version)))
}

fn read(alive: Option<&Entry>, state: &Option<Entry>, answered: &Edn) -> Option<Option<Entry>> {
    let Some(entry) = alive else { return (*answered == Edn::Nil).then(|| state.clone()) };
    let version = answered.get("version").number()?;
    let fits = answered.get("value").text() == Some(&entry.value)
        && answered.get("expiry").number() == entry.expiry
        && entry.version.is_none_or(|known| known == version);
    fits.then(|| Some(Entry { version: Some(version), ..entry.clone() }))
}

fn written(done: &Done, version: Option<i64>) -> Option<Entry> {
    if done.function == "delete" {
        return None;
    }
    let value = done.asked.get("value").text().unwrap_or_default().to_owned();
    let expiry = done.asked.get("ttl").number().map(|ttl| done.now + ttl);
    Some(Entry { value, version, expiry })
}

/// Whether a write's conditions hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Possible {
    Surely,
    /// That depends on a version that nobody was told.
    Perhaps,
    Never,
}

fn possible(asked: &Edn, alive: Option<&Entry>) -> Possible {
    let behaves = match asked.get("behavior").text() {
        Some("insert") => alive.is_none(),
        Some("update") => alive.is_some(),
        _ => true,
    };
    let version = match (asked.get("expected").number(), alive) {
        (None, _) | (Some(0), None) => Possible::Surely,
        (Some(_), None) | (Some(0), Some(_)) => Possible::Never,
        (Some(expected), Some(entry)) => match entry.version {
            None => Possible::Perhaps,
            Some(version) if version == expected => Possible::Surely,
            Some(_) => Possible::Never,
        },
    };
    if behaves { version } else { Possible::Never }
}
