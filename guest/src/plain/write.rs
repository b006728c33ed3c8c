//! `PUT` and `DELETE` of a key. Each is one change, which ends the call: the storage judges its conditions when
//! it makes it, and the answer follows the commit. A large body stays with the host.

use alloc::borrow::Cow;

use super::answer;
use super::conditions::{Conditions, Demand};
use super::error;
use super::headers::Headers as Given;
use super::memo::{Change, Memo};
use super::path;
use super::query;
use crate::answer::{empty, with_mutation_version};
use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::deferral;
use crate::bindings::larder::guest::kv::{Behavior, SetOptions};
use crate::bindings::larder::guest::requests::{Body, Response};
use crate::bindings::larder::guest::storage::{self, Changes, Outcome};
use crate::error::Error;

/// The field with the time to live.
const TTL: &str = "ttl_ms";

/// Ends the call with a set of the key to the body.
pub fn put(
    namespace: &str,
    key: &str,
    given: &Given,
    query: Option<&str>,
    body: &Body,
) -> Result<Response, Error> {
    if given.content_range.is_some() {
        return Err(error::partial_write());
    }
    let value = match body {
        Body::Complete(value) => value,
        Body::TooLarge(limit) => return Err(Error::payload_too_large(*limit)),
        Body::Unread => return Err(Error::internal("The server kept back the body.")),
    };
    let ttl = ttl(given.ttl_ms.as_deref(), query)?;
    let Demand { behavior, version } = demand(namespace, key, given)?;
    let (changes, options) = (Changes::new(namespace), SetOptions { behavior, version, ttl });
    match value {
        Content::Bytes(bytes) => changes.set(key, bytes, options),
        Content::Blob(blob) => changes.set_blob(key, blob, options),
    }
    end_with(changes, Change::Put, namespace)
}

/// Ends the call with a delete of the key.
pub fn delete(namespace: &str, key: &str, given: &Given) -> Result<Response, Error> {
    let demand = demand(namespace, key, given)?;
    let changes = Changes::new(namespace);
    changes.delete(key, version_to_delete(demand));
    end_with(changes, Change::Delete, namespace)
}

/// Ends the call with a change; [`resume`] answers then, and the host drops the response of this call.
fn end_with(changes: Changes, change: Change, namespace: &str) -> Result<Response, Error> {
    let memo = Memo { change, namespace };
    deferral::defer(changes, &memo.to_bytes())
        .map_err(|error| error::of_storage(&error, name(change), namespace))?;
    Ok(empty(200))
}

/// The name of a change in errors.
fn name(change: Change) -> &'static str {
    match change {
        Change::Put => "put",
        Change::Delete => "delete",
    }
}

/// What the conditions demand. Where that takes the version that the key has, the change demands that the key
/// still has it.
fn demand(namespace: &str, key: &str, given: &Given) -> Result<Demand, Error> {
    let conditions = Conditions::parse(given.if_match.as_deref(), given.if_none_match.as_deref())?;
    if let Some(demand) = conditions.demand() {
        return Ok(demand);
    }
    let found = storage::get(namespace, key)
        .map_err(|error| error::of_storage(&error, "get", namespace))?;
    Ok(conditions.demand_of(found.map_or(0, |entry| entry.version)))
}

/// The version that a key to be deleted must have. That it is there is no condition of a delete, which tells
/// whether it was; that it is not there is met by no key that could be deleted.
fn version_to_delete(demand: Demand) -> Option<u64> {
    match demand.behavior {
        Behavior::Upsert | Behavior::Update => demand.version,
        Behavior::Insert => Some(0),
    }
}

/// The time to live, in a header or in the query.
fn ttl(header: Option<&[u8]>, query: Option<&str>) -> Result<Option<u64>, Error> {
    let [field] = query::fields(query, [TTL])?;
    let header = header.map(|header| path::text(TTL, Cow::Borrowed(header))).transpose()?;
    if header.is_some() && field.is_some() {
        return Err(query::twice(TTL));
    }
    let given = header.or(field);
    given.map(|ttl| query::number(TTL, ttl.trim_ascii(), 1, u64::MAX)).transpose()
}

/// Answers a request whose call ended with a change.
pub fn resume(memo: &Memo<'_>, outcome: Result<Outcome, storage::Error>) -> Response {
    let outcome = outcome.map(|outcome| (outcome.existed(0), outcome.version(0)));
    answer_to(
        memo.change,
        outcome.map_err(|error| {
            let absent = error.current_version() == Some(0);
            (error::of_storage(&error, name(memo.change), memo.namespace), absent)
        }),
    )
}

