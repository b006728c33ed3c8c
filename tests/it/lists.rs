//! `v1.kv.list` and `v1.kv.get_many` from outside, in both encodings: what a page shows, where it ends,
//! and what nobody sees in it.

use std::process::Command;

use larder_tests::Larder;
use serde_json::{Value, json};

use crate::encodings::{Answer, Caller, ENCODINGS, Encoding};

const INVALID: &str = "invalid-data";

/// Keys of a page, in its order.
fn keys(page: &Value) -> Vec<&str> {
    let entries = page["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["key"].as_str().unwrap()).collect()
}

/// Sets keys to values that are their names; their versions.
async fn set(caller: &Caller, keys: &[&str]) -> Vec<u64> {
    let mut versions = Vec::new();
    for key in keys {
        let set = caller.get("set", json!({"key": key, "value": key})).await;
        versions.push(set["version"].as_u64().unwrap());
    }
    versions
}

/// All keys, read in pages of `limit`, and how many pages that were.
async fn pages(caller: &Caller, asked: &Value, limit: u64) -> (Vec<String>, usize) {
    let (mut found, mut count, mut after) = (Vec::new(), 0, Value::Null);
    loop {
        let mut body = asked.clone();
        body["after"] = after;
        body["limit"] = limit.into();
        let page = caller.get("list", body).await;
        count += 1;
        found.extend(keys(&page).into_iter().map(str::to_owned));
        after = page["after"].clone();
        if after.is_null() {
            return (found, count);
        }
    }
}

#[tokio::test]
async fn a_page_has_its_entries_in_the_order_of_keys_either_way() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let empty = json!({"entries": [], "after": null, "newest": 0});
        let mut page = caller.get("list", json!({})).await;
        page["newest"] = json!(0);
        assert_eq!(page, empty);
        let versions = set(&caller, &["b", "a/2", "a", "a/1", "c"]).await;
        let page = caller.get("list", json!({})).await;
        assert_eq!(keys(&page), ["a", "a/1", "a/2", "b", "c"]);
        assert_eq!((&page["after"], &page["newest"]), (&Value::Null, &json!(versions[4])));
        assert_eq!(page["entries"][0], json!({"key": "a", "version": versions[2], "expiry": null}));
        let page = caller.get("list", json!({"reverse": true, "values": true})).await;
        assert_eq!(keys(&page), ["c", "b", "a/2", "a/1", "a"]);
        let wanted = json!({"key": "b", "version": versions[0], "expiry": null, "value": [b'b']});
        assert_eq!(page["entries"][1], wanted);
        for (asked, wanted) in [
            (json!({"prefix": "a/"}), &["a/1", "a/2"][..]),
            (json!({"prefix": "a"}), &["a", "a/1", "a/2"]),
            (json!({"prefix": "x"}), &[]),
            (json!({"after": "a/1"}), &["a/2", "b", "c"]),
            (json!({"after": "a/1x"}), &["a/2", "b", "c"]),
            (json!({"after": "c"}), &[]),
            (json!({"after": "a/1", "reverse": true}), &["a"]),
            (json!({"prefix": "a/", "after": "a/1"}), &["a/2"]),
            (json!({"prefix": "a/", "after": "0"}), &["a/1", "a/2"]),
            (json!({"prefix": "a/", "after": "b"}), &[]),
            (json!({"prefix": "a/", "after": "b", "reverse": true}), &["a/2", "a/1"]),
        ] {
            let page = caller.get("list", asked.clone()).await;
            assert_eq!(keys(&page), wanted, "{asked}");
        }
        let wanted = ["c", "b", "a/2", "a/1", "a"];
        for limit in [1, 2, 5, 1000] {
            let (forward, _) = pages(&caller, &json!({}), limit).await;
            let (back, _) = pages(&caller, &json!({"reverse": true}), limit).await;
            assert_eq!(back, wanted, "{limit}");
            assert!(forward.iter().eq(wanted.iter().rev()), "{limit}: {forward:?}");
        }
    }
}

