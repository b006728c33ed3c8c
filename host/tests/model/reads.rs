//! What is read of the model, and what a sweep leaves of it.

use std::collections::BTreeMap;

use larder::storage::{ListEnd, Listing, Version};

use super::{Held, Model, Space};

/// Keys and what they hold.
pub type Rows = Vec<(Vec<u8>, Held)>;

impl Model {
    /// What a key of a namespace holds.
    pub fn get(&self, name: &str, key: &[u8], now: u64) -> Option<&Held> {
        self.spaces.get(name).and_then(|space| space.get(key, now))
    }

    /// A part of a list, of so many entries at most.
    pub fn list(
        &self,
        name: &str,
        listing: &Listing<'_>,
        limit: usize,
        now: u64,
    ) -> Option<(Rows, ListEnd)> {
        let space = self.spaces.get(name)?;
        let begins = |key: &[u8]| listing.prefixes.iter().any(|p| key.starts_with(p.as_bytes()));
        let is_beyond = |key: &[u8]| match listing.after {
            None => true,
            Some(after) if listing.reverse => key < after,
            Some(after) => key > after,
        };
        let mut rows: Vec<_> =
            space.entries.iter().filter(|(key, _)| begins(key) && is_beyond(key)).collect();
        if listing.reverse {
            rows.reverse();
        }
        let (mut found, mut after) = (Vec::new(), None);
        let newest = Version(self.version);
        for (looked_at, (key, held)) in rows.into_iter().enumerate() {
            let is_live = held.is_live(now);
            if looked_at == listing.rows_max || (is_live && found.len() == limit) {
                return Some((found, ListEnd { after, newest }));
            }
            if is_live {
                let value = if listing.values { held.value.clone() } else { Vec::new() };
                found.push((key.clone(), Held { value, ..held.clone() }));
            }
            after = Some(key.clone());
        }
        Some((found, ListEnd { after: None, newest }))
    }

    /// Removes up to so many expired entries, the oldest first, then such as are left of deleted namespaces;
    /// returns how many rows that were.
    pub fn sweep(&mut self, rows_max: usize, now: u64) -> usize {
        let mut due: Vec<(u64, u32, Vec<u8>)> = Vec::new();
        for space in self.all_spaces() {
            for (key, held) in space.entries.iter().filter(|(_, held)| !held.is_live(now)) {
                due.push((held.expiry.unwrap_or(0), space.id, key.clone()));
            }
        }
        due.sort();
        due.truncate(rows_max);
        let mut rows = due.len();
        for (_, id, key) in due {
            let spaces = self.spaces.values_mut().chain(self.gone.values_mut());
            for space in spaces.filter(|space| space.id == id) {
                space.entries.remove(&key);
            }
        }
        while rows < rows_max {
            let Some(mut first) = self.gone.first_entry() else { break };
            let left = &mut first.get_mut().entries;
            let count = left.len().min(rows_max - rows);
            *left = std::mem::take(left).into_iter().skip(count).collect::<BTreeMap<_, _>>();
            if left.is_empty() {
                first.remove();
            }
            rows += count.max(1);
        }
        rows
    }

    /// Entries that are stored, and those of them that expire.
    pub fn stored(&self) -> (u64, u64) {
        let entries = self.all_spaces().flat_map(|space| space.entries.values());
        entries.fold((0, 0), |(all, expiring), held| {
            (all + 1, expiring + u64::from(held.expiry.is_some()))
        })
    }

    fn all_spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.values().chain(self.gone.values())
    }
}
