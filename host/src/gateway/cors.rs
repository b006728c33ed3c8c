//! Cross-origin requests: which pages of other origins a browser lets use a mount. Answers the browser's question
//! before such a request, and marks every answer with what the page may do with it. Keeps nothing away from anybody
//! but browsers; knows neither tokens nor guests. What an origin is, is `origins`'.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Response, StatusCode};

use super::errors::HostError;
use super::origins::{ANY, Origins};
use super::responses::empty;
use crate::net::body::Reply;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// The last stands for all but `authorization`; older browsers do not know it. Nothing of the question is repeated.
const HEADERS: &str = "authorization, content-type, accept, if-match, if-none-match, range, ttl-ms, \
                       last-event-id, *";
/// For how many seconds a browser need not ask again; some take no more.
const MAX_AGE: &str = "7200";
/// What a page can read besides what browsers show of every answer.
const EXPOSED: &str = "etag, diom-mutation-version, larder-expiry, content-range, accept-ranges, location, \
                       retry-after, allow, www-authenticate";
/// What an answer depends on.
const VARIES: &str = "origin";
/// What the answer to a browser's question depends on.
const QUESTION_VARIES: &str =
    "origin, access-control-request-method, access-control-request-headers";

/// What one mount allows, or the host's own paths. Each thread has its own, so that threads write to no counter of
/// references that they share.
pub struct Cors {
    /// `*`, where that is what is allowed.
    any: Option<HeaderValue>,
    allowed: Vec<HeaderValue>,
}

impl Cors {
    /// What these origins are allowed. None of them is as if there were no such thing as CORS.
    #[must_use]
    pub fn new(origins: &Origins) -> Option<Self> {
        // Checked before: each is visible ASCII.
        let allowed = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        let allowed: Vec<_> = allowed.collect();
        let any = allowed.iter().find(|origin| *origin == ANY).cloned();
        (!allowed.is_empty()).then_some(Self { any, allowed })
    }

    /// The origin of a request as its answer repeats it, if it is allowed.
    fn allows(&self, request: &HeaderMap) -> Option<&HeaderValue> {
        let origin = request.get(ORIGIN)?;
        let listed = || self.allowed.iter().find(|allowed| *allowed == origin);
        self.any.as_ref().or_else(listed)
    }

    /// The answer to a browser that asks whether a page may make a request; None for all other requests.
    pub fn preflight(
        &self,
        method: &Method,
        request: &HeaderMap,
    ) -> Option<Result<Response<Reply>, HostError>> {
        let asks = *method == Method::OPTIONS
            && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && request.contains_key(ORIGIN);
        if !asks {
            return None;
        }
        if self.allows(request).is_none() {
            return Some(Err(HostError::origin_not_allowed()));
        }
        let mut response = empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.reserve(6);
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            (VARY, QUESTION_VARIES),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Some(Ok(response))
    }

    /// Says in an answer's headers, whoever made it, whether the page that asked may read it. What a guest says of
    /// origins gives way; what it exposes besides stays exposed.
    pub fn mark(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        join(answer, &VARY, VARIES);
        answer.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        match self.allows(request) {
            Some(origin) => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                join(answer, &ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
            None => {
                answer.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
            }
        }
    }
}

/// Adds to a header that is a list, in one line, as some caches look at no second one. A list that holds `more` or
/// `*` stays as it is.
fn join(headers: &mut HeaderMap, name: &HeaderName, more: &'static str) {
    if !headers.contains_key(name) {
        headers.insert(name, HeaderValue::from_static(more));
        return;
    }
    let lines = || headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let known = |item: &[u8]| item == b"*" || item.eq_ignore_ascii_case(more.as_bytes());
    let mut items = lines().flat_map(|line| line.split(|byte| *byte == b','));
    if items.any(|item| known(item.trim_ascii())) {
        return;
    }
    let all: Vec<_> = lines().chain([more.as_bytes()]).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
        headers.insert(name, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.example";

    fn cors(origins: &str) -> Option<Cors> {
        Cors::new(&origins.parse().unwrap())
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    /// What an answer to a page of this origin says of who may read it.
    fn allowed(origins: &str, origin: &'static str) -> Option<String> {
        let mut answer = HeaderMap::new();
        cors(origins).unwrap().mark(&headers(&[("origin", origin)]), &mut answer);
        let allowed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN)?;
        assert!(answer.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
        Some(allowed.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_origin_is_allowed_when_it_is_listed_to_the_letter() {
        let list = "https://app.example,http://localhost:5173";
        for origin in [APP, "http://localhost:5173"] {
            assert_eq!(allowed(list, origin).as_deref(), Some(origin));
        }
        for origin in [
            "https://app.example:8443",
            "http://app.example",
            "https://app.example.evil",
            "https://APP.example",
            "https://app.exampl",
            "http://localhost",
            "null",
            "*",
            "",
        ] {
            assert_eq!(allowed(list, origin), None, "{origin}");
        }
        assert_eq!(allowed("null", "null").as_deref(), Some("null"));
        assert_eq!(allowed("*", "null").as_deref(), Some("*"));
        assert_eq!(allowed("*", APP).as_deref(), Some("*"));
        assert!(cors("").is_none());
    }

    #[test]
    fn only_a_browser_s_question_is_a_preflight() {
        let cors = cors(APP).unwrap();
        let asking = headers(&[("origin", APP), ("access-control-request-method", "POST")]);
        assert!(cors.preflight(&Method::OPTIONS, &asking).is_some());
        assert!(cors.preflight(&Method::POST, &asking).is_none());
        for (name, value) in [("origin", APP), ("access-control-request-method", "POST")] {
            assert!(cors.preflight(&Method::OPTIONS, &headers(&[(name, value)])).is_none());
        }
    }

    #[test]
    fn what_a_guest_varies_by_and_exposes_stays_and_what_it_allows_does_not() {
        let cors = cors(APP).unwrap();
        let said = |answer: &[_], origin| {
            let mut answer = headers(answer);
            cors.mark(&headers(&[("origin", origin)]), &mut answer);
            let lines = answer.iter().map(|(name, value)| format!("{name}: {value:?}"));
            lines.collect::<Vec<_>>().join("\n").replace('"', "")
        };
        let guests = [
            ("vary", "accept"),
            ("vary", "Cookie, x"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-own"),
        ];
        let own = format!("vary: accept, Cookie, x, {VARIES}\n");
        let told = said(&guests, APP);
        assert!(told.contains(&own), "{told}");
        assert!(told.contains(&format!("allow-origin: {APP}")), "{told}");
        assert!(told.contains(&format!("expose-headers: x-own, {EXPOSED}")), "{told}");
        assert!(!told.contains("credentials") && !told.contains(": *"), "{told}");
        let told = said(&guests, "https://other.example");
        assert!(told.contains(&own) && !told.contains("allow-origin"), "{told}");
        for vary in ["*", "origin", "accept, Origin"] {
            let told = said(&[("vary", vary)], "https://other.example");
            assert_eq!(told, format!("vary: {vary}"));
        }
    }
}
