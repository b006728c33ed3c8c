//! What each request is answered: values of all sizes, paths, ranges, conditions, faults.

use std::time::{Duration, SystemTime};

use larder_tests::{BEARER, Client, Reply};
use serde_json::{Value, json};

use super::{GET, SET, get, put, send, start};

const BODY_BYTES_MAX: usize = 8 << 20;
const ALL: &str = "GET, HEAD, PUT, DELETE, OPTIONS";

fn value(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

fn etag(reply: &Reply) -> String {
    reply.header("etag").expect("a tag").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_all_sizes_come_back_as_they_are() {
    let (_larder, clients) = start().await;
    for (at, client) in clients.iter().enumerate() {
        for bytes in [0, 1, 1024, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, BODY_BYTES_MAX] {
            let (path, value) = (format!("/kv/n/{at}/{bytes}"), value(bytes));
            let made = put(client, &path, value.clone()).await;
            assert_eq!((made.status, made.body.len()), (201, 0), "{made:?}");
            let version = made.header("diom-mutation-version").expect("a version");
            assert_eq!(etag(&made), format!("\"{version}\""));
            let replaced = put(client, &path, value.clone()).await;
            assert_eq!((replaced.status, replaced.body.len()), (204, 0), "{replaced:?}");
            let found = get(client, &path).await;
            assert!(found.status == 200 && found.body == value, "{bytes}: {:?}", found.headers);
            let head = send(client, "HEAD", &path, &[("range", "bytes=0-0")], "").await;
            assert_eq!((head.status, head.body.len()), (200, 0));
            for reply in [&found, &head] {
                assert_eq!(reply.header("etag"), Some(etag(&replaced).as_str()));
                assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
                assert_eq!(reply.header("accept-ranges"), Some("bytes"));
                // An answer of HTTP/2 that ends with its head may leave out that nothing follows.
                let length = reply.header("content-length").unwrap_or("0");
                assert_eq!(length, bytes.to_string());
                for absent in ["expires", "larder-expiry", "diom-mutation-version"] {
                    assert_eq!(reply.header(absent), None, "{absent}");
                }
            }
            let deleted = send(client, "DELETE", &path, &[], "").await;
            assert_eq!((deleted.status, deleted.body.len()), (204, 0), "{deleted:?}");
            for method in ["GET", "HEAD", "DELETE"] {
                assert_eq!(send(client, method, &path, &[], "").await.status, 404, "{method}");
            }
        }
        let refused = put(client, "/kv/n/k", value(BODY_BYTES_MAX + 1)).await;
        assert_eq!((refused.status, refused.code().as_str()), (413, "payload-too-large"));
        assert_eq!(get(client, "/kv/n/k").await.status, 404);
    }
}

#[tokio::test]
async fn it_has_the_same_entries_as_the_api() {
    let (_larder, [client, _]) = start().await;
    let set = json!({"namespace": "n", "key": "a/b", "value": "one", "ttl_ms": 60_000});
    let set = client.post(SET, &set).await.json();
    let found = get(&client, "/kv/n/a/b").await;
    assert_eq!((&found.body[..], etag(&found)), (&b"one"[..], format!("\"{}\"", set["version"])));
    assert_eq!(put(&client, "/kv/default/k", "two").await.status, 201);
    let entry = client.post(GET, &json!({"key": "k"})).await.json();
    assert_eq!((&entry["value"], &entry["expiry"]), (&json!(b"two"), &Value::Null));
}

#[tokio::test]
async fn the_path_is_split_as_it_was_sent_and_keys_are_kept_as_they_are() {
    let (_larder, clients) = start().await;
    super::configure(&clients[0], "a/b").await;
    for client in &clients {
        for (path, namespace, key, api) in [
            ("/kv/n/a/b", "n", "a/b", true),
            ("/kv/n//a//b/", "n", "/a//b/", true),
            ("/kv/n/a/../b", "n", "a/../b", true),
            ("/kv/n/./..", "n", "./..", true),
            ("/kv/n/..", "n", "..", true),
            ("/kv/a%2Fb/k", "a/b", "k", true),
            ("/kv/a%2fb/%6B2", "a/b", "k2", true),
            ("/kv/n/a%2Fc", "n", "a/c", true),
            ("/kv/n/a+b", "n", "a+b", true),
            ("/kv/n/k?x=%2F&ttl_ms=60000", "n", "k", true),
            ("/kv/n/a%20b", "n", "a b", false),
            ("/kv/n/%00%0D%0A", "n", "\0\r\n", false),
            ("/kv/n/%C3%A9%F0%9F%98%80", "n", "\u{e9}\u{1f600}", false),
            ("/kv/n/%2525", "n", "%25", false),
        ] {
            let written = put(client, path, key).await;
            assert_eq!(written.status, 201, "{path}: {written:?}");
            assert_eq!(get(client, path).await.body, key, "{path}");
            if api {
                let entry = client.post(GET, &json!({"namespace": namespace, "key": key})).await;
                assert_eq!(entry.json()["value"], json!(key.as_bytes()), "{path}");
            }
            assert_eq!(send(client, "DELETE", path, &[], "").await.status, 204, "{path}");
        }
    }
    let longest = format!("/kv/n/{}", "%C3%A9".repeat(128));
    assert_eq!(put(&clients[0], &longest, "v").await.status, 201);
    assert_eq!(get(&clients[0], &longest).await.status, 200);
}

#[tokio::test]
async fn a_range_of_one_part_is_sent_and_others_are_not() {
    let (_larder, clients) = start().await;
    for (at, bytes) in [(0, 1000_usize), (1, 200_000)] {
        let (client, path, value) = (&clients[at], format!("/kv/n/{bytes}"), value(bytes));
        let tag = etag(&put(client, &path, value.clone()).await);
        let last = bytes - 1;
        for (range, if_range, part) in [
            ("bytes=0-0", None, Some((0, 0))),
            ("bytes=10-19", None, Some((10, 19))),
            ("bytes=10-", None, Some((10, last))),
            ("bytes=-10", None, Some((bytes - 10, last))),
            ("bytes=0-999999999", None, Some((0, last))),
            ("bytes=10-19", Some(tag.as_str()), Some((10, 19))),
            ("bytes=10-19", Some("\"1\""), None),
            ("bytes=10-19", Some("Sun, 06 Nov 1994 08:49:37 GMT"), None),
            ("bytes=0-0,2-2", None, None),
            ("bytes=9-1", None, None),
            ("lines=0-0", None, None),
        ] {
            let mut headers = vec![("range", range)];
            headers.extend(if_range.map(|tag| ("if-range", tag)));
            let reply = send(client, "GET", &path, &headers, "").await;
            assert_eq!(etag(&reply), tag);
            let Some((first, last)) = part else {
                assert!(reply.status == 200 && reply.body == value, "{range} {:?}", reply.headers);
                assert_eq!(reply.header("content-range"), None);
                continue;
            };
            assert!(reply.status == 206 && reply.body == value[first..=last], "{range}");
            let told = format!("bytes {first}-{last}/{bytes}");
            assert_eq!(reply.header("content-range"), Some(told.as_str()));
            assert_eq!(
                reply.header("content-length"),
                Some((last - first + 1).to_string().as_str())
            );
        }
        for range in [format!("bytes={bytes}-"), "bytes=-0".to_owned()] {
            let reply = send(client, "GET", &path, &[("range", &range)], "").await;
            assert_eq!((reply.status, reply.code().as_str()), (416, "range-not-satisfiable"));
            assert_eq!(reply.header("content-range"), Some(format!("bytes */{bytes}").as_str()));
        }
    }
    put(&clients[0], "/kv/n/0", "").await;
    let reply = send(&clients[0], "GET", "/kv/n/0", &[("range", "bytes=0-")], "").await;
    assert_eq!((reply.status, reply.header("content-range")), (416, Some("bytes */0")));
}

/// A key's version, 0 when it is absent.
async fn version(client: &Client, key: &str) -> u64 {
    let entry = client.post(GET, &json!({"namespace": "n", "key": key})).await;
    entry.json()["version"].as_u64().unwrap()
}

#[tokio::test]
async fn changes_are_made_when_their_conditions_hold_and_else_nothing_is_changed() {
    let (_larder, clients) = start().await;
    for (at, client) in clients.iter().enumerate() {
        let key = format!("k{at}");
        let path = format!("/kv/n/{key}");
        // For a key that is absent and for one that is present: what PUT and DELETE answer. `V` stands for the
        // version that it has, or had.
        for (headers, absent, present) in [
            (vec![], (201, 404), (204, 204)),
            (vec![("if-match", "\"V\"")], (412, 404), (204, 204)),
            (vec![("if-match", "*")], (412, 404), (204, 204)),
            (vec![("if-none-match", "*")], (201, 404), (412, 412)),
            (vec![("if-match", "\"1\"")], (412, 404), (412, 412)),
            (vec![("if-match", "\"0\"")], (412, 404), (412, 412)),
            (vec![("if-match", "\"x\"")], (412, 404), (412, 412)),
            (vec![("if-match", "W/\"V\"")], (412, 404), (412, 412)),
            (vec![("if-match", "")], (412, 404), (412, 412)),
            (vec![("if-match", "\"1\", \"V\", \"x\"")], (412, 404), (204, 204)),
            (vec![("if-match", "\"1\""), ("if-match", "\"V\"")], (412, 404), (204, 204)),
            (vec![("if-match", "\"1\", \"2\"")], (412, 404), (412, 412)),
            (vec![("if-match", "\"V\", W/\"1\"")], (412, 404), (204, 204)),
            (vec![("if-none-match", "\"V\"")], (201, 404), (412, 412)),
            (vec![("if-none-match", "\"1\"")], (201, 404), (204, 204)),
            (vec![("if-none-match", "W/\"V\"")], (201, 404), (204, 204)),
            (vec![("if-match", "*"), ("if-none-match", "*")], (412, 404), (412, 412)),
            (vec![("if-match", "*"), ("if-none-match", "\"V\"")], (412, 404), (412, 412)),
            (vec![("if-match", "\"V\""), ("if-none-match", "\"1\"")], (412, 404), (204, 204)),
        ] {
            for (is_there, wanted) in [(false, absent), (true, present)] {
                for (method, status) in [("PUT", wanted.0), ("DELETE", wanted.1)] {
                    let told = format!("{method} {headers:?} {is_there}");
                    let there = etag(&put(client, &path, "old").await).replace('"', "");
                    if !is_there {
                        assert_eq!(send(client, "DELETE", &path, &[], "").await.status, 204);
                    }
                    let before = version(client, &key).await;
                    let filled =
                        headers.iter().map(|(name, value)| (*name, value.replace('V', &there)));
                    let filled: Vec<_> = filled.collect();
                    let headers: Vec<_> =
                        filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    let reply = send(client, method, &path, &headers, "new").await;
                    assert_eq!(reply.status, status, "{told}: {reply:?}");
                    let after = version(client, &key).await;
                    match (status, method) {
                        (201 | 204, "PUT") => {
                            assert_eq!(etag(&reply), format!("\"{after}\""), "{told}");
                            assert!(after > before, "{told}");
                        }
                        (204, _) => assert_eq!((after, reply.header("etag")), (0, None), "{told}"),
                        _ => assert_eq!((after, reply.header("etag")), (before, None), "{told}"),
                    }
                    if status == 412 {
                        assert_eq!(reply.code(), "conflict", "{told}");
                    }
                    let newest = reply.header("diom-mutation-version").expect("a version");
                    assert!(newest.parse::<u64>().unwrap() >= after, "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn reads_are_answered_by_what_the_reader_has() {
    let (_larder, clients) = start().await;
    for client in &clients {
        let tag = etag(&put(client, "/kv/n/k?ttl_ms=60000", "value").await);
        for method in ["GET", "HEAD"] {
            for (name, value, status) in [
                ("if-none-match", tag.clone(), 304),
                ("if-none-match", format!("\"1\", {tag}"), 304),
                ("if-none-match", "*".to_owned(), 304),
                ("if-none-match", format!("W/{tag}"), 200),
                ("if-none-match", "\"1\"".to_owned(), 200),
                ("if-match", tag.clone(), 200),
                ("if-match", "*".to_owned(), 200),
                ("if-match", "\"1\"".to_owned(), 412),
                ("if-match", format!("W/{tag}"), 412),
            ] {
                let reply = send(client, method, "/kv/n/k", &[(name, &value)], "").await;
                assert_eq!(reply.status, status, "{method} {name}: {value}");
                if status != 412 {
                    assert_eq!(reply.header("etag"), Some(tag.as_str()));
                    assert!(
                        reply.header("expires").is_some()
                            && reply.header("larder-expiry").is_some()
                    );
                }
                if status == 304 {
                    assert_eq!(reply.body.len(), 0);
                }
                let absent = send(client, method, "/kv/n/absent", &[(name, &value)], "").await;
                assert_eq!(absent.status, 404, "{method} {name}: {value}");
            }
        }
    }
}

#[tokio::test]
async fn a_value_with_a_time_to_live_says_when_it_expires_and_then_does() {
    let (_larder, clients) = start().await;
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    for (client, (path, headers)) in
        clients.iter().zip([("/kv/n/k?ttl_ms=300", vec![]), ("/kv/n/l", vec![("ttl-ms", "300")])])
    {
        let before = now();
        assert_eq!(send(client, "PUT", path, &headers, "v").await.status, 201);
        let found = get(client, path).await;
        if found.status == 200 {
            let expiry: u64 = found.header("larder-expiry").unwrap().parse().unwrap();
            assert!((before + 300..=now() + 300).contains(&expiry), "{expiry}");
            let date = found.header("expires").unwrap();
            assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        }
        while get(client, path).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(now() >= before + 300);
        assert_eq!(send(client, "PUT", path, &[("if-match", "*")], "v").await.status, 412);
        // A value that is set without one stays.
        assert_eq!(put(client, path.split('?').next().unwrap(), "v").await.status, 201);
        assert_eq!(get(client, path).await.header("expires"), None);
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_in_json_with_its_place() {
    let (_larder, clients) = start().await;
    put(&clients[0], "/kv/n/k", "v").await;
    let long = "k".repeat(257);
    let (long_key, long_name) = (format!("/kv/n/{long}"), format!("/kv/{long}/k"));
    for client in &clients {
        for (method, path, header, status, code, location) in [
            ("GET", "/kv/n/absent", None, 404, "not-found", None),
            ("GET", "/kv/nowhere/k", None, 404, "not-found", None),
            ("PUT", "/kv/nowhere/k", None, 404, "not-found", None),
            ("PUT", "/kv/nowhere/k", Some(("if-match", "\"1\", \"2\"")), 404, "not-found", None),
            ("DELETE", "/kv/nowhere/k", None, 404, "not-found", None),
            ("GET", "/kv/nowhere/", None, 404, "not-found", None),
            ("GET", "/kv", None, 404, "not-found", None),
            ("GET", "/kv/", None, 404, "not-found", None),
            ("PUT", "/kv/n", None, 404, "not-found", None),
            ("GET", "/kv//k", None, 422, "invalid-data", Some("namespace")),
            ("PUT", "/kv/a:b/k", None, 422, "invalid-data", Some("namespace")),
            ("PUT", long_name.as_str(), None, 422, "invalid-data", Some("namespace")),
            ("PUT", long_key.as_str(), None, 422, "invalid-data", Some("key")),
            ("PUT", "/kv/n/%FF", None, 422, "invalid-data", Some("key")),
            ("GET", "/kv/n/%", None, 400, "invalid-encoding", None),
            ("PUT", "/kv/n/%zz", None, 400, "invalid-encoding", None),
            ("PUT", "/kv/%2/k", None, 400, "invalid-encoding", None),
            ("PUT", "/kv/n/k?ttl_ms=%", None, 400, "invalid-encoding", None),
            ("PUT", "/kv/n/k?ttl_ms=0", None, 422, "invalid-data", Some("ttl_ms")),
            ("PUT", "/kv/n/k?ttl_ms=1.5", None, 422, "invalid-data", Some("ttl_ms")),
            ("PUT", "/kv/n/k?ttl_ms=1&ttl_ms=1", None, 422, "invalid-data", Some("ttl_ms")),
            ("PUT", "/kv/n/k?ttl_ms=1", Some(("ttl-ms", "1")), 422, "invalid-data", Some("ttl_ms")),
            ("PUT", "/kv/n/k", Some(("ttl-ms", "x")), 422, "invalid-data", Some("ttl_ms")),
            (
                "PUT",
                "/kv/n/k",
                Some(("ttl-ms", "18446744073709551615")),
                422,
                "invalid-data",
                Some("ttl_ms"),
            ),
            (
                "PUT",
                "/kv/n/k",
                Some(("content-range", "bytes 0-0/1")),
                400,
                "invalid-data",
                Some("content-range"),
            ),
            ("PUT", "/kv/n/k", Some(("if-match", "7")), 400, "invalid-data", Some("if-match")),
            (
                "DELETE",
                "/kv/n/k",
                Some(("if-none-match", "\"7")),
                400,
                "invalid-data",
                Some("if-none-match"),
            ),
            ("GET", "/kv/n/?limit=0", None, 422, "invalid-data", Some("limit")),
            ("GET", "/kv/n/?prefix=%FF", None, 422, "invalid-data", Some("prefix")),
        ] {
            let headers: Vec<_> =
                header.into_iter().chain([("accept", "application/msgpack")]).collect();
            let reply = send(client, method, path, &headers, "new").await;
            let body = reply.json();
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {path}");
            assert_eq!(body["location"], json!(location), "{method} {path}");
        }
    }
    assert_eq!(get(&clients[0], "/kv/n/k").await.body, "v");
}

#[tokio::test]
async fn each_path_tells_its_methods() {
    let (_larder, clients) = start().await;
    for client in &clients {
        for (path, methods) in [("/kv/n/k", ALL), ("/kv/n/", "GET, HEAD, OPTIONS")] {
            let options = send(client, "OPTIONS", path, &[], "").await;
            assert_eq!((options.status, options.header("allow")), (204, Some(methods)));
            for method in ["POST", "PATCH", "PURGE"] {
                let refused = send(client, method, path, &[], "x").await;
                assert_eq!((refused.status, refused.header("allow")), (405, Some(methods)));
                assert_eq!(refused.code(), "method-not-allowed");
            }
        }
        assert_eq!(send(client, "PUT", "/kv/n/", &[], "x").await.status, 405);
        assert_eq!(send(client, "DELETE", "/kv/n/", &[], "").await.status, 405);
    }
}

#[tokio::test]
async fn a_token_is_wanted_and_reaches_what_it_reaches_by_the_api() {
    let (_larder, clients) = start().await;
    let make = async |token: Value| {
        let made = clients[0].post("/larder/v1/tokens", &token).await;
        format!("Bearer {}", made.json()["token"].as_str().unwrap())
    };
    let reader = make(json!({"name": "r", "role": "read", "namespaces": ["n"]})).await;
    let scope = json!({"name": "w", "role": "write", "namespaces": ["n"], "prefixes": ["a/"]});
    let writer = make(scope).await;
    put(&clients[0], "/kv/n/b", "v").await;
    for client in &clients {
        for (method, path, token, status) in [
            ("GET", "/kv/n/b", None, 401),
            ("PUT", "/kv/n/b", None, 401),
            ("OPTIONS", "/kv/n/b", None, 401),
            ("GET", "/kv", None, 401),
            ("DELETE", "/kv/n/b", Some("Bearer wrong"), 401),
            ("GET", "/kv/n/b", Some(reader.as_str()), 200),
            ("GET", "/kv/n/", Some(&reader), 200),
            ("PUT", "/kv/n/b", Some(&reader), 403),
            ("DELETE", "/kv/n/absent", Some(&reader), 403),
            ("GET", "/kv/default/b", Some(&reader), 403),
            ("GET", "/kv/nowhere/b", Some(&reader), 403),
            ("GET", "/kv/n/b", Some(&writer), 403),
            ("PUT", "/kv/n/b", Some(&writer), 403),
            ("PUT", "/kv/n/a/1", Some(&writer), 0),
            ("GET", "/kv/n/a/1", Some(&writer), 200),
        ] {
            let token = token.map(|token| ("authorization", token));
            let headers: Vec<_> = token.into_iter().collect();
            let reply = client.send(method, path, &headers, "v").await;
            let is = |wanted| reply.status == wanted;
            assert!(
                is(status) || status == 0 && (is(201) || is(204)),
                "{method} {path}: {reply:?}"
            );
            if status > 400 {
                let code = match (status, token) {
                    (401, None) => "auth-required",
                    (401, _) => "invalid-token",
                    _ => "forbidden",
                };
                assert_eq!(reply.code(), code, "{method} {path}");
                assert_eq!(reply.headers.contains_key("www-authenticate"), status == 401);
            }
        }
    }
    let kept = clients[0].send("GET", "/kv/n/b", &[BEARER], "").await;
    assert_eq!(kept.body, "v");
}
