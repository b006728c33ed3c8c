//! `v1.kv.batch`, `v1.kv.add` and `v1.kv.touch` from outside, in both encodings: what they change, what
//! they refuse and where, and that a refused one changes nothing.

use larder_tests::Larder;
use serde_json::{Value, json};

use crate::encodings::{Caller, ENCODINGS, Encoding, packed, to_msgpack};

const INVALID: &str = "invalid-data";
/// The last instant that the clients can read.
const EXPIRY_MAX: u64 = 253_402_207_200_999;

/// What a key holds, as text.
async fn text(caller: &Caller, key: &str) -> Option<String> {
    let entry = caller.get("get", json!({"key": key})).await;
    let bytes = entry["value"].as_array()?.iter().map(|byte| byte.as_u64().unwrap() as u8);
    Some(String::from_utf8(bytes.collect()).unwrap())
}

/// The version of what `set` wrote.
async fn set(caller: &Caller, key: &str, value: &str) -> u64 {
    caller.get("set", json!({"key": key, "value": value})).await["version"].as_u64().unwrap()
}

#[tokio::test]
async fn a_batch_answers_each_operation_as_its_route_would() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let there = set(&caller, "there", "v").await;
        set(&caller, "gone", "v").await;
        let body = json!({
            "checks": [{"key": "there", "version": there}, {"key": "new", "version": 0}],
            "operations": [
                {"op": "set", "key": "new", "value": "w", "behavior": "insert", "ttl_ms": 3_600_000},
                {"op": "delete", "key": "gone"},
                {"op": "delete", "key": "never"},
                {"op": "touch", "key": "there", "ttl_ms": 3_600_000, "version": there},
                {"op": "add", "key": "count", "delta": -3},
                {"op": "add", "key": "count", "delta": 1},
                {"op": "touch", "key": "new"},
            ],
        });
        let answer = caller.ask("batch", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.body["results"].as_array().unwrap();
        let version = |at: usize| results[at]["version"].as_u64().unwrap();
        assert_eq!(results.len(), 7);
        assert_eq!(results[1..3], [json!({"success": true}), json!({"success": false})]);
        assert_eq!(results[4], json!({"value": -3, "version": version(4)}));
        assert_eq!(results[5], json!({"value": -2, "version": version(5)}));
        assert!([there, version(0), version(3), version(4), version(5)].is_sorted());
        assert_eq!(answer.version, Some(version(6)));
        assert_eq!(text(&caller, "count").await.as_deref(), Some("-2"));
        assert_eq!(text(&caller, "gone").await, None);
        let new = caller.get("get", json!({"key": "new"})).await;
        assert_eq!(new, json!({"value": [b'w'], "version": version(6), "expiry": null}));
        let touched = caller.get("get", json!({"key": "there"})).await;
        assert_eq!((&touched["version"], &touched["value"]), (&json!(version(3)), &json!([b'v'])));
        assert!(touched["expiry"].is_u64());
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_changes_nothing_and_says_which_part_failed() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let a = set(&caller, "a", "1").await;
        let newest = set(&caller, "text", "x").await;
        let good = json!({"op": "set", "key": "z", "value": "z"});
        let add = |fields: Value| {
            let mut add = json!({"op": "add", "key": "a"});
            add.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            add
        };
        for (operation, detail) in [
            (json!({"op": "set", "key": "a", "value": "", "version": a + 1}), "version mismatch"),
            (
                json!({"op": "set", "key": "a", "value": "", "behavior": "insert"}),
                "key already exists",
            ),
            (json!({"op": "set", "key": "b", "value": "", "behavior": "update"}), "key not found"),
            (json!({"op": "delete", "key": "a", "version": 0}), "version mismatch"),
            (json!({"op": "touch", "key": "b"}), "key not found"),
            (json!({"op": "touch", "key": "a", "version": 0}), "version mismatch"),
            (json!({"op": "add", "key": "text"}), "value is not a number"),
            (add(json!({"delta": i64::MAX})), "value would overflow"),
            (add(json!({"max": 1})), "value would be out of bounds"),
            (add(json!({"delta": -1, "min": 1})), "value would be out of bounds"),
            (add(json!({"version": 0})), "version mismatch"),
            // What an operation before it leaves is what it finds.
            (json!({"op": "set", "key": "z", "value": "", "version": 0}), "version mismatch"),
        ] {
            let body = json!({"operations": [good, operation, good]});
            let wanted = (400, "conflict", Some("operations[1]"));
            let refused = caller.refused("batch", body, wanted).await;
            assert_eq!(refused.body["detail"], detail, "{operation}");
            assert_eq!(refused.version, Some(newest), "{operation}");
        }
        let checks = json!([{"key": "a", "version": a}, {"key": "z", "version": 1}]);
        let body = json!({"checks": checks, "operations": [good]});
        let refused = caller.refused("batch", body, (400, "conflict", Some("checks[1]"))).await;
        assert_eq!(
            (refused.version, &refused.body["detail"]),
            (Some(newest), &json!("version mismatch"))
        );
        let page = caller.get("list", json!({})).await;
        assert_eq!(
            (page["entries"].as_array().unwrap().len(), &page["newest"]),
            (2, &json!(newest))
        );
        assert_eq!(text(&caller, "a").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn checks_see_the_state_before_the_batch_and_a_key_may_come_twice() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let body = json!({
            "checks": [{"key": "k", "version": 0}],
            "operations": [
                {"op": "set", "key": "k", "value": "7"},
                {"op": "add", "key": "k"},
                {"op": "delete", "key": "k"},
                {"op": "add", "key": "k", "initial": 5},
            ],
        });
        let answer = caller.ask("batch", &body).await;
        assert_eq!(answer.body["results"][1]["value"], 8);
        assert_eq!(answer.body["results"][3]["value"], 6);
        caller.refused("batch", body, (400, "conflict", Some("checks[0]"))).await;
    }
}

