//! Ranges: the part of a value that one asks for, held against whole numbers that have no end. Knows no other
//! header.

use larder_api::plain::range::Part;

use crate::choices::Choices;

/// A reader of ranges under test.
pub type OfRange = fn(Option<&[u8]>, u64) -> Part;

/// The one that the guest uses.
pub const GUEST: OfRange = Part::of;

/// Tries a header as it came: a part lies within the value.
pub fn judge_text(header: &[u8], read: OfRange) -> Result<(), String> {
    [0, 1, 10, u64::MAX].into_iter().try_for_each(|total| match read(Some(header), total) {
        Part::Bytes { offset, length }
            if length == 0 || offset.checked_add(length).is_none_or(|end| end > total) =>
        {
            Err(format!("{length} bytes from {offset} on, of {total}"))
        }
        _ => Ok(()),
    })
}

/// Writes a range, and wants the part that it is.
pub fn judge_made(choices: &mut Choices<'_>, read: OfRange) -> Result<(), String> {
    let total = choices.one_of(&[10, 0, 1, 11, 1 << 53, u64::MAX - 1, u64::MAX]);
    let [first, last] = [(); 2].map(|()| position(choices, total));
    let most = u128::from(total);
    let (range, wanted) = match choices.below(3) {
        // Those that no 64 bits can hold lie beyond all values, and none of them beyond another.
        0 if first.min(u64::MAX.into()) > last => (format!("{first}-{last}"), Part::Whole),
        0 => (format!("{first}-{last}"), part(first, last + 1, most)),
        1 => (format!("{first}-"), part(first, most, most)),
        _ if last == 0 => (format!("-{last}"), Part::Unsatisfiable),
        _ if total == 0 => (format!("-{last}"), Part::Whole),
        _ => (format!("-{last}"), part(most.saturating_sub(last), most, most)),
    };
    let header = format!("{}={range}", choices.one_of(&["bytes", "BYTES", "Bytes "]));
    judge_text(header.as_bytes(), read)?;
    let found = read(Some(header.as_bytes()), total);
    if found != wanted {
        return Err(format!("{header} of {total} is {found:?}, not {wanted:?}"));
    }
    Ok(())
}

/// The bytes from `begin` on and before `end`, of so many.
fn part(begin: u128, end: u128, total: u128) -> Part {
    if begin >= total {
        return Part::Unsatisfiable;
    }
    let length = end.min(total) - begin;
    // Both are below the total, which is of 64 bits.
    Part::Bytes { offset: begin as u64, length: length as u64 }
}

/// A position near the ends of the value, or the largest of 64 bits or of more, which are all alike.
fn position(choices: &mut Choices<'_>, total: u64) -> u128 {
    let total = u128::from(total);
    let near = choices.below(4) as u128;
    match choices.below(4) {
        0 => near,
        1 => total + near,
        2 => total.saturating_sub(near),
        _ => choices.one_of(&[1 << 53, u128::from(u64::MAX), 1 << 70]),
    }
}
