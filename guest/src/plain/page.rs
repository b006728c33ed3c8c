//! `GET /kv/NAMESPACE/`: a page of the namespace's keys in their order, as one JSON document or with a line for
//! each entry. Lines have no place for what the document says besides, so that stands in headers.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use larder_wire::Encoding;

use super::answer::Headers;
use super::error;
use super::percent;
use super::query;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::storage::{self, ListOptions};
use crate::codec::{Field, Node};
use crate::endpoint::list;
use crate::error::Error;
use crate::options::{Bound, Parse};

/// A line for each entry.
const LINES: &str = "application/x-ndjson";
/// Where lines are asked for: the key to go on after, percent-encoded; absent at the end.
const AFTER: &str = "larder-after";
/// Where lines are asked for: the newest version of the server.
const NEWEST: &str = "larder-newest";
/// Both of them, for pages of other origins, as far as the host lets those read the answer.
const EXPOSED: &str = "larder-after, larder-newest";
/// Most entries of a page.
const LIMIT_MAX: u64 = 1000;

/// Answers with a page.
pub fn run(namespace: &str, query: Option<&str>, accept: Option<&str>) -> Result<Response, Error> {
    let options = options(query)?;
    let page = storage::list_entries(namespace, &options)
        .map_err(|error| error::of_storage(&error, "list", namespace))?;
    let in_lines = accept
        .is_some_and(|accept| Encoding::is_preferred(LINES, Encoding::Json.content_type(), accept));
    let mut headers = Headers::of_every_answer();
    let encoder = if in_lines {
        headers.add("content-type", LINES);
        headers.add(NEWEST, page.newest.to_string());
        headers.add("access-control-expose-headers", EXPOSED);
        if let Some(after) = &page.after {
            headers.add(AFTER, percent::encode(after.as_bytes()));
        }
        list::encode_lines(page.entries)
    } else {
        headers.add("content-type", Encoding::Json.content_type());
        list::encode(page, false, Encoding::Json)
    };
    Ok(headers.into_response(200, encoder.into_parts()))
}

/// What the query asks for.
fn options(query: Option<&str>) -> Result<ListOptions, Error> {
    let [prefix, after, limit] = query::fields(query, ["prefix", "after", "limit"])?;
    let limit = limit.map(|limit| query::number("limit", &limit, 1, LIMIT_MAX)).transpose()?;
    Ok(ListOptions {
        prefix: bound("prefix", prefix)?.unwrap_or_default(),
        after: bound("after", after)?,
        limit: limit.map_or(list::LIMIT, |limit| limit as u32),
        reverse: false,
        values: false,
    })
}

/// A prefix or a cursor under the rule of the API.
fn bound(name: &'static str, text: Option<Cow<'_, str>>) -> Result<Option<String>, Error> {
    let bound = Bound::parse(Field { name, node: text.map(Node::Text) })?;
    Ok(bound.map(|bound| bound.0.into_owned()))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

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
        assert!(options(Some(&format!("prefix={long}&after={long}"))).is_ok());
        for (query, status, location) in [
            ("limit=0", 422, Some("limit")),
            ("limit=1001", 422, Some("limit")),
            ("limit=", 422, Some("limit")),
            ("limit=1&limit=1", 422, Some("limit")),
            ("prefix=%FF", 422, Some("prefix")),
            ("after=%FF", 422, Some("after")),
            (&format!("prefix={long}a"), 422, Some("prefix")),
            (&format!("after={long}a"), 422, Some("after")),
            ("prefix=%", 400, None),
        ] {
            let error = options(Some(query)).expect_err(query);
            assert_eq!((error.status, error.location.as_deref()), (status, location), "{query}");
        }
    }
}
