//! Reads of several entries at one instant: parts of a list in the order of keys, and many keys at once.
//! Opens one read transaction each. Knows records; knows nothing of who may read them.

use std::cell::OnceCell;
use std::ops::Bound;

use heed::RoTxn;

use super::database::Database;
use super::layout::{self, NamespaceId, NamespaceRow, Record, RecordKey, StateRow};
use crate::clock::{Clock, Millis};
use crate::storage::error::{Error, ReadResult};
use crate::storage::types::{Entry, ListEnd, Listed, Listing, Version, is_expired};

/// Records up to this size are read whole, also where only their heads are wanted.
const WHOLE_BYTES_MAX: usize = 16 << 10;

/// Bytes of records that are read whole before a part of a list, or a read of many keys, ends: those that are
/// expired or damaged take no room in what is answered, and the transaction is open meanwhile.
const READ_BYTES_MAX: usize = 64 << 20;

/// Now, looked up once and only where something expires.
struct Now<'a> {
    clock: &'a Clock,
    now: OnceCell<Millis>,
}

impl<'a> Now<'a> {
    fn of(clock: &'a Clock) -> Self {
        Self { clock, now: OnceCell::new() }
    }

    fn is_past(&self, expiry: Option<Millis>) -> bool {
        expiry.is_some() && is_expired(expiry, *self.now.get_or_init(|| self.clock.now()))
    }
}

/// Where a range of rows begins and ends.
type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Reads a part of a list: hands each entry to `take` until that refuses one, which is not part of it then.
pub fn list(
    database: &Database,
    clock: &Clock,
    named: (&str, NamespaceId),
    listing: &Listing<'_>,
    take: &mut dyn FnMut(Listed<'_>) -> bool,
) -> Result<ListEnd, Error> {
    let txn = database.read()?;
    let namespace = row(database, &txn, named)?.id;
    let newest = newest(database, &txn)?;
    let mut part = Part { now: Now::of(clock), listing, take, rows: 0, read_bytes: 0, last: None };
    let mut prefixes: Vec<&str> = listing.prefixes.to_vec();
    if listing.reverse {
        prefixes.reverse();
    }
    for prefix in prefixes {
        let Some((from, to)) = range(namespace, prefix.as_bytes(), listing) else { continue };
        let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let goes_on = if listing.reverse {
            part.rows(database.main.rev_range(&txn, &range)?)?
        } else {
            part.rows(database.main.range(&txn, &range)?)?
        };
        if !goes_on {
            return Ok(ListEnd { after: part.last, newest });
        }
    }
    Ok(ListEnd { after: None, newest })
}

/// The rows of a namespace that begin with a prefix, beyond the key that a list goes on after.
fn range(namespace: NamespaceId, prefix: &[u8], listing: &Listing<'_>) -> Option<Range> {
    let stored = |key: &[u8]| [&layout::namespace_prefix(namespace), key].concat();
    let from = stored(prefix);
    let end = successor(&from);
    let (mut low, mut high) = (Bound::Included(from.clone()), Bound::Unbounded);
    if let Some(end) = &end {
        high = Bound::Excluded(end.clone());
    }
    if let Some(after) = listing.after {
        let after = stored(after);
        let is_beyond = end.as_ref().is_some_and(|end| after >= *end);
        if listing.reverse {
            if after <= from {
                return None;
            }
            if !is_beyond {
                high = Bound::Excluded(after);
            }
        } else {
            if is_beyond {
                return None;
            }
            if after >= from {
                low = Bound::Excluded(after);
            }
        }
    }
    Some((low, high))
}

/// The first bytes that are greater than all that begin with these; None when nothing is.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let length = prefix.iter().rposition(|byte| *byte != u8::MAX)? + 1;
    let mut end = prefix[..length].to_vec();
    end[length - 1] += 1;
    Some(end)
}

/// A part of a list on its way.
struct Part<'p> {
    now: Now<'p>,
    listing: &'p Listing<'p>,
    take: &'p mut dyn FnMut(Listed<'_>) -> bool,
    rows: usize,
    read_bytes: usize,
    last: Option<Vec<u8>>,
}

