//! Operations on namespaces over HTTP: their bodies in JSON, and what answers mean. Knows nothing of what
//! should come of an operation.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::op::{
    Behavior, Change, Changed, Fault, Op, Outcome, Part, Quota, QuotaChange, Row, Store, Usage,
};
use crate::client::{Answer, Connection, Lost};
use crate::op::entry;

/// The API, on a connection of its own.
pub struct Http {
    connection: Connection,
}

impl Http {
    /// A connection to come.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { connection: Connection::new(address) }
    }

    /// Sends an operation and does not wait for its answer.
    pub fn abandon(&mut self, namespace: &str, op: &Op) {
        let (path, body) = encode(namespace, op);
        self.connection.abandon(path, body.to_string().as_bytes());
    }
}

impl Store for Http {
    fn call(&mut self, namespace: &str, op: &Op) -> Outcome {
        let (path, body) = encode(namespace, op);
        match self.connection.post(path, body.to_string().as_bytes()) {
            Ok(answer) => decode(op, &answer),
            Err(Lost::Silent(error)) => Outcome::Unknown(error.to_string()),
            Err(Lost::Truncated(what)) => Outcome::Wrong(what),
        }
    }
}

fn encode(namespace: &str, op: &Op) -> (&'static str, Value) {
    let (path, mut body) = match op {
        Op::Get(key) => ("/api/v1.kv.get", json!({"key": key})),
        Op::List(listing) => (
            "/api/v1.kv.list",
            json!({
                "prefix": listing.prefix, "after": listing.after, "limit": listing.limit,
                "reverse": listing.reverse, "values": listing.values,
            }),
        ),
        Op::GetMany(keys) => ("/api/v1.kv.get_many", json!({"keys": keys})),
        Op::One(change) => {
            let (name, body) = fields(change);
            let path = match name {
                "set" => "/api/v1.kv.set",
                "delete" => "/api/v1.kv.delete",
                "touch" => "/api/v1.kv.touch",
                _ => "/api/v1.kv.add",
            };
            (path, body)
        }
        Op::Batch { checks, changes } => {
            let check = |(key, version): &(String, u64)| json!({"key": key, "version": version});
            let operation = |change| {
                let (name, mut body) = fields(change);
                body["op"] = name.into();
                body
            };
            let checks: Vec<Value> = checks.iter().map(check).collect();
            let operations: Vec<Value> = changes.iter().map(operation).collect();
            ("/api/v1.kv.batch", json!({"checks": checks, "operations": operations}))
        }
        Op::Usage => return ("/api/v1.kv.namespace.usage", json!({"name": namespace})),
        Op::DeleteNamespace => return ("/api/v1.kv.namespace.delete", json!({"name": namespace})),
        Op::Configure { keys_max, bytes_max } => {
            let mut body = json!({"name": namespace});
            let mut put = |name: &str, quota: &QuotaChange| {
                if let Some(quota) = quota {
                    body[name] = json!(quota);
                }
            };
            put("keys_max", keys_max);
            put("bytes_max", bytes_max);
            return ("/api/v1.kv.namespace.configure", body);
        }
    };
    body["namespace"] = namespace.into();
    (path, body)
}

/// A change's name and its fields.
fn fields(change: &Change) -> (&'static str, Value) {
    match change {
        Change::Set { key, value, ttl_ms, behavior, expected } => {
            let behavior = match behavior {
                Behavior::Upsert => "upsert",
                Behavior::Insert => "insert",
                Behavior::Update => "update",
            };
            let body = json!({
                "key": key, "value": value, "ttl_ms": ttl_ms, "behavior": behavior,
                "version": expected,
            });
            ("set", body)
        }
        Change::Delete { key, expected } => ("delete", json!({"key": key, "version": expected})),
        Change::Touch { key, ttl_ms, expected } => {
            ("touch", json!({"key": key, "ttl_ms": ttl_ms, "version": expected}))
        }
        Change::Add { key, delta, initial, max, ttl_ms, expected } => {
            let body = json!({
                "key": key, "delta": delta, "initial": initial, "max": max, "ttl_ms": ttl_ms,
                "version": expected,
            });
            ("add", body)
        }
    }
}

