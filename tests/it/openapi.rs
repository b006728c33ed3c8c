//! docs/openapi.json and the server have the same routes: each path of either is in the other, with the same
//! methods. What requests and answers look like is compared by `tests/python/openapi.py`.

use std::collections::BTreeSet;
use std::path::Path;

use larder_tests::{BEARER, Client, Larder, Options, Reply};
use serde_json::Value;

const DOCUMENT: &str = "/larder/v1/openapi.json";
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];

fn text_of(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Paths of the document, each with an example in place of its parameters, and their methods.
fn described() -> Vec<(String, BTreeSet<String>)> {
    let document: Value = serde_json::from_str(&text_of("docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|name| *name != "parameters");
            let mut methods: BTreeSet<_> = methods.map(|name| name.to_uppercase()).collect();
            if methods.contains("GET") {
                methods.insert("HEAD".to_owned());
            }
            let path = path.replace("{namespace}", "default").replace("{key}", "a/b");
            (path.replace("{id}", "0123456789abcdef"), methods)
        })
        .collect()
}

/// The path is not there at all: then there is no word about what is missing.
fn is_no_route(reply: &Reply) -> bool {
    reply.status == 404 && reply.body.is_empty()
}

#[tokio::test]
async fn the_server_shows_the_document_of_the_tree_without_a_token() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    let shown = client.get(DOCUMENT).await;
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("application/json")));
    assert!(shown.body == text_of("docs/openapi.json"), "another document");
    let tag = shown.header("etag").unwrap();
    let again = client.send("GET", DOCUMENT, &[("if-none-match", tag)], "").await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    assert_eq!(shown.json()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn each_described_path_has_the_described_methods_and_no_others() {
    let larder = Larder::start();
    let client = Client::new(larder.address());
    for (path, methods) in described() {
        for method in METHODS {
            let reply = client.send(method, &path, &[BEARER], "").await;
            let described = methods.contains(method);
            assert!(!is_no_route(&reply) || method == "HEAD", "{method} {path}");
            assert_eq!(reply.status == 405, !described, "{method} {path}: {reply:?}");
            if !described {
                let allow = reply.header("allow").unwrap().split(',');
                let allowed: BTreeSet<_> = allow.map(|name| name.trim().to_owned()).collect();
                assert_eq!(allowed, methods, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn each_described_path_but_the_open_ones_asks_for_a_token() {
    let document: Value = serde_json::from_str(&text_of("docs/openapi.json")).unwrap();
    // Where others reach the port, so that the metrics ask for one too.
    let options = Options {
        listen: Some("0.0.0.0:0".to_owned()),
        ..Options::flags(&["--plain-http", "true"])
    };
    let larder = Larder::start_with(options);
    let client = Client::new(larder.address());
    for (path, item) in document["paths"].as_object().unwrap() {
        let example = path.replace("{namespace}", "default").replace("{key}", "k");
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            let reply = client.send(&method.to_uppercase(), &example, &[], "").await;
            assert_eq!(reply.status == 401, !open, "{method} {path}: {reply:?}");
            if !open {
                let challenge = reply.header("www-authenticate");
                assert_eq!(challenge, Some("Bearer realm=\"larder\""), "{method} {path}");
            }
        }
    }
}

/// The names of routes in the source of the guest's router: the strings that a match compares a path with.
fn routes_of_the_guest() -> BTreeSet<String> {
    let source = text_of("guest/src/router.rs");
    let arms = source.lines().filter_map(|line| line.trim_start().split_once("\" => "));
    let names = arms.filter_map(|(name, _)| name.strip_prefix('"'));
    names.map(|name| format!("/api/v1.{name}")).collect()
}

#[test]
fn each_route_of_the_guest_is_described() {
    let described = described().into_iter().map(|(path, _)| path);
    let described: BTreeSet<_> = described.filter(|path| path.starts_with("/api/")).collect();
    assert_eq!(described, routes_of_the_guest());
}