#[tokio::test]
async fn a_batch_takes_1000_parts_and_is_judged_before_the_store_is_asked() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let operations = |count: usize| -> Vec<Value> {
            (0..count)
                .map(|at| json!({"op": "set", "key": format!("k{at}"), "value": "v"}))
                .collect()
        };
        let checks = vec![json!({"key": "never", "version": 0}); 400];
        let body = json!({"checks": checks, "operations": operations(600)});
        assert_eq!(caller.get("batch", body).await["results"].as_array().unwrap().len(), 600);
        let good = json!({"op": "set", "key": "k", "value": "v"});
        let too_long = json!({"op": "touch", "key": "k", "ttl_ms": EXPIRY_MAX});
        let batch = |operation: Value| json!({"operations": [good, operation]});
        for (body, location) in [
            (json!({"checks": checks, "operations": operations(601)}), "operations"),
            (json!({"operations": operations(1001)}), "operations"),
            (json!({"operations": []}), "operations"),
            (json!({"operations": null}), "operations"),
            (json!({"checks": checks}), "."),
            (batch(json!({"op": "get", "key": "k"})), "operations[1].op"),
            (batch(json!({"op": "set", "key": "k"})), "operations[1]"),
            (
                batch(json!({"op": "set", "key": "k", "value": "", "ttl_ms": 0})),
                "operations[1].ttl_ms",
            ),
            (batch(json!({"op": "add", "key": "k", "delta": 1_u64 << 63})), "operations[1].delta"),
            (batch(json!({"op": "delete", "key": "a b"})), "operations[1].key"),
            (batch(too_long), "operations[1].ttl_ms"),
            (json!({"checks": [{"key": ""}], "operations": [good]}), "checks[0].key"),
        ] {
            caller.refused("batch", body, (422, INVALID, Some(location))).await;
        }
        let explicit = json!({"namespace": "default", "operations": [good]});
        caller.refused("batch", explicit, (400, "no-explicit-default-namespace", None)).await;
        let nowhere = json!({"namespace": "nowhere", "operations": [good]});
        let refused = caller.refused("batch", nowhere, (400, "not-found", None)).await;
        assert_eq!(refused.version, None);
    }
}

