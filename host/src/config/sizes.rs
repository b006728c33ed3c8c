//! Sizes that depend on each other: bodies, answers, calls of guests, and the room that all of each share.
//! A size that is not set follows those that are; one that is set and does not fit is refused.

use super::checks::{ConfigError, fail};
use super::file_mount::FileMount;
use super::memory::MemoryLimit;
use super::settings::{
    BODY_BYTES, CONNECTION_MEMORY_BYTES, CONNECTIONS, GUESTS_BYTES, GUESTS_MEMORY_PART,
    MEMORY_PART, ROOM_BYTES, Settings,
};

/// What a call of the API takes of the guests' memory at most, for each byte of the longest body and
/// besides: in JSON the guest holds text and value, and the host a copy of either on its way.
const CALL_BYTES_A_BYTE: u64 = 8;
const CALL_BYTES_BESIDES: u64 = 4 << 20;
/// Requests of a connection at a time, over HTTP/2: as many as let those of all connections take a part
/// of the memory, and within these.
const STREAMS: std::ops::RangeInclusive<u64> = 16..=100;
/// Memory of a request whose answer is not read.
const UNREAD_BYTES: u64 = 4 << 10;
/// Each byte of a value may take so many in an answer of the API, as a number in JSON; and what else may
/// be in one.
const ANSWER_BYTES_A_BYTE: u64 = 4;
const ANSWER_BYTES_BESIDES: u64 = 4 << 10;

/// Sizes that fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Longest body.
    pub body: u64,
    /// Room for bodies.
    pub bodies: u64,
    /// Longest answer of the API.
    pub api_answer: u64,
    /// Room for answers.
    pub answers: u64,
    /// Room for guests.
    pub guests: u64,
    /// Connections at once.
    pub connections: u64,
    /// Requests of a connection of HTTP/2 at once.
    pub streams: u64,
    /// Room for data, where it is limited.
    pub storage: Option<u64>,
}

impl Sizes {
    /// Takes what was set, each in its range, and what follows from it and from the memory that there is.
    pub fn resolve(given: &Settings, memory: Option<&MemoryLimit>) -> Result<Self, ConfigError> {
        let storage = given.storage_bytes_max;
        let body = given.body_bytes_max.unwrap_or(BODY_BYTES.min(storage.unwrap_or(BODY_BYTES)));
        if let Some(storage) = storage.filter(|storage| *storage < body) {
            return fail(format!(
                "storage_bytes_max = {storage}: less than one value of body_bytes_max = {body}; raise \
                 it, or lower body_bytes_max"
            ));
        }
        let room = memory.map_or(ROOM_BYTES, |memory| ROOM_BYTES.min(memory.bytes / MEMORY_PART));
        let guests_room = memory
            .map_or(GUESTS_BYTES, |memory| GUESTS_BYTES.min(memory.bytes / GUESTS_MEMORY_PART));
        let (answer, of) = largest_answer(given, body);
        let (call, of_call) = largest_call(given, body);
        let whose = format!("one body, body_bytes_max = {body}");
        let bodies = part("bodies_bytes_max", given.bodies_bytes_max, room, body, &whose)?;
        let answers = part("answers_bytes_max", given.answers_bytes_max, room, answer, &of)?;
        let guests = part("guests_bytes_max", given.guests_bytes_max, guests_room, call, &of_call)?;
        let (connections, streams) = connections(given.connections_max, memory);
        let api_answer = api_answer(body);
        Ok(Self { body, bodies, api_answer, answers, guests, connections, streams, storage })
    }
}

/// Connections at once, and requests of each.
fn connections(given: Option<usize>, memory: Option<&MemoryLimit>) -> (u64, u64) {
    let memory = memory.map_or(u64::MAX, |memory| memory.bytes);
    let connections = given.map_or_else(
        || (memory / CONNECTION_MEMORY_BYTES).clamp(1, CONNECTIONS),
        |given| given as u64,
    );
    let streams = memory / MEMORY_PART / connections / UNREAD_BYTES;
    (connections, streams.clamp(*STREAMS.start(), *STREAMS.end()))
}

