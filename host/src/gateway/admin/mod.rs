//! The host's own endpoints, for whoever operates and administers it: a router of their own. Judges, in this
//! order, the path, who may, the body and the method; what an endpoint does stands in a file of its own. They
//! need no permit and no guest, so that they answer whatever the guests do.

pub mod access;
mod health;
mod metrics;
mod openapi;
pub mod resources;
mod tokens;

use bytes::Bytes;
use http::{Response, StatusCode};

use self::access::{Exposure, admit};
use self::resources::{Access, Endpoint, Resource};
use super::counting::Counting;
use super::errors::HostError;
use super::memory::Origin;
use super::responses::{empty, method_not_allowed};
use super::shared::Gateway;
use crate::net::body::{Arriving, Reply};
use crate::net::rooms::{Claim, Party};
use crate::runtime::{Body, Head};

/// Answers a path that no mount has.
pub async fn answer(
    gateway: &Gateway,
    head: &Head,
    (origin, arriving): (Origin, &mut Arriving),
    counting: &mut Counting<'_>,
) -> Result<Response<Reply>, HostError> {
    let found = resources::find(head.uri.path());
    if found.is_none_or(|(resource, _)| resource.body_bytes_max == 0) {
        counting.arrive();
    }
    let not_found = || Ok(empty(StatusCode::NOT_FOUND));
    let Some((resource, id)) = found else { return not_found() };
    let caller = match (resource.access, gateway.probe.exposure) {
        (Access::Exposed, Exposure::Off) => return not_found(),
        (Access::Open, _) | (Access::Exposed, Exposure::Open) => None,
        (Access::Administrators, _) | (Access::Exposed, Exposure::Token) => {
            Some(admit(&gateway.authenticator, &head.headers)?)
        }
    };
    let parties = || [Some(Party::Connection(origin.connection)), None, None];
    let mut claim = Claim::new(&gateway.memory.bodies, &parties, origin.waiting_bytes());
    let body = receive(gateway, head, arriving, resource, &mut claim).await?;
    if resource.body_bytes_max > 0 {
        counting.arrive();
    }
    let Some(endpoint) = resource.endpoint(&head.method) else {
        return Ok(method_not_allowed(resource.allow));
    };
    let tokens = gateway.authenticator.tokens();
    let by = caller.as_deref().unwrap_or_default();
    match endpoint {
        Endpoint::Live => Ok(health::live()),
        Endpoint::Ready => Ok(health::ready(&gateway.probe)),
        Endpoint::Metrics => Ok(metrics::show(gateway).await),
        Endpoint::Describe => Ok(openapi::show(&head.headers)),
        Endpoint::ListTokens => Ok(tokens::list(tokens)),
        Endpoint::CreateToken => tokens::create(tokens, &head.headers, &body, by).await,
        Endpoint::RevokeToken => tokens::revoke(tokens, id, by).await,
    }
}

/// Receives the body of a request to a resource that takes one.
async fn receive(
    gateway: &Gateway,
    head: &Head,
    arriving: &mut Arriving,
    resource: &Resource,
    claim: &mut Claim<'_>,
) -> Result<Bytes, HostError> {
    let bytes_max = resource.body_bytes_max;
    if bytes_max == 0 {
        return Ok(Bytes::new());
    }
    match gateway.memory.receive(head, arriving, (true, bytes_max), claim).await? {
        Body::Complete(bytes) => Ok(bytes),
        Body::TooLarge(_) | Body::Unread => Err(HostError::body_too_large(bytes_max)),
    }
}
