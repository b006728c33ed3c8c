//! `/metrics`: the metrics as text. What they say is `exposition`'s.

use http::{Response, StatusCode};

use crate::gateway::exposition;
use crate::gateway::responses::content;
use crate::gateway::shared::Gateway;
use crate::metrics::CONTENT_TYPE;
use crate::net::body::Reply;

/// The metrics, as they are now.
pub async fn show(gateway: &Gateway) -> Response<Reply> {
    let contents = gateway.probe.contents().await;
    content(StatusCode::OK, CONTENT_TYPE, exposition::write(gateway, contents.as_ref()))
}
