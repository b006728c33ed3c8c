//! What the imports read of several entries or namespaces at once: the caller's and the mount's rights first, then
//! as much as the call's budgets have room for. Knows no `wit/`.

use std::collections::BTreeSet;

use super::operations::{Found, Value};
use crate::auth::access::{Access, Caller};
use crate::runtime::blob::INLINE_BYTES_MAX;
use crate::runtime::error::Error;
use crate::runtime::guest_memory::NoRoom;
use crate::runtime::state::State;
use crate::storage::{self, Entry, Listed, Listing, NAME_BYTES_MAX, Namespace, Usage};

/// Entries of a page, keys of a read and namespaces of a page, at most.
pub const ENTRIES_MAX: usize = 1000;
/// Rows that a page looks at, at most: so long it may hold up a thread.
const ROWS_MAX: usize = 10_000;
/// Bytes of keys and values that a page, or a read of many keys, has at most; the first entry always fits.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Which entries are asked for.
pub struct Request {
    /// What their keys begin with.
    pub prefix: String,
    /// The key that they come after.
    pub after: Option<String>,
    /// How many there may be.
    pub limit: usize,
    /// From the last to the first.
    pub reverse: bool,
    /// With their values.
    pub values: bool,
}

/// An entry of a page.
pub struct Row {
    /// The key.
    pub key: String,
    /// What it holds; None where it is damaged.
    pub found: Option<Found>,
}

/// A part of a list.
pub struct Page {
    /// Its entries.
    pub rows: Vec<Row>,
    /// Where the next one begins; None at the end.
    pub after: Option<String>,
    /// The newest version then.
    pub newest: u64,
}

/// What one of several keys holds.
pub enum OneOfMany {
    /// Nothing.
    Absent,
    /// An entry.
    Present(Found),
    /// A damaged one.
    Corrupt,
}

/// A namespace, and its name.
pub type NamedNamespace = (String, Namespace);

/// What is left for a page.
struct Room {
    /// Of the page's own.
    page: usize,
    /// Of what the call may move into the guest.
    budget: usize,
    /// Whether anything is in the page.
    has_any: bool,
    /// What the call is charged for so far.
    spent: usize,
    /// Why the first entry could not be had, which ends the call.
    failed: Option<NoRoom>,
}

impl Room {
    fn new(budget: usize) -> Self {
        Self { page: PAGE_BYTES_MAX, budget, has_any: false, spent: 0, failed: None }
    }

    /// Takes room for a key and a value of which `moved` bytes go into the guest. The first always has it;
    /// should that be beyond the budget, the call ends.
    fn take(&mut self, bytes: usize, moved: usize) -> bool {
        let fits = bytes <= self.page && moved <= self.budget.saturating_sub(self.spent);
        if fits || !self.has_any {
            self.has_any = true;
            self.page = self.page.saturating_sub(bytes);
            self.spent += moved;
            return true;
        }
        false
    }
}

impl State {
    /// A copy of a value for the guest, if there is room for it.
    fn copied(&self, entry: &Entry<'_>, key_bytes: usize, room: &mut Room) -> Option<Value> {
        let length = entry.value.len();
        let is_inline = length <= INLINE_BYTES_MAX;
        let first = !room.has_any;
        if !room.take(key_bytes + length, key_bytes + if is_inline { length } else { 0 }) {
            return None;
        }
        match self.copy(entry.value) {
            Ok(value) => Some(value),
            Err(error) => {
                room.failed = first.then_some(error);
                None
            }
        }
    }

    /// Reads a part of a list.
    pub(super) fn list(
        &mut self,
        namespace: &str,
        request: &Request,
    ) -> wasmtime::Result<Result<Page, Error>> {
        let prefixes = match self.readable_prefixes(namespace, &request.prefix) {
            Ok(prefixes) => prefixes,
            Err(error) => return Ok(Err(error)),
        };
        let after = request.after.as_ref();
        if request.prefix.len().max(after.map_or(0, String::len)) > NAME_BYTES_MAX {
            return Ok(Err(storage::Error::InvalidName.into()));
        }
        let listing = Listing {
            prefixes: &prefixes,
            after: after.map(String::as_bytes),
            reverse: request.reverse,
            values: request.values,
            rows_max: ROWS_MAX,
        };
        let (mut rows, mut room) = (Vec::new(), Room::new(self.budget.bytes_left()));
        let limit = request.limit.clamp(1, ENTRIES_MAX);
        let ended = self.storage.list(namespace, &listing, &mut |listed| {
            let row = (rows.len() < limit).then(|| self.row(&listed, request.values, &mut room));
            row.flatten().map(|row| rows.push(row)).is_some()
        });
        drop(prefixes);
        if let Some(error) = room.failed {
            return Err(error.into());
        }
        self.budget.spend_bytes(room.spent)?;
        Ok(ended.map_err(Error::from).map(|end| Page {
            rows,
            after: end.after.map(beyond),
            newest: end.newest.0,
        }))
    }

