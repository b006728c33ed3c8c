//! Every stored byte: keys, records and rows, encoded and decoded here and nowhere else. Knows the
//! formats and their checksums; knows nothing of transactions, conflicts or time.
//!
//! All integers are big-endian. docs/format.md shows the same tables byte by byte.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::clock::Millis;
use crate::storage::types::{EXPIRY_MAX, NAME_BYTES_MAX, Quotas, VERSION_LIMIT, Version};

/// The id of the namespace that exists from the start.
pub const DEFAULT_ID: NamespaceId = NamespaceId(1);
/// The storage format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 2;
/// The format before namespaces were counted.
pub const FORMAT_1: u32 = 1;

/// Key of the format row in the meta database.
pub const META_FORMAT: &[u8] = b"format";
/// Key of the state row in the meta database.
pub const META_STATE: &[u8] = b"state";

const NAMESPACE_ID_BYTES: usize = 4;
const EXPIRY_KEY_BYTES: usize = 8;
const VERSION_BYTES: usize = 7;
const EXPIRY_BYTES: usize = 6;
const CHECKSUM_BYTES: usize = 8;
const RECORD_PLAIN: u8 = 0x01;
const RECORD_EXPIRING: u8 = 0x11;
const ROW_FORMAT: u8 = 1;
/// The format of a namespace's row since it counts.
const NAMESPACE_ROW_FORMAT: u8 = 2;
/// The longest part between a key and its value: a namespace row.
const HEAD_BYTES_MAX: usize = 1 + 4 + 8 + 8 + 4 * 8;
/// What a namespace row of storage format 1 had after its two instants.
const NAMESPACE_RESERVED_BYTES: usize = 24;
/// A quota that is none.
const NO_QUOTA: u64 = u64::MAX;

/// Identifies a namespace in stored keys; never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId(pub u32);

/// Stored bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// A key of the main database: `namespace id (4) | key (1..=256)`.
#[derive(Clone, Copy)]
pub struct RecordKey {
    bytes: [u8; NAMESPACE_ID_BYTES + NAME_BYTES_MAX],
    length: u16,
}

impl RecordKey {
    /// Joins a namespace and a key; None unless the key is 1 to 256 bytes.
    #[must_use]
    pub fn new(namespace: NamespaceId, key: &[u8]) -> Option<Self> {
        if key.is_empty() || key.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut bytes = [0; NAMESPACE_ID_BYTES + NAME_BYTES_MAX];
        let length = NAMESPACE_ID_BYTES + key.len();
        bytes[..NAMESPACE_ID_BYTES].copy_from_slice(&namespace.0.to_be_bytes());
        bytes[NAMESPACE_ID_BYTES..length].copy_from_slice(key);
        Some(Self { bytes, length: u16::try_from(length).ok()? })
    }

    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The namespace that the record belongs to.
    #[must_use]
    pub fn namespace(&self) -> NamespaceId {
        let id = self.bytes.first_chunk().copied().unwrap_or_default();
        NamespaceId(u32::from_be_bytes(id))
    }

    /// The key without its namespace.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.as_bytes()[NAMESPACE_ID_BYTES..]
    }

    /// The key of the row in the expiry index that stands for this record.
    #[must_use]
    pub fn expiry_key(&self, expiry: Millis) -> Vec<u8> {
        let mut row = Vec::with_capacity(EXPIRY_KEY_BYTES + self.as_bytes().len());
        row.extend_from_slice(&expiry.0.to_be_bytes());
        row.extend_from_slice(self.as_bytes());
        row
    }
}

/// What the stored forms of all keys of a namespace begin with.
#[must_use]
pub fn namespace_prefix(id: NamespaceId) -> [u8; NAMESPACE_ID_BYTES] {
    id.0.to_be_bytes()
}

/// The key in its stored form, whatever it is.
#[must_use]
pub fn key_of(stored: &[u8]) -> &[u8] {
    stored.get(NAMESPACE_ID_BYTES..).unwrap_or_default()
}

/// Takes a key of the main database as it is stored.
pub fn decode_record_key(stored: &[u8]) -> Result<RecordKey, Damaged> {
    let (namespace, key) = stored.split_first_chunk::<NAMESPACE_ID_BYTES>().ok_or(Damaged)?;
    RecordKey::new(NamespaceId(u32::from_be_bytes(*namespace)), key).ok_or(Damaged)
}

