//! Bodies of the endpoints that take more than a key and its value, alike in both encodings: which are
//! taken, and where a wrong one is wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use larder_api::endpoint::batch::{self, Operation};
use larder_api::endpoint::{add, get_many, list, namespace, namespaces, touch};
use larder_api::error::Error;
use larder_wire::Encoding;
use serde_json::{Value, json};

/// A decoder, of which only the verdict counts.
type Decode = fn(&[u8], Encoding) -> Result<(), Error>;

const LIST: Decode = |body, encoding| list::decode(body, encoding).map(drop);
const GET_MANY: Decode = |body, encoding| get_many::decode(body, encoding).map(drop);
const TOUCH: Decode = |body, encoding| touch::decode(body, encoding).map(drop);
const ADD: Decode = |body, encoding| add::decode(body, encoding).map(drop);
const BATCH: Decode = |body, encoding| batch::decode(body, encoding).map(drop);
const CONFIGURE: Decode =
    |body, encoding| namespace::decode_configuration(body, encoding).map(drop);
const NAMESPACES: Decode = |body, encoding| namespaces::decode_list(body, encoding).map(drop);

/// What the endpoints take, and where anything else is wrong.
const TAKEN: &str = "taken";

fn msgpack(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => rmpv::Value::Array(values.iter().map(msgpack).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str().into(), msgpack(value)));
            rmpv::Value::Map(fields.collect())
        }
    }
}

/// The body in both encodings.
fn both(body: &Value) -> [(Encoding, Vec<u8>); 2] {
    let mut packed = Vec::new();
    rmpv::encode::write_value(&mut packed, &msgpack(body)).unwrap();
    [(Encoding::Json, body.to_string().into_bytes()), (Encoding::MessagePack, packed)]
}

/// Holds each body's verdict in both encodings against the location that it has to be wrong at.
fn judge(decode: Decode, cases: impl IntoIterator<Item = (Value, &'static str)>) {
    for (body, wanted) in cases {
        for (encoding, bytes) in both(&body) {
            let found = decode(&bytes, encoding).map_or_else(
                |error| {
                    assert_eq!((error.status, error.code), (422, "invalid-data"), "{body}");
                    error.location.clone().unwrap().into_owned()
                },
                |()| TAKEN.to_owned(),
            );
            let body = body.to_string();
            assert_eq!(found, wanted, "{encoding:?} {body:.200}");
        }
    }
}

#[test]
fn a_list_takes_any_utf8_of_256_bytes_and_1_to_1000_entries() {
    let long = |bytes: usize| "\u{e9}".repeat(bytes / 2);
    judge(
        LIST,
        [
            (json!({}), TAKEN),
            (json!({"namespace": null, "prefix": null, "after": null, "limit": null}), TAKEN),
            (json!({"reverse": null, "values": null, "unknown": [{}]}), TAKEN),
            (json!({"prefix": long(256), "after": long(256), "limit": 1000}), TAKEN),
            (json!({"prefix": "", "after": "a b\n\"", "limit": 1, "reverse": true}), TAKEN),
            (json!({"prefix": long(258)}), "prefix"),
            (json!({"prefix": 1}), "prefix"),
            (json!({"after": long(258)}), "after"),
            (json!({"after": ["k"]}), "after"),
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 1001}), "limit"),
            (json!({"limit": -1}), "limit"),
            (json!({"limit": 1.0}), "limit"),
            (json!({"limit": "1"}), "limit"),
            (json!({"limit": 1_u64 << 32}), "limit"),
            (json!({"reverse": 1}), "reverse"),
            (json!({"values": "true"}), "values"),
            (json!({"namespace": "a:b", "limit": 0}), "namespace"),
            (json!([]), "."),
        ],
    );
}

#[test]
fn a_list_has_100_entries_without_values_unless_it_asks_for_others() {
    for (encoding, body) in both(&json!({})) {
        let (namespace, options) = list::decode(&body, encoding).unwrap();
        assert!(namespace.is_none() && options.after.is_none() && options.prefix.is_empty());
        assert_eq!((options.limit, options.reverse, options.values), (100, false, false));
    }
    let asked = json!({"prefix": "p", "after": "a", "limit": 7, "reverse": true, "values": true});
    for (encoding, body) in both(&asked) {
        let (_, options) = list::decode(&body, encoding).unwrap();
        assert_eq!((&*options.prefix, options.after.as_deref()), ("p", Some("a")));
        assert_eq!((options.limit, options.reverse, options.values), (7, true, true));
    }
}