#[tokio::test]
async fn a_page_has_100_entries_unless_it_asks_for_others_and_1000_at_most() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let key = |number: usize| format!("k{number:04}");
        for first in [0, 1000] {
            let set = |number| json!({"op": "set", "key": key(number), "value": "v"});
            let operations: Vec<_> = (first..first + 1000).map(set).collect();
            caller.get("batch", json!({"operations": operations})).await;
        }
        let page = caller.get("list", json!({})).await;
        assert_eq!((keys(&page).len(), &page["after"]), (100, &json!(key(99))));
        let page = caller.get("list", json!({"limit": 1000})).await;
        assert_eq!((keys(&page).len(), &page["after"]), (1000, &json!(key(999))));
        let page = caller.get("list", json!({"limit": 1000, "after": page["after"]})).await;
        assert_eq!((keys(&page).len(), &page["after"]), (1000, &Value::Null));
        for (asked, location) in [
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 1001}), "limit"),
            (json!({"limit": "7"}), "limit"),
            (json!({"prefix": "p".repeat(257)}), "prefix"),
            (json!({"after": "\u{e9}".repeat(129)}), "after"),
            (json!({"after": 7}), "after"),
            (json!({"reverse": 1}), "reverse"),
            (json!({"values": "yes"}), "values"),
            (json!({"namespace": "a:b"}), "namespace"),
        ] {
            caller.refused("list", asked, (422, INVALID, Some(location))).await;
        }
        let any = json!({"prefix": "\u{e9}".repeat(128), "after": "a \"b\"\n\u{1f600}"});
        assert_eq!(caller.get("list", any).await["entries"], json!([]));
        let explicit = (400, "no-explicit-default-namespace", None);
        caller.refused("list", json!({"namespace": "default"}), explicit).await;
        caller.refused("list", json!({"namespace": "nowhere"}), (400, "not-found", None)).await;
    }
}

#[tokio::test]
async fn a_page_ends_early_for_its_bytes_and_shows_large_values_whole() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        // Of values of up to 64 KiB some enter the guest, larger ones do not.
        let value = |key: &str, bytes: usize| -> Vec<u8> {
            (0..bytes).map(|at| (at as u8) ^ key.as_bytes()[0]).collect()
        };
        let sizes = [("a", 1_500_000), ("b", 300_000), ("c", 65_536), ("d", 65_537), ("e", 0)];
        for (key, bytes) in sizes {
            caller.get("set", json!({"key": key, "value": value(key, bytes)})).await;
        }
        let page = caller.get("list", json!({"values": true})).await;
        assert_eq!((keys(&page), &page["after"]), (vec!["a"], &json!("a")));
        assert_eq!(page["entries"][0]["value"], json!(value("a", 1_500_000)));
        let page = caller.get("list", json!({"values": true, "after": "a"})).await;
        assert_eq!((keys(&page), &page["after"]), (vec!["b", "c", "d", "e"], &Value::Null));
        for (entry, (key, bytes)) in page["entries"].as_array().unwrap().iter().zip(&sizes[1..]) {
            assert_eq!(entry["value"], json!(value(key, *bytes)), "{key}");
        }
        let page = caller.get("list", json!({})).await;
        assert_eq!(keys(&page).len(), 5, "without values all of them fit");
        let many = caller.get("get_many", json!({"keys": ["e", "b", "a", "c"]})).await;
        assert_eq!(keys(&many), ["e", "b"]);
        assert_eq!(many["entries"][1]["value"], json!(value("b", 300_000)));
        let many = caller.get("get_many", json!({"keys": ["a", "e"]})).await;
        assert_eq!(many["entries"][0]["value"], json!(value("a", 1_500_000)));
    }
}

#[tokio::test]
async fn get_many_answers_in_the_order_asked_with_absent_keys_as_get_does() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let versions = set(&caller, &["a", "b"]).await;
        let many = caller.get("get_many", json!({"keys": ["b", "no", "a", "b"]})).await;
        let b = json!({"key": "b", "value": [b'b'], "version": versions[1], "expiry": null});
        let no = json!({"key": "no", "value": null, "version": 0, "expiry": null});
        let a = json!({"key": "a", "value": [b'a'], "version": versions[0], "expiry": null});
        assert_eq!(many, json!({"entries": [b, no, a, b], "newest": versions[1]}));
        let many = caller.get("get_many", json!({"keys": vec!["a"; 1000]})).await;
        assert_eq!(keys(&many).len(), 1000);
        for (body, location) in [
            (json!({"keys": []}), "keys"),
            (json!({"keys": vec!["a"; 1001]}), "keys"),
            (json!({"keys": "a"}), "keys"),
            (json!({"keys": ["a", "a b"]}), "keys[1]"),
            (json!({"keys": ["a", 1]}), "keys[1]"),
            (json!({}), "."),
        ] {
            caller.refused("get_many", body, (422, INVALID, Some(location))).await;
        }
        let explicit = json!({"namespace": "default", "keys": ["a"]});
        caller.refused("get_many", explicit, (400, "no-explicit-default-namespace", None)).await;
        let nowhere = json!({"namespace": "nowhere", "keys": ["a"]});
        caller.refused("get_many", nowhere, (400, "not-found", None)).await;
    }
}

