//! What a namespace holds, as far as its history tells: keys, quotas, versions that were told or not. Knows no
//! operation.

use std::collections::BTreeMap;

use super::op::Entry;

/// A version that a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// It was told.
    Told(u64),
    /// Nobody was told; it lies between these two.
    Untold {
        /// The newest version of all before it.
        above: u64,
        /// The next one that was told after it.
        below: u64,
    },
}

impl Version {
    /// Whether it may be this one.
    #[must_use]
    pub fn may_be(self, version: u64) -> bool {
        match self {
            Self::Told(told) => told == version,
            Self::Untold { above, below } => above < version && version < below,
        }
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// The value.
    pub value: String,
    /// The version that wrote it.
    pub version: Version,
    /// When it expires.
    pub expiry: Option<u64>,
}

/// A namespace that is there. Entries that have expired may have been removed behind the scenes, or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Space {
    /// The most keys.
    pub keys_max: Option<u64>,
    /// The most bytes.
    pub bytes_max: Option<u64>,
    /// What its keys hold.
    pub keys: BTreeMap<String, Held>,
}

impl Space {
    /// What a key holds that has not expired.
    #[must_use]
    pub fn visible(&self, key: &str, now: u64) -> Option<&Held> {
        self.keys.get(key).filter(|held| !is_past(held, now))
    }

    /// All that it can take, with any of the `expired` keys removed already that were not written since
    /// `before`. Each set of those that are still there has a place of its own.
    #[must_use]
    pub fn counts(&self, before: &Space, expired: &[String]) -> Vec<(u64, u64)> {
        let sets = 0..1_usize << expired.len();
        sets.map(|set| {
            let is_there = |key: &String| {
                let is_written = self.keys.get(key) != before.keys.get(key);
                let at = expired.iter().position(|ghost| ghost == key);
                at.is_none_or(|at| is_written || set & (1 << at) != 0)
            };
            let there = self.keys.iter().filter(|(key, _)| is_there(key));
            there.fold((0, 0), |(keys, bytes), (key, held)| {
                (keys + 1, bytes + (key.len() + held.value.len()) as u64)
            })
        })
        .collect()
    }

    /// The keys of what has expired.
    #[must_use]
    pub fn expired(&self, now: u64) -> Vec<String> {
        let past = self.keys.iter().filter(|(_, held)| is_past(held, now));
        past.map(|(key, _)| key.clone()).collect()
    }
}

fn is_past(held: &Held, now: u64) -> bool {
    held.expiry.is_some_and(|expiry| now >= expiry)
}

/// A namespace, there or not, and the newest version of all that anybody was told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The newest version.
    pub newest: u64,
    /// The namespace.
    pub space: Option<Space>,
}

impl State {
    /// A version above all before it was drawn.
    #[must_use]
    pub fn draws(mut self, version: u64) -> Option<Self> {
        if version <= self.newest {
            return None;
        }
        self.rise(version, version);
        Some(self)
    }

    /// The newest version was told.
    #[must_use]
    pub fn tells(mut self, newest: u64) -> Option<Self> {
        if newest < self.newest {
            return None;
        }
        self.rise(newest, newest + 1);
        Some(self)
    }

    /// What was written so far, and not told, has a version below this.
    fn rise(&mut self, newest: u64, below: u64) {
        self.newest = newest;
        for held in self.space.iter_mut().flat_map(|space| space.keys.values_mut()) {
            if let Version::Untold { below: limit @ u64::MAX, .. } = &mut held.version {
                *limit = below;
            }
        }
    }

    /// A key turned out to have this version. None when it cannot.
    #[must_use]
    pub fn learns(mut self, key: &str, version: u64) -> Option<Self> {
        let held = self.space.as_mut()?.keys.get_mut(key)?;
        if !held.version.may_be(version) {
            return None;
        }
        held.version = Version::Told(version);
        self.newest = self.newest.max(version);
        Some(self)
    }

    /// A key was found to hold this. None when it does not.
    #[must_use]
    pub fn finds(self, key: &str, found: Option<&Entry>, now: u64) -> Option<Self> {
        let held = self.space.as_ref()?.visible(key, now);
        match (held, found) {
            (None, None) => Some(self),
            (Some(held), Some(entry)) => {
                let fits = held.value == entry.value && held.expiry == entry.expiry;
                if fits { self.learns(key, entry.version) } else { None }
            }
            _ => None,
        }
    }
}
