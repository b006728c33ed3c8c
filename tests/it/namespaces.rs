//! Namespaces from outside, in both encodings: listed, measured, limited and deleted, and by whom.

use larder_tests::Larder;
use serde_json::{Value, json};

use crate::encodings::{Caller, ENCODINGS};

const INVALID: &str = "invalid-data";

/// Names of a page.
fn names(page: &Value) -> Vec<&str> {
    let namespaces = page["namespaces"].as_array().unwrap();
    namespaces.iter().map(|namespace| namespace["name"].as_str().unwrap()).collect()
}

async fn configure(caller: &Caller, names: &[&str]) {
    for name in names {
        caller.get("namespace.configure", json!({"name": name})).await;
    }
}

/// The usage without quotas.
fn usage(keys: u64, bytes: u64) -> Value {
    json!({"keys": keys, "bytes": bytes, "keys_max": null, "bytes_max": null})
}

#[tokio::test]
async fn namespaces_are_listed_by_name_in_pages() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        configure(&admin, &["b", "a/2", "a/1", "z"]).await;
        let page = admin.get("namespace.list", json!({})).await;
        assert_eq!(
            (names(&page), &page["after"]),
            (vec!["a/1", "a/2", "b", "default", "z"], &Value::Null)
        );
        let told = admin.get("namespace.get", json!({"name": "b"})).await;
        assert_eq!(page["namespaces"][2], told);
        for (asked, wanted, after) in [
            (json!({"limit": 2}), &["a/1", "a/2"][..], json!("a/2")),
            (json!({"limit": 2, "after": "a/2"}), &["b", "default"], json!("default")),
            (json!({"limit": 1, "after": "default"}), &["z"], Value::Null),
            (json!({"prefix": "a/"}), &["a/1", "a/2"], Value::Null),
            (json!({"prefix": "a/", "limit": 1}), &["a/1"], json!("a/1")),
            (json!({"prefix": "a/", "after": "b"}), &[], Value::Null),
            (json!({"prefix": "\u{e9}"}), &[], Value::Null),
        ] {
            let page = admin.get("namespace.list", asked.clone()).await;
            assert_eq!((names(&page), &page["after"]), (wanted.to_vec(), &after), "{asked}");
        }
        for (asked, location) in [
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 1001}), "limit"),
            (json!({"prefix": "p".repeat(257)}), "prefix"),
            (json!({"after": 1}), "after"),
        ] {
            admin.refused("namespace.list", asked, (422, INVALID, Some(location))).await;
        }
        let scope = json!({"name": "two", "role": "read", "namespaces": ["z", "a/2", "none"]});
        let reader = admin.scoped(&scope).await;
        let page = reader.get("namespace.list", json!({"limit": 1})).await;
        assert_eq!((names(&page), &page["after"]), (vec!["a/2"], &json!("a/2")));
        let page = reader.get("namespace.list", json!({"after": "a/2"})).await;
        assert_eq!((names(&page), &page["after"]), (vec!["z"], &Value::Null));
    }
}

#[tokio::test]
async fn usage_counts_keys_and_the_bytes_of_keys_and_values() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        configure(&admin, &["n"]).await;
        let of = async |name: &str| admin.get("namespace.usage", json!({"name": name})).await;
        assert_eq!(of("n").await, usage(0, 0));
        let set = |key: &str, value: &str| json!({"namespace": "n", "key": key, "value": value});
        admin.get("set", set("abc", "12345")).await;
        admin.get("set", set("d", "")).await;
        assert_eq!(of("n").await, usage(2, 9));
        admin.get("set", set("abc", "1")).await;
        admin.get("add", json!({"namespace": "n", "key": "n", "delta": -10})).await;
        assert_eq!(of("n").await, usage(3, 9));
        admin.get("delete", json!({"namespace": "n", "key": "d"})).await;
        assert_eq!(of("n").await, usage(2, 8));
        assert_eq!(of("default").await, usage(0, 0));
        admin.refused("namespace.usage", json!({"name": "no"}), (400, "not-found", None)).await;
        admin.refused("namespace.usage", json!({}), (422, INVALID, Some("."))).await;
        admin
            .refused("namespace.usage", json!({"name": "a:b"}), (422, INVALID, Some("name")))
            .await;
        let scope = json!({"name": "p", "role": "admin"});
        let deputy = admin.scoped(&scope).await;
        assert_eq!(deputy.get("namespace.usage", json!({"name": "n"})).await, usage(2, 8));
        for scope in [
            json!({"name": "p", "role": "write", "prefixes": ["a"]}),
            json!({"name": "p", "role": "read", "namespaces": ["default"]}),
        ] {
            let caller = admin.scoped(&scope).await;
            for name in ["n", "no"] {
                let forbidden = (403, "forbidden", None);
                caller.refused("namespace.usage", json!({"name": name}), forbidden).await;
            }
        }
    }
}