impl PartialEq for RecordKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordKey({})", self.as_bytes().escape_ascii())
    }
}

/// Splits a key of the expiry index into its instant and the key of the record.
pub fn decode_expiry_key(row: &[u8]) -> Result<(Millis, &[u8]), Damaged> {
    let (expiry, key) = row.split_first_chunk::<EXPIRY_KEY_BYTES>().ok_or(Damaged)?;
    if key.len() <= NAMESPACE_ID_BYTES || key.len() > NAMESPACE_ID_BYTES + NAME_BYTES_MAX {
        return Err(Damaged);
    }
    Ok((Millis(u64::from_be_bytes(*expiry)), key))
}

/// A decoded record: `kind (1) | version (7) | [expiry (6)] | checksum (8) | value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The version that wrote it.
    pub version: Version,
    /// When it expires.
    pub expiry: Option<Millis>,
    /// The value's bytes.
    pub value: &'a [u8],
}

/// The bytes of a record before its value; at most 22.
pub struct RecordHeader {
    bytes: [u8; 1 + VERSION_BYTES + EXPIRY_BYTES + CHECKSUM_BYTES],
    length: usize,
}

impl RecordHeader {
    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl<'a> Record<'a> {
    /// The header that goes before the value under `key`.
    #[must_use]
    pub fn header(&self, key: &[u8]) -> RecordHeader {
        let mut header = RecordHeader { bytes: [0; 22], length: 0 };
        header.push(&[if self.expiry.is_some() { RECORD_EXPIRING } else { RECORD_PLAIN }]);
        header.push(&self.version.0.to_be_bytes()[8 - VERSION_BYTES..]);
        if let Some(expiry) = self.expiry {
            header.push(&expiry.0.to_be_bytes()[8 - EXPIRY_BYTES..]);
        }
        let sum = checksum(key, header.as_bytes(), self.value);
        header.push(&sum);
        header
    }

    /// Decodes what stands under `key` and checks every byte of it.
    pub fn decode(key: &[u8], stored: &'a [u8]) -> Result<Self, Damaged> {
        // A damaged file may hold keys that no record was ever written under.
        if key.len() > NAMESPACE_ID_BYTES + NAME_BYTES_MAX {
            return Err(Damaged);
        }
        let (record, summed, sum) = Self::split(stored)?;
        if *sum != checksum(key, summed, record.value) {
            return Err(Damaged);
        }
        Ok(record)
    }

    /// Decodes the head of a record. The value is not read, so that the checksum says nothing: a head that no
    /// record can have is told, and no other.
    pub fn decode_head(stored: &'a [u8]) -> Result<Self, Damaged> {
        let Self { version, expiry, .. } = Self::split(stored)?.0;
        let is_possible = (1..VERSION_LIMIT).contains(&version.0)
            && expiry.is_none_or(|expiry| expiry <= EXPIRY_MAX);
        if is_possible { Ok(Self { version, expiry, value: &[] }) } else { Err(Damaged) }
    }

    /// The record, the part of its head that is summed, and the sum.
    fn split(stored: &'a [u8]) -> Result<(Self, &'a [u8], &'a [u8; CHECKSUM_BYTES]), Damaged> {
        let (kind, rest) = stored.split_first().ok_or(Damaged)?;
        let (version, rest) = take_uint::<VERSION_BYTES>(rest)?;
        let (expiry, rest) = match *kind {
            RECORD_PLAIN => (None, rest),
            RECORD_EXPIRING => {
                let (expiry, rest) = take_uint::<EXPIRY_BYTES>(rest)?;
                (Some(Millis(expiry)), rest)
            }
            _ => return Err(Damaged),
        };
        let summed = &stored[..stored.len() - rest.len()];
        let (sum, value) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Damaged)?;
        Ok((Self { version: Version(version), expiry, value }, summed, sum))
    }
}

/// The expiry that a record claims which is damaged: nothing of it can be relied on.
pub fn claimed_expiry(damaged: &[u8]) -> Option<Millis> {
    let (expiry, _) = take_uint::<EXPIRY_BYTES>(damaged.get(1 + VERSION_BYTES..)?).ok()?;
    Some(Millis(expiry))
}

