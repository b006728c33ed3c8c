//! Conditions: what `if-match` and `if-none-match` demand of a key's version. An entity tag is a version in
//! quotes. Tags are compared strongly, so a weak one is the tag of nothing. Knows no method and no storage.

use alloc::format;
use alloc::vec::Vec;
use core::str;

use crate::bindings::larder::guest::kv::Behavior;
use crate::error::Error;

/// A version that no key ever has: versions stay below 2^53.
const NEVER: u64 = u64::MAX;

/// The tags of one header.
#[derive(Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: those of any version.
    Any,
    /// The versions among the tags of a list. What is the tag of no version is left out.
    Versions(Vec<u64>),
}

impl Tags {
    /// Reads a header, whose `name` is the location of an error.
    fn parse(name: &'static str, header: &[u8]) -> Result<Self, Error> {
        let header = header.trim_ascii();
        if header == b"*" {
            return Ok(Tags::Any);
        }
        let malformed = || {
            let detail = format!("`{name}` must be `*` or tags in quotes.");
            Error::invalid_data(name, detail).with_status(400)
        };
        let (mut versions, mut rest) = (Vec::new(), header);
        while let Some(&first) = rest.first() {
            if first == b',' {
                rest = rest[1..].trim_ascii_start();
                continue;
            }
            let (is_weak, tag) = rest.strip_prefix(b"W/").map_or((false, rest), |tag| (true, tag));
            let tag = tag.strip_prefix(b"\"").ok_or_else(malformed)?;
            let end = tag.iter().position(|byte| *byte == b'"').ok_or_else(malformed)?;
            if !is_weak {
                versions.extend(version_of(&tag[..end]));
            }
            rest = tag[end + 1..].trim_ascii_start();
            if rest.first().is_some_and(|byte| *byte != b',') {
                return Err(malformed());
            }
        }
        Ok(Tags::Versions(versions))
    }

    /// Whether a present key of this version has one of them.
    fn hold(&self, version: u64) -> bool {
        match self {
            Tags::Any => true,
            Tags::Versions(versions) => versions.contains(&version),
        }
    }
}

/// The version of which this is the tag's inside: in decimal, as it is written, and not 0.
fn version_of(tag: &[u8]) -> Option<u64> {
    let is_decimal = tag.first()? != &b'0' && tag.iter().all(u8::is_ascii_digit);
    str::from_utf8(tag).ok().filter(|_| is_decimal)?.parse().ok()
}

/// The conditions of one request.
#[derive(Debug, Default)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// What a change demands of its key, in the terms of the storage, which judges it when it makes the change.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Whether the key must be there.
    pub behavior: Behavior,
    /// Which version it must have, 0 for absent.
    pub version: Option<u64>,
}

impl Demand {
    fn of(behavior: Behavior, version: Option<u64>) -> Self {
        Self { behavior, version }
    }
}

impl Conditions {
    /// The conditions in these headers.
    pub fn parse(if_match: Option<&[u8]>, if_none_match: Option<&[u8]>) -> Result<Self, Error> {
        Ok(Self {
            if_match: if_match.map(|header| Tags::parse("if-match", header)).transpose()?,
            if_none_match: if_none_match
                .map(|header| Tags::parse("if-none-match", header))
                .transpose()?,
        })
    }

    /// What the storage can judge by itself. None when the conditions are more than one demand: then the
    /// version that the key has must be found first, for [`Conditions::demand_of`].
    pub fn demand(&self) -> Option<Demand> {
        use Behavior::{Insert, Update, Upsert};
        Some(match (&self.if_match, &self.if_none_match) {
            (None, None) => Demand::of(Upsert, None),
            (Some(Tags::Any), None) => Demand::of(Update, None),
            (None, Some(Tags::Any)) => Demand::of(Insert, None),
            (Some(_), Some(Tags::Any)) => Demand::of(Upsert, Some(NEVER)),
            (Some(Tags::Versions(versions)), None) => match versions[..] {
                [] => Demand::of(Upsert, Some(NEVER)),
                [version] => Demand::of(Upsert, Some(version)),
                _ => return None,
            },
            (None, Some(Tags::Versions(versions))) if versions.is_empty() => {
                Demand::of(Upsert, None)
            }
            (_, Some(Tags::Versions(_))) => return None,
        })
    }

    /// The demand that the key still has the version that was found, 0 for absent, when that meets the
    /// conditions. Else one that never holds.
    pub fn demand_of(&self, found: u64) -> Demand {
        let holds = self.if_match_holds(found) && !self.if_none_match_fails(found);
        Demand::of(Behavior::Upsert, Some(if holds { found } else { NEVER }))
    }

    /// Whether `if-match` holds for a key of this version, 0 for absent.
    pub fn if_match_holds(&self, version: u64) -> bool {
        self.if_match.as_ref().is_none_or(|tags| version != 0 && tags.hold(version))
    }

    /// Whether `if-none-match` names a key of this version, 0 for absent.
    pub fn if_none_match_fails(&self, version: u64) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| version != 0 && tags.hold(version))
    }
}

