//! What bodies must be, by the contract of the API: which fields each endpoint takes, and what each may be.
//! Judges trees and shares nothing with the guest; knows no encoding.

use rmpv::Value;

use super::endpoint::Endpoint;

/// Most keys of a read, and most operations and checks of a batch.
pub const ITEMS_MAX: usize = 1000;
/// Longest name, prefix or cursor in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Quotas are below this.
const QUOTA_LIMIT: u64 = 1 << 53;

/// What a field may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name of a key.
    Key,
    /// The name of a namespace.
    Name,
    /// The same, or null.
    Namespace,
    /// A time to live.
    Ttl,
    /// A version.
    Version,
    /// What a set expects.
    Behavior,
    /// Any bytes.
    Bytes,
    /// A number with a sign.
    Integer,
    /// True or false.
    Flag,
    /// The most entries of a page.
    Limit,
    /// A prefix or a cursor.
    Bound,
    /// A quota, or null.
    Quota,
}

/// A field: its name, what it may be, and whether it must be there.
pub type Rule = (&'static str, Kind, bool);

/// The fields of an endpoint that are no arrays.
#[must_use]
pub fn of_endpoint(endpoint: Endpoint) -> &'static [Rule] {
    match endpoint {
        Endpoint::List => &[
            ("namespace", Kind::Namespace, false),
            ("prefix", Kind::Bound, false),
            ("after", Kind::Bound, false),
            ("limit", Kind::Limit, false),
            ("reverse", Kind::Flag, false),
            ("values", Kind::Flag, false),
        ],
        Endpoint::GetMany | Endpoint::Batch => &[("namespace", Kind::Namespace, false)],
        Endpoint::Touch => &[
            ("namespace", Kind::Namespace, false),
            ("key", Kind::Key, true),
            ("ttl_ms", Kind::Ttl, false),
            ("version", Kind::Version, false),
        ],
        Endpoint::Add => &[
            ("namespace", Kind::Namespace, false),
            ("key", Kind::Key, true),
            ("delta", Kind::Integer, false),
            ("initial", Kind::Integer, false),
            ("min", Kind::Integer, false),
            ("max", Kind::Integer, false),
            ("ttl_ms", Kind::Ttl, false),
            ("version", Kind::Version, false),
        ],
        Endpoint::Name => &[("name", Kind::Name, true)],
        Endpoint::Configure => &[
            ("name", Kind::Name, true),
            ("keys_max", Kind::Quota, false),
            ("bytes_max", Kind::Quota, false),
        ],
        Endpoint::Namespaces => &[
            ("prefix", Kind::Bound, false),
            ("after", Kind::Bound, false),
            ("limit", Kind::Limit, false),
        ],
    }
}

/// The fields of a check.
pub const OF_CHECK: &[Rule] = &[("key", Kind::Key, true), ("version", Kind::Version, true)];

/// What `op` may be.
pub const OPS: [&str; 4] = ["set", "delete", "touch", "add"];

/// The fields of an operation besides `op`; None when there is no such operation.
#[must_use]
pub fn of_operation(op: &str) -> Option<&'static [Rule]> {
    Some(match op {
        "set" => &[
            ("key", Kind::Key, true),
            ("value", Kind::Bytes, true),
            ("ttl_ms", Kind::Ttl, false),
            ("behavior", Kind::Behavior, false),
            ("version", Kind::Version, false),
        ],
        "delete" => &[("key", Kind::Key, true), ("version", Kind::Version, false)],
        // Those of the route without the namespace.
        "touch" => &of_endpoint(Endpoint::Touch)[1..],
        "add" => &of_endpoint(Endpoint::Add)[1..],
        _ => return None,
    })
}

/// Fields of a map.
type Fields = [(Value, Value)];

