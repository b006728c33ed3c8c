//! The recorded cases: reads them, plays them, and compares answer by answer.
//!
//! A case is a request to a reference implementation and what it answered. `${P}` stands for a
//! prefix of the run, `${v1}` and `${v1+1}` for a number that an earlier step of the scenario
//! captured. Cases tagged `info` are played but not compared: there the reference is at fault.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::client::{Client, Protocol, Reply};
use crate::larder::{Larder, TOKEN};

/// How far an instant may be from the reference's, both counted from the request.
const TOLERANCE_MS: i64 = 2000;

/// One recorded step.
#[derive(Clone, Debug)]
pub struct Case(Value);

/// How the cases are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As recorded.
    Recorded,
    /// Over HTTP/2.
    Http2,
    /// JSON bodies as MessagePack.
    MessagePack,
}

/// All cases, by scenario, in order.
///
/// # Panics
/// When the file cannot be read.
#[must_use]
pub fn load_cases() -> Vec<(String, Vec<Case>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases.jsonl");
    let text = std::fs::read_to_string(path).expect("the recorded cases");
    let mut scenarios: Vec<(String, Vec<Case>)> = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case a line");
        let scenario = case["scenario"].as_str().expect("a scenario").to_owned();
        match scenarios.last_mut() {
            Some((last, cases)) if *last == scenario => cases.push(Case(case)),
            _ => scenarios.push((scenario, vec![Case(case)])),
        }
    }
    scenarios
}

/// Plays a scenario and returns what differs, a line each, and how many steps were compared.
pub async fn run_scenario(
    larder: &Larder,
    cases: &[Case],
    variant: Variant,
    prefix: &str,
) -> (Vec<String>, usize) {
    let mut run =
        Run { larder, variant, prefix, captured: HashMap::new(), highest: 0, faults: Vec::new() };
    let mut compared = 0;
    for case in cases {
        compared += usize::from(run.play(&case.0).await);
    }
    (run.faults, compared)
}

struct Run<'a> {
    larder: &'a Larder,
    variant: Variant,
    prefix: &'a str,
    captured: HashMap<String, u64>,
    highest: u64,
    faults: Vec<String>,
}

