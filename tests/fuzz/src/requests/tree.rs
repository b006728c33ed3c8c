//! Trees, as which bodies are made before they are written in an encoding. Knows no endpoint.

use rmpv::Value;

/// Text as a value.
#[must_use]
pub fn text(text: &str) -> Value {
    Value::String(text.into())
}

/// The tree of a document in JSON; None when it is malformed, or one that cannot be written again.
#[must_use]
pub fn of_json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().map(of_value)
}

fn of_value(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(flag) => Value::Boolean(flag),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::F64(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(elements) => {
            Value::Array(elements.into_iter().map(of_value).collect())
        }
        serde_json::Value::Object(fields) => {
            let field = |(name, value)| (Value::from(name), of_value(value));
            Value::Map(fields.into_iter().map(field).collect())
        }
    }
}

/// The tree in JSON, fields that are there twice included. Bytes become an array.
#[must_use]
pub fn to_json(tree: &Value) -> String {
    let list = |elements: Vec<String>| elements.join(",");
    match tree {
        Value::Boolean(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::F64(number) => serde_json::Value::from(*number).to_string(),
        Value::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::Binary(bytes) => format!("[{}]", list(bytes.iter().map(u8::to_string).collect())),
        Value::Array(elements) => format!("[{}]", list(elements.iter().map(to_json).collect())),
        Value::Map(fields) => {
            let field = |(name, value): &(_, _)| format!("{}:{}", to_json(name), to_json(value));
            format!("{{{}}}", list(fields.iter().map(field).collect()))
        }
        Value::Nil | Value::F32(_) | Value::Ext(..) => "null".to_owned(),
    }
}

/// The tree in MessagePack.
#[must_use]
pub fn to_msgpack(tree: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    // A vector takes every byte.
    let _ = rmpv::encode::write_value(&mut body, tree);
    body
}