/// Whether the endpoint must take this body.
#[must_use]
pub fn is_valid(endpoint: Endpoint, tree: &Value) -> bool {
    let Value::Map(fields) = tree else {
        return false;
    };
    if !all_hold(of_endpoint(endpoint), fields) {
        return false;
    }
    match endpoint {
        Endpoint::GetMany => {
            let keys = one(fields, "keys").flatten().and_then(Value::as_array);
            keys.is_some_and(|keys| {
                (1..=ITEMS_MAX).contains(&keys.len())
                    && keys.iter().all(|key| holds(Kind::Key, key))
            })
        }
        Endpoint::Batch => {
            let checks = match one(fields, "checks") {
                None => return false,
                Some(None | Some(Value::Nil)) => &[][..],
                Some(Some(Value::Array(checks))) => checks,
                Some(Some(_)) => return false,
            };
            let operations = one(fields, "operations").flatten().and_then(Value::as_array);
            operations.is_some_and(|operations| {
                !operations.is_empty()
                    && operations.len() + checks.len() <= ITEMS_MAX
                    && checks.iter().all(is_valid_check)
                    && operations.iter().all(is_valid_operation)
            })
        }
        _ => true,
    }
}

fn is_valid_check(check: &Value) -> bool {
    matches!(check, Value::Map(fields) if all_hold(OF_CHECK, fields))
}

fn is_valid_operation(operation: &Value) -> bool {
    let Value::Map(fields) = operation else {
        return false;
    };
    // A field of any operation may come once, whether this one takes it or not.
    let rules = OPS.iter().filter_map(|op| of_operation(op)).flatten();
    let all_once = rules.into_iter().all(|rule| one(fields, rule.0).is_some());
    let op = one(fields, "op").flatten().and_then(Value::as_str);
    all_once && op.and_then(of_operation).is_some_and(|rules| all_hold(rules, fields))
}

fn all_hold(rules: &[Rule], fields: &Fields) -> bool {
    rules.iter().all(|(name, kind, required)| match one(fields, name) {
        None => false,
        Some(None) => !required,
        Some(Some(Value::Nil)) if takes_null(*kind) => !required,
        Some(Some(value)) => holds(*kind, value),
    })
}

/// The field of this name, if there is one; None when there are several.
fn one<'a>(fields: &'a Fields, name: &str) -> Option<Option<&'a Value>> {
    let mut found = fields.iter().filter(|field| field.0.as_str() == Some(name));
    let first = found.next().map(|field| &field.1);
    if found.next().is_some() { None } else { Some(first) }
}

/// Whether null is the same as absent, or means something.
fn takes_null(kind: Kind) -> bool {
    !matches!(kind, Kind::Key | Kind::Name | Kind::Behavior | Kind::Bytes)
}

fn holds(kind: Kind, value: &Value) -> bool {
    let text = value.as_str();
    let whole = value.as_u64();
    match kind {
        Kind::Key => text.is_some_and(|text| is_name(text, "-/_.=+:")),
        Kind::Name | Kind::Namespace => text.is_some_and(|text| is_name(text, "-/_.=+")),
        Kind::Ttl => whole.is_some_and(|ms| ms > 0),
        Kind::Version => whole.is_some(),
        Kind::Behavior => text.is_some_and(|text| ["upsert", "insert", "update"].contains(&text)),
        Kind::Bytes => match value {
            Value::String(_) | Value::Binary(_) => true,
            Value::Array(bytes) => {
                bytes.iter().all(|byte| byte.as_u64().is_some_and(|byte| byte < 256))
            }
            _ => false,
        },
        Kind::Integer => value.as_i64().is_some(),
        Kind::Flag => value.is_bool(),
        Kind::Limit => whole.is_some_and(|limit| (1..=1000).contains(&limit)),
        Kind::Bound => text.is_some_and(|text| text.len() <= NAME_BYTES_MAX),
        Kind::Quota => whole.is_some_and(|most| most < QUOTA_LIMIT),
    }
}

fn is_name(text: &str, marks: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || marks.contains(char))
}
