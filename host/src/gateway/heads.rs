//! What a request's head must be, whatever it asks for. Judged once, before anything else, and without
//! taking memory. Knows no path, no mount and no body.

use http::Version;
use http::header::{AUTHORIZATION, HOST, HeaderMap, TRANSFER_ENCODING};

use super::errors::HostError;

/// Headers of a request. Over HTTP/1 hyper has judged that.
const HEADERS_MAX: usize = 100;
/// The one transfer coding that hyper reads.
const CHUNKED: &[u8] = b"chunked";

/// Refuses a head that two servers could read differently, or that this one cannot read.
pub fn judge(version: Version, headers: &HeaderMap) -> Result<(), HostError> {
    if headers.len() > HEADERS_MAX {
        return Err(HostError::too_many_headers(HEADERS_MAX));
    }
    judge_host(version, headers)?;
    judge_codings(headers)?;
    judge_credentials(headers)
}

/// RFC 9112, 3.2: one `host` that can be one, which only HTTP/1.1 must have; HTTP/2 says `:authority`.
fn judge_host(version: Version, headers: &HeaderMap) -> Result<(), HostError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => {
            Err(HostError::invalid_head("HTTP/1.1 needs a `host` header, and there is none."))
        }
        (None, _) => Ok(()),
        (Some(_), Some(_)) => {
            Err(HostError::invalid_head("There is more than one `host` header; send one."))
        }
        (Some(host), None) if host.as_bytes().iter().copied().all(is_host_byte) => Ok(()),
        (Some(_), None) => {
            Err(HostError::invalid_head("`host` must be a host's name or address, and its port."))
        }
    }
}

/// What RFC 3986 lets stand in a host and its port.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".:-_[]%~!$&'()*+,;=".contains(&byte)
}

/// RFC 9112, 6.1: what is not understood is 501, and nothing is chunked twice. (HTTP/2 has no such header:
/// h2 refuses it.)
fn judge_codings(headers: &HeaderMap) -> Result<(), HostError> {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut is_chunked = false;
    for coding in codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()) {
        if !coding.eq_ignore_ascii_case(CHUNKED) {
            return Err(HostError::unknown_coding());
        }
        if std::mem::replace(&mut is_chunked, true) {
            return Err(HostError::invalid_head("`transfer-encoding` names `chunked` twice."));
        }
    }
    Ok(())
}

/// RFC 9110, 5.3 and 11.6.2: `authorization` is no list. A proxy may look at another one than the server.
fn judge_credentials(headers: &HeaderMap) -> Result<(), HostError> {
    match headers.get_all(AUTHORIZATION).iter().nth(1) {
        None => Ok(()),
        Some(_) => {
            Err(HostError::invalid_head("There is more than one `authorization` header; send one."))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;

    use super::*;

    /// What becomes of a head with these headers.
    fn status(version: Version, headers: &[(&'static str, &str)]) -> Option<u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_static(name), value);
        }
        judge(version, &map).err().map(|error| error.into_response(&map).status().as_u16())
    }

    #[test]
    fn only_http_1_1_needs_a_host_and_nobody_has_two() {
        for (version, without) in
            [(Version::HTTP_10, None), (Version::HTTP_11, Some(400)), (Version::HTTP_2, None)]
        {
            assert_eq!(status(version, &[]), without, "{version:?}");
            assert_eq!(status(version, &[("host", "a")]), None, "{version:?}");
            assert_eq!(status(version, &[("host", "a"), ("host", "a")]), Some(400), "{version:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in
            ["", "a", "a.b-c_d:80", "127.0.0.1:8624", "[::1]:8624", "[fe80::1%25eth0]", "%61"]
        {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), None, "{host:?}");
        }
        for host in ["a b", "a, b", "a/b", "user@a", "http://a", "a?b", "a#b", "\"a\"", "a\\b", "é"]
        {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), Some(400), "{host:?}");
        }
    }

    #[test]
    fn credentials_come_once() {
        let (host, token) = (("host", "a"), ("authorization", "Bearer a"));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(status(version, &[host, token]), None, "{version:?}");
            assert_eq!(status(version, &[host, token, token]), Some(400), "{version:?}");
        }
    }

    #[test]
    fn chunked_is_understood_once_and_nothing_else() {
        let coded = |codings: &[&str]| {
            let headers = codings.iter().map(|coding| ("transfer-encoding", *coding));
            status(
                Version::HTTP_11,
                &[("host", "a")].into_iter().chain(headers).collect::<Vec<_>>(),
            )
        };
        for codings in [&["chunked"][..], &["Chunked"], &[" chunked ,"]] {
            assert_eq!(coded(codings), None, "{codings:?}");
        }
        for codings in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["identity, chunked"],
            &["chunked;x=y"],
            &["chunkedx"],
        ] {
            assert_eq!(coded(codings), Some(501), "{codings:?}");
        }
        for codings in [&["chunked, chunked"][..], &["chunked", "CHUNKED"]] {
            assert_eq!(coded(codings), Some(400), "{codings:?}");
        }
    }
}