/// What a record adds to the count of its namespace: the bytes of its key and of its value. Told by the stored
/// bytes alone, so that a damaged record counts as much when it goes as when it was counted.
#[must_use]
pub fn counted_bytes(key: &[u8], stored: &[u8]) -> u64 {
    let expiry = if stored.first() == Some(&RECORD_EXPIRING) { EXPIRY_BYTES } else { 0 };
    let header = 1 + VERSION_BYTES + expiry + CHECKSUM_BYTES;
    (key.len().saturating_sub(NAMESPACE_ID_BYTES) + stored.len().saturating_sub(header)) as u64
}

/// How many keys a namespace has, and the bytes of them and of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys, expired ones included.
    pub keys: u64,
    /// Bytes, as of [`counted_bytes`].
    pub bytes: u64,
}

/// A row of the namespace table, under the namespace's name:
/// `format (1) | id (4) | created (8) | updated (8) | most keys (8) | most bytes (8) | keys (8) | bytes (8)
/// | checksum (8)`. A quota that is none is 2^64-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceRow {
    /// Identifies the namespace in keys; never used for another.
    pub id: NamespaceId,
    /// When it was first configured.
    pub created: Millis,
    /// When it was last configured.
    pub updated: Millis,
    /// What it may have.
    pub quotas: Quotas,
    /// What it has.
    pub counts: Counts,
}

impl NamespaceRow {
    /// The stored form of the row under `name`.
    #[must_use]
    pub fn encode(&self, name: &[u8]) -> Vec<u8> {
        let mut row = vec![NAMESPACE_ROW_FORMAT];
        row.extend_from_slice(&self.id.0.to_be_bytes());
        let Quotas { keys_max, bytes_max } = self.quotas;
        let (keys_max, bytes_max) = (keys_max.unwrap_or(NO_QUOTA), bytes_max.unwrap_or(NO_QUOTA));
        let Counts { keys, bytes } = self.counts;
        for number in [self.created.0, self.updated.0, keys_max, bytes_max, keys, bytes] {
            row.extend_from_slice(&number.to_be_bytes());
        }
        seal(name, row)
    }

    /// Decodes the row under `name`.
    pub fn decode(name: &[u8], stored: &[u8]) -> Result<Self, Damaged> {
        let row = unseal(name, stored, NAMESPACE_ROW_FORMAT)?;
        let (id, mut row) = take_uint::<4>(row)?;
        let mut numbers = [0; 6];
        for number in &mut numbers {
            (*number, row) = take_uint::<8>(row)?;
        }
        if !row.is_empty() {
            return Err(Damaged);
        }
        let [created, updated, keys_max, bytes_max, keys, bytes] = numbers;
        let quota = |most| (most != NO_QUOTA).then_some(most);
        Ok(Self {
            id: NamespaceId(u32::try_from(id).map_err(|_| Damaged)?),
            created: Millis(created),
            updated: Millis(updated),
            quotas: Quotas { keys_max: quota(keys_max), bytes_max: quota(bytes_max) },
            counts: Counts { keys, bytes },
        })
    }

    /// Decodes the row under `name` of a store of this format.
    pub fn decode_of(format: u32, name: &[u8], stored: &[u8]) -> Result<Self, Damaged> {
        match format {
            FORMAT_1 => Self::decode_format_1(name, stored),
            _ => Self::decode(name, stored),
        }
    }

    /// Decodes a row of storage format 1, which counts nothing:
    /// `format (1) | id (4) | state (1) | created (8) | updated (8) | 24 bytes of 0 | checksum (8)`.
    pub fn decode_format_1(name: &[u8], stored: &[u8]) -> Result<Self, Damaged> {
        let row = unseal(name, stored, ROW_FORMAT)?;
        let (id, row) = take_uint::<4>(row)?;
        let (_state, row) = take_uint::<1>(row)?;
        let (created, row) = take_uint::<8>(row)?;
        let (updated, row) = take_uint::<8>(row)?;
        if row.len() != NAMESPACE_RESERVED_BYTES {
            return Err(Damaged);
        }
        let id = NamespaceId(u32::try_from(id).map_err(|_| Damaged)?);
        let (quotas, counts) = Default::default();
        Ok(Self { id, created: Millis(created), updated: Millis(updated), quotas, counts })
    }
}

/// The key of a row of the table of namespaces that were deleted and are not empty yet: the id.
#[must_use]
pub fn emptying_key(id: NamespaceId) -> [u8; NAMESPACE_ID_BYTES] {
    namespace_prefix(id)
}

