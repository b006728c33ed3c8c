//! `/livez` and `/readyz`: whether the server runs, and whether it can serve requests.

use http::{Response, StatusCode};

use crate::gateway::probe::Probe;
use crate::gateway::responses::{TEXT, content};
use crate::net::body::Reply;

/// Whoever gets this answer knows that the server runs.
pub fn live() -> Response<Reply> {
    content(StatusCode::OK, TEXT, "ok\n".to_owned())
}

/// Whether requests can be served, writes among them, and why not.
pub fn ready(probe: &Probe) -> Response<Reply> {
    match probe.ready() {
        Ok(()) => live(),
        Err(why) => content(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
    }
}
