//! From a request to what answers it: the path, then the method. Callers are judged before.

use alloc::vec::Vec;

use super::answer::{self, Headers};
use super::error;
use super::headers::Headers as Given;
use super::memo::Memo;
use super::path::Target;
use super::{page, read, write};
use crate::answer::with_header;
use crate::bindings::larder::guest::requests::{Method, Request, Response};
use crate::bindings::larder::guest::storage::{self, Outcome};
use crate::error::Error;

/// The path below which the plain face is, without a slash at its end.
const PREFIX: &str = "/kv";
/// The methods of a key, and those of all keys of a namespace.
const OF_KEY: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
const OF_KEYS: &str = "GET, HEAD, OPTIONS";

/// What of a path follows the plain face's prefix; None when it lies elsewhere.
pub fn below_prefix(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(PREFIX)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Answers a request of a principal, by what follows the prefix in its path.
pub fn handle(request: &Request, path: &str) -> Response {
    answered(request, path).unwrap_or_else(answer::error)
}

/// Answers a request whose caller may not ask.
pub fn refuse(error: Error) -> Response {
    answer::error(error)
}

/// The answer to a request whose call ended with a change of the plain face, which the memo tells.
pub fn resume(memo: &Memo<'_>, outcome: Result<Outcome, storage::Error>) -> Response {
    write::resume(memo, outcome)
}

fn answered(request: &Request, path: &str) -> Result<Response, Error> {
    let Some(target) = Target::of_path(path)? else {
        return Err(error::no_target());
    };
    let query = request.query.as_deref();
    match (&target, &request.method) {
        (Target::Key { namespace, key }, Method::Get) => {
            read::run(namespace, key, &Given::of_request(), true)
        }
        (Target::Key { namespace, key }, Method::Head) => {
            read::run(namespace, key, &Given::of_request(), false)
        }
        (Target::Key { namespace, key }, Method::Put) => {
            write::put(namespace, key, &Given::of_request(), query, &request.body)
        }
        (Target::Key { namespace, key }, Method::Delete) => {
            write::delete(namespace, key, &Given::of_request())
        }
        (Target::Keys(namespace), Method::Get | Method::Head) => {
            page::run(namespace, query, request.accept.as_deref())
        }
        (_, Method::Options) => Ok(options(&target)),
        _ => {
            let refused = answer::error(error::method_not_allowed());
            Ok(with_header(refused, "allow", methods(&target)))
        }
    }
}

/// The methods of a target.
fn methods(target: &Target<'_>) -> &'static str {
    match target {
        Target::Key { .. } => OF_KEY,
        Target::Keys(_) => OF_KEYS,
    }
}

fn options(target: &Target<'_>) -> Response {
    let mut headers = Headers::of_every_answer();
    headers.add("allow", methods(target));
    headers.into_response(204, Vec::new())
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::string::String;

    use super::*;
    use crate::bindings::larder::guest::blobs::Content;
    use crate::bindings::larder::guest::requests::{Body, Caller};

    /// Status, code and `allow`; no case here reaches the store.
    fn answered(method: Method, path: &str) -> (u16, String, Option<String>) {
        let request = Request {
            method,
            path: "/kv/".to_owned() + path,
            query: None,
            content_type: None,
            accept: Some("application/msgpack".to_owned()),
            caller: Caller::Principal("admin".to_owned()),
            body: Body::Unread,
        };
        let response = handle(&request, path);
        let header = |name: &str| {
            let mut headers = response.headers.iter();
            headers.find(|header| header.0 == name).map(|header| header.1.clone())
        };
        assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        let code = match response.body.first() {
            Some(Content::Bytes(body)) => {
                let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
                body["code"].as_str().expect("a code").to_owned()
            }
            _ => String::new(),
        };
        (response.status, code, header("allow"))
    }

    #[test]
    fn the_path_comes_before_the_method_and_each_path_has_its_methods() {
        let allow = |methods: &str| Some(methods.to_owned());
        for path in ["n/k", "n/a/b/", "n//"] {
            let all = allow("GET, HEAD, PUT, DELETE, OPTIONS");
            assert_eq!(answered(Method::Options, path), (204, String::new(), all.clone()));
            for method in [Method::Post, Method::Patch, Method::Other("PURGE".to_owned())] {
                let found = answered(method, path);
                assert_eq!(found, (405, "method-not-allowed".to_owned(), all.clone()), "{path}");
            }
        }
        for method in [Method::Put, Method::Delete, Method::Post] {
            let found = answered(method, "n/");
            let all = allow("GET, HEAD, OPTIONS");
            assert_eq!(found, (405, "method-not-allowed".to_owned(), all));
        }
        for (path, status, code) in [
            ("", 404, "not-found"),
            ("n", 404, "not-found"),
            ("/k", 422, "invalid-data"),
            ("n/%", 400, "invalid-encoding"),
        ] {
            assert_eq!(answered(Method::Post, path), (status, code.to_owned(), None), "{path}");
        }
    }

    #[test]
    fn only_paths_below_the_prefix_are_of_the_plain_face() {
        for (path, rest) in [
            ("/kv", Some("")),
            ("/kv/", Some("")),
            ("/kv/n/k", Some("n/k")),
            ("/kv//k", Some("/k")),
            ("/kvx/n", None),
            ("/api/v1.kv.get", None),
            ("/", None),
        ] {
            assert_eq!(below_prefix(path), rest, "{path}");
        }
    }
}
