//! The short forms of the targets: the corpus, and 20,000 mutations of it that a seed determines; each
//! with controls that plant what the target must notice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use fastrand::Rng;
use larder::config::{Config, ConfigError};
use larder::storage::lmdb::layout::{Damaged, Record};
use larder::tools::data::lines::Item;
use larder_api::codec::{Field, Node};
use larder_api::error::Error;
use larder_api::partial_body::{ElidedRange, PartialBody};
use larder_api::plain::conditions::Conditions;
use larder_api::plain::path::Target as Named;
use larder_api::plain::range::Part;
use larder_fuzz::fields::{self, FIELDS};
use larder_fuzz::requests::Endpoint;
use larder_fuzz::{Target, config, corpus, import, json, layout, msgpack, mutate, plain, requests};
use larder_wire::Encoding;

const MUTATIONS: usize = 20_000;

/// The inputs of the short form: of the corpus first, then mutations of it.
fn inputs(target: &Target) -> impl Iterator<Item = Vec<u8>> {
    let corpus = corpus(target).unwrap();
    assert!(corpus.len() > 20, "{} files for {}", corpus.len(), target.name);
    let (mut rng, bytes_max) = (Rng::with_seed(1), target.input_bytes_max);
    let begin = corpus.clone();
    let mutations = (0..MUTATIONS).map(move |_| mutate::mutated(&mut rng, &corpus, bytes_max));
    begin.into_iter().chain(mutations)
}

fn holds(target: &Target) {
    for input in inputs(target) {
        let told = (target.judge)(&input);
        assert_eq!(told, Ok(()), "{}: {}", target.name, input.escape_ascii());
    }
}

/// What a judge with a fault planted says first.
fn first_fault(target: &Target, judge: impl Fn(&[u8]) -> Result<(), String>) -> String {
    inputs(target).find_map(|input| judge(&input).err()).unwrap_or_default()
}

#[test]
fn json_is_read_as_the_oracles_read_it() {
    holds(&json::TARGET);
}

#[test]
fn msgpack_is_read_as_the_oracles_read_it() {
    holds(&msgpack::TARGET);
}

#[test]
fn requests_are_alike_in_both_encodings_and_within_their_bounds() {
    holds(&requests::TARGET);
}

#[test]
fn urls_and_headers_of_the_plain_face_stand_for_what_they_say() {
    holds(&plain::TARGET);
}

#[test]
fn stored_bytes_come_back_and_changes_are_told() {
    holds(&layout::TARGET);
}

#[test]
fn imports_are_refused_or_written_again_alike() {
    holds(&import::TARGET);
}

#[test]
fn configurations_are_refused_or_within_their_ranges() {
    holds(&config::TARGET);
}

type Decoded<'a> = Result<[Field<'a>; FIELDS], Error>;

/// Takes a document for well-formed though a byte follows it.
fn trailing_byte_taken(body: &[u8], encoding: Encoding) -> Decoded<'_> {
    let found = fields::decode(body, encoding);
    match body.split_last() {
        Some((_, shorter)) if found.is_err() => fields::decode(shorter, encoding).or(found),
        _ => found,
    }
}

/// Takes the second of two equal fields for the one that counts.
fn place_told_wrong(body: &[u8], encoding: Encoding) -> Decoded<'_> {
    fields::decode(body, encoding).map_err(|error| match error.location.as_deref() {
        Some("version") => Error::invalid_data("key", "The field is there twice."),
        _ => error,
    })
}

/// Reads one number wrongly.
fn number_misread(body: &[u8], encoding: Encoding) -> Decoded<'_> {
    let mut found = fields::decode(body, encoding)?;
    for field in &mut found {
        if field.node == Some(Node::Unsigned(u64::MAX)) {
            field.node = Some(Node::Unsigned(u64::MAX - 1));
        }
    }
    Ok(found)
}

#[test]
fn decoders_that_are_wrong_are_noticed() {
    type Planted = (fn(&[u8], Encoding) -> Decoded<'_>, &'static str);
    let planted: [Planted; 3] = [
        (trailing_byte_taken, "wanted Malformed, found fields"),
        (place_told_wrong, "version"),
        (number_misread, "18446744073709551614"),
    ];
    for (decoder, said) in planted {
        let told = first_fault(&json::TARGET, |body| json::judge(body, &decoder));
        assert!(told.contains(said), "json, {said}: {told}");
        let told = first_fault(&msgpack::TARGET, |body| msgpack::judge(body, &decoder));
        assert!(told.contains(said), "msgpack, {said}: {told}");
    }
}