/// The size of a room: as given, or by default `room`. One thing of `one` bytes must fit in it.
fn part(
    key: &str,
    given: Option<usize>,
    room: u64,
    one: u64,
    whose: &str,
) -> Result<u64, ConfigError> {
    let Some(given) = given.map(|given| given as u64) else {
        return Ok(room.max(one));
    };
    if given < one {
        return fail(format!(
            "{key} = {given}: less than {one} bytes, which {whose}, may take; raise it, or lower that"
        ));
    }
    Ok(given)
}

/// The longest answer of the API, with such a value in JSON.
fn api_answer(body: u64) -> u64 {
    body * ANSWER_BYTES_A_BYTE + ANSWER_BYTES_BESIDES
}

/// The mounts of the file.
fn mounts(given: &Settings) -> impl Iterator<Item = &FileMount> {
    given.mount.iter().flatten()
}

/// The largest answer that must be possible, and whose it is: the API's, and those of mounts for which a
/// limit was set. One that a mount has by default follows the room.
fn largest_answer(given: &Settings, body: u64) -> (u64, String) {
    let of_mount = |mount: &FileMount| {
        let bytes = mount.answer_bytes_max? as u64;
        let prefix = &mount.prefix;
        Some((bytes, format!("an answer below {prefix:?}, mount.answer_bytes_max = {bytes}")))
    };
    let api = mounts(given).find(|mount| mount.prefix == "/api");
    let of_api = match api {
        Some(mount) if !mount.is_builtin() || mount.answer_bytes_max.is_some() => None,
        _ => Some((
            api_answer(body),
            format!(
                "one answer of the API in JSON, {ANSWER_BYTES_A_BYTE} times body_bytes_max = {body} and more"
            ),
        )),
    };
    let least = (body, format!("an answer as long as a body, body_bytes_max = {body}"));
    largest(least, mounts(given).filter_map(of_mount).chain(of_api))
}

/// The largest call that must be possible, in bytes of memory, and whose it is, in the same way.
fn largest_call(given: &Settings, body: u64) -> (u64, String) {
    let of_mount = |mount: &FileMount| {
        let bytes = mount.memory_bytes_max? as u64;
        let prefix = &mount.prefix;
        Some((bytes, format!("one call below {prefix:?}, mount.memory_bytes_max = {bytes}")))
    };
    let of_api = match mounts(given).find(|mount| mount.prefix == "/api") {
        Some(mount) if !mount.is_builtin() || mount.memory_bytes_max.is_some() => None,
        _ => Some((
            body * CALL_BYTES_A_BYTE + CALL_BYTES_BESIDES,
            format!(
                "one call of the API, {CALL_BYTES_A_BYTE} times body_bytes_max = {body} and more"
            ),
        )),
    };
    let least = (CALL_BYTES_BESIDES, "one call of a small guest".to_owned());
    largest(least, mounts(given).filter_map(of_mount).chain(of_api))
}