#[tokio::test]
async fn large_values_of_a_batch_arrive_as_they_are() {
    let larder = Larder::start();
    let value = |seed: u8, bytes: usize| -> Vec<u8> {
        (0..bytes).map(|at| (at % 251) as u8 ^ seed).collect()
    };
    let sizes = [3_000_000, 70_000, 65_536, 100, 0];
    let caller = Caller::admin(&larder, Encoding::MessagePack);
    let operation = |(seed, bytes): (u8, &usize)| {
        rmpv::Value::Map(vec![
            ("value".into(), rmpv::Value::Binary(value(seed, *bytes))),
            ("op".into(), "set".into()),
            ("key".into(), format!("k{seed}").into()),
        ])
    };
    let operations = (0..).zip(&sizes).map(operation).collect();
    // A large binary that nobody asked for, before them.
    let ignored = ("x".into(), rmpv::Value::Binary(vec![7; 100_000]));
    for before in [vec![], vec![ignored]] {
        let batch =
            [before, vec![("operations".into(), rmpv::Value::Array(Vec::clone(&operations)))]];
        let answer = caller.send("batch", packed(&rmpv::Value::Map(batch.concat()))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for (seed, bytes) in (0..).zip(&sizes) {
            let found = caller.get("get", json!({"key": format!("k{seed}")})).await;
            assert!(found["value"] == json!(value(seed, *bytes)), "{bytes} bytes");
            let delete = caller.ask("delete", &json!({"key": format!("k{seed}")})).await;
            assert_eq!(delete.status, 200);
        }
    }
    let caller = Caller::admin(&larder, Encoding::Json);
    let set = |key: &str, value: Value| json!({"op": "set", "key": key, "value": value});
    let long = "\u{e9}".repeat(50_000);
    let operations = [
        set("text", json!(long)),
        set("escaped", json!(format!("{long}\n"))),
        set("bytes", json!(value(1, 70_000))),
    ];
    caller.get("batch", json!({"operations": operations})).await;
    assert!(text(&caller, "text").await.as_deref() == Some(&long));
    assert!(text(&caller, "escaped").await == Some(format!("{long}\n")));
    let found = caller.get("get", json!({"key": "bytes"})).await;
    assert!(found["value"] == json!(value(1, 70_000)));
}

#[tokio::test]
async fn an_add_keeps_decimal_text_within_bounds_and_its_expiry() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let add = async |body: Value| caller.get("add", body).await["value"].clone();
        let answer =
            caller.ask("add", &json!({"key": "n", "initial": 10, "ttl_ms": 3_600_000})).await;
        let version = answer.version.unwrap();
        assert_eq!(answer.body, json!({"value": 11, "version": version}));
        let first = caller.get("get", json!({"key": "n"})).await;
        assert_eq!((&first["value"], &first["version"]), (&json!(b"11"), &json!(version)));
        assert_eq!(add(json!({"key": "n", "delta": -20, "initial": 5, "ttl_ms": 1})).await, -9);
        let second = caller.get("get", json!({"key": "n"})).await;
        assert_eq!((&second["value"], &second["expiry"]), (&json!(b"-9"), &first["expiry"]));
        assert_eq!(add(json!({"key": "n", "min": -10, "max": -8, "delta": -1})).await, -10);
        for (fields, detail) in [
            (json!({"delta": -1, "min": -10}), "value would be out of bounds"),
            (json!({"delta": 3, "max": -8}), "value would be out of bounds"),
            (json!({"delta": i64::MIN}), "value would overflow"),
            (json!({"version": 1}), "version mismatch"),
        ] {
            let mut body = json!({"key": "n"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let refused = caller.refused("add", body, (400, "conflict", None)).await;
            assert_eq!(refused.body["detail"], detail, "{fields}");
            assert_eq!(refused.version, Some(version + 2), "{fields}");
        }
        assert_eq!(text(&caller, "n").await.as_deref(), Some("-10"));
        let exact = 1_i64 << 53;
        for (sum, wanted) in [
            (exact, json!(exact)),
            (-exact, json!(-exact)),
            (exact + 1, json!("9007199254740993")),
            (i64::MAX, json!("9223372036854775807")),
            (i64::MIN, json!("-9223372036854775808")),
        ] {
            caller.ask("delete", &json!({"key": "big"})).await;
            let wanted = if encoding == Encoding::Json { wanted } else { json!(sum) };
            assert_eq!(add(json!({"key": "big", "initial": sum, "delta": 0})).await, wanted);
            assert_eq!(text(&caller, "big").await, Some(sum.to_string()));
        }
        for value in ["", "1.5", "x", " 1", "9223372036854775808"] {
            set(&caller, "odd", value).await;
            let refused =
                caller.refused("add", json!({"key": "odd"}), (400, "conflict", None)).await;
            assert_eq!(refused.body["detail"], "value is not a number", "{value:?}");
        }
        for (body, location) in [
            (json!({"key": "n", "delta": 1.5}), "delta"),
            (json!({"key": "n", "initial": "1"}), "initial"),
            (json!({"key": "n", "min": 1_u64 << 63}), "min"),
            (json!({"key": "n", "max": true}), "max"),
            (json!({"key": "n", "ttl_ms": 0}), "ttl_ms"),
            (json!({"key": "n", "ttl_ms": EXPIRY_MAX}), "ttl_ms"),
            (json!({"delta": 1}), "."),
        ] {
            caller.refused("add", body, (422, INVALID, Some(location))).await;
        }
    }
}

#[tokio::test]
async fn a_touch_moves_or_lifts_the_expiry_of_a_key_that_is_there() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let caller = Caller::admin(&larder, encoding);
        let before = set(&caller, "k", "v").await;
        let touched = caller.ask("touch", &json!({"key": "k", "ttl_ms": 3_600_000})).await;
        let version = touched.version.unwrap();
        assert!(version > before);
        assert_eq!(touched.body, json!({"version": version}));
        let entry = caller.get("get", json!({"key": "k"})).await;
        assert_eq!((&entry["value"], &entry["version"]), (&json!([b'v']), &json!(version)));
        assert!(entry["expiry"].is_u64());
        let lift = json!({"key": "k", "ttl_ms": null, "version": version});
        let lifted = caller.get("touch", lift.clone()).await["version"].clone();
        let entry = caller.get("get", json!({"key": "k"})).await;
        assert_eq!(entry, json!({"value": [b'v'], "version": lifted, "expiry": null}));
        for (body, detail) in [(lift, "version mismatch"), (json!({"key": "no"}), "key not found")]
        {
            let refused = caller.refused("touch", body, (400, "conflict", None)).await;
            assert_eq!(
                (&refused.body["detail"], refused.version),
                (&json!(detail), lifted.as_u64())
            );
        }
        caller.get("touch", json!({"key": "k", "ttl_ms": 1})).await;
        while text(&caller, "k").await.is_some() {}
        caller.refused("touch", json!({"key": "k"}), (400, "conflict", None)).await;
        assert_eq!(caller.get("add", json!({"key": "k"})).await["value"], 1);
    }
}

