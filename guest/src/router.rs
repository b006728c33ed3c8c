//! From a request to its endpoint: path, then caller, then method, then the body's form. Owns the
//! order in which these are judged; what an endpoint does with its body is the endpoint's.

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::blobs::{Blob, Content};
use crate::bindings::larder::guest::requests::{Body, Caller, Method, Request, Response};
use crate::endpoint::{configure_namespace, delete, get, get_namespace, health, set};
use crate::error::Error;

/// A call of a key-value endpoint whose caller, method and content type are in order.
pub struct Call<'a> {
    /// The body's bytes.
    pub body: &'a [u8],
    /// The same body as the host holds it, when it is large.
    pub blob: Option<&'a Blob>,
    /// How the body is encoded.
    pub received: Encoding,
    /// How the answer is to be encoded.
    pub answer: Encoding,
}

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
        "kv.namespace.configure" => Route::Kv(configure_namespace::run),
        "kv.namespace.get" => Route::Kv(get_namespace::run),
        "health.ping" => Route::Ping,
        "health.ready" => Route::Ready,
        "health.error" => Route::Error,
        _ => return None,
    })
}

/// Answers one request.
pub fn handle(request: &Request) -> Response {
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
            endpoint(&Call { body, blob: None, received, answer })
        }
        Body::Complete(Content::Blob(blob)) => {
            let body = blob.read(0, blob.length());
            endpoint(&Call { body: &body, blob: Some(blob), received, answer })
        }
        Body::TooLarge(limit) => Err(Error::payload_too_large(*limit)),
        Body::Unread => Err(Error::internal("The server kept back the body.")),
    }
}