#[tokio::test]
async fn beyond_a_quota_writes_are_507_and_deletes_make_room() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        let quotas = json!({"name": "n", "keys_max": 2, "bytes_max": 20});
        let made = admin.ask("namespace.configure", &quotas).await;
        assert_eq!(made.status, 200);
        let updated = made.body["updated"].clone();
        assert_eq!(made.body, json!({"name": "n", "created": updated, "updated": updated}));
        assert!(made.version.is_some());
        let told = json!({"keys": 0, "bytes": 0, "keys_max": 2, "bytes_max": 20});
        assert_eq!(admin.get("namespace.usage", json!({"name": "n"})).await, told);
        let set = |key: &str, value: &str| json!({"namespace": "n", "key": key, "value": value});
        let operation = |key: &str| json!({"op": "set", "key": key, "value": ""});
        let full = (507, "storage-full", None);
        admin.get("set", set("a", "1")).await;
        admin.get("set", set("b", "1")).await;
        let refused = admin.refused("set", set("c", ""), full).await;
        assert!(refused.body["detail"].as_str().unwrap().contains("keys_max"), "{refused:?}");
        let refused = admin.refused("set", set("a", &"v".repeat(18)), full).await;
        assert!(refused.body["detail"].as_str().unwrap().contains("bytes_max"), "{refused:?}");
        let more = json!({"namespace": "n", "operations": [operation("a"), operation("c")]});
        admin.refused("batch", more, full).await;
        admin.refused("add", json!({"namespace": "n", "key": "c"}), full).await;
        // It is judged by the sum.
        let swap =
            [json!({"op": "set", "key": "c", "value": ""}), json!({"op": "delete", "key": "a"})];
        admin.get("batch", json!({"namespace": "n", "operations": swap})).await;
        admin.get("set", set("b", &"v".repeat(18))).await;
        admin.refused("set", set("b", &"v".repeat(19)), full).await;
        // Absent keeps one, null lifts it, and below what is there nothing is lost.
        admin.get("namespace.configure", json!({"name": "n", "keys_max": null})).await;
        let told = json!({"keys": 2, "bytes": 20, "keys_max": null, "bytes_max": 20});
        assert_eq!(admin.get("namespace.usage", json!({"name": "n"})).await, told);
        admin.get("namespace.configure", json!({"name": "n"})).await;
        assert_eq!(admin.get("namespace.usage", json!({"name": "n"})).await, told);
        admin.get("namespace.configure", json!({"name": "n", "bytes_max": 0})).await;
        admin.refused("set", set("d", ""), full).await;
        admin.get("set", set("b", "v")).await;
        admin.get("delete", json!({"namespace": "n", "key": "b"})).await;
        admin.get("namespace.configure", json!({"name": "n", "bytes_max": null})).await;
        admin.get("set", set("d", &"v".repeat(1000))).await;
        for (field, value) in [
            ("keys_max", json!(-1)),
            ("keys_max", json!(1_u64 << 53)),
            ("bytes_max", json!(1.5)),
            ("bytes_max", json!("1")),
        ] {
            let body = json!({"name": "n", field: value});
            admin.refused("namespace.configure", body, (422, INVALID, Some(field))).await;
        }
    }
}

#[tokio::test]
async fn a_namespace_that_is_deleted_is_gone_at_once_and_may_be_made_again() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        configure(&admin, &["n", "other"]).await;
        for namespace in ["n", "other"] {
            admin.get("set", json!({"namespace": namespace, "key": "k", "value": "v"})).await;
        }
        let deleted = admin.ask("namespace.delete", &json!({"name": "n"})).await;
        assert_eq!((deleted.status, &deleted.body), (200, &json!({"success": true})));
        let version = deleted.version.unwrap();
        let get = json!({"namespace": "n", "key": "k"});
        let gone = (400, "not-found", None);
        admin.refused("get", get.clone(), gone).await;
        admin.refused("list", json!({"namespace": "n"}), gone).await;
        admin.refused("set", json!({"namespace": "n", "key": "k", "value": "v"}), gone).await;
        admin.refused("namespace.get", json!({"name": "n"}), gone).await;
        admin.refused("namespace.usage", json!({"name": "n"}), gone).await;
        assert_eq!(names(&admin.get("namespace.list", json!({})).await), ["default", "other"]);
        let again = admin.ask("namespace.delete", &json!({"name": "n"})).await;
        assert_eq!((again.status, &again.body), (200, &json!({"success": false})));
        assert_eq!(again.version, Some(version));
        configure(&admin, &["n"]).await;
        assert_eq!(admin.get("get", get).await["version"], 0);
        assert_eq!(admin.get("namespace.usage", json!({"name": "n"})).await, usage(0, 0));
        let kept = admin.get("get", json!({"namespace": "other", "key": "k"})).await;
        assert_eq!(kept["value"], json!([b'v']));
        let default = json!({"name": "default"});
        admin.refused("namespace.delete", default, (422, INVALID, Some("name"))).await;
        admin.refused("namespace.delete", json!({}), (422, INVALID, Some("."))).await;
        let bad = json!({"name": "a:b"});
        admin.refused("namespace.delete", bad, (422, INVALID, Some("name"))).await;
    }
}

#[tokio::test]
async fn quotas_and_deletes_are_an_administrator_s() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        configure(&admin, &["n"]).await;
        let writer = admin.scoped(&json!({"name": "w", "role": "write"})).await;
        let deputy = admin.scoped(&json!({"name": "d", "role": "admin"})).await;
        configure(&writer, &["n", "new"]).await;
        let forbidden = (403, "forbidden", None);
        for quota in [json!({"keys_max": 1}), json!({"bytes_max": null})] {
            let mut body = json!({"name": "n"});
            body.as_object_mut().unwrap().extend(quota.as_object().unwrap().clone());
            writer.refused("namespace.configure", body.clone(), forbidden).await;
            deputy.get("namespace.configure", body).await;
        }
        for name in ["n", "nowhere"] {
            let refused =
                writer.refused("namespace.delete", json!({"name": name}), forbidden).await;
            let detail = format!("`namespace.delete` is not allowed in the namespace `{name}`.");
            assert_eq!(refused.body["detail"], detail);
        }
        let told = deputy.get("namespace.delete", json!({"name": "n"})).await;
        assert_eq!(told, json!({"success": true}));
    }
}