fn largest(least: (u64, String), others: impl Iterator<Item = (u64, String)>) -> (u64, String) {
    others.fold(least, |most, one| if one.0 > most.0 { one } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::memory::LimitOf;

    const MIB: u64 = 1 << 20;

    fn sizes(text: &str, memory_mib: u64) -> Result<Sizes, String> {
        let given: Settings = toml::from_str(text).unwrap();
        let memory = MemoryLimit { bytes: memory_mib * MIB, of: LimitOf::Machine };
        let resolved = given.check_ranges().and_then(|()| Sizes::resolve(&given, Some(&memory)));
        resolved.map_err(|error| error.to_string())
    }

    #[test]
    fn rooms_are_an_eighth_of_the_memory_but_hold_one_and_are_no_more_than_needed() {
        for (memory, bodies, answers) in
            [(64, 8, 32), (256, 32, 32), (1024, 128, 128), (65536, 512, 512)]
        {
            let sizes = sizes("", memory).unwrap();
            let least = if answers == 32 { ANSWER_BYTES_BESIDES } else { 0 };
            assert_eq!(sizes.bodies, bodies * MIB, "{memory}");
            assert_eq!(sizes.answers, answers * MIB + least, "{memory}");
        }
    }

    #[test]
    fn guests_have_a_quarter_of_the_memory_but_hold_one_call_and_no_more_than_needed() {
        for (memory, guests) in [(64, 68), (256, 68), (1024, 256), (65536, 8192)] {
            assert_eq!(sizes("", memory).unwrap().guests, guests * MIB, "{memory}");
        }
        let mount = "[[mount]]\nprefix = '/x'\ncomponent = 'c'\nmemory_bytes_max = 1000000000";
        assert_eq!(sizes(mount, 256).unwrap().guests, 1_000_000_000);
        let narrow = format!("guests_bytes_max = 999999999\n{mount}");
        let error = sizes(&narrow, 256).unwrap_err();
        assert!(error.contains("\"/x\", mount.memory_bytes_max = 1000000000"), "{error}");
        assert_eq!(sizes("guests_bytes_max = 71303168", 1).unwrap().guests, 68 * MIB);
    }

    #[test]
    fn connections_and_their_requests_follow_the_memory() {
        for (memory, connections, streams) in
            [(64, 128, 16), (256, 512, 16), (1024, 2048, 16), (24 << 10, 10_000, 78)]
        {
            let sizes = sizes("", memory).unwrap();
            assert_eq!((sizes.connections, sizes.streams), (connections, streams), "{memory}");
        }
        let few = sizes("connections_max = 100", 256).unwrap();
        assert_eq!((few.connections, few.streams), (100, 81));
        assert_eq!(sizes("connections_max = 10", 256).unwrap().streams, 100);
        assert!(sizes("connections_max = 0", 256).unwrap_err().starts_with("connections_max = 0"));
    }

    #[test]
    fn a_size_that_is_not_set_follows_those_that_are() {
        let large = sizes("body_bytes_max = 67108864", 256).unwrap();
        assert_eq!((large.bodies, large.answers), (64 * MIB, large.api_answer));
        let mount = "[[mount]]\nprefix = '/x'\ncomponent = 'c'\nanswer_bytes_max = 1000000000";
        assert_eq!(sizes(mount, 256).unwrap().answers, 1_000_000_000);
        assert_eq!(sizes("storage_bytes_max = 1048576", 256).unwrap().body, MIB);
        // Where the API is another's, an answer is as long as its limit says.
        let own = "answers_bytes_max = 9000000\n[[mount]]\nprefix = '/api'\ncomponent = 'c'";
        assert_eq!(sizes(own, 256).unwrap().answers, 9_000_000);
        let narrow = format!("{}\nanswer_bytes_max = 9000000", own.replace("'c'", "'builtin:api'"));
        assert_eq!(sizes(&narrow, 256).unwrap().answers, 9_000_000);
    }

    #[test]
    fn a_size_that_is_set_and_does_not_fit_is_refused_whatever_the_memory() {
        for (text, key) in [
            ("bodies_bytes_max = 8388607", "bodies_bytes_max"),
            ("answers_bytes_max = 33558527", "answers_bytes_max"),
            ("guests_bytes_max = 71303167", "guests_bytes_max"),
            ("storage_bytes_max = 1048576\nbody_bytes_max = 1048577", "storage_bytes_max"),
        ] {
            for memory in [64, 65536] {
                let error = sizes(text, memory).unwrap_err();
                assert!(error.starts_with(key) && error.contains("body_bytes_max"), "{error}");
            }
        }
        assert!(sizes("bodies_bytes_max = 8388608\nanswers_bytes_max = 33558528", 1).is_ok());
    }
}