/// The same, decoded.
pub fn decode_emptying_key(key: &[u8]) -> Result<NamespaceId, Damaged> {
    key.try_into().map(|id| NamespaceId(u32::from_be_bytes(id))).map_err(|_| Damaged)
}

/// Encodes such a row: what is left to be removed, `format (1) | keys (8) | bytes (8) | checksum (8)`.
#[must_use]
pub fn encode_emptying(key: &[u8], left: Counts) -> Vec<u8> {
    let mut row = vec![ROW_FORMAT];
    row.extend_from_slice(&left.keys.to_be_bytes());
    row.extend_from_slice(&left.bytes.to_be_bytes());
    seal(key, row)
}

/// Decodes such a row.
pub fn decode_emptying(key: &[u8], stored: &[u8]) -> Result<Counts, Damaged> {
    let row = unseal(key, stored, ROW_FORMAT)?;
    let (keys, row) = take_uint::<8>(row)?;
    let (bytes, row) = take_uint::<8>(row)?;
    if row.is_empty() { Ok(Counts { keys, bytes }) } else { Err(Damaged) }
}

/// The state row of the meta database, rewritten by every commit:
/// `format (1) | version (8) | instant (8) | next namespace id (4) | checksum (8)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// The newest version that was drawn.
    pub version: Version,
    /// The highest instant seen.
    pub instant: Millis,
    /// The id that the next new namespace gets.
    pub next_namespace: NamespaceId,
}

impl StateRow {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut row = vec![ROW_FORMAT];
        row.extend_from_slice(&self.version.0.to_be_bytes());
        row.extend_from_slice(&self.instant.0.to_be_bytes());
        row.extend_from_slice(&self.next_namespace.0.to_be_bytes());
        seal(META_STATE, row)
    }

    /// Decodes the row.
    pub fn decode(stored: &[u8]) -> Result<Self, Damaged> {
        let row = unseal(META_STATE, stored, ROW_FORMAT)?;
        let (version, row) = take_uint::<8>(row)?;
        let (instant, row) = take_uint::<8>(row)?;
        let (next, row) = take_uint::<4>(row)?;
        if !row.is_empty() {
            return Err(Damaged);
        }
        let next_namespace = NamespaceId(u32::try_from(next).map_err(|_| Damaged)?);
        Ok(Self { version: Version(version), instant: Millis(instant), next_namespace })
    }
}

/// Encodes a row of a table of the host's own, whose content is its owner's:
/// `format (1) | checksum (8) | content`.
#[must_use]
pub fn encode_system_row(id: &[u8], content: &[u8]) -> Vec<u8> {
    let mut row = vec![ROW_FORMAT];
    row.extend_from_slice(&checksum(id, &[ROW_FORMAT], content));
    row.extend_from_slice(content);
    row
}

/// Decodes such a row.
pub fn decode_system_row<'a>(id: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (format, rest) = stored.split_first().ok_or(Damaged)?;
    let (sum, content) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Damaged)?;
    let fits = id.len() <= NAME_BYTES_MAX && *format == ROW_FORMAT;
    if fits && *sum == checksum(id, &[ROW_FORMAT], content) { Ok(content) } else { Err(Damaged) }
}

/// The format row of the meta database: `format (4)`. It alone has no checksum, so that any
/// version of the program can read it.
#[must_use]
pub fn encode_format() -> [u8; 4] {
    FORMAT.to_be_bytes()
}

/// Decodes the format row.
pub fn decode_format(stored: &[u8]) -> Result<u32, Damaged> {
    stored.try_into().map(u32::from_be_bytes).map_err(|_| Damaged)
}

fn take_uint<const N: usize>(bytes: &[u8]) -> Result<(u64, &[u8]), Damaged> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Damaged)?;
    let value = head.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
    Ok((value, rest))
}

/// Appends the checksum over the row's key and the row.
fn seal(key: &[u8], mut row: Vec<u8>) -> Vec<u8> {
    let sum = checksum(key, &row, &[]);
    row.extend_from_slice(&sum);
    row
}

/// Takes the checksum and the format byte off a row of this format that fits its key.
fn unseal<'a>(key: &[u8], stored: &'a [u8], format: u8) -> Result<&'a [u8], Damaged> {
    let (row, sum) = stored.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Damaged)?;
    if key.len() > NAME_BYTES_MAX || row.len() > HEAD_BYTES_MAX {
        return Err(Damaged);
    }
    if *sum != checksum(key, row, &[]) {
        return Err(Damaged);
    }
    match row.split_first() {
        Some((found, rest)) if *found == format => Ok(rest),
        _ => Err(Damaged),
    }
}

