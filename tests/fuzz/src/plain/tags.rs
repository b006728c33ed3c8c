//! Entity tags: the tag of a version is the tag of that version and of no other, and weak tags are of none.
//! Knows no other header.

use larder_api::bindings::larder::guest::kv::Behavior;
use larder_api::error::Error;
use larder_api::plain::answer;
use larder_api::plain::conditions::{Conditions, if_range_holds};

use crate::choices::Choices;

/// A reader of `if-match` and `if-none-match` under test.
pub type OfTags = fn(Option<&[u8]>, Option<&[u8]>) -> Result<Conditions, Error>;

/// The one that the guest uses.
pub const GUEST: OfTags = Conditions::parse;

/// Versions, about the bounds of what they are.
const VERSIONS: [u64; 5] = [1, 7, 10, 77, (1 << 53) - 1];

/// Tries a header as it came.
pub fn judge_text(header: &[u8], read: OfTags) -> Result<(), String> {
    let _ = if_range_holds(Some(header), 7);
    for (if_match, if_none_match, place) in
        [(Some(header), None, "if-match"), (None, Some(header), "if-none-match")]
    {
        match read(if_match, if_none_match) {
            Ok(conditions) => judge_demand(&conditions)?,
            Err(error) if (error.status, error.location.as_deref()) == (400, Some(place)) => {}
            Err(error) => return Err(format!("refused with {error:?}")),
        }
    }
    Ok(())
}

/// Writes a list of tags, and wants those that are strong to be of their versions, and of no others.
pub fn judge_made(choices: &mut Choices<'_>, read: OfTags) -> Result<(), String> {
    let (mut list, mut strong) = (Vec::new(), Vec::new());
    for _ in 0..choices.below(4) {
        let version = choices.one_of(&VERSIONS);
        let tag = answer::etag(version);
        list.push(match choices.below(6) {
            0 | 1 => {
                strong.push(version);
                tag
            }
            2 => format!("W/{tag}"),
            3 => format!("\"0{version}\""),
            4 => format!("\"{version}x\""),
            _ => String::new(),
        });
    }
    let header = list.join(choices.one_of(&[",", ", ", " , "]));
    judge_text(header.as_bytes(), read)?;
    let read = |if_match, if_none_match| {
        read(if_match, if_none_match).map_err(|error| format!("{header}: {error:?}"))
    };
    let if_match = read(Some(header.as_bytes()), None)?;
    let if_none_match = read(None, Some(header.as_bytes()))?;
    for version in VERSIONS {
        let wanted = strong.contains(&version);
        let found = (if_match.if_match_holds(version), if_none_match.if_none_match_fails(version));
        if found != (wanted, wanted) {
            return Err(format!("{header} has {version}: {found:?}, not {wanted}"));
        }
        if if_range_holds(Some(header.as_bytes()), version) != (strong == [version]) {
            return Err(format!("{header} as if-range, of {version}"));
        }
    }
    Ok(())
}

/// What the storage is asked to judge holds where the conditions do.
fn judge_demand(conditions: &Conditions) -> Result<(), String> {
    for found in VERSIONS.into_iter().chain([0]) {
        let wanted = conditions.if_match_holds(found) && !conditions.if_none_match_fails(found);
        for demand in [conditions.demand(), Some(conditions.demand_of(found))].into_iter().flatten()
        {
            let is_there = match demand.behavior {
                Behavior::Upsert => true,
                Behavior::Insert => found == 0,
                Behavior::Update => found != 0,
            };
            let holds = is_there && demand.version.is_none_or(|version| version == found);
            if holds != wanted {
                return Err(format!("{demand:?} of {found}, and {conditions:?}"));
            }
        }
    }
    Ok(())
}
