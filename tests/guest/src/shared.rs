//! What several actions need. Knows none of them.

use std::time::Duration;

use crate::bindings::larder::guest::blobs::Content;
use crate::bindings::larder::guest::kv::{Behavior, SetOptions};
use crate::bindings::larder::guest::requests::{Request, Response};

/// A plain write.
pub const OPTIONS: SetOptions = SetOptions { behavior: Behavior::Upsert, version: None, ttl: None };

/// Answers with a text.
pub fn text(text: String) -> Response {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    Response { status: 200, headers, body: vec![Content::Bytes(text.into_bytes())] }
}

/// What stands behind the question mark.
pub fn query(request: &Request) -> &str {
    request.query.as_deref().unwrap_or_default()
}

/// Sleeps for longer than any call may take.
pub fn sleep() -> Response {
    println!("sleeping");
    std::thread::sleep(Duration::from_secs(3600));
    text("woke up".to_owned())
}