/// Finds the large binary a byte too late.
fn wrong_offset(body: &[u8], head: u64) -> Option<PartialBody> {
    let found = msgpack::read_partially(body, head)?;
    let elided = ElidedRange { offset: found.elided.offset + 1, ..found.elided };
    Some(PartialBody { elided, ..found })
}

/// Forgets what follows the large binary.
fn rest_forgotten(body: &[u8], head: u64) -> Option<PartialBody> {
    let mut found = msgpack::read_partially(body, head)?;
    found.bytes.truncate(found.elided.partial_offset);
    Some(found)
}

#[test]
fn readers_of_partial_bodies_that_are_wrong_are_noticed() {
    type Planted = (fn(&[u8], u64) -> Option<PartialBody>, &'static str);
    let planted: [Planted; 2] =
        [(wrong_offset, "with ElidedRange"), (rest_forgotten, "Something follows")];
    for (reader, said) in planted {
        let told = first_fault(&msgpack::TARGET, |body| msgpack::judge_partial(body, &reader));
        assert!(told.contains(said), "{said}: {told}");
    }
}

type Told = Result<String, Error>;

/// Takes an array with one element too many.
fn bound_missed(endpoint: Endpoint, body: &[u8], encoding: Encoding) -> Told {
    requests::decode(endpoint, body, encoding).or_else(|error| match &*error.detail {
        "Expected 1 to 1000 keys, found 1001." => Ok("keys".to_owned()),
        _ => Err(error),
    })
}

/// Refuses the largest page.
fn bound_too_narrow(endpoint: Endpoint, body: &[u8], encoding: Encoding) -> Told {
    let told = requests::decode(endpoint, body, encoding)?;
    if told.contains("limit: 1000,") {
        return Err(Error::invalid_data("limit", "It is too large."));
    }
    Ok(told)
}

/// Tells in one encoding that an element is wrong, and not which.
fn element_untold(endpoint: Endpoint, body: &[u8], encoding: Encoding) -> Told {
    requests::decode(endpoint, body, encoding).map_err(|error| match error.location.as_deref() {
        Some("keys[0]") if encoding == Encoding::MessagePack => {
            Error::invalid_data("keys", error.detail.clone())
        }
        _ => error,
    })
}

/// Loses the sign of numbers in one encoding.
fn sign_lost(endpoint: Endpoint, body: &[u8], encoding: Encoding) -> Told {
    let told = requests::decode(endpoint, body, encoding)?;
    Ok(if encoding == Encoding::Json { told.replace("initial: -", "initial: ") } else { told })
}

#[test]
fn decoders_of_requests_that_are_wrong_are_noticed() {
    type Planted = (fn(Endpoint, &[u8], Encoding) -> Told, &'static str);
    let planted: [Planted; 4] = [
        (bound_missed, "GetMany took what it must refuse"),
        (bound_too_narrow, "List refused what is in order"),
        (element_untold, "\"keys\""),
        (sign_lost, ": JSON in "),
    ];
    for (decoder, said) in planted {
        let told = first_fault(&requests::TARGET, |input| requests::judge(input, &decoder));
        assert!(told.contains(said), "{said}: {told}");
    }
}

/// Takes a plus in a key for a space.
fn plus_misread(path: &str) -> Result<Option<Named<'_>>, Error> {
    Ok(match Named::of_path(path)? {
        Some(Named::Key { namespace, key }) => {
            Some(Named::Key { namespace, key: key.replace('+', " ").into() })
        }
        other => other,
    })
}

/// Gives the last byte of a part away.
fn end_missed(range: Option<&[u8]>, total: u64) -> Part {
    match Part::of(range, total) {
        Part::Bytes { offset, length: length @ 2.. } => Part::Bytes { offset, length: length - 1 },
        other => other,
    }
}

/// Takes weak tags for strong ones.
fn weak_taken(first: Option<&[u8]>, second: Option<&[u8]>) -> Result<Conditions, Error> {
    let strong = |header: &[u8]| {
        header.iter().copied().filter(|byte| *byte != b'W' && *byte != b'/').collect()
    };
    let [first, second]: [Option<Vec<u8>>; 2] = [first, second].map(|header| header.map(strong));
    Conditions::parse(first.as_deref(), second.as_deref())
}

#[test]
fn readers_of_the_plain_face_that_are_wrong_are_noticed() {
    let guest = plain::Face::GUEST;
    let planted = [
        (plain::Face { path: plus_misread, ..guest }, "not Key"),
        (plain::Face { range: end_missed, ..guest }, "not Bytes"),
        (plain::Face { tags: weak_taken, ..guest }, "(true, true), not false"),
    ];
    for (face, said) in planted {
        let told = first_fault(&plain::TARGET, |input| plain::judge(input, &face));
        assert!(told.contains(said), "{said}: {told}");
    }
}

/// A reader of records that does not look at the checksum.
fn checksum_not_looked_at<'a>(key: &[u8], stored: &'a [u8]) -> Result<Record<'a>, Damaged> {
    let good = Record::decode(key, stored);
    let header = if stored.first() == Some(&0x11) { 22 } else { 16 };
    match stored.get(header..) {
        Some(value) if good.is_err() && key.len() <= 260 && matches!(stored[0], 1 | 0x11) => {
            let number =
                |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let expiry = (header == 22).then(|| larder::clock::Millis(number(&stored[8..14])));
            let version = larder::storage::Version(number(&stored[1..8]));
            Ok(Record { version, expiry, value })
        }
        _ => good,
    }
}