#[test]
fn get_many_takes_1_to_1000_keys() {
    let keys = |count: usize| json!({"keys": vec!["k"; count]});
    let mut one_wrong = keys(1000);
    one_wrong["keys"][999] = json!("a b");
    judge(
        GET_MANY,
        [
            (keys(1), TAKEN),
            (keys(1000), TAKEN),
            (keys(0), "keys"),
            (keys(1001), "keys"),
            (one_wrong, "keys[999]"),
            (json!({}), "."),
            (json!({"keys": null}), "keys"),
            (json!({"keys": "k"}), "keys"),
            (json!({"keys": {"0": "k"}}), "keys"),
            (json!({"keys": ["k", 1]}), "keys[1]"),
            (json!({"keys": ["k", null]}), "keys[1]"),
            (json!({"keys": ["k", {"key": "k"}]}), "keys[1]"),
            (json!({"keys": ["k", ["k"]]}), "keys[1]"),
            (json!({"keys": ["", 1]}), "keys[0]"),
            (json!({"keys": ["k".repeat(257)]}), "keys[0]"),
            (json!({"keys": [1], "namespace": "a:b"}), "namespace"),
        ],
    );
    for (encoding, body) in both(&json!({"keys": ["b", "a", "b"], "namespace": "n"})) {
        let (namespace, keys) = get_many::decode(&body, encoding).unwrap();
        assert!(namespace.is_some());
        assert_eq!(keys, ["b", "a", "b"]);
    }
}

#[test]
fn a_touch_takes_a_time_to_live_or_none() {
    judge(
        TOUCH,
        [
            (json!({"key": "k"}), TAKEN),
            (json!({"key": "k", "ttl_ms": null, "version": null}), TAKEN),
            (json!({"key": "k", "ttl_ms": 1, "version": u64::MAX}), TAKEN),
            (json!({"key": "k", "ttl_ms": 0}), "ttl_ms"),
            (json!({"key": "k", "ttl_ms": -1}), "ttl_ms"),
            (json!({"key": "k", "version": -1}), "version"),
            (json!({"key": "a b"}), "key"),
            (json!({"ttl_ms": 1}), "."),
        ],
    );
}

#[test]
fn an_add_takes_numbers_of_64_bits_with_a_sign() {
    let mut cases = vec![
        (json!({"key": "k"}), TAKEN),
        (json!({"key": "k", "ttl_ms": 0}), "ttl_ms"),
        (json!({"key": "k", "version": "1"}), "version"),
        (json!({"delta": 1}), "."),
    ];
    for field in ["delta", "initial", "min", "max"] {
        for taken in [json!(i64::MIN), json!(i64::MAX), json!(0), json!(-1), Value::Null] {
            cases.push((json!({"key": "k", field: taken}), TAKEN));
        }
        for wrong in [json!(1_u64 << 63), json!(1.5), json!("1"), json!(true), json!([1])] {
            cases.push((json!({"key": "k", field: wrong}), field));
        }
    }
    judge(ADD, cases);
    for (encoding, body) in both(&json!({"key": "k"})) {
        let (_, add) = add::decode(&body, encoding).unwrap();
        assert_eq!((add.delta, add.options.initial), (1, 0));
        assert_eq!((add.options.min, add.options.max, add.options.ttl), (None, None, None));
    }
    let asked = json!({"key": "k", "delta": i64::MIN, "initial": -5, "min": -7, "max": i64::MAX,
        "ttl_ms": 9, "version": 3});
    for (encoding, body) in both(&asked) {
        let (_, add) = add::decode(&body, encoding).unwrap();
        assert_eq!((add.delta, add.options.initial), (i64::MIN, -5));
        assert_eq!((add.options.min, add.options.max), (Some(-7), Some(i64::MAX)));
        assert_eq!((add.options.ttl, add.options.version), (Some(9), Some(3)));
    }
}

