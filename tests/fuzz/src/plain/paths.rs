//! Paths and queries: what was encoded in any mix of escapes is what is decoded. Knows no header.

use larder_api::error::Error;
use larder_api::plain::path::Target;
use larder_api::plain::{percent, query};

use crate::choices::Choices;

/// A reader of paths under test.
pub type OfPath = for<'a> fn(&'a str) -> Result<Option<Target<'a>>, Error>;

/// The one that the guest uses.
pub const GUEST: OfPath = |path| Target::of_path(path);

/// Longest names in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Characters of names: marks of paths and queries, controls, and some of more bytes.
const CHARS: &[char] = &[
    'k',
    '/',
    '.',
    '%',
    '+',
    ' ',
    '&',
    '=',
    '?',
    '#',
    '\0',
    '\u{7f}',
    '\u{e9}',
    '\u{20ac}',
    '\u{1f600}',
];

/// Tries a path as it came: what it names, it names again when it is written in another form.
pub fn judge_text(path: &[u8], read: OfPath) -> Result<(), String> {
    let Ok(path) = std::str::from_utf8(path) else {
        return Ok(());
    };
    let (namespace, key) = match read(path) {
        Ok(None) if !path.contains('/') => return Ok(()),
        Ok(None) => return Err("it names nothing".to_owned()),
        Ok(Some(Target::Key { namespace, key })) => (namespace, key),
        Ok(Some(Target::Keys(namespace))) => (namespace, "".into()),
        Err(error) => return refused(&error, &["namespace", "key"]),
    };
    let again = [&namespace, &key].map(|text| percent::encode(text.as_bytes())).join("/");
    names(&again, &namespace, &key, read)
}

/// Encodes a namespace and a key, and wants them back.
pub fn judge_made(choices: &mut Choices<'_>, read: OfPath) -> Result<(), String> {
    let mut namespace = String::new();
    for _ in 0..=choices.below(6) {
        namespace.push(choices.one_of(&['n', 'Z', '0', '-', '/', '_', '.', '=', '+']));
    }
    if choices.rarely(16) {
        namespace = "n".repeat(NAME_BYTES_MAX);
    }
    let key = text(choices);
    let path = format!("{}/{}", encoded(choices, &namespace, "/%"), encoded(choices, &key, "%"));
    if key.len() <= NAME_BYTES_MAX {
        return names(&path, &namespace, &key, read);
    }
    match read(&path) {
        Err(error) => refused(&error, &["key"]),
        Ok(found) => Err(format!("a key of {} bytes was taken: {found:?}", key.len())),
    }
}

fn names(path: &str, namespace: &str, key: &str, read: OfPath) -> Result<(), String> {
    let wanted = match key {
        "" => Target::Keys(namespace.into()),
        _ => Target::Key { namespace: namespace.into(), key: key.into() },
    };
    match read(path) {
        Ok(Some(found)) if found == wanted => Ok(()),
        found => Err(format!("{path} is {found:?}, not {wanted:?}")),
    }
}

/// Tries a query as it came.
pub fn judge_query_text(query: &[u8]) -> Result<(), String> {
    let Ok(query) = std::str::from_utf8(query) else {
        return Ok(());
    };
    let fields = match query::fields(Some(query), ["prefix", "limit"]) {
        Ok(fields) => fields,
        Err(error) => return refused(&error, &["prefix", "limit"]),
    };
    let Some(limit) = &fields[1] else {
        return Ok(());
    };
    match query::number("limit", limit, 1, 1000) {
        Err(error) => refused(&error, &["limit"]),
        Ok(number) if limit.trim_start_matches('0') == number.to_string() && number <= 1000 => {
            Ok(())
        }
        Ok(number) => Err(format!("{limit:?} is {number}")),
    }
}

/// Encodes fields, and wants them back.
pub fn judge_query_made(choices: &mut Choices<'_>) -> Result<(), String> {
    let wanted = [text(choices), text(choices)];
    let mut pairs = Vec::new();
    for (name, value) in ["prefix", "b c"].into_iter().zip(&wanted) {
        let [name, value] = [name, value].map(|part| {
            // A space may be a plus, which then has to be escaped.
            encoded(choices, part, "%&=+ ").replace("%20", choices.one_of(&["%20", "+"]))
        });
        pairs.push(format!("{name}={value}"));
    }
    if choices.below(2) == 1 {
        pairs.insert(choices.below(3), "x=%FF".to_owned());
    }
    let query = pairs.join("&");
    match query::fields(Some(&query), ["prefix", "b c"]) {
        Ok([Some(prefix), Some(other)]) if [&*prefix, &*other] == wanted => Ok(()),
        found => Err(format!("{query} is {found:?}, not {wanted:?}")),
    }
}

fn text(choices: &mut Choices<'_>) -> String {
    if choices.rarely(16) {
        return choices.one_of(&["k", "\u{e9}"]).repeat(choices.one_of(&[128, 129, 256, 257]));
    }
    (0..choices.below(12)).map(|_| choices.one_of(CHARS)).collect()
}

/// The text with the characters in `always` escaped, and any others, in digits of either case.
fn encoded(choices: &mut Choices<'_>, text: &str, always: &str) -> String {
    let mut path = String::new();
    for char in text.chars() {
        if !always.contains(char) && choices.below(2) == 0 {
            path.push(char);
            continue;
        }
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            path += &match choices.below(2) {
                0 => format!("%{byte:02X}"),
                _ => format!("%{byte:02x}"),
            };
        }
    }
    path
}

fn refused(error: &Error, places: &[&str]) -> Result<(), String> {
    match (error.status, error.location.as_deref()) {
        (400, None) => Ok(()),
        (422, Some(place)) if places.contains(&place) => Ok(()),
        _ => Err(format!("refused with {error:?}")),
    }
}