impl Run<'_> {
    async fn play(&mut self, case: &Value) -> bool {
        if let Some(seconds) = case["sleep_before_s"].as_f64() {
            // A ttl must pass on the clock of the program under test.
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        let request = &case["request"];
        let sent_ms = now_ms();
        let reply = self.send(request).await;
        let body = decoded(&reply);
        self.capture(case, &body);
        let informative = case["tags"].as_array().is_some_and(|tags| tags.contains(&json!("info")));
        if !informative {
            let id = case["id"].as_str().unwrap_or_default();
            let faults = self.compare(case, &reply, &body, sent_ms);
            self.faults.extend(faults.into_iter().map(|fault| format!("{id}: {fault}")));
        }
        !informative
    }

    async fn send(&self, request: &Value) -> Reply {
        let mut headers: Vec<(String, String)> = Vec::new();
        for header in request["headers"].as_array().into_iter().flatten() {
            let part = |at: usize| self.text(header[at].as_str().unwrap_or_default());
            headers.push((part(0), part(1)));
        }
        let body = self.body(request, &mut headers);
        let protocol = match (self.variant, request["proto"].as_str()) {
            (Variant::Http2, _) => Protocol::Http2,
            (_, Some("HTTP/1.0")) => Protocol::Http1(http::Version::HTTP_10),
            _ => Protocol::Http1(http::Version::HTTP_11),
        };
        let client = Client::speaking(self.larder.address(), protocol);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let path = self.text(request["path"].as_str().unwrap_or_default());
        client.send(request["method"].as_str().unwrap_or_default(), &path, &headers, body).await
    }

    /// The body's bytes. In the MessagePack variant the content type changes with it.
    fn body(&self, request: &Value, headers: &mut [(String, String)]) -> Vec<u8> {
        if request.get("body_gen").is_some() {
            // The one generated body: a key that is far too long.
            let key = format!("{}{}", self.prefix, "a".repeat(100_000 - self.prefix.len()));
            return json!({"key": key, "value": [1]}).to_string().into_bytes();
        }
        if let Some(body) = request.get("body") {
            let body = self.filled(body);
            if self.variant != Variant::MessagePack {
                return body.to_string().into_bytes();
            }
            for (name, value) in headers {
                if name == "content-type" && value == "application/json" {
                    "application/msgpack".clone_into(value);
                    return msgpack(&body);
                }
            }
            return body.to_string().into_bytes();
        }
        if let Some(body) = request.get("body_msgpack") {
            return msgpack(&self.filled(body));
        }
        if let Some(text) = request["body_text"].as_str() {
            return self.text(text).into_bytes();
        }
        request["body_hex"].as_str().map(unhex).unwrap_or_default()
    }

    fn text(&self, text: &str) -> String {
        text.replace("${P}", self.prefix).replace("${TOKEN}", TOKEN)
    }

    /// Puts prefix and captured numbers in.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match self.reference(text) {
                Some(number) => json!(number),
                None => json!(self.text(text)),
            },
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(fields) => {
                let filled = |(name, value): (&String, &Value)| {
                    if name == "$bin" {
                        let bytes = value.as_str().unwrap_or_default();
                        return (
                            name.clone(),
                            json!(bytes.replace("<P>", &hex(self.prefix.as_bytes()))),
                        );
                    }
                    (name.clone(), self.filled(value))
                };
                Value::Object(fields.iter().map(filled).collect())
            }
            other => other.clone(),
        }
    }

    /// The number that `${name}` or `${name+offset}` stands for.
    fn reference(&self, text: &str) -> Option<u64> {
        let inner = text.strip_prefix("${")?.strip_suffix('}')?;
        let (name, offset) = inner.split_once('+').unwrap_or((inner, "0"));
        Some(self.captured.get(name)? + offset.parse::<u64>().ok()?)
    }

    fn capture(&mut self, case: &Value, body: &Value) {
        for (name, field) in case["capture"].as_object().into_iter().flatten() {
            let number = body[field.as_str().unwrap_or_default()].as_u64();
            self.captured.insert(name.clone(), number.unwrap_or(0));
        }
    }

    fn compare(&mut self, case: &Value, reply: &Reply, body: &Value, sent_ms: i64) -> Vec<String> {
        let wanted = &case["response"];
        let status = wanted["status"].as_u64().unwrap_or(0);
        if u64::from(reply.status) != status {
            return vec![format!("status {}, wanted {status}: {body}", reply.status)];
        }
        let mut faults = self.compare_headers(case, reply);
        match wanted.get("body").filter(|body| !body.is_null()) {
            None if !reply.body.is_empty() => faults.push(format!("a body: {:?}", reply.body)),
            None => {}
            Some(wanted) if status >= 400 => faults.extend(compare_error(wanted, body, status)),
            Some(wanted) => {
                let wanted = self.filled(&self.transposed(case, wanted));
                let recorded_ms = case["t_ms"].as_i64().unwrap_or(0);
                let shift = sent_ms - recorded_ms;
                compare_value("", &wanted, body, shift, &mut faults);
                faults.extend(self.compare_versions(case, body));
            }
        }
        faults
    }

    /// A JSON answer as it is wanted in the MessagePack variant.
    fn transposed(&self, case: &Value, wanted: &Value) -> Value {
        let mut wanted = wanted.clone();
        if self.is_transposed(case)
            && let Some(bytes) = wanted["value"].as_array()
        {
            let bytes: Vec<u8> =
                bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            wanted["value"] = json!({"$bin": hex(&bytes)});
        }
        wanted
    }

    fn is_transposed(&self, case: &Value) -> bool {
        let header = |name: &str| {
            let headers = case["request"]["headers"].as_array().into_iter().flatten();
            headers.clone().find(|header| header[0] == name).map(|header| header[1].clone())
        };
        self.variant == Variant::MessagePack
            && case["request"].get("body").is_some()
            && header("content-type") == Some(json!("application/json"))
            && header("accept").is_none()
    }

    fn compare_headers(&self, case: &Value, reply: &Reply) -> Vec<String> {
        let mut faults = Vec::new();
        let wanted = &case["response"]["headers"];
        let mut content_type = wanted["content-type"].as_str();
        if self.is_transposed(case) && content_type == Some("application/json") {
            content_type = Some("application/msgpack");
        }
        if reply.header("content-type") != content_type {
            faults.push(format!("content-type {:?}", reply.header("content-type")));
        }
        let version = reply.header("diom-mutation-version");
        if version.is_some() != wanted.get("diom-mutation-version").is_some() {
            faults.push(format!("diom-mutation-version {version:?}"));
        }
        let allow = wanted["allow"].as_str().filter(|_| reply.status == 405);
        if reply.status == 405 && reply.header("allow") != allow {
            faults.push(format!("allow {:?}", reply.header("allow")));
        }
        faults
    }

    /// Versions rise over all sets, and keep to what the step says about earlier ones.
    fn compare_versions(&mut self, case: &Value, body: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let is_set = case["request"]["path"] == "/api/v1.kv.set";
        if let Some(version) = body["version"].as_u64().filter(|_| is_set) {
            if version <= self.highest {
                faults.push(format!("version {version} after {}", self.highest));
            }
            self.highest = version;
        }
        for invariant in case["invariants"].as_array().into_iter().flatten() {
            let found = body[invariant[0].as_str().unwrap_or_default()].as_u64();
            let earlier = invariant[2].as_str().and_then(|name| self.captured.get(name)).copied();
            let holds = match invariant[1].as_str() {
                Some("==") => found == earlier,
                Some(">") => found > earlier,
                other => panic!("an unknown relation {other:?}"),
            };
            if !holds {
                faults.push(format!("{invariant} with {found:?} and {earlier:?}"));
            }
        }
        faults
    }
}

