//! The target `layout`: stored bytes. Whatever is written is read as it was; whatever was changed since
//! is told; no bytes at all make the reader fail in another way. The first byte chooses what is tried.

use larder::clock::Millis;
use larder::storage::lmdb::layout::{
    self, Counts, Damaged, NamespaceId, NamespaceRow, Record, RecordKey, StateRow,
};
use larder::storage::{EXPIRY_MAX, NAME_BYTES_MAX, Quotas, Version};

use crate::target::Target;

/// The longest key that LMDB holds, which is longer than any of ours.
const STORED_KEY_BYTES_MAX: usize = 511;

/// The target.
pub const TARGET: Target = Target {
    name: "layout",
    input_bytes_max: 640,
    judge: |input| judge(input, &|key, stored| Record::decode(key, stored)),
};

/// A reader of records under test.
pub type Decoder = dyn for<'a> Fn(&[u8], &'a [u8]) -> Result<Record<'a>, Damaged>;

/// Tries an input, with `decode` for records.
///
/// # Errors
/// What was promised and did not hold.
pub fn judge(input: &[u8], decode: &Decoder) -> Result<(), String> {
    let mut input = Input { rest: input };
    match input.byte() % 8 {
        0 => any_bytes(input, decode),
        1 => record(input, decode),
        2 => namespace_row(input),
        3 => state_row(input),
        4 => system_row(input),
        5 => keys(input),
        6 => emptying_row(input),
        _ => counted(input),
    }
}

/// Values out of the input, zeros once it is used up.
#[derive(Clone, Copy)]
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn id(&mut self) -> u32 {
        self.number(4) as u32
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A key of at least one byte.
    fn key(&mut self, bytes_max: usize) -> &'a [u8] {
        let length = 1 + self.number(2) as usize % bytes_max;
        match self.take(length) {
            [] => b"k",
            key => key,
        }
    }
}

/// No bytes are taken for something that would be written otherwise.
fn any_bytes(mut input: Input<'_>, decode: &Decoder) -> Result<(), String> {
    let key = input.key(STORED_KEY_BYTES_MAX);
    let stored = input.rest;
    if let Ok(record) = decode(key, stored) {
        let again = [record.header(key).as_bytes(), record.value].concat();
        same("a record", again.as_slice(), stored)?;
    }
    if let Ok(row) = StateRow::decode(stored) {
        same("a state row", row.encode().as_slice(), stored)?;
    }
    if let Ok(row) = NamespaceRow::decode(key, stored) {
        same("a namespace's row", row.encode(key).as_slice(), stored)?;
    }
    // Bytes of a row of format 1 waited for their use, so those may differ.
    let _ = NamespaceRow::decode_format_1(key, stored);
    if let Ok(left) = layout::decode_emptying(key, stored) {
        same("an emptying row", layout::encode_emptying(key, left).as_slice(), stored)?;
    }
    if let Ok(id) = layout::decode_emptying_key(stored) {
        same("an emptying row's key", &layout::emptying_key(id)[..], stored)?;
    }
    let counted = layout::counted_bytes(key, stored);
    if counted > (key.len() + stored.len()) as u64 {
        return Err(format!("a record of {} bytes counts {counted}", key.len() + stored.len()));
    }
    if let Ok(content) = layout::decode_system_row(key, stored) {
        same("a system row", layout::encode_system_row(key, content).as_slice(), stored)?;
    }
    if let Ok(format) = layout::decode_format(stored) {
        same("the format row", &format.to_be_bytes()[..], stored)?;
    }
    if let Ok(key) = layout::decode_record_key(stored) {
        same("a key", key.as_bytes(), stored)?;
    }
    if let Ok((expiry, key)) = layout::decode_expiry_key(stored) {
        let key = layout::decode_record_key(key).map_err(|_| "an expiry row's key is none")?;
        same("an expiry row", key.expiry_key(expiry).as_slice(), stored)?;
    }
    Ok(())
}

fn record(mut input: Input<'_>, decode: &Decoder) -> Result<(), String> {
    let tamper = input.number(2);
    let version = Version(input.number(7));
    let expiry = (input.byte() % 2 == 1).then(|| Millis(input.number(6)));
    let (namespace, name) = (NamespaceId(input.id()), input.key(NAME_BYTES_MAX));
    let key = RecordKey::new(namespace, name).ok_or("a key of a valid length is refused")?;
    let record = Record { version, expiry, value: input.rest };
    let stored = [record.header(key.as_bytes()).as_bytes(), record.value].concat();
    same("a record", decode(key.as_bytes(), &stored), Ok(record))?;
    tampered("a record", &stored, tamper, |bad| decode(key.as_bytes(), bad).is_ok())?;
    tampered("a record's key", key.as_bytes(), tamper, |bad| decode(bad, &stored).is_ok())
}

fn namespace_row(mut input: Input<'_>) -> Result<(), String> {
    let tamper = input.number(2);
    let id = NamespaceId(input.id());
    let (created, updated) = (Millis(input.number(8)), Millis(input.number(8)));
    // One more than the most stands for none.
    let quota = |most: u64| (most != u64::MAX).then_some(most);
    let (keys_max, bytes_max) = (quota(input.number(8)), quota(input.number(8)));
    let counts = Counts { keys: input.number(8), bytes: input.number(8) };
    let quotas = Quotas { keys_max, bytes_max };
    let row = NamespaceRow { id, created, updated, quotas, counts };
    let name = input.key(NAME_BYTES_MAX);
    let stored = row.encode(name);
    same("a namespace's row", NamespaceRow::decode(name, &stored), Ok(row))?;
    let told = |bad: &[u8]| NamespaceRow::decode(name, bad).is_ok();
    tampered("a namespace's row", &stored, tamper, told)?;
    let told = |bad: &[u8]| NamespaceRow::decode(bad, &stored).is_ok();
    tampered("a namespace's name", name, tamper, told)?;
    same("a row of format 1", NamespaceRow::decode_format_1(name, &stored), Err(Damaged))
}

