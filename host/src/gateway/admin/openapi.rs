//! `/larder/v1/openapi.json`: the description of the API for programs, as it stood in the tree when this program
//! was built. Knows nothing of what the document says; tests compare it with the server.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};
use larder_wire::Encoding;
use sha2::{Digest, Sha256};

use crate::gateway::responses::empty;
use crate::hex;
use crate::net::body::Reply;

static DOCUMENT: &[u8] = include_bytes!("../../../../docs/openapi.json");
/// Bytes of its digest that name the document.
const TAG_BYTES: usize = 8;
/// Its entity tag: the beginning of its digest.
static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", hex::encode(&Sha256::digest(DOCUMENT)[..TAG_BYTES])));

/// The document, or 304 for a caller that has it.
pub fn show(headers: &HeaderMap) -> Response<Reply> {
    let mut response = if holds_tag(headers) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = Response::new(Reply::new(vec![Bytes::from_static(DOCUMENT)]));
        let content_type = HeaderValue::from_static(Encoding::Json.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&TAG) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Whether `if-none-match` is `*` or lists the document's tag, which may be marked as weak there.
fn holds_tag(headers: &HeaderMap) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == *TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_has_the_document_gets_304() {
        let asked = |lists: &[&str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(list).unwrap());
            }
            show(&headers).status()
        };
        let (tag, weak) = (&**TAG, format!("W/{}", *TAG));
        for lists in [&["*"][..], &[tag], &[&weak], &["\"a\"", tag], &[&format!("\"a\" , {tag}")]] {
            assert_eq!(asked(lists), StatusCode::NOT_MODIFIED, "{lists:?}");
        }
        for lists in [&[][..], &[""], &["\"a\""], &[tag.trim_matches('"')]] {
            assert_eq!(asked(lists), StatusCode::OK, "{lists:?}");
        }
    }
}
