//! The administrator's door to the tokens: `GET` and `POST /larder/v1/tokens`, and
//! `DELETE /larder/v1/tokens/ID`. JSON in and out. What a token is and where it is kept is `auth`'s.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use larder_wire::Encoding;
use serde_json::{Value, json};

use super::access::admit;
use super::resources::TOKENS;
use crate::auth::{NewToken, TokenError};
use crate::gateway::counting::Counting;
use crate::gateway::errors::HostError;
use crate::gateway::memory::Origin;
use crate::gateway::responses::empty;
use crate::gateway::shared::Gateway;
use crate::net::body::{Arriving, Reply};
use crate::net::rooms::{Claim, Party};
use crate::runtime::{Body, Head};

/// Longest description of a new token.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// Whether this request is for the tokens, and for which: Some("") stands for all.
pub fn id_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(TOKENS)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/').filter(|id| !id.is_empty()) }
}

/// Answers a request for the token `id`, or for all of them when it is empty.
pub async fn answer(
    gateway: &Gateway,
    head: &Head,
    id: &str,
    (origin, arriving): (Origin, &mut Arriving),
    counting: &mut Counting<'_>,
) -> Result<http::Response<Reply>, HostError> {
    let name = admit(&gateway.authenticator, &head.headers)?;
    let parties = || [Some(Party::Connection(origin.connection)), None, None];
    let mut claim = Claim::new(&gateway.memory.bodies, &parties, origin.waiting_bytes());
    let body =
        match gateway.memory.receive(head, arriving, (true, BODY_BYTES_MAX), &mut claim).await? {
            Body::Complete(bytes) => bytes,
            Body::TooLarge(_) | Body::Unread => {
                return Err(HostError::body_too_large(BODY_BYTES_MAX));
            }
        };
    counting.arrive();
    let tokens = gateway.authenticator.tokens();
    match (&head.method, id) {
        (&Method::GET | &Method::HEAD, "") => {
            Ok(json_answer(StatusCode::OK, &json!({ "tokens": tokens.list() })))
        }
        (&Method::POST, "") => {
            let token = parse(&head.headers, &body)?;
            let (made, secret) = tokens.create(token, &name).await.map_err(refused)?;
            let location = HeaderValue::try_from(format!("{TOKENS}/{}", made.id));
            let mut shown = serde_json::to_value(made).unwrap_or_default();
            shown["token"] = secret.into();
            let mut answer = json_answer(StatusCode::CREATED, &shown);
            if let Ok(location) = location {
                answer.headers_mut().insert(LOCATION, location);
            }
            Ok(answer)
        }
        (&Method::DELETE, id) if !id.is_empty() => {
            tokens.revoke(id, &name).await.map_err(refused)?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (_, id) => {
            let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = if id.is_empty() { "GET,HEAD,POST" } else { "DELETE" };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            Ok(answer)
        }
    }
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<NewToken, HostError> {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if named.and_then(Encoding::of_content_type) != Some(Encoding::Json) {
        return Err(HostError::not_json());
    }
    serde_json::from_slice(body).map_err(|error| HostError::invalid(error.to_string()))
}

fn refused(error: TokenError) -> HostError {
    match error {
        TokenError::Invalid(why) => HostError::invalid(why),
        TokenError::Unknown => HostError::not_found(error.to_string()),
        TokenError::Storage(error) => HostError::unwritten(&error),
        TokenError::Random(_) => {
            tracing::error!(%error, "a token could not be made");
            HostError::internal()
        }
    }
}

fn json_answer(status: StatusCode, body: &Value) -> http::Response<Reply> {
    let mut answer = http::Response::new(Reply::new(vec![body.to_string().into()]));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Encoding::Json.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