#[test]
fn a_number_beyond_64_bits_is_wrong_in_json_too() {
    for number in ["-9223372036854775809", "18446744073709551616", "1e3"] {
        let body = format!(r#"{{"key":"k","delta":{number}}}"#);
        let error = add::decode(body.as_bytes(), Encoding::Json).err().unwrap();
        assert_eq!((error.status, error.location.as_deref()), (422, Some("delta")), "{number}");
    }
}

#[test]
fn a_batch_takes_1000_checks_and_operations_together() {
    let batch = |checks: usize, operations: usize| {
        let check = json!({"key": "k", "version": 0});
        let operation = json!({"op": "delete", "key": "k"});
        json!({"checks": vec![check; checks], "operations": vec![operation; operations]})
    };
    judge(
        BATCH,
        [
            (batch(0, 1), TAKEN),
            (batch(0, 1000), TAKEN),
            (batch(999, 1), TAKEN),
            (batch(500, 501), "operations"),
            (batch(0, 1001), "operations"),
            (batch(1000, 1), "operations"),
            (batch(1001, 1), "operations"),
            (batch(1, 0), "operations"),
            (batch(0, 0), "operations"),
            (json!({"operations": null}), "operations"),
            (json!({"operations": {}}), "operations"),
            (json!({"operations": [{"op": "delete", "key": "k"}], "checks": null}), TAKEN),
            (json!({"operations": [{"op": "delete", "key": "k"}], "checks": 1}), "checks"),
            (json!({"checks": []}), "."),
            (json!({}), "."),
        ],
    );
}

#[test]
fn what_is_wrong_in_a_batch_is_told_with_its_path() {
    let good = json!({"op": "set", "key": "k", "value": "v"});
    let operation = |operation: Value| json!({"operations": [good, operation]});
    let check = |check: Value| {
        let first = json!({"key": "k", "version": 1});
        json!({"checks": [first, check], "operations": [good]})
    };
    judge(
        BATCH,
        [
            (operation(json!({"op": "nope", "key": "k"})), "operations[1].op"),
            (operation(json!({"op": "Set", "key": "k", "value": ""})), "operations[1].op"),
            (operation(json!({"op": 1, "key": "k"})), "operations[1].op"),
            (operation(json!({"op": null, "key": "k"})), "operations[1].op"),
            (operation(json!({"key": "k"})), "operations[1]"),
            (operation(json!({"op": "set", "key": "k"})), "operations[1]"),
            (operation(json!({"op": "set", "value": "v"})), "operations[1]"),
            (operation(json!({"op": "set", "key": "", "value": "v"})), "operations[1].key"),
            (operation(json!({"op": "set", "key": "k", "value": 1})), "operations[1].value"),
            (
                operation(json!({"op": "set", "key": "k", "value": [1, 256]})),
                "operations[1].value[1]",
            ),
            (
                operation(json!({"op": "set", "key": "k", "value": "", "ttl_ms": 0})),
                "operations[1].ttl_ms",
            ),
            (
                operation(json!({"op": "set", "key": "k", "value": "", "behavior": "x"})),
                "operations[1].behavior",
            ),
            (
                operation(json!({"op": "delete", "key": "k", "version": -1})),
                "operations[1].version",
            ),
            (operation(json!({"op": "touch", "key": "k", "ttl_ms": 1.5})), "operations[1].ttl_ms"),
            (operation(json!({"op": "add", "key": "k", "delta": "1"})), "operations[1].delta"),
            (operation(json!({"op": "add", "key": "k", "min": 1_u64 << 63})), "operations[1].min"),
            (operation(json!("set")), "operations[1]"),
            (operation(json!(["set", "k"])), "operations[1]"),
            (operation(Value::Null), "operations[1]"),
            // What an operation's own route does not take is passed over, as there.
            (operation(json!({"op": "delete", "key": "k", "ttl_ms": 0, "namespace": 7})), TAKEN),
            (operation(json!({"op": "set", "key": "k", "value": "v", "delta": "x"})), TAKEN),
            (check(json!({"key": "k"})), "checks[1]"),
            (check(json!({"version": 1})), "checks[1]"),
            (check(json!({"key": "a b", "version": 1})), "checks[1].key"),
            (check(json!({"key": "k", "version": null})), "checks[1]"),
            (check(json!({"key": "k", "version": 1.5})), "checks[1].version"),
            (check(json!(7)), "checks[1]"),
            (check(json!({"key": "k", "version": 0, "value": 1.5})), TAKEN),
            // The namespace comes first, then checks, then operations, and the first of each.
            (json!({"namespace": "", "checks": 1, "operations": 1}), "namespace"),
            (json!({"operations": [1], "checks": [{"key": "k", "version": 1}, 2]}), "checks[1]"),
            (json!({"operations": [good, {"op": "x"}, 1]}), "operations[1].op"),
        ],
    );
}

#[test]
fn a_field_of_an_operation_that_is_there_twice_is_wrong() {
    let json = br#"{"operations":[{"op":"add","key":"k","key":"l","delta":"x"}]}"#;
    let packed = b"\x81\xaaoperations\x91\x84\xa2op\xa3add\xa3key\xa1k\xa3key\xa1l\xa5delta\xa1x";
    let twice = br#"{"operations":[{"op":"x"}],"operations":[]}"#;
    for (body, encoding, location) in [
        (&json[..], Encoding::Json, "operations[0].key"),
        (packed, Encoding::MessagePack, "operations[0].key"),
        (twice, Encoding::Json, "operations"),
    ] {
        let error = batch::decode(body, encoding).err().unwrap();
        assert_eq!((error.status, error.location.as_deref()), (422, Some(location)));
    }
}

#[test]
fn a_malformed_body_is_400_whatever_is_wrong_before() {
    let wrong = json!({"operations": [{"op": "x"}], "keys": [1]});
    for (encoding, mut body) in both(&wrong) {
        body.push(b'}');
        for decode in [BATCH, GET_MANY] {
            let error = decode(&body, encoding).unwrap_err();
            assert_eq!((error.status, error.code), (400, "invalid-encoding"), "{encoding:?}");
        }
    }
}

#[test]
fn operations_are_those_of_their_routes() {
    let body = json!({"namespace": "n", "checks": [{"key": "c", "version": 5}], "operations": [
        {"op": "set", "key": "s", "value": "v", "ttl_ms": 5, "behavior": "insert", "version": 0},
        {"op": "delete", "key": "d", "version": 6},
        {"op": "touch", "key": "t", "ttl_ms": 7},
        {"op": "add", "key": "a", "delta": -8, "max": 9},
    ]});
    for (encoding, body) in both(&body) {
        let batch = batch::decode(&body, encoding).unwrap();
        assert!(batch.namespace.is_some());
        let [check] = &batch.checks[..] else { panic!("one check") };
        assert_eq!((&*check.key.0, check.version), ("c", 5));
        let [
            Operation::Set(set),
            Operation::Delete(delete),
            Operation::Touch(touch),
            Operation::Add(add),
        ] = &batch.operations[..]
        else {
            panic!("one of each operation")
        };
        assert_eq!((&*set.key.0, &*set.value.0, set.options.ttl), ("s", &b"v"[..], Some(5)));
        assert_eq!(set.options.version, Some(0));
        assert_eq!((&*delete.key.0, delete.version), ("d", Some(6)));
        assert_eq!((&*touch.key.0, touch.ttl, touch.version), ("t", Some(7), None));
        assert_eq!((&*add.key.0, add.delta, add.options.max), ("a", -8, Some(9)));
    }
}

#[test]
fn quotas_are_whole_numbers_below_2_to_the_53rd_or_null() {
    let mut cases = vec![
        (json!({"name": "n"}), TAKEN),
        (json!({"keys_max": 1}), "."),
        (json!({"name": "a:b", "keys_max": -1}), "name"),
    ];
    for field in ["keys_max", "bytes_max"] {
        for taken in [Value::Null, json!(0), json!((1_u64 << 53) - 1)] {
            cases.push((json!({"name": "n", field: taken}), TAKEN));
        }
        for wrong in [json!(1_u64 << 53), json!(-1), json!(1.5), json!("1"), json!(false)] {
            cases.push((json!({"name": "n", field: wrong}), field));
        }
    }
    judge(CONFIGURE, cases);
}

#[test]
fn a_list_of_namespaces_takes_what_a_list_of_entries_takes() {
    judge(
        NAMESPACES,
        [
            (json!({}), TAKEN),
            (json!({"prefix": "\u{e9}", "after": "x", "limit": 1000}), TAKEN),
            (json!({"prefix": null, "after": null, "limit": null}), TAKEN),
            (json!({"prefix": "p".repeat(257)}), "prefix"),
            (json!({"after": "p".repeat(257)}), "after"),
            (json!({"limit": 0}), "limit"),
        ],
    );
}
