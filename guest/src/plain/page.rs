//! `GET /kv/NAMESPACE/`: a page of the namespace's keys in their order, as one JSON document or with a line for
//! each entry. Lines have no place for what the document says besides, so that stands in headers.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use larder_wire::Encoding;

use super::answer::Headers;
use super::error;
use super::percent;
use super::query;
use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, ListOptions, ListedEntry, Page};
use crate::error::Error;

/// A line for each entry.
const LINES: &str = "application/x-ndjson";
/// Where lines are asked for: the key to go on after, percent-encoded; absent at the end.
const AFTER: &str = "larder-after";
/// Where lines are asked for: the newest version of the server.
const NEWEST: &str = "larder-newest";
/// Both of them, for pages of other origins, as far as the host lets those read the answer.
const EXPOSED: &str = "larder-after, larder-newest";
/// Entries of a page.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1000;
/// Longest prefix and longest cursor, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Bytes that an entry takes besides its key, and a page besides its entries.
const ENTRY_BYTES: usize = 64;

/// Answers with a page.
pub fn run(namespace: &str, query: Option<&str>, accept: Option<&str>) -> Result<Response, Error> {
    let options = options(query)?;
    let page = storage::list_entries(namespace, &options)
        .map_err(|error| error::of_storage(&error, "list", namespace))?;
    let in_lines = accept
        .is_some_and(|accept| Encoding::is_preferred(LINES, Encoding::Json.content_type(), accept));
    let mut headers = Headers::of_every_answer();
    let body = if in_lines {
        headers.add("content-type", LINES);
        headers.add(NEWEST, page.newest.to_string());
        headers.add("access-control-expose-headers", EXPOSED);
        if let Some(after) = &page.after {
            headers.add(AFTER, percent::encode(after.as_bytes()));
        }
        lines(&page)
    } else {
        headers.add("content-type", Encoding::Json.content_type());
        document(&page)
    };
    Ok(headers.into_response(200, vec![Content::Bytes(body)]))
}

/// What the query asks for.
fn options(query: Option<&str>) -> Result<ListOptions, Error> {
    let [prefix, after, limit] = query::fields(query, ["prefix", "after", "limit"])?;
    for (name, text) in [("prefix", &prefix), ("after", &after)] {
        if text.as_ref().is_some_and(|text| text.len() > NAME_BYTES_MAX) {
            return Err(Error::invalid_data(name, "Expected at most 256 bytes."));
        }
    }
    let limit = limit.map(|limit| query::number("limit", &limit, 1, LIMIT_MAX)).transpose()?;
    Ok(ListOptions {
        prefix: prefix.map_or_else(Default::default, Cow::into_owned),
        after: after.map(Cow::into_owned),
        limit: limit.unwrap_or(LIMIT) as u32,
        reverse: false,
        values: false,
    })
}

/// A page as one document.
fn document(page: &Page) -> Vec<u8> {
    let mut body = Vec::with_capacity(ENTRY_BYTES * (2 + page.entries.len()));
    body.extend_from_slice(b"{\"entries\":[");
    for (at, listed) in page.entries.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        entry(&mut body, listed);
    }
    body.extend_from_slice(b"],\"after\":");
    match &page.after {
        None => body.extend_from_slice(b"null"),
        Some(after) => text(&mut body, after),
    }
    body.extend_from_slice(b",\"newest\":");
    body.extend_from_slice(page.newest.to_string().as_bytes());
    body.push(b'}');
    body
}

/// A page as a line for each entry.
fn lines(page: &Page) -> Vec<u8> {
    let mut body = Vec::with_capacity(ENTRY_BYTES * (1 + page.entries.len()));
    for listed in &page.entries {
        entry(&mut body, listed);
        body.push(b'\n');
    }
    body
}

fn entry(out: &mut Vec<u8>, entry: &ListedEntry) {
    out.extend_from_slice(b"{\"key\":");
    text(out, &entry.key);
    out.extend_from_slice(b",\"version\":");
    out.extend_from_slice(entry.version.to_string().as_bytes());
    out.extend_from_slice(b",\"expiry\":");
    match entry.expiry {
        None => out.extend_from_slice(b"null"),
        Some(expiry) => out.extend_from_slice(expiry.to_string().as_bytes()),
    }
    if entry.corrupt {
        out.extend_from_slice(b",\"corrupt\":true");
    }
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, text: &str) {
    // A string always has a form in JSON.
    out.extend_from_slice(&serde_json::to_vec(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    fn page(after: Option<&str>) -> Page {
        let entry = |key: &str, version, expiry, corrupt| ListedEntry {
            key: key.to_owned(),
            version,
            expiry,
            value: None,
            corrupt,
        };
        let entries = vec![
            entry("a", 3, None, false),
            entry("b\"\n\u{e9}", 4, Some(5), false),
            entry("c", 0, None, true),
        ];
        Page { entries, after: after.map(ToOwned::to_owned), newest: 9 }
    }

    const ENTRIES: [&str; 3] = [
        r#"{"key":"a","version":3,"expiry":null}"#,
        r#"{"key":"b\"\né","version":4,"expiry":5}"#,
        r#"{"key":"c","version":0,"expiry":null,"corrupt":true}"#,
    ];

    #[test]
    fn a_page_is_a_document_or_lines_with_the_same_entries() {
        let entries = ENTRIES.join(",");
        for (after, told) in [(None, "null"), (Some("\""), r#""\"""#)] {
            let wanted = alloc::format!(r#"{{"entries":[{entries}],"after":{told},"newest":9}}"#);
            assert_eq!(document(&page(after)), wanted.as_bytes());
        }
        let wanted: Vec<_> = ENTRIES.iter().map(|entry| alloc::format!("{entry}\n")).collect();
        assert_eq!(lines(&page(None)), wanted.concat().as_bytes());
        let empty = Page { entries: vec![], after: None, newest: 0 };
        assert_eq!(document(&empty), br#"{"entries":[],"after":null,"newest":0}"#);
        assert_eq!(lines(&empty), b"");
    }

    #[test]
    fn the_query_says_which_keys_and_how_many() {
        let given =
            options(Some("prefix=a+b%2F&after=a+b%2F%C3%A9&limit=1000&x=1")).expect("valid");
        let told = (&*given.prefix, given.after.as_deref(), given.limit);
        assert_eq!(told, ("a b/", Some("a b/\u{e9}"), 1000));
        let given = options(None).expect("valid");
        assert_eq!((&*given.prefix, given.after, given.limit), ("", None, 100));
        assert!(!given.reverse && !given.values);
        let long = "%C3%A9".repeat(128);
        assert!(options(Some(&alloc::format!("prefix={long}&after={long}"))).is_ok());
        for (query, status, location) in [
            ("limit=0", 422, Some("limit")),
            ("limit=1001", 422, Some("limit")),
            ("limit=", 422, Some("limit")),
            ("limit=1&limit=1", 422, Some("limit")),
            ("prefix=%FF", 422, Some("prefix")),
            ("after=%FF", 422, Some("after")),
            (&alloc::format!("prefix={long}a"), 422, Some("prefix")),
            (&alloc::format!("after={long}a"), 422, Some("after")),
            ("prefix=%", 400, None),
        ] {
            let error = options(Some(query)).expect_err(query);
            assert_eq!((error.status, error.location.as_deref()), (status, location), "{query}");
        }
    }
}
