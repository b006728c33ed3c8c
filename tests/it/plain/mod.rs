//! The plain face from outside: a key at `/kv/NAMESPACE/KEY`, by raw HTTP of both versions and by curl.

mod curl;
mod mounts;
mod pages;
mod requests;
mod writers;

use larder_tests::{BEARER, Client, Larder, Protocol, Reply};
use serde_json::json;

const CONFIGURE: &str = "/api/v1.kv.namespace.configure";
const SET: &str = "/api/v1.kv.set";
const GET: &str = "/api/v1.kv.get";
const PROTOCOLS: [Protocol; 2] = [Protocol::Http1(http::Version::HTTP_11), Protocol::Http2];
/// The headers of every answer of the plain face.
const EVERYWHERE: [(&str, &str); 2] =
    [("cache-control", "no-cache"), ("x-content-type-options", "nosniff")];

/// Sends with the admin token, and checks what every answer has.
async fn send(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Reply {
    let reply = client.send(method, path, &[&[BEARER], headers].concat(), body).await;
    for (name, value) in EVERYWHERE {
        assert_eq!(reply.header(name), Some(value), "{method} {path}: {reply:?}");
    }
    if reply.status >= 400 && method != "HEAD" {
        assert_eq!(reply.header("content-type"), Some("application/json"), "{reply:?}");
        let body = reply.json();
        let body = body.as_object().unwrap();
        let fields: Vec<&str> = body.keys().map(String::as_str).collect();
        assert_eq!(fields, ["code", "detail", "location", "type"], "{reply:?}");
        assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{reply:?}");
    }
    reply
}

async fn get(client: &Client, path: &str) -> Reply {
    send(client, "GET", path, &[], "").await
}

async fn put(client: &Client, path: &str, value: impl Into<bytes::Bytes>) -> Reply {
    send(client, "PUT", path, &[], value).await
}

async fn configure(client: &Client, name: &str) {
    assert_eq!(client.post(CONFIGURE, &json!({"name": name})).await.status, 200);
}

/// A server with the namespace `n`, and clients that speak each protocol to it.
async fn start() -> (Larder, [Client; 2]) {
    let larder = Larder::start();
    let clients = PROTOCOLS.map(|protocol| Client::speaking(larder.address(), protocol));
    configure(&clients[0], "n").await;
    (larder, clients)
}
