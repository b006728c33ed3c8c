//! An example guest: counts visits of pages.
//!
//! `POST /visits/PAGE` counts one visit, `GET /visits/PAGE` tells how many there were; both answer
//! JSON. The count is kept by compare-and-set, so that no visit is lost however many instances
//! count at once. `?namespace=NAME` looks into another namespace, which the mount must allow.

mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated code; documented in wit/")]
    wit_bindgen::generate!({ path: "../../wit", world: "handler", generate_all });
}

use bindings::exports::larder::guest::incoming_handler::Guest;
use bindings::larder::guest::blobs::Content;
use bindings::larder::guest::kv::{Behavior, SetOptions};
use bindings::larder::guest::requests::{self, Method, Request, Response};
use bindings::larder::guest::storage::{self, Changes};

/// The namespace that the mount is expected to grant.
const NAMESPACE: &str = "visits";

struct Visits;

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "exported symbols")]
mod export {
    use super::{Visits, bindings};
    bindings::export!(Visits with_types_in bindings);
}

impl Guest for Visits {
    fn handle(request: Request) -> Response {
        let prefix = requests::prefix();
        let page = request.path.strip_prefix(&prefix).unwrap_or_default().trim_matches('/');
        if page.is_empty() {
            return answer(404, r#"{"error":"name a page: /visits/PAGE"}"#.to_owned());
        }
        let query = request.query.as_deref().unwrap_or_default();
        let namespace = query.strip_prefix("namespace=").unwrap_or(NAMESPACE);
        let counted = match request.method {
            Method::Get => visits(namespace, page).map(|(visits, _)| visits),
            Method::Post => count(namespace, page),
            _ => return answer(405, r#"{"error":"GET or POST"}"#.to_owned()),
        };
        match counted {
            Ok(visits) => answer(200, format!(r#"{{"visits":{visits}}}"#)),
            Err(Failure::Storage(error)) => refused(&error, namespace, page),
            Err(Failure::NoNumber) => {
                eprintln!("{page} does not hold a number");
                answer(500, r#"{"error":"counting failed"}"#.to_owned())
            }
        }
    }
}

/// Why a page's visits are not known.
enum Failure {
    /// The storage did not do what it was asked.
    Storage(storage::Error),
    /// The stored value is not a count.
    NoNumber,
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        Failure::Storage(error)
    }
}

/// The answer to an error of the storage, by its code. Later versions may have more codes than these, so
/// that there is an answer to all others.
fn refused(error: &storage::Error, namespace: &str, page: &str) -> Response {
    match &*error.code() {
        "denied" => {
            answer(403, format!(r#"{{"error":"the namespace '{namespace}' was not granted"}}"#))
        }
        "unavailable" | "full" => {
            answer(503, r#"{"error":"visits cannot be counted now"}"#.to_owned())
        }
        code => {
            // Goes to the server's log, under this guest's name.
            eprintln!("counting {page} failed: {code}: {}", error.message());
            answer(500, r#"{"error":"counting failed"}"#.to_owned())
        }
    }
}

/// The count of a page and the version that it was read at; 0 and 0 when nobody came yet.
fn visits(namespace: &str, page: &str) -> Result<(u64, u64), Failure> {
    let Some(entry) = storage::get(namespace, page)? else {
        return Ok((0, 0));
    };
    let text = match entry.value {
        Content::Bytes(bytes) => bytes,
        Content::Blob(blob) => blob.read(0, blob.length()),
    };
    let visits = String::from_utf8_lossy(&text).parse().map_err(|_| Failure::NoNumber)?;
    Ok((visits, entry.version))
}

/// Counts one visit: reads, adds one, and writes only if nobody wrote in between; else again.
fn count(namespace: &str, page: &str) -> Result<u64, Failure> {
    loop {
        let (visits, version) = visits(namespace, page)?;
        let next = visits + 1;
        let options = SetOptions { behavior: Behavior::Upsert, version: Some(version), ttl: None };
        let changes = Changes::new(namespace);
        changes.set(page, next.to_string().as_bytes(), options);
        match storage::commit(changes) {
            Ok(_) => return Ok(next),
            Err(error) if error.code() == "version-mismatch" => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn answer(status: u16, json: String) -> Response {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Response { status, headers, body: vec![Content::Bytes(json.into_bytes())] }
}