#[tokio::test]
async fn an_expired_key_is_in_no_page_and_ends_none() {
    let larder = Larder::start();
    let caller = Caller::admin(&larder, Encoding::Json);
    set(&caller, &["a", "c"]).await;
    let long = json!({"key": "b", "value": "v", "ttl_ms": 3_600_000});
    caller.get("set", long).await;
    caller.get("set", json!({"key": "ab", "value": "v", "ttl_ms": 100})).await;
    // Until the clock of the server brings its end.
    while caller.get("get", json!({"key": "ab"})).await["version"] != 0 {}
    for encoding in ENCODINGS {
        let caller = Caller::admin(&larder, encoding);
        let page = caller.get("list", json!({"values": true})).await;
        assert_eq!(keys(&page), ["a", "b", "c"]);
        assert!(page["entries"][1]["expiry"].as_u64() > Some(1_700_000_000_000));
        let (found, _) = pages(&caller, &json!({}), 1).await;
        assert_eq!(found, ["a", "b", "c"]);
        let many = caller.get("get_many", json!({"keys": ["ab", "a"]})).await;
        assert_eq!(many["entries"][0]["version"], 0);
    }
}

#[tokio::test]
async fn a_list_shows_the_union_of_a_token_s_prefixes_and_nothing_else() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        admin.get("namespace.configure", json!({"name": "other"})).await;
        set(&admin, &["a", "b/1", "b/2", "c", "d/1", "d/2", "d/3", "e"]).await;
        let scope = json!({"name": "two", "role": "read", "prefixes": ["d/", "b/", "d/1"]});
        let reader = admin.scoped(&scope).await;
        let wanted = ["b/1", "b/2", "d/1", "d/2", "d/3"];
        assert_eq!(keys(&reader.get("list", json!({})).await), wanted);
        for limit in 1..6 {
            let (found, count) = pages(&reader, &json!({}), limit).await;
            assert_eq!(found, wanted, "{limit}");
            assert!(count <= wanted.len() / limit as usize + 1, "{count} pages of {limit}");
            let (found, _) = pages(&reader, &json!({"reverse": true}), limit).await;
            assert!(found.iter().eq(wanted.iter().rev()), "{limit}: {found:?}");
        }
        for (asked, wanted) in [
            (json!({"prefix": "d"}), &["d/1", "d/2", "d/3"][..]),
            (json!({"prefix": "d/2"}), &["d/2"]),
            (json!({"prefix": "c"}), &[]),
            (json!({"prefix": "a"}), &[]),
            (json!({"after": "b/1", "limit": 2}), &["b/2", "d/1"]),
            (json!({"after": "c"}), &["d/1", "d/2", "d/3"]),
        ] {
            let page = reader.get("list", asked.clone()).await;
            assert_eq!(keys(&page), wanted, "{asked}");
            let after = page["after"].as_str();
            assert!(after.is_none_or(|after| after.starts_with("b/") || after.starts_with("d/")));
        }
        reader.get("get_many", json!({"keys": ["b/1", "d/9"]})).await;
        let outside = json!({"keys": ["b/1", "c"]});
        reader.refused("get_many", outside, (403, "forbidden", None)).await;
        let scope = json!({"name": "other", "role": "read", "namespaces": ["other"]});
        let other = admin.scoped(&scope).await;
        assert_eq!(keys(&other.get("list", json!({"namespace": "other"})).await), [""; 0]);
        let denied = other.refused("list", json!({}), (403, "forbidden", None)).await;
        let detail = "`list` is not allowed in the namespace `default`.";
        assert_eq!(denied.body["detail"], detail);
        other.refused("list", json!({"namespace": "nowhere"}), (403, "forbidden", None)).await;
        other.refused("get_many", json!({"keys": ["a"]}), (403, "forbidden", None)).await;
    }
}

/// Keys as only guests, the plain face and imports make them, in their order.
const ODD_KEYS: [&str; 5] = ["a \"b\"\n", "a\u{0}", "b\\", "\u{e9}", "\u{1f600}"];