fn decode(op: &Op, answer: &Answer) -> Outcome {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default();
    let outcome = match (answer.status, code) {
        (200, _) => done(op, &body, answer.mutation_version),
        (400, "not-found") => Some(Outcome::NoNamespace),
        (400, "conflict") => conflict(op, &body, answer.mutation_version),
        (507, "storage-full") => full(&body).map(Outcome::Full),
        // The store may have done what it could not acknowledge.
        (500 | 504, _) if op.writes() => Some(Outcome::Unknown(answer.status.to_string())),
        _ => None,
    };
    outcome.unwrap_or_else(|| Outcome::Wrong(format!("{} {body}", answer.status)))
}

fn done(op: &Op, body: &Value, mutation_version: Option<u64>) -> Option<Outcome> {
    let array = |name: &str| body[name].as_array();
    Some(match op {
        Op::Get(_) => Outcome::Got(entry(body)),
        Op::List(_) => {
            let rows: Option<Vec<Row>> = array("entries")?.iter().map(row).collect();
            let after = body["after"].as_str().map(str::to_owned);
            Outcome::Page { rows: rows?, after, newest: body["newest"].as_u64()? }
        }
        Op::GetMany(_) => {
            let entries = array("entries")?.iter().map(entry).collect();
            Outcome::Many { entries, newest: body["newest"].as_u64()? }
        }
        Op::One(change) => {
            Outcome::Done { results: vec![changed(change, body)?], newest: mutation_version? }
        }
        Op::Batch { changes, .. } => {
            let results = array("results")?;
            let pairs = changes.iter().zip(results);
            let changed: Option<Vec<Changed>> =
                pairs.map(|(change, body)| changed(change, body)).collect();
            let results = changed.filter(|changed| changed.len() == results.len())?;
            Outcome::Done { results, newest: mutation_version? }
        }
        Op::Usage => Outcome::Used(Usage {
            keys: body["keys"].as_u64()?,
            bytes: body["bytes"].as_u64()?,
            keys_max: body["keys_max"].as_u64(),
            bytes_max: body["bytes_max"].as_u64(),
        }),
        Op::Configure { .. } => Outcome::Configured(mutation_version?),
        Op::DeleteNamespace => {
            Outcome::NamespaceDeleted(body["success"].as_bool()?, mutation_version?)
        }
    })
}

fn row(body: &Value) -> Option<Row> {
    Some(Row {
        key: body["key"].as_str()?.to_owned(),
        value: entry(body).map(|entry| entry.value),
        version: body["version"].as_u64()?,
        expiry: body["expiry"].as_u64(),
    })
}

fn changed(change: &Change, body: &Value) -> Option<Changed> {
    Some(match change {
        Change::Set { .. } | Change::Touch { .. } => Changed::Written(body["version"].as_u64()?),
        Change::Delete { .. } => Changed::Deleted(body["success"].as_bool()?),
        Change::Add { .. } => {
            // Beyond what doubles hold it is text.
            let sum = &body["value"];
            let sum = sum.as_i64().or_else(|| sum.as_str()?.parse().ok())?;
            Changed::Added(sum, body["version"].as_u64()?)
        }
    })
}

fn conflict(op: &Op, body: &Value, mutation_version: Option<u64>) -> Option<Outcome> {
    let fault = match body["detail"].as_str()? {
        "version mismatch" => Fault::Version,
        "key already exists" => Fault::Exists,
        "key not found" => Fault::NotFound,
        "value is not a number" => Fault::NotANumber,
        "value would overflow" => Fault::Overflow,
        "value would be out of bounds" => Fault::OutOfBounds,
        _ => return None,
    };
    let part = match op {
        Op::Batch { .. } => part(body["location"].as_str()?)?,
        _ => Part::Change(0),
    };
    Some(Outcome::Conflict { part, fault, newest: mutation_version? })
}

/// `checks[7]` or `operations[7]`.
fn part(location: &str) -> Option<Part> {
    let (array, rest) = location.split_once('[')?;
    let at = rest.strip_suffix(']')?.parse().ok()?;
    match array {
        "checks" => Some(Part::Check(at)),
        "operations" => Some(Part::Change(at)),
        _ => None,
    }
}

fn full(body: &Value) -> Option<Quota> {
    let detail = body["detail"].as_str()?;
    match (detail.contains("keys_max"), detail.contains("bytes_max")) {
        (true, false) => Some(Quota::Keys),
        (false, true) => Some(Quota::Bytes),
        _ => None,
    }
}
