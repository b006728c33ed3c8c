//! The API's operations as trials use them, and what came of each. Knows the bodies of requests and
//! answers; knows nothing of what should come of them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::{Answer, Connection, Lost};

/// What a set expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Anything.
    Upsert,
    /// No key.
    Insert,
    /// A key.
    Update,
}

/// An operation on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads it.
    Get,
    /// Writes it.
    Set {
        /// The value.
        value: String,
        /// How long it lives.
        ttl_ms: Option<u64>,
        /// What must be there.
        behavior: Behavior,
        /// The version that must be there.
        expected: Option<u64>,
    },
    /// Deletes it.
    Delete {
        /// The version that must be there.
        expected: Option<u64>,
    },
}

impl Op {
    /// A set without conditions.
    #[must_use]
    pub fn set(value: impl Into<String>) -> Self {
        Self::Set { value: value.into(), ttl_ms: None, behavior: Behavior::Upsert, expected: None }
    }
}

/// What a get found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value.
    pub value: String,
    /// The version that wrote it.
    pub version: u64,
    /// When it expires.
    pub expiry: Option<u64>,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A get was answered.
    Got(Option<Entry>),
    /// A set was acknowledged with this version.
    Written(u64),
    /// A delete was acknowledged: whether there was something to delete.
    Deleted(bool),
    /// A condition did not hold; the newest version of the server.
    Conflict(u64),
    /// Refused without an effect, with this status and code.
    Refused(u16, String),
    /// Whether it happened is not known.
    Unknown(String),
    /// The beginning of an answer came, and not its end.
    Truncated(String),
}

/// Something that carries operations out.
pub trait Store {
    /// Carries one out on `key`.
    fn call(&mut self, key: &str, op: &Op) -> Outcome;
}

/// The API over HTTP, on a connection of its own.
pub struct Http {
    connection: Connection,
}

impl Http {
    /// A connection to come.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { connection: Connection::new(address) }
    }

    /// Sends a write and does not wait for its answer.
    pub fn abandon(&mut self, key: &str, op: &Op) {
        let (path, body) = encode(key, op);
        self.connection.abandon(path, body.to_string().as_bytes());
    }
}

impl Store for Http {
    fn call(&mut self, key: &str, op: &Op) -> Outcome {
        let (path, body) = encode(key, op);
        match self.connection.post(path, body.to_string().as_bytes()) {
            Ok(answer) => decode(op, &answer),
            Err(Lost::Silent(error)) => Outcome::Unknown(error.to_string()),
            Err(Lost::Truncated(what)) => Outcome::Truncated(what),
        }
    }
}

fn encode(key: &str, op: &Op) -> (&'static str, Value) {
    match op {
        Op::Get => ("/api/v1.kv.get", json!({"key": key})),
        Op::Set { value, ttl_ms, behavior, expected } => {
            let behavior = match behavior {
                Behavior::Upsert => "upsert",
                Behavior::Insert => "insert",
                Behavior::Update => "update",
            };
            let body = json!({
                "key": key, "value": value, "ttl_ms": ttl_ms, "behavior": behavior,
                "version": expected,
            });
            ("/api/v1.kv.set", body)
        }
        Op::Delete { expected } => ("/api/v1.kv.delete", json!({"key": key, "version": expected})),
    }
}

fn decode(op: &Op, answer: &Answer) -> Outcome {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    match (answer.status, op) {
        (200, Op::Get) => Outcome::Got(entry(&body)),
        (200, Op::Set { .. }) => Outcome::Written(body["version"].as_u64().unwrap_or(0)),
        (200, Op::Delete { .. }) => Outcome::Deleted(body["success"] == true),
        (400, _) if code == "conflict" => {
            Outcome::Conflict(answer.mutation_version.unwrap_or_default())
        }
        // The store may have done what it could not acknowledge; what is too late or full, not.
        (500 | 504, Op::Set { .. } | Op::Delete { .. }) => {
            Outcome::Unknown(format!("{} {code}", answer.status))
        }
        (status, _) => Outcome::Refused(status, code),
    }
}

/// What the body of a get tells.
pub fn entry(body: &Value) -> Option<Entry> {
    let bytes = body["value"].as_array()?;
    let bytes: Option<Vec<u8>> =
        bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
    let value = String::from_utf8_lossy(&bytes?).into_owned();
    Some(Entry {
        value,
        version: body["version"].as_u64().unwrap_or(0),
        expiry: body["expiry"].as_u64(),
    })
}