/// XXH3-64 of the value, seeded with that of what stands before it: two one-shot hashes cost less
/// than the streaming form, and key and header are too short for it to matter.
fn checksum(key: &[u8], head: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut front = [0; 2 + NAMESPACE_ID_BYTES + NAME_BYTES_MAX + HEAD_BYTES_MAX];
    let (length, rest) = front.split_at_mut(2);
    // The key's length stands first, so that no byte can move between key and head unseen.
    length.copy_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    rest[..key.len()].copy_from_slice(key);
    rest[key.len()..key.len() + head.len()].copy_from_slice(head);
    let seed = xxh3_64(&front[..2 + key.len() + head.len()]);
    xxh3_64_with_seed(value, seed).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: &[u8], record: &Record<'_>) -> Vec<u8> {
        [record.header(key).as_bytes(), record.value].concat()
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for expiry in [None, Some(EXPIRY_MAX)] {
            let record = Record { version: Version(VERSION_LIMIT - 1), expiry, value: b"value" };
            assert_eq!(Record::decode(b"key", &stored(b"key", &record)), Ok(record));
        }
    }

    #[test]
    fn a_record_takes_16_bytes_and_6_more_with_an_expiry() {
        let plain = Record { version: Version(1), expiry: None, value: b"" };
        assert_eq!(stored(b"key", &plain).len(), 16);
        let expiring = Record { expiry: Some(Millis(1)), ..plain };
        assert_eq!(stored(b"key", &expiring).len(), 22);
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_told() {
        let record = Record { version: Version(7), expiry: Some(Millis(9)), value: b"some bytes" };
        let good = stored(b"key", &record);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(b"key", &bad), Err(Damaged), "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(Record::decode(b"key", &good[..length]), Err(Damaged), "length {length}");
        }
        assert_eq!(Record::decode(b"kez", &good), Err(Damaged), "another key");
    }

    #[test]
    fn a_record_under_a_key_that_is_too_long_is_damaged() {
        let record = Record { version: Version(7), expiry: None, value: b"some bytes" };
        let good = stored(b"key", &record);
        for length in [261, 295, 511] {
            assert_eq!(Record::decode(&vec![b'k'; length], &good), Err(Damaged), "{length}");
        }
    }

    #[test]
    fn rows_come_back_as_they_were_written_and_tell_flipped_bits() {
        let row = NamespaceRow {
            id: NamespaceId(3),
            created: Millis(1),
            updated: Millis(2),
            quotas: Quotas { keys_max: Some(9), bytes_max: None },
            counts: Counts { keys: 7, bytes: 8 },
        };
        let state =
            StateRow { version: Version(5), instant: Millis(6), next_namespace: NamespaceId(4) };
        assert_eq!(NamespaceRow::decode(b"name", &row.encode(b"name")), Ok(row));
        assert_eq!(StateRow::decode(&state.encode()), Ok(state));
        for bit in 0..state.encode().len() * 8 {
            let mut bad = state.encode();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StateRow::decode(&bad), Err(Damaged), "bit {bit}");
        }
        assert_eq!(NamespaceRow::decode(b"other", &row.encode(b"name")), Err(Damaged));
    }

    #[test]
    fn a_system_row_tells_flipped_bits_and_another_id() {
        let good = encode_system_row(b"id", b"content");
        assert_eq!(decode_system_row(b"id", &good), Ok(b"content".as_slice()));
        assert_eq!(decode_system_row(b"ie", &good), Err(Damaged));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_system_row(b"id", &bad), Err(Damaged), "bit {bit}");
        }
    }

    #[test]
    fn expiry_keys_sort_by_instant() {
        let key = RecordKey::new(NamespaceId(1), b"k").expect("valid");
        let early = key.expiry_key(Millis(255));
        let late = key.expiry_key(Millis(256));
        assert!(early < late);
        assert_eq!(decode_expiry_key(&late), Ok((Millis(256), key.as_bytes())));
    }

    #[test]
    fn keys_are_1_to_256_bytes() {
        assert!(RecordKey::new(NamespaceId(1), b"").is_none());
        assert!(RecordKey::new(NamespaceId(1), &[b'a'; 256]).is_some());
        assert!(RecordKey::new(NamespaceId(1), &[b'a'; 257]).is_none());
    }
}
