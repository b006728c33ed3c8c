//! What the host answers for whoever operates it: `/livez`, `/readyz` and `/metrics`. They need no
//! permit and no guest, so that they answer whatever the guests do. What the metrics say is `exposition`'s.

use http::{Method, Response, StatusCode};

use super::access::{Exposure, admit};
use crate::gateway::errors::HostError;
use crate::gateway::exposition;
use crate::gateway::responses::{TEXT, content as text, empty, method_not_allowed};
use crate::gateway::shared::Gateway;
use crate::metrics;
use crate::net::body::Reply;
use crate::runtime::Head;

/// Answers a path that no mount holds: one of the host's own, or 404.
pub async fn answer(gateway: &Gateway, head: &Head) -> Result<Response<Reply>, HostError> {
    let probe = &gateway.probe;
    Ok(match head.uri.path() {
        "/livez" => read_only(head, || text(StatusCode::OK, TEXT, "ok\n".to_owned())),
        "/readyz" => read_only(head, || match probe.ready() {
            Ok(()) => text(StatusCode::OK, TEXT, "ok\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
        }),
        "/metrics" if probe.exposure != Exposure::Off => {
            if probe.exposure == Exposure::Token {
                admit(&gateway.authenticator, &head.headers)?;
            }
            let contents = probe.contents().await;
            let page = || exposition::write(gateway, contents.as_ref());
            read_only(head, || text(StatusCode::OK, metrics::CONTENT_TYPE, page()))
        }
        _ => empty(StatusCode::NOT_FOUND),
    })
}

/// The answer to GET and HEAD; other methods are told so.
fn read_only(head: &Head, answer: impl FnOnce() -> Response<Reply>) -> Response<Reply> {
    if head.method == Method::GET || head.method == Method::HEAD {
        return answer();
    }
    method_not_allowed("GET,HEAD")
}
