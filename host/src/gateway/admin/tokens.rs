//! `/larder/v1/tokens`: lists, makes and revokes tokens for an administrator. JSON in and out. What a token is and
//! where it is kept is `auth`'s.

use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use larder_wire::Encoding;
use serde_json::{Value, json};

use super::resources::TOKENS;
use crate::auth::{NewToken, TokenError, Tokens};
use crate::gateway::errors::HostError;
use crate::gateway::responses::{content, empty};
use crate::net::body::Reply;

/// Lists all tokens.
pub fn list(tokens: &Tokens) -> Response<Reply> {
    json_response(StatusCode::OK, &json!({ "tokens": tokens.list() }))
}

/// Makes the token that `body` describes, for `by`.
pub async fn create(
    tokens: &Tokens,
    headers: &HeaderMap,
    body: &[u8],
    by: &str,
) -> Result<Response<Reply>, HostError> {
    let token = parse(headers, body)?;
    let (made, secret) = tokens.create(token, by).await.map_err(host_error)?;
    let location = HeaderValue::try_from(format!("{TOKENS}/{}", made.id));
    let mut shown = serde_json::to_value(made).unwrap_or_default();
    shown["token"] = secret.into();
    let mut response = json_response(StatusCode::CREATED, &shown);
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Revokes a token, for `by`.
pub async fn revoke(tokens: &Tokens, id: &str, by: &str) -> Result<Response<Reply>, HostError> {
    tokens.revoke(id, by).await.map_err(host_error)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<NewToken, HostError> {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if named.and_then(Encoding::of_content_type) != Some(Encoding::Json) {
        return Err(HostError::not_json());
    }
    serde_json::from_slice(body).map_err(|error| HostError::invalid(error.to_string()))
}

fn host_error(error: TokenError) -> HostError {
    match error {
        TokenError::Invalid(why) => HostError::invalid(why),
        TokenError::Unknown => HostError::not_found(error.to_string()),
        TokenError::Storage(error) => HostError::of_storage(&error),
        TokenError::Random(_) => {
            tracing::error!(%error, "a token could not be made");
            HostError::internal()
        }
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Reply> {
    content(status, Encoding::Json.content_type(), body.to_string())
}