#[test]
fn a_record_whose_checksum_is_not_looked_at_is_noticed() {
    let flipped = |told: &String| told.contains("was flipped, and it was not told");
    let told = inputs(&layout::TARGET)
        .find_map(|input| layout::judge(&input, &checksum_not_looked_at).err().filter(flipped));
    assert!(told.is_some());
}

#[test]
fn imports_that_lose_or_take_too_much_are_noticed() {
    let lossy = |text: &[u8]| {
        let mut export = import::read(text)?;
        export.items.retain(|item| !matches!(item, Item::Entry { expiry: Some(_), .. }));
        Ok(export)
    };
    let told = first_fault(&import::TARGET, |input| import::judge(input, &lossy));
    assert!(told.contains("lines became"), "{told}");
    let credulous = |text: &[u8]| {
        import::read(text).or_else(|error| {
            // What stands before the last line, with a digest that fits.
            let lines = text.trim_ascii_end();
            let body = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if error.contains("not what was exported") {
                import::read(&import::sealed(&text[..body]))
            } else {
                Err(error)
            }
        })
    };
    let told = first_fault(&import::TARGET, |input| import::judge(input, &credulous));
    assert!(told.contains("without a digest that fits"), "{told}");
}

fn resolve(text: &str) -> Result<Config, ConfigError> {
    Config::of_text(text, Path::new("dir"))
}

#[test]
fn configurations_out_of_their_ranges_are_noticed() {
    let unchecked = |text: &str| {
        resolve(text).or_else(|error| {
            let lax = text.replace("calls_max = 0", "calls_max = 1");
            let mut config = resolve(&lax).map_err(|_| error)?;
            config.http.calls_max -= 1;
            Ok(config)
        })
    };
    let told = first_fault(&config::TARGET, |text| config::judge(text, &unchecked));
    assert!(told.contains("calls_max is 0, not from 1"), "{told}");
    let exposed = |text: &str| {
        let mut config = resolve(text)?;
        config.tls = None;
        Ok(config)
    };
    let told = first_fault(&config::TARGET, |text| config::judge(text, &exposed));
    assert!(told.contains("in the clear"), "{told}");
}

#[test]
fn origins_that_nobody_listed_are_noticed() {
    let open = |text: &str| {
        let mut config = resolve(text)?;
        for mount in &mut config.mounts {
            mount.cors_origins = "*".parse().unwrap_or_default();
        }
        Ok(config)
    };
    let told = first_fault(&config::TARGET, |text| config::judge(text, &open));
    assert!(told.contains("origins are"), "{told}");
}
