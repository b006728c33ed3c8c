//! Pages of keys: as one document, and a line for each entry.

use larder_tests::Client;
use serde_json::{Value, json};

use super::{get, put, send, start};

const KEYS: [&str; 6] = ["a", "a/1", "a/2", "a+b", "b", "c"];

/// All keys of a list of entries.
fn keys(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
}

async fn fill(client: &Client) -> u64 {
    let mut newest = 0;
    for key in KEYS {
        let reply = put(client, &format!("/kv/n/{key}"), "value").await;
        newest = reply.header("etag").unwrap().trim_matches('"').parse().unwrap();
    }
    newest
}

#[tokio::test]
async fn a_page_is_the_one_of_the_api() {
    let (_larder, clients) = start().await;
    let newest = fill(&clients[0]).await;
    put(&clients[0], "/kv/n/a?ttl_ms=60000", "value").await;
    for client in &clients {
        for (query, body) in [
            ("", json!({})),
            ("?", json!({})),
            ("?prefix=a/&x=y", json!({"prefix": "a/"})),
            ("?prefix=a%2F", json!({"prefix": "a/"})),
            ("?prefix=a%2Bb", json!({"prefix": "a+b"})),
            ("?prefix=a+b", json!({"prefix": "a b"})),
            ("?after=a/1", json!({"after": "a/1"})),
            ("?limit=2", json!({"limit": 2})),
            ("?limit=2&after=a", json!({"limit": 2, "after": "a"})),
            ("?prefix=nothing", json!({"prefix": "nothing"})),
        ] {
            let page = get(client, &format!("/kv/n/{query}")).await;
            assert_eq!(page.status, 200, "{query}: {page:?}");
            assert_eq!(page.header("content-type"), Some("application/json"));
            let mut body = body;
            body["namespace"] = json!("n");
            let listed = client.post("/api/v1.kv.list", &body).await;
            assert_eq!(page.json(), listed.json(), "{query}");
            assert!(page.json()["newest"].as_u64() > Some(newest), "{query}");
            let head = send(client, "HEAD", &format!("/kv/n/{query}"), &[], "").await;
            assert_eq!(head.status, 200);
            assert_eq!(head.header("content-length"), page.header("content-length"));
        }
        let sorted = get(client, "/kv/n/").await.json();
        assert_eq!(
            keys(sorted["entries"].as_array().unwrap()),
            ["a", "a+b", "a/1", "a/2", "b", "c"]
        );
    }
}

#[tokio::test]
async fn lines_have_the_same_entries_and_headers_tell_how_to_go_on() {
    let (_larder, clients) = start().await;
    fill(&clients[0]).await;
    put(&clients[0], "/kv/n/%C3%A9%20%0A", "value").await;
    for client in &clients {
        let all = get(client, "/kv/n/").await.json();
        for accept in ["application/x-ndjson", "Application/X-NDJSON;q=0.9, application/json;q=0.5"]
        {
            let (mut found, mut query) = (Vec::new(), "?limit=2".to_owned());
            loop {
                let path = format!("/kv/n/{query}");
                let page = send(client, "GET", &path, &[("accept", accept)], "").await;
                assert_eq!(page.header("content-type"), Some("application/x-ndjson"));
                assert_eq!(page.header("larder-newest"), Some(all["newest"].to_string().as_str()));
                let text = std::str::from_utf8(&page.body).unwrap();
                assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
                let entries: Vec<Value> =
                    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                assert!(entries.len() <= 2);
                found.extend(entries);
                let Some(after) = page.header("larder-after") else {
                    break;
                };
                query = format!("?limit=2&after={after}");
            }
            assert_eq!(json!(found), all["entries"], "{accept}");
        }
        for accept in ["*/*", "application/json", "application/x-ndjson;q=0", "application/msgpack"]
        {
            let page = send(client, "GET", "/kv/n/", &[("accept", accept)], "").await;
            assert_eq!(page.header("content-type"), Some("application/json"), "{accept}");
            assert_eq!(page.json(), all, "{accept}");
        }
    }
}
