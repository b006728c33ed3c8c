//! Changes by `storage`, committed in a call or deferred to its end, used well and badly. The query says
//! what to change and in which namespace, as `WHAT:NAMESPACE`.

use std::mem::forget;

use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::bindings::larder::guest::kv::{Behavior, SetOptions};
use crate::bindings::larder::guest::requests::{self, Body, Request, Response};
use crate::bindings::larder::guest::storage::{
    self, Changes, Error, Found, ListOptions, ListedEntry, Outcome, QuotaChange,
};
use crate::bindings::larder::guest::{deferral, deferred};
use crate::shared::{OPTIONS, query, text};

/// Longer than a memo may be.
const LONG_MEMO: [u8; 4097] = [b'm'; 4097];

/// All entries, with their values.
const EVERYTHING: ListOptions =
    ListOptions { prefix: String::new(), after: None, limit: 1000, reverse: false, values: true };

/// The length of an entry's value, wherever it is.
fn value_length(entry: &ListedEntry) -> u64 {
    match &entry.value {
        None => 0,
        Some(Content::Bytes(bytes)) => bytes.len() as u64,
        Some(Content::Blob(blob)) => blob.length(),
    }
}

/// Reads as the query says.
pub fn read(request: &Request) -> Response {
    let (what, namespace) = query(request).split_once(':').unwrap_or_default();
    let read = match what {
        "get" => storage::get(namespace, "key").map(|entry| {
            let length = entry.map(|entry| match entry.value {
                Content::Bytes(bytes) => bytes.len() as u64,
                Content::Blob(blob) => blob.length(),
            });
            format!("value of {length:?} bytes")
        }),
        "list" => storage::list_entries(namespace, &EVERYTHING).map(|page| {
            let lengths: Vec<u64> = page.entries.iter().map(value_length).collect();
            format!("values of {lengths:?} bytes, after {:?}", page.after)
        }),
        "many" => {
            let keys: Vec<String> = (0..10).map(|number| format!("large-{number}")).collect();
            storage::get_many(namespace, &keys).map(|many| {
                let found = many.entries.iter().filter(|one| matches!(one, Found::Present(_)));
                format!("{} of {} found", found.count(), many.entries.len())
            })
        }
        "names" => storage::list_namespaces("", None, 1000).map(|page| {
            let names: Vec<String> = page.namespaces.into_iter().map(|one| one.name).collect();
            format!("{names:?}, after {:?}", page.after)
        }),
        "usage" => storage::usage(namespace).map(|usage| format!("{} keys", usage.keys)),
        "namespace" => storage::namespace(namespace)
            .map(|namespace| format!("created {}", namespace.created > 0)),
        _ => storage::writable().map(|()| "writable".to_owned()),
    };
    text(read.unwrap_or_else(|error| words(&error)))
}

/// Commits the changes in this call.
pub fn commit(request: &Request) -> Response {
    let (what, namespace) = query(request).split_once(':').unwrap_or_default();
    let changes = changes(what, namespace, request);
    if what == "keep-changes" {
        forget(changes);
        return text("kept".to_owned());
    }
    respond(what, storage::commit(changes))
}

/// Defers the changes to the call's end, with WHAT as the memo.
pub fn defer(request: &Request) -> Response {
    let (what, namespace) = query(request).split_once(':').unwrap_or_default();
    let changes_of = |what| changes(what, namespace, request);
    let memo = if what == "memo" { &LONG_MEMO } else { what.as_bytes() };
    let mut deferred = deferral::defer(changes_of(what), memo);
    match what {
        "twice" => deferred = deferral::defer(changes_of(what), memo),
        "deferred-too" => drop(deferred::set(namespace, "key", b"later", OPTIONS, b"")),
        "panic" => panic!("asked to, after the changes were deferred"),
        _ => {}
    }
    match deferred {
        Ok(()) => text("dropped by the host".to_owned()),
        Err(error) => text(format!("at once: {}", words(&error))),
    }
}

