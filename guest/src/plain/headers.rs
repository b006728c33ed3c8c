//! The headers of a request that the plain face knows. All come with one call of the host. Knows what none of
//! them means.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::larder::guest::requests;

/// The values of these headers; several of one name are joined as HTTP joins lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `if-match`.
    pub if_match: Option<Vec<u8>>,
    /// `if-none-match`.
    pub if_none_match: Option<Vec<u8>>,
    /// `range`.
    pub range: Option<Vec<u8>>,
    /// `if-range`.
    pub if_range: Option<Vec<u8>>,
    /// `content-range`.
    pub content_range: Option<Vec<u8>>,
    /// `ttl-ms`.
    pub ttl_ms: Option<Vec<u8>>,
}

impl Headers {
    /// Those of the request at hand.
    pub fn of_request() -> Self {
        Self::of(requests::headers())
    }

    /// Those of a list with names in lower case.
    fn of(all: Vec<(String, Vec<u8>)>) -> Self {
        let mut headers = Self::default();
        for (name, value) in all {
            let known = match name.as_str() {
                "if-match" => &mut headers.if_match,
                "if-none-match" => &mut headers.if_none_match,
                "range" => &mut headers.range,
                "if-range" => &mut headers.if_range,
                "content-range" => &mut headers.content_range,
                "ttl-ms" => &mut headers.ttl_ms,
                _ => continue,
            };
            match known {
                None => *known = Some(value),
                Some(known) => {
                    known.extend_from_slice(b", ");
                    known.extend_from_slice(&value);
                }
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_headers_of_a_name_are_one_list() {
        let header = |(name, value): (&str, &str)| (name.into(), value.into());
        let all =
            [("host", "x"), ("if-match", "\"7\""), ("range", "bytes=0-"), ("if-match", "\"8\"")];
        let headers = Headers::of(all.map(header).into());
        let (if_match, range) = (Some(b"\"7\", \"8\"".into()), Some(b"bytes=0-".into()));
        assert_eq!(headers, Headers { if_match, range, ..Headers::default() });
    }
}
