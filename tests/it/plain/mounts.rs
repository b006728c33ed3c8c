//! Where the plain face is mounted, and where something else is.

use larder_tests::{BEARER, Client, Larder, Metrics, Options, guest_file};

use super::{get, put, send};

const READ_ONLY: &str =
    "[[mount]]\nprefix = '/kv'\ncomponent = 'builtin:api'\nnamespaces = { '*' = 'read' }\n";

fn start(config: &str) -> (Larder, Client) {
    let larder = Larder::start_with(Options::config(config));
    let client = Client::new(larder.address());
    (larder, client)
}

#[tokio::test]
async fn it_is_mounted_unless_a_setting_or_a_mount_says_otherwise() {
    let component = guest_file("larder_test_guest");
    let own = format!("[[mount]]\nprefix = '/kv'\ncomponent = {component:?}\n");
    let echo = async |client: &Client, path: &str| {
        let reply = client.send("GET", path, &[BEARER], "").await;
        String::from_utf8_lossy(&reply.body).contains("prefix=")
    };
    let (_larder, client) = start("");
    assert_eq!(put(&client, "/kv/default/echo", "v").await.status, 201);
    let (_larder, client) = start("plain_kv = false");
    let reply = client.send("PUT", "/kv/default/echo", &[BEARER], "v").await;
    assert_eq!((reply.status, reply.body.len()), (404, 0));
    let (_larder, client) = start(&own);
    assert!(echo(&client, "/kv/default/echo").await);
    // The longest prefix has a path.
    let (_larder, client) = start(&own.replace("'/kv'", "'/kv/default'"));
    assert!(echo(&client, "/kv/default/echo").await);
    assert_eq!(get(&client, "/kv/nowhere/echo").await.code(), "not-found");
    let (_larder, client) = start(&own.replace("'/kv'", "'/'"));
    assert!(echo(&client, "/kvs/default/echo").await);
    assert_eq!(get(&client, "/kv/nowhere/echo").await.code(), "not-found");
}

#[tokio::test]
async fn the_file_may_mount_it_with_grants_and_limits_of_its_own() {
    for config in [READ_ONLY.to_owned(), format!("plain_kv = false\n{READ_ONLY}")] {
        let (_larder, client) = start(&config);
        let refused = put(&client, "/kv/default/k", "v").await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"));
        let set = serde_json::json!({"key": "k", "value": "v"});
        assert_eq!(client.post(super::SET, &set).await.status, 200);
        assert_eq!(get(&client, "/kv/default/k").await.body, "v");
    }
}

#[tokio::test]
async fn a_component_in_place_of_the_api_leaves_the_plain_face() {
    let component = guest_file("larder_test_guest");
    let (_larder, client) = start(&format!("api = {component:?}"));
    let echo = client.send("GET", "/api/echo", &[BEARER], "").await;
    assert!(String::from_utf8_lossy(&echo.body).contains("prefix=/api"), "{echo:?}");
    assert_eq!(put(&client, "/kv/default/k", "v").await.status, 201);
}

#[tokio::test]
async fn it_is_compiled_once_with_the_api() {
    let (larder, client) = start("");
    assert_eq!(put(&client, "/kv/default/k", "v").await.status, 201);
    assert_eq!(larder.log().matches("compiling the guest").count(), 1, "{}", larder.log());
}

#[tokio::test]
async fn nothing_that_is_asked_for_becomes_a_label() {
    let (_larder, client) = start("");
    put(&client, "/kv/default/secret-key", "v").await;
    send(&client, "GET", "/kv/secret-namespace/k?secret-query", &[], "").await;
    let text = larder_tests::text(&client, "/metrics").await;
    assert!(!text.contains("secret"), "{text}");
    let metrics = Metrics::of(&client).await;
    let of_kv = [("guest", "kv"), ("operation", "other")];
    assert!(metrics.sum("larder_http_requests_total", &of_kv) >= 2.0, "{text}");
}