impl Part<'_> {
    /// Looks at rows; returns whether the part goes on after them.
    fn rows<'t>(
        &mut self,
        rows: impl Iterator<Item = Result<(&'t [u8], &'t [u8]), heed::Error>>,
    ) -> Result<bool, Error> {
        let mut last: Option<&[u8]> = None;
        let mut goes_on = true;
        for row in rows {
            let (stored_key, stored) = row?;
            if self.rows == self.listing.rows_max || self.read_bytes > READ_BYTES_MAX {
                goes_on = false;
                break;
            }
            let key = layout::key_of(stored_key);
            let reads_all = self.listing.values || stored.len() <= WHOLE_BYTES_MAX;
            let record = match reads_all {
                true => {
                    self.read_bytes += stored.len();
                    Record::decode(stored_key, stored)
                }
                false => Record::decode_head(stored),
            };
            let entry = record.ok().map(|Record { version, expiry, value }| {
                let value = if self.listing.values { value } else { &[] };
                Entry { value, version, expiry }
            });
            let has_expired = entry.is_some_and(|entry| self.now.is_past(entry.expiry));
            if !has_expired && !(self.take)(Listed { key, entry }) {
                goes_on = false;
                break;
            }
            self.rows += 1;
            last = Some(key);
        }
        if let Some(last) = last {
            self.last = Some(last.to_vec());
        }
        Ok(goes_on)
    }
}

/// Reads keys at one instant, and hands what each holds to `take` until that refuses one, or many bytes were
/// read: None when absent or expired, an error when it is damaged. Returns the newest version at that instant.
pub fn get_many<'k>(
    database: &Database,
    clock: &Clock,
    named: (&str, NamespaceId),
    keys: impl Iterator<Item = &'k [u8]>,
    take: &mut dyn FnMut(ReadResult<'_>) -> bool,
) -> Result<Version, Error> {
    let txn = database.read()?;
    let namespace = row(database, &txn, named)?.id;
    let newest = newest(database, &txn)?;
    let now = Now::of(clock);
    let mut read_bytes = 0;
    for key in keys {
        if read_bytes > READ_BYTES_MAX {
            break;
        }
        let key = RecordKey::new(namespace, key).ok_or(Error::InvalidName)?;
        let found = match database.main.get(&txn, key.as_bytes())? {
            None => Ok(None),
            Some(stored) => {
                read_bytes += stored.len();
                match Record::decode(key.as_bytes(), stored) {
                    Err(_) => Err(Error::Corrupt),
                    Ok(record) if now.is_past(record.expiry) => Ok(None),
                    Ok(Record { value, version, expiry }) => {
                        Ok(Some(Entry { value, version, expiry }))
                    }
                }
            }
        };
        if !take(found) {
            break;
        }
    }
    Ok(newest)
}

/// The row of a namespace at the transaction's instant, if the name is still that namespace's: what it holds is
/// whole then.
pub fn row(
    database: &Database,
    txn: &RoTxn<'_>,
    (name, id): (&str, NamespaceId),
) -> Result<NamespaceRow, Error> {
    let stored = database.namespaces.get(txn, name.as_bytes())?;
    let row = NamespaceRow::decode(name.as_bytes(), stored.ok_or(Error::NoSuchNamespace)?);
    let row = row.map_err(|_| Error::Corrupt)?;
    if row.id == id { Ok(row) } else { Err(Error::NoSuchNamespace) }
}

fn newest(database: &Database, txn: &RoTxn<'_>) -> Result<Version, Error> {
    let state = database.meta.get(txn, layout::META_STATE)?.ok_or(Error::Corrupt)?;
    Ok(StateRow::decode(state).map_err(|_| Error::Corrupt)?.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_greater_than_all_that_begin_so_and_no_greater() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff\xff"), None);
        assert_eq!(successor(b""), None);
    }
}