/// Answers after deferred changes.
pub fn resume(memo: &[u8], outcome: Result<Outcome, Error>) -> Response {
    let what = String::from_utf8_lossy(memo);
    match &*what {
        "again" => {
            let changes = Changes::new("own");
            changes.delete("key", None);
            drop(deferral::defer(changes, b""));
        }
        "calls" => (0..60).for_each(|_| drop(requests::prefix())),
        // It waits for a commit of its own.
        "commit-after" => {
            let changes = Changes::new("own");
            changes.set("after", b"v", OPTIONS);
            drop(storage::commit(changes));
        }
        _ => {}
    }
    let mut response = respond(&what, outcome);
    let seen = format!(", x-test={:?}", requests::header("x-test"));
    response.body.push(Content::Bytes(seen.into_bytes()));
    response
}

/// The changes of this name.
fn changes(what: &str, namespace: &str, request: &Request) -> Changes {
    let changes = Changes::new(namespace);
    let set = |options| changes.set("key", b"changed", options);
    match what {
        "none" => {}
        "too-many" => {
            (0..1000).for_each(|_| set(OPTIONS));
            changes.check("key", 0);
        }
        "delete-beside" => {
            set(OPTIONS);
            changes.delete_namespace();
        }
        "quota" => changes.configure_quotas(QuotaChange::Keep, QuotaChange::Limit(1 << 53)),
        "insert" => set(SetOptions { behavior: Behavior::Insert, ..OPTIONS }),
        "update" => set(SetOptions { behavior: Behavior::Update, ..OPTIONS }),
        "set-at" => set(SetOptions { version: Some(1 << 50), ..OPTIONS }),
        "set-for-0" => set(SetOptions { ttl: Some(0), ..OPTIONS }),
        "set-for-ever" => set(SetOptions { ttl: Some(u64::MAX), ..OPTIONS }),
        "set-blob" => match &request.body {
            Body::Complete(Content::Blob(blob)) => changes.set_blob("key", blob, OPTIONS),
            _ => changes.set_blob("key", &Blob::new(b"small"), OPTIONS),
        },
        "set-large" => changes.set("key", &vec![1; 100_000], OPTIONS),
        "set-long-key" => changes.set(&"k".repeat(257), b"changed", OPTIONS),
        "delete" => changes.delete("key", None),
        "delete-at" => changes.delete("key", Some(1 << 50)),
        "delete-namespace" => changes.delete_namespace(),
        "lift" => changes.configure_quotas(QuotaChange::Lift, QuotaChange::Keep),
        "configure" => changes.configure(),
        "calls" => {
            (0..60).for_each(|_| drop(requests::prefix()));
            set(OPTIONS);
        }
        _ => set(OPTIONS),
    }
    changes
}

/// Tells what became of the changes.
fn respond(what: &str, outcome: Result<Outcome, Error>) -> Response {
    let words = match &outcome {
        Ok(outcome) => {
            let change = if what == "index" { 1 } else { 0 };
            let namespace = outcome.namespace(change);
            let drawn = outcome.version(change) > 0;
            let existed = outcome.existed(change);
            format!("done: drawn {drawn}, existed {existed}, namespace {}", namespace.is_some())
        }
        Err(error) => words(error),
    };
    if what.starts_with("keep-") {
        forget(outcome);
    }
    text(format!("{what}: {words}"))
}

/// All that an error knows. Of the versions it says whether they are known, and above 0.
fn words(error: &Error) -> String {
    let is_above_0 = |version: Option<u64>| version.map(|version| version > 0);
    format!(
        "{}, change {:?}, current {:?}, newest {:?}, quota {:?}, explained {}",
        error.code(),
        error.change(),
        is_above_0(error.current_version()),
        is_above_0(error.newest_version()),
        error.quota(),
        !error.message().is_empty(),
    )
}