fn compare_error(wanted: &Value, body: &Value, status: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fields: Vec<&str> =
        body.as_object().map(Map::keys).into_iter().flatten().map(String::as_str).collect();
    fields.sort_unstable();
    if fields != ["code", "detail", "location", "type"] {
        return vec![format!("an error has four fields, not {body}")];
    }
    let code = wanted["code"].as_str().unwrap_or_default();
    let encoding =
        ["invalid-encoding", "missing-content-type", "invalid-content-type"].contains(&code);
    let r#type = match status {
        413 | 422 => "invalid-input",
        500.. => "server-error",
        _ if encoding => "invalid-input",
        _ => "operation-error",
    };
    if body["code"] != code || body["type"] != r#type || !body["detail"].is_string() {
        faults.push(format!("{body}, wanted {type} {code}"));
    }
    let location = wanted.get("location");
    let fits = match location {
        Some(location) if location == "*" => body["location"].is_string(),
        Some(location) => body["location"] == *location,
        None => true,
    };
    if !fits {
        faults.push(format!("location {}, wanted {location:?}", body["location"]));
    }
    faults
}

fn compare_value(path: &str, wanted: &Value, found: &Value, shift: i64, faults: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) if wanted.keys().eq(found.keys()) => {
            for (name, wanted) in wanted {
                // The default namespace is older than the run.
                if found.get("name") != Some(&json!("default")) || name == "name" {
                    compare_value(name, wanted, &found[name], shift, faults);
                }
            }
        }
        (Value::Number(wanted), Value::Number(found)) if path == "version" => {
            if (wanted.as_u64() == Some(0)) != (found.as_u64() == Some(0)) {
                faults.push(format!("version {found}, wanted {wanted}"));
            }
        }
        (Value::Number(wanted), Value::Number(found))
            if ["expiry", "created", "updated"].contains(&path) =>
        {
            let (wanted, found) = (wanted.as_i64().unwrap_or(0), found.as_i64().unwrap_or(0));
            if (found - wanted - shift).abs() > TOLERANCE_MS {
                faults.push(format!("{path} {found}, wanted about {}", wanted + shift));
            }
        }
        _ if wanted == found => {}
        _ => faults.push(format!("{path:?} is {found}, wanted {wanted}")),
    }
}

fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "compares the server's clock with this one")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// The body as a value in which MessagePack's binary is `{"$bin": HEX}`.
fn decoded(reply: &Reply) -> Value {
    match reply.header("content-type") {
        Some("application/json") => serde_json::from_slice(&reply.body).unwrap_or_default(),
        Some("application/msgpack") => {
            let mut rest = &reply.body[..];
            let value = rmpv::decode::read_value(&mut rest);
            assert!(rest.is_empty(), "something follows the answer's document");
            value.map(|value| typed(&value)).unwrap_or_default()
        }
        _ => Value::Null,
    }
}

fn typed(value: &rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(flag) => json!(flag),
        rmpv::Value::Integer(number) => {
            number.as_u64().map_or(json!(number.as_i64()), |number| json!(number))
        }
        rmpv::Value::String(text) => json!(text.as_str()),
        rmpv::Value::Binary(bytes) => json!({"$bin": hex(bytes)}),
        rmpv::Value::Array(items) => items.iter().map(typed).collect(),
        rmpv::Value::Map(fields) => {
            let field = |(name, value): &(rmpv::Value, rmpv::Value)| {
                (name.as_str().unwrap_or("?").to_owned(), typed(value))
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => panic!("an answer with {other}"),
    }
}

fn msgpack(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &untyped(value)).expect("writing to memory");
    bytes
}

fn untyped(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (_, Some(number)) => number.into(),
            _ => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => rmpv::Value::Array(items.iter().map(untyped).collect()),
        Value::Object(fields) => match fields.get("$bin").and_then(Value::as_str) {
            Some(bytes) => rmpv::Value::Binary(unhex(bytes)),
            None => {
                let field =
                    |(name, value): (&String, &Value)| (name.as_str().into(), untyped(value));
                rmpv::Value::Map(fields.iter().map(field).collect())
            }
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}