fn emptying_row(mut input: Input<'_>) -> Result<(), String> {
    let tamper = input.number(2);
    let id = NamespaceId(input.id());
    let left = Counts { keys: input.number(8), bytes: input.number(8) };
    let key = layout::emptying_key(id);
    same("an emptying row's key", layout::decode_emptying_key(&key), Ok(id))?;
    let stored = layout::encode_emptying(&key, left);
    same("an emptying row", layout::decode_emptying(&key, &stored), Ok(left))?;
    let told = |bad: &[u8]| layout::decode_emptying(&key, bad).is_ok();
    tampered("an emptying row", &stored, tamper, told)?;
    let told = |bad: &[u8]| layout::decode_emptying(bad, &stored).is_ok();
    tampered("an emptying row's key", &key, tamper, told)
}

/// A record counts the bytes of its key and of its value, whatever is changed in it but its kind.
fn counted(mut input: Input<'_>) -> Result<(), String> {
    let tamper = input.number(2) as usize;
    let version = Version(input.number(7));
    let expiry = (input.byte() % 2 == 1).then(|| Millis(input.number(6)));
    let (namespace, name) = (NamespaceId(input.id()), input.key(NAME_BYTES_MAX));
    let key = RecordKey::new(namespace, name).ok_or("a key of a valid length is refused")?;
    let record = Record { version, expiry, value: input.rest };
    let mut stored = [record.header(key.as_bytes()).as_bytes(), record.value].concat();
    let bytes = (name.len() + record.value.len()) as u64;
    same("the bytes of a record", layout::counted_bytes(key.as_bytes(), &stored), bytes)?;
    let at = 1 + tamper % (stored.len() - 1);
    stored[at] ^= 1 << (tamper % 8);
    same("the bytes of a damaged one", layout::counted_bytes(key.as_bytes(), &stored), bytes)
}

fn state_row(mut input: Input<'_>) -> Result<(), String> {
    let tamper = input.number(2);
    let version = Version(input.number(8));
    let instant = Millis(input.number(8));
    let row = StateRow { version, instant, next_namespace: NamespaceId(input.id()) };
    let stored = row.encode();
    same("the state row", StateRow::decode(&stored), Ok(row))?;
    tampered("the state row", &stored, tamper, |bad| StateRow::decode(bad).is_ok())
}

fn system_row(mut input: Input<'_>) -> Result<(), String> {
    let tamper = input.number(2);
    let (id, content) = (input.key(NAME_BYTES_MAX), input.rest);
    let stored = layout::encode_system_row(id, content);
    same("a system row", layout::decode_system_row(id, &stored), Ok(content))?;
    let told = |bad: &[u8]| layout::decode_system_row(id, bad).is_ok();
    tampered("a system row", &stored, tamper, told)?;
    let told = |bad: &[u8]| layout::decode_system_row(bad, &stored).is_ok();
    tampered("a system row's id", id, tamper, told)
}

/// Keys come apart into what they were made of, and expiry rows sort by their instants.
fn keys(mut input: Input<'_>) -> Result<(), String> {
    let (early, late) = (input.number(8), input.number(8));
    let id = NamespaceId(input.id());
    let name = input.key(NAME_BYTES_MAX + 2);
    let Some(key) = RecordKey::new(id, name) else {
        return same("a key's refusal", name.len() > NAME_BYTES_MAX, true);
    };
    same("a key", (key.namespace(), key.key()), (id, name))?;
    same("a stored key", layout::decode_record_key(key.as_bytes()), Ok(key))?;
    let other = RecordKey::new(NamespaceId(input.id()), input.key(NAME_BYTES_MAX));
    let other = other.ok_or("a key of a valid length is refused")?;
    let rows = [key.expiry_key(Millis(early)), other.expiry_key(Millis(late))];
    let [first, second] = &rows;
    if early != late {
        same("the order of expiry rows", first < second, early < late)?;
    }
    same("an expiry row", layout::decode_expiry_key(first), Ok((Millis(early), key.as_bytes())))?;
    same("the format row", layout::decode_format(&layout::encode_format()), Ok(layout::FORMAT))?;
    same("the last instant's bytes", EXPIRY_MAX.0 >> 48, 0)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:?}, not {wanted:?}")) }
}

/// Flips one bit, cuts bytes off and adds one: `accepts` must accept none of it.
fn tampered(
    what: &str,
    good: &[u8],
    how: u64,
    accepts: impl Fn(&[u8]) -> bool,
) -> Result<(), String> {
    let mut bad = good.to_vec();
    let bit = how as usize % (8 * good.len());
    bad[bit / 8] ^= 1 << (bit % 8);
    if accepts(&bad) {
        return Err(format!("{what}: bit {bit} was flipped, and it was not told"));
    }
    if accepts(&good[..how as usize % good.len()]) {
        return Err(format!(
            "{what}: it was cut to {}, and it was not told",
            how as usize % good.len()
        ));
    }
    bad[bit / 8] ^= 1 << (bit % 8);
    bad.push((how >> 8) as u8);
    if accepts(&bad) {
        return Err(format!("{what}: a byte was added, and it was not told"));
    }
    Ok(())
}
