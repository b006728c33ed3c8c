//! `v1.kv.list`: a page of a namespace's entries in the order of their keys.

use alloc::vec::Vec;

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, ListOptions, ListedEntry, Page};
use crate::call::Call;
use crate::codec;
use crate::encoder::{self, Encoder};
use crate::error::Error;
use crate::options::{Bound, Flag, Limit, Namespace, Parse};

/// Entries of a page where a request does not say.
pub const LIMIT: u32 = 100;
/// Bytes of an encoded entry without key and value, about.
const ENTRY_BYTES: usize = 64;

/// Decodes and validates the body.
pub fn decode(
    body: &[u8],
    encoding: Encoding,
) -> Result<(Option<Namespace<'_>>, ListOptions), Error> {
    let names = &["namespace", "prefix", "after", "limit", "reverse", "values"];
    let [namespace, prefix, after, limit, reverse, values] = codec::decode(body, encoding, names)?;
    let namespace = Namespace::parse(namespace)?;
    let options = ListOptions {
        prefix: Bound::parse(prefix)?.map_or_else(Default::default, |prefix| prefix.0.into_owned()),
        after: Bound::parse(after)?.map(|after| after.0.into_owned()),
        limit: Limit::parse(limit)?.map_or(LIMIT, |limit| limit.0),
        reverse: Flag::parse(reverse)?.is_some_and(|reverse| reverse.0),
        values: Flag::parse(values)?.is_some_and(|values| values.0),
    };
    Ok((namespace, options))
}

/// Reads the page.
pub fn run(call: &Call<'_>) -> Result<Response, Error> {
    let (namespace, options) = decode(call.body, call.received)?;
    let namespace = Namespace::resolve(namespace.as_ref())?;
    let page = storage::list_entries(namespace, &options)
        .map_err(|error| Error::of_storage(&error, "list", namespace))?;
    let encoder = encode(page, options.values, call.answer);
    Ok(answer::parts(200, call.answer, encoder.into_parts()))
}

/// Encodes a page, in which each entry has a value if `values` were asked for.
pub fn encode(page: Page, values: bool, encoding: Encoding) -> Encoder {
    let mut encoder = Encoder::new(encoding, encoded_bytes(&page.entries));
    encoder.begin_map(3);
    encoder.name("entries");
    encoder.begin_array(page.entries.len());
    for entry in page.entries {
        encode_entry(&mut encoder, entry, values);
    }
    encoder.end_array();
    encoder.name("after");
    encoder.optional_text(page.after.as_deref());
    encoder.name("newest");
    encoder.number(page.newest);
    encoder.end_map();
    encoder
}

/// Encodes a page's entries as JSON, a line for each, without values.
pub fn encode_lines(entries: Vec<ListedEntry>) -> Encoder {
    let mut encoder = Encoder::new(Encoding::Json, encoded_bytes(&entries));
    for entry in entries {
        encode_entry(&mut encoder, entry, false);
        encoder.end_line();
    }
    encoder
}

/// What entries take when they are encoded, about.
fn encoded_bytes(entries: &[ListedEntry]) -> usize {
    let bytes = |entry: &ListedEntry| {
        let value = entry.value.as_ref().map_or(0, encoder::content_bytes);
        ENTRY_BYTES + entry.key.len() + value
    };
    entries.iter().map(bytes).sum()
}

fn encode_entry(encoder: &mut Encoder, entry: ListedEntry, values: bool) {
    let ListedEntry { key, version, expiry, value, corrupt } = entry;
    encoder.begin_map(3 + usize::from(values) + usize::from(corrupt));
    encoder.name("key");
    encoder.text(&key);
    encoder.name("version");
    encoder.number(version);
    encoder.name("expiry");
    encoder.optional_number(expiry);
    if values {
        encoder.name("value");
        encoder.optional_content(value);
    }
    if corrupt {
        encoder.name("corrupt");
        encoder.flag(true);
    }
    encoder.end_map();
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;
    use alloc::vec;

    use super::*;
    use crate::bindings::larder::guest::blobs::Content;

    const ENTRIES: [&str; 3] = [
        r#"{"key":"a","version":3,"expiry":null}"#,
        r#"{"key":"b\"\né","version":4,"expiry":5}"#,
        r#"{"key":"c","version":0,"expiry":null,"corrupt":true}"#,
    ];

    fn page() -> Page {
        let entry = |key: &str, version, expiry, corrupt| {
            let key = key.to_owned();
            ListedEntry { key, version, expiry, value: None, corrupt }
        };
        let entries = vec![
            entry("a", 3, None, false),
            entry("b\"\n\u{e9}", 4, Some(5), false),
            entry("c", 0, None, true),
        ];
        Page { entries, after: None, newest: 9 }
    }

    fn text(encoder: Encoder) -> Vec<u8> {
        match &encoder.into_parts()[..] {
            [Content::Bytes(bytes)] => bytes.clone(),
            _ => panic!("it is in several parts"),
        }
    }

    #[test]
    fn lines_have_the_entries_of_the_document() {
        let entries = ENTRIES.join(",");
        let document = format!(r#"{{"entries":[{entries}],"after":null,"newest":9}}"#);
        assert_eq!(text(encode(page(), false, Encoding::Json)), document.as_bytes());
        let lines: Vec<_> = ENTRIES.iter().map(|entry| format!("{entry}\n")).collect();
        assert_eq!(text(encode_lines(page().entries)), lines.concat().as_bytes());
        assert_eq!(text(encode_lines(vec![])), b"");
    }
}