/// The answer to a change: to one that was made by whether the key was there before, and by its version; to
/// another by its error, and by whether the key is known to be absent.
fn answer_to(change: Change, outcome: Result<(bool, u64), (Error, bool)>) -> Response {
    match (change, outcome) {
        (Change::Put, Ok((existed, version))) => {
            let status = if existed { 204 } else { 201 };
            answer::changed(status, version, Some(answer::etag(version)))
        }
        (Change::Delete, Ok((true, version))) => answer::changed(204, version, None),
        (Change::Delete, Ok((false, version))) => absent(Some(version)),
        // There is nothing that a condition could hold for.
        (Change::Delete, Err((error, true))) => absent(error.mutation_version),
        (_, Err((error, _))) => answer::error(error),
    }
}

/// The answer to a delete of an absent key, with the newest version.
fn absent(newest: Option<u64>) -> Response {
    let response = answer::error(error::absent());
    match newest {
        Some(version) => with_mutation_version(response, version),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first header of this name.
    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        let mut headers = response.headers.iter().filter(|(known, _)| known == name);
        headers.next().map(|(_, value)| value.as_str())
    }

    #[test]
    fn each_outcome_has_its_status_and_its_version() {
        let conflict = || {
            let error = Error::of_code("version-mismatch", Some(9), "put", "n");
            error.with_status(412)
        };
        for (change, outcome, status, tag, version) in [
            (Change::Put, Ok((false, 7)), 201, Some("\"7\""), Some("7")),
            (Change::Put, Ok((true, 7)), 204, Some("\"7\""), Some("7")),
            (Change::Put, Err((conflict(), true)), 412, None, Some("9")),
            (Change::Put, Err((conflict(), false)), 412, None, Some("9")),
            (Change::Delete, Ok((true, 7)), 204, None, Some("7")),
            (Change::Delete, Ok((false, 7)), 404, None, Some("7")),
            (Change::Delete, Err((conflict(), true)), 404, None, Some("9")),
            (Change::Delete, Err((conflict(), false)), 412, None, Some("9")),
            (Change::Delete, Err((Error::unready("x"), false)), 503, None, None),
        ] {
            let response = answer_to(change, outcome);
            assert_eq!(response.status, status);
            assert_eq!(response.body.is_empty(), status < 300, "{status}");
            assert_eq!(header(&response, "etag"), tag, "{status}");
            assert_eq!(header(&response, "diom-mutation-version"), version, "{status}");
            assert_eq!(header(&response, "cache-control"), Some("no-cache"), "{status}");
            assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"), "{status}");
        }
    }

    #[test]
    fn a_time_to_live_is_given_once_and_at_least_1() {
        let ttl = |header: Option<&'static str>, query| ttl(header.map(str::as_bytes), query);
        assert_eq!(ttl(None, None), Ok(None));
        assert_eq!(ttl(None, Some("x=1")), Ok(None));
        assert_eq!(ttl(Some(" 5 "), None), Ok(Some(5)));
        assert_eq!(ttl(None, Some("ttl_ms=5")), Ok(Some(5)));
        assert_eq!(ttl(Some("18446744073709551615"), Some("")), Ok(Some(u64::MAX)));
        for (header, query) in [
            (Some("0"), None),
            (Some(""), None),
            (Some("5, 5"), None),
            (Some("1.5"), None),
            (Some("\u{661}"), None),
            (None, Some("ttl_ms=0")),
            (None, Some("ttl_ms=")),
            (None, Some("ttl_ms")),
            (None, Some("ttl_ms=-1")),
            (None, Some("ttl_ms=18446744073709551616")),
            (None, Some("ttl_ms=5&ttl_ms=5")),
            (Some("5"), Some("ttl_ms=5")),
        ] {
            let error = ttl(header, query).expect_err("wrong");
            let found = (error.status, error.location.as_deref());
            assert_eq!(found, (422, Some("ttl_ms")), "{header:?} {query:?}");
        }
        assert_eq!(ttl(None, Some("ttl_ms=%")).expect_err("no escape").status, 400);
    }

    #[test]
    fn a_delete_demands_versions_and_no_presence() {
        let demand = |behavior, version| version_to_delete(Demand { behavior, version });
        assert_eq!(demand(Behavior::Upsert, None), None);
        assert_eq!(demand(Behavior::Upsert, Some(7)), Some(7));
        assert_eq!(demand(Behavior::Update, None), None);
        assert_eq!(demand(Behavior::Insert, None), Some(0));
    }
}