/// A server of a store with these keys.
fn with_odd_keys() -> Larder {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = format!(
        "{}\n{}\n",
        json!({"larder_export": 1, "version": 9, "instant": 1}),
        json!({"namespace": "default", "created": 1, "updated": 1})
    );
    for key in ODD_KEYS {
        lines.push_str(&format!("{}\n", json!({"key": key, "value": "v", "version": 1})));
    }
    std::fs::write(dir.path().join("lines"), lines).unwrap();
    let sealed = r#"s=$(sha256sum <lines | cut -d' ' -f1); printf '{"namespaces":1,"entries":5,"sha256":"%s"}\n' $s >>lines"#;
    let mut shell = Command::new("sh");
    assert!(shell.args(["-c", sealed]).current_dir(&dir).status().unwrap().success());
    let mut larder = Larder::start();
    let lines = dir.path().join("lines");
    let imported = larder.tool(&["import", lines.to_str().unwrap(), "--data", "odd"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    assert!(larder.terminate().success());
    std::fs::remove_dir_all(larder.data()).unwrap();
    std::fs::rename(larder.dir().join("odd"), larder.data()).unwrap();
    larder.start_again();
    larder
}

#[tokio::test]
async fn keys_that_the_api_does_not_write_are_listed_and_gone_on_from() {
    let larder = with_odd_keys();
    for encoding in ENCODINGS {
        let caller = Caller::admin(&larder, encoding);
        let mut wanted = ODD_KEYS;
        wanted.sort_unstable();
        assert_eq!(keys(&caller.get("list", json!({})).await), wanted);
        assert_eq!(pages(&caller, &json!({}), 1).await.0, wanted);
        let page = caller.get("list", json!({"prefix": "a \"b"})).await;
        assert_eq!(keys(&page), [ODD_KEYS[0]]);
    }
}

#[tokio::test]
async fn a_damaged_record_is_marked_in_its_place_and_ends_no_page() {
    let mut larder = Larder::start();
    let caller = Caller::admin(&larder, Encoding::Json);
    set(&caller, &["a", "c"]).await;
    let unique = "a value that is nowhere else";
    caller.get("set", json!({"key": "b", "value": unique})).await;
    assert!(larder.terminate().success());
    // Overwritten leaves may hold the bytes too: every copy is changed.
    let file = larder.data().join("data.mdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let found = |bytes: &[u8]| bytes.windows(28).position(|found| found == unique.as_bytes());
    while let Some(at) = found(&bytes) {
        bytes[at] = b'A';
    }
    std::fs::write(&file, bytes).unwrap();
    larder.start_again();
    for encoding in ENCODINGS {
        let caller = Caller::admin(&larder, encoding);
        let page = caller.get("list", json!({})).await;
        assert_eq!(keys(&page), ["a", "b", "c"]);
        let damaged = json!({"key": "b", "version": 0, "expiry": null, "corrupt": true});
        assert_eq!(page["entries"][1], damaged);
        let damaged =
            json!({"key": "b", "version": 0, "expiry": null, "value": null, "corrupt": true});
        let page = caller.get("list", json!({"values": true})).await;
        assert_eq!(page["entries"][1], damaged);
        let many = caller.get("get_many", json!({"keys": ["c", "b", "no"]})).await;
        assert_eq!((keys(&many), &many["entries"][1]), (vec!["c", "b", "no"], &damaged));
        assert!(many["entries"][2].get("corrupt").is_none());
        assert_eq!(pages(&caller, &json!({}), 1).await.0, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn reads_carry_no_version_of_a_write_and_a_malformed_one_is_400() {
    let larder = Larder::start();
    for encoding in ENCODINGS {
        let caller = Caller::admin(&larder, encoding);
        for (route, body) in [("list", json!({})), ("get_many", json!({"keys": ["a"]}))] {
            let Answer { status, version, .. } = caller.ask(route, &body).await;
            assert_eq!((status, version), (200, None), "{route}");
        }
        let malformed: [&[u8]; 3] = match encoding {
            Encoding::Json => [b"", b"{", b"{} x"],
            Encoding::MessagePack => [b"", b"\x81", b"\x80\x80"],
        };
        for body in malformed {
            let Answer { status, body, .. } = caller.send("list", body.to_vec()).await;
            assert_eq!((status, &body["code"]), (400, &json!("invalid-encoding")), "{body}");
        }
    }
}