    /// An entry as a page has it; None when there is no room for it.
    fn row(&self, listed: &Listed<'_>, values: bool, room: &mut Room) -> Option<Row> {
        let key = String::from_utf8_lossy(listed.key);
        // Keys are text: any other is damaged.
        let entry = listed.entry.filter(|_| key.len() == listed.key.len());
        let found = match entry {
            None => {
                room.take(key.len(), key.len()).then_some(())?;
                None
            }
            Some(entry) => {
                let value = if values {
                    self.copied(&entry, key.len(), room)?
                } else {
                    room.take(key.len(), key.len()).then_some(Value::Inline(Vec::new()))?
                };
                Some(Found::new(value, &entry))
            }
        };
        Some(Row { key: key.into_owned(), found })
    }

    /// Reads many keys.
    pub(super) fn read_many(
        &mut self,
        namespace: &str,
        keys: &[String],
    ) -> wasmtime::Result<Result<(Vec<OneOfMany>, u64), Error>> {
        if keys.len() > ENTRIES_MAX {
            wasmtime::bail!("more than {ENTRIES_MAX} keys are asked for");
        }
        for key in keys {
            if let Err(error) = self.check_key(namespace, key, Access::Read) {
                return Ok(Err(error));
            }
        }
        let (mut many, mut room) = (Vec::new(), Room::new(self.budget.bytes_left()));
        let keys = keys.iter().map(String::as_bytes);
        let read = self.storage.get_many(namespace, keys, &mut |found| {
            let one = match found {
                Ok(None) => room.take(0, 0).then_some(OneOfMany::Absent),
                Err(_) => room.take(0, 0).then_some(OneOfMany::Corrupt),
                Ok(Some(entry)) => {
                    let value = self.copied(&entry, 0, &mut room);
                    value.map(|value| OneOfMany::Present(Found::new(value, &entry)))
                }
            };
            one.map(|one| many.push(one)).is_some()
        });
        if let Some(error) = room.failed {
            return Err(error.into());
        }
        self.budget.spend_bytes(room.spent)?;
        Ok(read.map_err(Error::from).map(|newest| (many, newest.0)))
    }

    /// Namespaces that the mount and the caller may reach, and the name after which there are more.
    pub(super) fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<NamedNamespace>, Option<String>), Error> {
        if prefix.len().max(after.map_or(0, str::len)) > NAME_BYTES_MAX {
            return Err(storage::Error::InvalidName.into());
        }
        let named = self.reachable_names();
        let mut found: Vec<NamedNamespace> = Vec::new();
        let mut at = after.map(str::to_owned);
        loop {
            let next = match &named {
                None => self.storage.next_namespace(prefix, at.as_deref()),
                Some(names) => self.next_of(names, prefix, at.as_deref()),
            };
            let Some((name, namespace)) = next else { return Ok((found, None)) };
            if found.len() == limit.clamp(1, ENTRIES_MAX) {
                return Ok((found, at));
            }
            at = Some(name.to_string());
            found.push((name.to_string(), namespace));
        }
    }

    /// The first of these names that there is a namespace of.
    fn next_of(
        &self,
        names: &BTreeSet<&str>,
        prefix: &str,
        after: Option<&str>,
    ) -> Option<(std::sync::Arc<str>, Namespace)> {
        let mut names = names
            .iter()
            .filter(|name| name.starts_with(prefix) && after.is_none_or(|after| **name > after));
        names.find_map(|name| Some(((*name).into(), self.storage.namespace(name).ok()?)))
    }

    /// The names that the mount and the caller may reach; None when that is all of them.
    fn reachable_names(&self) -> Option<BTreeSet<&str>> {
        let scoped = match self.caller() {
            Caller::Anonymous => None,
            Caller::Rejected => return Some(BTreeSet::new()),
            Caller::Principal(principal) => Some(&principal.scope.namespaces),
        };
        let scoped = scoped.filter(|names| !names.is_empty());
        let grants = &self.profile.grants;
        match scoped {
            Some(names) => {
                let reached = names.iter().map(String::as_str);
                Some(reached.filter(|name| grants.allow(name, Access::Read)).collect())
            }
            None if grants.allow_everywhere(Access::Read) => None,
            None => Some(grants.names().collect()),
        }
    }

    /// What a namespace takes. A caller that may reach some of its keys alone learns nothing of the others.
    pub(super) fn usage_of(&self, namespace: &str) -> Result<Usage, Error> {
        self.check_all_keys(namespace)?;
        Ok(self.storage.usage(namespace)?)
    }
}

/// A key to go on after. Where one is damaged so that it is no text, the list goes on after all that begin
/// like it.
fn beyond(key: Vec<u8>) -> String {
    match String::from_utf8(key) {
        Ok(key) => key,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let mut key = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            key.push(char::MAX);
            key
        }
    }
}