#[tokio::test]
async fn a_token_writes_what_it_reaches_and_no_batch_reaches_further() {
    for encoding in ENCODINGS {
        let larder = Larder::start();
        let admin = Caller::admin(&larder, encoding);
        let scope = json!({"name": "a", "role": "write", "prefixes": ["a/"]});
        let (writer, reader) =
            (admin.scoped(&scope).await, admin.scoped(&json!({"name": "r", "role": "read"})).await);
        let set = |key: &str| json!({"op": "set", "key": key, "value": "1"});
        let denied = |location| (403, "forbidden", location);
        writer.get("batch", json!({"operations": [set("a/1"), set("a/2")]})).await;
        let body = json!({"operations": [set("a/3"), set("b/1")]});
        let refused = writer.refused("batch", body, denied(Some("operations[1]"))).await;
        let detail = "`batch` is not allowed in the namespace `default`.";
        assert_eq!(refused.body["detail"], detail);
        let body = json!({"checks": [{"key": "b/1", "version": 0}], "operations": [set("a/3")]});
        writer.refused("batch", body, denied(Some("checks[0]"))).await;
        assert_eq!(text(&admin, "a/3").await, None);
        for (route, body) in [("add", json!({"key": "b"})), ("touch", json!({"key": "b"}))] {
            writer.refused(route, body.clone(), denied(None)).await;
            reader.refused(route, body, denied(None)).await;
        }
        let body = json!({"operations": [set("a/1")]});
        reader.refused("batch", body, denied(Some("operations[0]"))).await;
        writer.get("add", json!({"key": "a/1"})).await;
        writer.get("touch", json!({"key": "a/1"})).await;
    }
}

#[tokio::test]
async fn a_batch_that_is_malformed_anywhere_is_400() {
    let larder = Larder::start();
    let wrong = json!({"operations": [{"op": "nope"}]});
    let bodies = [wrong.to_string().into_bytes(), packed(&to_msgpack(&wrong))];
    for (encoding, mut body) in ENCODINGS.into_iter().zip(bodies) {
        let caller = Caller::admin(&larder, encoding);
        assert_eq!(caller.send("batch", body.clone()).await.status, 422);
        body.push(b'}');
        assert_eq!(caller.send("batch", body.clone()).await.status, 400);
        body.truncate(body.len() - 2);
        assert_eq!(caller.send("batch", body).await.status, 400);
    }
}
