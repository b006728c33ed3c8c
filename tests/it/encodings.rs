//! The API in both encodings: posts one body as JSON or as MessagePack, and reads either answer as the
//! same value. Bytes are arrays of numbers in it.

use larder_tests::{Client, Larder, Reply, TOKEN};
use serde_json::{Value, json};

/// Both.
pub const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::MessagePack];

/// How a request and its answer are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    MessagePack,
}

/// Somebody who asks the API in one encoding.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Client,
    token: String,
    encoding: Encoding,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// `diom-mutation-version`.
    pub version: Option<u64>,
    pub body: Value,
}

impl Caller {
    /// The administrator.
    pub fn admin(larder: &Larder, encoding: Encoding) -> Self {
        Self { client: Client::new(larder.address()), token: TOKEN.to_owned(), encoding }
    }

    /// Somebody else, with a token for this scope.
    pub async fn scoped(&self, scope: &Value) -> Self {
        let made = self.client.post("/larder/v1/tokens", scope).await;
        assert_eq!(made.status, 201, "{made:?}");
        let token = made.json()["token"].as_str().unwrap().to_owned();
        Self { token, ..self.clone() }
    }

    /// Posts to `/api/v1.kv.ROUTE`.
    pub async fn ask(&self, route: &str, body: &Value) -> Answer {
        let bytes = match self.encoding {
            Encoding::Json => body.to_string().into_bytes(),
            Encoding::MessagePack => packed(&to_msgpack(body)),
        };
        self.send(route, bytes).await
    }

    /// The same with a body of these bytes.
    pub async fn send(&self, route: &str, body: Vec<u8>) -> Answer {
        let (bearer, path) = (format!("Bearer {}", self.token), format!("/api/v1.kv.{route}"));
        let kind = match self.encoding {
            Encoding::Json => "application/json",
            Encoding::MessagePack => "application/msgpack",
        };
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let reply = self.client.send("POST", &path, &headers, body).await;
        assert_eq!(reply.header("content-type"), Some(kind), "{reply:?}");
        let version = reply.header("diom-mutation-version").map(|text| text.parse().unwrap());
        Answer { status: reply.status, version, body: read(&reply) }
    }

    /// What a request is answered with 200.
    pub async fn get(&self, route: &str, body: Value) -> Value {
        let answer = self.ask(route, &body).await;
        assert_eq!(answer.status, 200, "{route} {body}: {answer:?}");
        answer.body
    }

    /// Holds a refusal against status, code and location.
    pub async fn refused(
        &self,
        route: &str,
        body: Value,
        wanted: (u16, &str, Option<&str>),
    ) -> Answer {
        let answer = self.ask(route, &body).await;
        let Answer { body: error, .. } = &answer;
        let told = (answer.status, error["code"].as_str().unwrap(), error["location"].as_str());
        assert_eq!(told, wanted, "{route} {body:.300}: {error}");
        answer
    }
}

fn read(reply: &Reply) -> Value {
    if reply.header("content-type") == Some("application/json") {
        return reply.json();
    }
    let mut rest = &reply.body[..];
    let value = rmpv::decode::read_value(&mut rest).unwrap();
    assert!(rest.is_empty(), "{reply:?}");
    of_msgpack(&value)
}

/// A value as MessagePack.
pub fn to_msgpack(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => rmpv::Value::Array(values.iter().map(to_msgpack).collect()),
        Value::Object(fields) => {
            let field = |(name, value): (&String, _)| (name.as_str().into(), to_msgpack(value));
            rmpv::Value::Map(fields.iter().map(field).collect())
        }
    }
}

/// The bytes of a value.
pub fn packed(value: &rmpv::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

fn of_msgpack(value: &rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(flag) => json!(flag),
        rmpv::Value::Integer(number) => number.as_u64().map_or(json!(number.as_i64()), Value::from),
        rmpv::Value::String(text) => json!(text.as_str().unwrap()),
        rmpv::Value::Binary(bytes) => json!(bytes),
        rmpv::Value::Array(items) => items.iter().map(of_msgpack).collect(),
        rmpv::Value::Map(fields) => {
            let field = |(name, value): &(rmpv::Value, _)| {
                (name.as_str().unwrap().to_owned(), of_msgpack(value))
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => panic!("the API has no {other}"),
    }
}
