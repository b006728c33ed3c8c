//! The target `plain`: what the plain face reads of paths, queries, ranges and entity tags. The first byte
//! chooses which of them, and what the rest is: text as it came, or choices of which text is made, of which
//! it is known what it stands for. Knows no value and no storage.

mod paths;
mod ranges;
mod tags;

pub use self::paths::OfPath;
pub use self::ranges::OfRange;
pub use self::tags::OfTags;
use crate::choices::Choices;
use crate::target::Target;

/// The bit of the first byte with which the rest is text. ASCII's small letters have it.
const IS_TEXT: u8 = 0x20;

/// The target.
pub const TARGET: Target =
    Target { name: "plain", input_bytes_max: 256, judge: |input| judge(input, &Face::GUEST) };

/// Readers under test.
#[derive(Clone, Copy)]
pub struct Face {
    /// What a path names.
    pub path: OfPath,
    /// Which part of a value a range is.
    pub range: OfRange,
    /// The conditions of two headers.
    pub tags: OfTags,
}

impl Face {
    /// Those that the guest uses.
    pub const GUEST: Self = Self { path: paths::GUEST, range: ranges::GUEST, tags: tags::GUEST };
}

/// Tries an input.
///
/// # Errors
/// What was promised and did not hold.
pub fn judge(input: &[u8], face: &Face) -> Result<(), String> {
    let Some((first, rest)) = input.split_first() else {
        return Ok(());
    };
    let is_text = first & IS_TEXT != 0;
    let mut choices = Choices::new(rest);
    match (first % 4, is_text) {
        (0, true) => paths::judge_text(rest, face.path),
        (0, false) => paths::judge_made(&mut choices, face.path),
        (1, true) => paths::judge_query_text(rest),
        (1, false) => paths::judge_query_made(&mut choices),
        (2, true) => ranges::judge_text(rest, face.range),
        (2, false) => ranges::judge_made(&mut choices, face.range),
        (_, true) => tags::judge_text(rest, face.tags),
        (_, false) => tags::judge_made(&mut choices, face.tags),
    }
}
