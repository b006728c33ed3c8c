//! The host's own paths: what may be done at each, and who may do it. A new endpoint has its line here. Knows
//! neither what endpoints do nor what they need.

use http::Method;

/// Where the API is described for programs.
const OPENAPI: &str = "/larder/v1/openapi.json";
/// Where tokens are listed and made; each is below it.
pub const TOKENS: &str = "/larder/v1/tokens";
/// Longest description of a new token.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// Who may use a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody who reaches the port.
    Open,
    /// Administrators.
    Administrators,
    /// Whoever may read the metrics, as the configuration and the address have it.
    Exposed,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Tells that the server runs.
    Live,
    /// Tells whether requests can be served.
    Ready,
    /// Shows the metrics.
    Metrics,
    /// Shows the description of the API.
    Describe,
    /// Lists all tokens.
    ListTokens,
    /// Makes a token.
    CreateToken,
    /// Revokes the token with the id that the path ends with.
    RevokeToken,
}

/// A path of the host's own.
#[derive(Debug)]
pub struct Resource {
    path: &'static str,
    /// Whether an id follows the path.
    has_id: bool,
    /// Who may use it.
    pub access: Access,
    /// Longest body; none is read when it is 0.
    pub body_bytes_max: u64,
    /// What each method does. HEAD does what GET does.
    methods: &'static [(Method, Endpoint)],
    /// The methods, for callers that ask for another.
    pub allow: &'static str,
}

impl Resource {
    const fn page(path: &'static str, access: Access, get: &'static [(Method, Endpoint)]) -> Self {
        Self { path, has_id: false, access, body_bytes_max: 0, methods: get, allow: "GET,HEAD" }
    }

    /// What a method does here.
    pub fn endpoint(&self, method: &Method) -> Option<Endpoint> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.methods.iter().find(|(known, _)| known == method).map(|(_, endpoint)| *endpoint)
    }
}

static RESOURCES: [Resource; 6] = [
    Resource::page("/livez", Access::Open, &[(Method::GET, Endpoint::Live)]),
    Resource::page("/readyz", Access::Open, &[(Method::GET, Endpoint::Ready)]),
    Resource::page("/metrics", Access::Exposed, &[(Method::GET, Endpoint::Metrics)]),
    Resource::page(OPENAPI, Access::Open, &[(Method::GET, Endpoint::Describe)]),
    Resource {
        path: TOKENS,
        has_id: false,
        access: Access::Administrators,
        body_bytes_max: TOKEN_BYTES_MAX,
        methods: &[(Method::GET, Endpoint::ListTokens), (Method::POST, Endpoint::CreateToken)],
        allow: "GET,HEAD,POST",
    },
    Resource {
        path: TOKENS,
        has_id: true,
        access: Access::Administrators,
        body_bytes_max: TOKEN_BYTES_MAX,
        methods: &[(Method::DELETE, Endpoint::RevokeToken)],
        allow: "DELETE",
    },
];

/// Paths that are counted apart: all but those that end with an id.
pub fn operations() -> Vec<&'static str> {
    RESOURCES.iter().filter(|resource| !resource.has_id).map(|resource| resource.path).collect()
}

/// The resource at a path, and the id that the path ends with.
pub fn find(path: &str) -> Option<(&'static Resource, &str)> {
    RESOURCES.iter().find_map(|resource| {
        let rest = path.strip_prefix(resource.path)?;
        let id = if resource.has_id { rest.strip_prefix('/')? } else { rest };
        (id.is_empty() != resource.has_id).then_some((resource, id))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::gateway::paths::{HOST_PATHS, is_under};

    #[test]
    fn a_path_and_a_method_have_one_endpoint() {
        let endpoint = |method: &Method, path: &str| {
            find(path).map(|(resource, _)| resource.endpoint(method).ok_or(resource.allow))
        };
        for (path, get, allow) in [
            ("/livez", Endpoint::Live, "GET,HEAD"),
            ("/readyz", Endpoint::Ready, "GET,HEAD"),
            ("/metrics", Endpoint::Metrics, "GET,HEAD"),
            (OPENAPI, Endpoint::Describe, "GET,HEAD"),
            (TOKENS, Endpoint::ListTokens, "GET,HEAD,POST"),
        ] {
            assert_eq!(endpoint(&Method::GET, path), Some(Ok(get)));
            assert_eq!(endpoint(&Method::HEAD, path), Some(Ok(get)));
            assert_eq!(endpoint(&Method::PUT, path), Some(Err(allow)));
        }
        assert_eq!(endpoint(&Method::POST, TOKENS), Some(Ok(Endpoint::CreateToken)));
        let one = format!("{TOKENS}/a/b");
        assert_eq!(endpoint(&Method::DELETE, &one), Some(Ok(Endpoint::RevokeToken)));
        assert_eq!(endpoint(&Method::GET, &one), Some(Err("DELETE")));
        assert_eq!(find(&one).map(|(_, id)| id), Some("a/b"));
    }

    #[test]
    fn what_is_no_resource_is_not_found() {
        for path in
            ["/", "/livez/", "/livezz", "/larder", "/larder/v1/tokens/", "/larder/v1/tokensx"]
        {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn each_path_without_an_id_is_counted_apart() {
        assert_eq!(operations(), ["/livez", "/readyz", "/metrics", OPENAPI, TOKENS]);
    }
    #[test]
    fn the_description_for_programs_has_each_resource_and_its_methods() {
        let described: serde_json::Value =
            serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
        let paths = described["paths"].as_object().unwrap().iter();
        let own = paths.filter(|(path, _)| HOST_PATHS.iter().any(|own| is_under(path, own)));
        let described: BTreeSet<(String, Vec<String>)> = own
            .map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                let mut methods: Vec<_> = methods.map(|name| name.to_uppercase()).collect();
                methods.sort();
                (path.clone(), methods)
            })
            .collect();
        let resources = RESOURCES.iter().map(|resource| {
            let path = resource.path.to_owned() + if resource.has_id { "/{id}" } else { "" };
            let mut methods: Vec<_> =
                resource.methods.iter().map(|(method, _)| method.to_string()).collect();
            methods.sort();
            (path, methods)
        });
        assert_eq!(described, resources.collect());
    }
}
