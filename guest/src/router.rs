//! From a request to the plain face, or to its endpoint: path, then caller, then method, then the body's
//! form; and from a write's outcome to what answers it. Owns the order in which a request is judged; what an
//! endpoint does with its body is the endpoint's.

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::bindings::larder::guest::requests::{Body, Caller, Method, Request, Response};
use crate::bindings::larder::guest::storage::{self, Outcome};
use crate::call::Call;
use crate::endpoint::{
    add, batch, delete, get, get_many, health, list, namespace, namespaces, set, touch,
};
use crate::error::Error;
use crate::memo::{Memo, Write};
use crate::partial_body;
use crate::plain::memo::Memo as PlainMemo;
use crate::plain::router as plain;

type Endpoint = fn(&Call<'_>) -> Result<Response, Error>;

enum Route {
    Ping,
    Ready,
    Error,
    Kv(Endpoint),
}

fn route(path: &str) -> Option<Route> {
    Some(match path.strip_prefix("/api/v1.")? {
        "kv.get" => Route::Kv(get::run),
        "kv.set" => Route::Kv(set::run),
        "kv.delete" => Route::Kv(delete::run),
        "kv.list" => Route::Kv(list::run),
        "kv.get_many" => Route::Kv(get_many::run),
        "kv.touch" => Route::Kv(touch::run),
        "kv.add" => Route::Kv(add::run),
        "kv.batch" => Route::Kv(batch::run),
        "kv.namespace.configure" => Route::Kv(namespace::configure),
        "kv.namespace.get" => Route::Kv(namespace::get),
        "kv.namespace.list" => Route::Kv(namespaces::list),
        "kv.namespace.usage" => Route::Kv(namespaces::usage),
        "kv.namespace.delete" => Route::Kv(namespaces::delete),
        "health.ping" => Route::Ping,
        "health.ready" => Route::Ready,
        "health.error" => Route::Error,
        _ => return None,
    })
}

/// Answers one request.
pub fn handle(request: &Request) -> Response {
    if let Some(path) = plain::below_prefix(&request.path) {
        return match check_caller(&request.caller) {
            Ok(()) => plain::handle(request, path),
            Err(error) => plain::refuse(error),
        };
    }
    let Some(route) = route(&request.path) else {
        return answer::empty(404);
    };
    let encoding = Encoding::of_answer(request.accept.as_deref(), request.content_type.as_deref());
    match (route, &request.method) {
        (Route::Kv(endpoint), method) => {
            if let Err(error) = check_caller(&request.caller) {
                return error.into_response(encoding);
            }
            if !matches!(method, Method::Post) {
                return not_allowed("POST");
            }
            run(endpoint, request, encoding).unwrap_or_else(|error| error.into_response(encoding))
        }
        (Route::Ping, Method::Get | Method::Head) => health::ping(encoding),
        (Route::Ready, Method::Get | Method::Head) => health::ready(encoding),
        (Route::Error, Method::Post) => Error::on_purpose().into_response(encoding),
        (Route::Ping | Route::Ready, _) => not_allowed("GET,HEAD"),
        (Route::Error, _) => not_allowed("POST"),
    }
}

/// Answers a request whose call ended with a write, from the call's memo and the write's outcome.
pub fn resume(memo: &[u8], outcome: Result<Outcome, storage::Error>) -> Response {
    if let Some(memo) = PlainMemo::of_bytes(memo) {
        return plain::resume(&memo, outcome);
    }
    answer_after(memo, |memo| match outcome {
        Ok(outcome) => answer_to(memo, &outcome),
        Err(error) => Err(Error::of_write(&error, memo.write, memo.namespace)),
    })
}

/// Answers in the encoding of the memo.
fn answer_after(
    memo: &[u8],
    answer: impl FnOnce(&Memo<'_>) -> Result<Response, Error>,
) -> Response {
    let Some(memo) = Memo::of_bytes(memo) else {
        return mixed_up().into_response(Encoding::Json);
    };
    answer(&memo).unwrap_or_else(|error| error.into_response(memo.answer))
}

/// The answer to a write that was made, which is the only change of its outcome unless it is a batch.
fn answer_to(memo: &Memo<'_>, outcome: &Outcome) -> Result<Response, Error> {
    let version = outcome.version(0);
    Ok(match memo.write {
        Write::Set | Write::Touch => set::answer(version, memo.answer),
        Write::Delete | Write::DeleteNamespace => {
            delete::answer(outcome.existed(0), version, memo.answer)
        }
        Write::Configure => {
            let namespace = outcome.namespace(0).ok_or_else(mixed_up)?;
            namespace::configured(memo.namespace, namespace, version, memo.answer)
        }
        Write::Add => add::answer(outcome.sum(0).ok_or_else(mixed_up)?, version, memo.answer),
        Write::Batch => {
            batch::answer(memo.operations, outcome, memo.answer).ok_or_else(mixed_up)?
        }
    })
}

fn mixed_up() -> Error {
    Error::internal("The server mixed writes up.")
}

fn not_allowed(allow: &str) -> Response {
    answer::with_header(answer::empty(405), "allow", allow)
}

fn check_caller(caller: &Caller) -> Result<(), Error> {
    match caller {
        Caller::Principal(_) => Ok(()),
        Caller::Anonymous => Err(Error::auth_required()),
        Caller::Rejected => Err(Error::invalid_token()),
    }
}

fn run(endpoint: Endpoint, request: &Request, answer: Encoding) -> Result<Response, Error> {
    let content_type = request.content_type.as_deref().ok_or_else(Error::missing_content_type)?;
    let received =
        Encoding::of_content_type(content_type).ok_or_else(Error::invalid_content_type)?;
    match &request.body {
        Body::Complete(Content::Bytes(body)) => {
            endpoint(&Call { body, elided: None, blob: None, received, answer })
        }
        Body::Complete(Content::Blob(blob)) => run_with_blob(endpoint, blob, received, answer),
        Body::TooLarge(limit) => Err(Error::payload_too_large(*limit)),
        Body::Unread => Err(Error::internal("The server kept back the body.")),
    }
}

/// Runs an endpoint with a body whose bytes are with the host, where those of a large binary stay.
fn run_with_blob(
    endpoint: Endpoint,
    blob: &Blob,
    received: Encoding,
    answer: Encoding,
) -> Result<Response, Error> {
    let (length, read) = (blob.length(), |offset, length| blob.read(offset, length));
    let blob = Some(blob);
    if received == Encoding::MessagePack
        && let Some(partial) = partial_body::read_partially(length, partial_body::HEAD_BYTES, read)
    {
        let (body, elided) = (&partial.bytes, Some(partial.elided));
        match endpoint(&Call { body, elided, blob, received, answer }) {
            // Nothing has been changed yet. The error must name the offset in the whole body.
            Err(error) if error.is_malformed() => {}
            outcome => return outcome,
        }
    }
    endpoint(&Call { body: &read(0, length), elided: None, blob, received, answer })
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::string::String;

    use super::*;
    use crate::bindings::larder::guest::storage::NamespaceInfo;
    use crate::memo::Operations;

    fn request(method: Method, path: &str, caller: Caller, body: Body) -> Request {
        let content_type = Some("application/json".to_owned());
        let path = path.to_owned();
        Request { method, path, query: None, content_type, accept: None, caller, body }
    }

    fn admin() -> Caller {
        Caller::Principal("admin".to_owned())
    }

    fn complete(body: &str) -> Body {
        Body::Complete(Content::Bytes(body.as_bytes().to_vec()))
    }

    /// Status and error code; no case here reaches the store.
    fn answered(request: &Request) -> (u16, String) {
        let response = handle(request);
        let body = match response.body.first() {
            Some(Content::Bytes(body)) => serde_json::from_slice(body).unwrap_or_default(),
            _ => serde_json::Value::Null,
        };
        (response.status, body["code"].as_str().unwrap_or_default().to_owned())
    }

    const GET: &str = "/api/v1.kv.get";

    #[test]
    fn unknown_paths_are_404_before_anything_else() {
        for path in ["/", "/api", "/api/v1.kv.get/", "/api/v1.kv.nope", "/v1.kv.get"] {
            let response = handle(&request(Method::Post, path, Caller::Rejected, Body::Unread));
            assert_eq!((response.status, response.body.len()), (404, 0), "{path}");
        }
    }

    #[test]
    fn the_caller_comes_before_the_method_and_the_method_before_the_body() {
        let judged = |method, caller| answered(&request(method, GET, caller, Body::Unread));
        assert_eq!(judged(Method::Get, Caller::Anonymous), (401, "auth-required".to_owned()));
        assert_eq!(judged(Method::Get, Caller::Rejected), (401, "invalid-token".to_owned()));
        assert_eq!(judged(Method::Get, admin()), (405, String::new()));
    }

    #[test]
    fn content_type_comes_before_size_and_size_before_decoding() {
        let mut late = request(Method::Post, GET, admin(), Body::TooLarge(9));
        assert_eq!(answered(&late), (413, "payload-too-large".to_owned()));
        late.content_type = None;
        assert_eq!(answered(&late), (400, "missing-content-type".to_owned()));
        late.content_type = Some("text/plain".to_owned());
        assert_eq!(answered(&late), (400, "invalid-content-type".to_owned()));
    }

    #[test]
    fn decoding_comes_before_validation_and_validation_before_the_namespace() {
        let posted = |body| answered(&request(Method::Post, GET, admin(), complete(body)));
        assert_eq!(posted("{"), (400, "invalid-encoding".to_owned()));
        assert_eq!(posted(r#"{"key":1}"#), (422, "invalid-data".to_owned()));
        let default = r#"{"namespace":"default","key":"a b"}"#;
        assert_eq!(posted(default), (422, "invalid-data".to_owned()));
        let default = r#"{"namespace":"default","key":"k"}"#;
        assert_eq!(posted(default), (400, "no-explicit-default-namespace".to_owned()));
    }

    #[test]
    fn health_needs_no_caller() {
        let ping =
            |method, path| handle(&request(method, path, Caller::Anonymous, Body::Unread)).status;
        assert_eq!(ping(Method::Get, "/api/v1.health.ping"), 200);
        assert_eq!(ping(Method::Head, "/api/v1.health.ping"), 200);
        assert_eq!(ping(Method::Post, "/api/v1.health.ping"), 405);
        assert_eq!(ping(Method::Post, "/api/v1.health.error"), 500);
        assert_eq!(ping(Method::Get, "/api/v1.health.error"), 405);
    }

    #[test]
    fn each_outcome_has_its_status() {
        let status = |write, outcome: Result<(), (&str, Option<u64>)>| {
            let (answer, operations) = (Encoding::Json, Operations::default());
            let memo = Memo { write, answer, namespace: "n", operations }.to_bytes();
            let answer = |memo: &Memo<'_>| match outcome {
                Ok(()) => Ok(match write {
                    Write::Set => set::answer(7, memo.answer),
                    Write::Delete => delete::answer(false, 7, memo.answer),
                    Write::Add => add::answer(-5, 7, memo.answer),
                    _ => {
                        let namespace = NamespaceInfo { created: 1, updated: 2 };
                        namespace::configured(memo.namespace, namespace, 7, memo.answer)
                    }
                }),
                Err((code, newest)) => {
                    Err(Error::of_code(code, newest, write.name(), memo.namespace))
                }
            };
            answer_after(&memo, answer).status
        };
        for write in [Write::Set, Write::Delete, Write::Configure, Write::Add] {
            assert_eq!(status(write, Ok(())), 200);
            assert_eq!(status(write, Err(("not-found", Some(7)))), 400);
            assert_eq!(status(write, Err(("unavailable", None))), 503);
        }
        assert_eq!(answer_after(b"", |_| Ok(answer::empty(200))).status, 500);
    }
}