/// Whether a part of the value may be sent: whether `if-range` is absent or the tag of this version. A date
/// never is, because versions have none.
pub fn if_range_holds(if_range: Option<&[u8]>, version: u64) -> bool {
    if_range.is_none_or(|header| match Tags::parse("if-range", header) {
        Ok(Tags::Versions(versions)) => versions == [version],
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(header: &[u8]) -> Result<Tags, Error> {
        Tags::parse("if-match", header)
    }

    #[test]
    fn tags_are_versions_in_quotes_and_weak_ones_are_none() {
        for (header, versions) in [
            (&b"\"7\""[..], &[7][..]),
            (b" \"7\" , \"8\"\t,\"9\"", &[7, 8, 9]),
            (b",\"7\",, \"8\",", &[7, 8]),
            (b"W/\"7\"", &[]),
            (b"W/\"7\", \"8\"", &[8]),
            (b"\"7, 8\"", &[]),
            (b"\"\", \"0\", \"07\", \"+7\", \" 7\", \"7 \", \"x\", \"*\", \"\xff\"", &[]),
            (b"\"18446744073709551616\", \"9007199254740991\"", &[(1 << 53) - 1]),
            (b"", &[]),
            (b" , ", &[]),
        ] {
            let found = tags(header).expect("valid");
            assert_eq!(found, Tags::Versions(versions.into()), "{}", header.escape_ascii());
        }
        assert_eq!(tags(b" * "), Ok(Tags::Any));
    }

    #[test]
    fn what_are_no_tags_is_an_error_and_never_no_condition() {
        for header in [
            &b"7"[..],
            b"\"7",
            b"7\"",
            b"\"7\" \"8\"",
            b"\"7\"8",
            b"\"7\";",
            b"*, \"7\"",
            b"\"7\", *",
            b"**",
            b"w/\"7\"",
            b"W/7",
            b"W/",
            b"W/ \"7\"",
            b"'7'",
            b"\xff",
        ] {
            let error = tags(header).expect_err("no tags");
            let found = (error.status, error.code, error.location.as_deref());
            let wanted = (400, "invalid-data", Some("if-match"));
            assert_eq!(found, wanted, "{}", header.escape_ascii());
        }
    }

    /// Conditions in two headers; a dash for one that is absent.
    fn conditions(if_match: &'static str, if_none_match: &'static str) -> Conditions {
        let given = |header: &'static str| (header != "-").then_some(header.as_bytes());
        Conditions::parse(given(if_match), given(if_none_match)).expect("valid")
    }

    /// Whether a demand holds for a key of this version, as the storage judges it.
    fn holds(demand: Demand, version: u64) -> bool {
        let is_version = demand.version.is_none_or(|wanted| wanted == version);
        is_version
            && match demand.behavior {
                Behavior::Upsert => true,
                Behavior::Insert => version == 0,
                Behavior::Update => version != 0,
            }
    }

    #[test]
    fn a_demand_holds_for_exactly_those_versions_that_meet_the_conditions() {
        // The conditions, whether the storage judges them alone, and for which of absent, 7, 8 and 9 they hold.
        for (if_match, if_none_match, at_once, wanted) in [
            ("-", "-", true, [true, true, true, true]),
            ("*", "-", true, [false, true, true, true]),
            ("\"7\"", "-", true, [false, true, false, false]),
            ("\"0\"", "-", true, [false; 4]),
            ("W/\"7\"", "-", true, [false; 4]),
            ("\"x\"", "-", true, [false; 4]),
            ("", "-", true, [false; 4]),
            ("\"7\", \"8\"", "-", false, [false, true, true, false]),
            ("-", "*", true, [true, false, false, false]),
            ("-", "W/\"7\"", true, [true; 4]),
            ("-", "\"7\"", false, [true, false, true, true]),
            ("-", "\"7\", \"8\"", false, [true, false, false, true]),
            ("*", "*", true, [false; 4]),
            ("\"7\"", "*", true, [false; 4]),
            ("\"7\", \"8\"", "*", true, [false; 4]),
            ("*", "\"7\"", false, [false, false, true, true]),
            ("\"7\", \"8\"", "\"7\"", false, [false, false, true, false]),
            ("\"7\"", "\"7\"", false, [false; 4]),
        ] {
            let conditions = conditions(if_match, if_none_match);
            let demand = conditions.demand();
            assert_eq!(demand.is_some(), at_once, "{if_match} {if_none_match}");
            let found = [0, 7, 8, 9].map(|version| {
                holds(demand.unwrap_or_else(|| conditions.demand_of(version)), version)
            });
            assert_eq!(found, wanted, "{if_match} {if_none_match}");
            let read = [0, 7, 8, 9].map(|version| {
                conditions.if_match_holds(version) && !conditions.if_none_match_fails(version)
            });
            assert_eq!(read, wanted, "{if_match} {if_none_match}");
        }
    }

    #[test]
    fn a_demand_of_a_version_that_was_found_holds_for_no_other() {
        let conditions = conditions("\"7\", \"8\"", "-");
        assert!(!holds(conditions.demand_of(7), 8));
        assert!(!holds(conditions.demand_of(9), 9));
        assert!(!holds(conditions.demand_of(0), 0));
    }

    #[test]
    fn a_part_is_sent_to_who_has_the_rest_of_this_version() {
        let holds = |if_range| if_range_holds(if_range, 7);
        assert!(holds(None) && holds(Some(b"\"7\"")));
        for other in [
            &b"\"8\""[..],
            b"W/\"7\"",
            b"7",
            b"*",
            b"",
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"\"7\", \"8\"",
        ] {
            assert!(!holds(Some(other)), "{}", other.escape_ascii());
        }
    }
}
