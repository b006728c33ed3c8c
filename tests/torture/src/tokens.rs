//! Tokens do what they were granted and nothing else: random tokens, operations, namespaces and keys
//! against an oracle that knows the grants and what is stored. Whoever may not is told the same
//! whether the key is there or not.

use std::collections::BTreeMap;

use fastrand::Rng;
use larder_tests::{Larder, TOKEN};
use serde_json::{Value, json};

use crate::client::{Answer, Connection};
use crate::rounds::{Tally, Trial};

/// Tokens in a round, and requests.
const TOKENS: usize = 40;
const REQUESTS: usize = 10_000;
/// Few and alike, so that tokens, namespaces, prefixes and keys meet often.
const NAMESPACES: [&str; 4] = ["default", "a", "ab", "b"];
const WORDS: [&str; 8] = ["a", "b", "ab", "aa", "abc", "ba", "a/", "a/b"];
const ROLES: [&str; 3] = ["read", "write", "admin"];

/// The trial.
pub struct Scopes;

impl Trial for Scopes {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("requests", 1_000_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        requests(seed, REQUESTS, &|_, token| token.to_owned(), tally)
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set,
    Delete,
    Look,
    Configure,
    ListTokens,
}

impl Action {
    const ALL: [Self; 6] =
        [Self::Get, Self::Set, Self::Delete, Self::Look, Self::Configure, Self::ListTokens];

    /// The end of its path, which a refusal names.
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Look => "namespace.get",
            Self::Configure => "namespace.configure",
            Self::ListTokens => "tokens",
        }
    }

    fn writes(self) -> bool {
        matches!(self, Self::Set | Self::Delete | Self::Configure)
    }
}

/// A token and what it was made for.
struct Made {
    id: String,
    secret: String,
    role: &'static str,
    namespaces: Vec<&'static str>,
    prefixes: Vec<&'static str>,
    revoked: bool,
}

/// What a request must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// 401.
    Unknown,
    /// 403.
    Forbidden,
    /// What a caller without limits is answered.
    Allowed,
}

impl Made {
    fn draw(rng: &mut Rng, connection: &mut Connection, number: usize) -> Result<Self, String> {
        let role = ROLES[rng.usize(..ROLES.len())];
        let mut some = |words: &[&'static str]| -> Vec<&'static str> {
            let most = if role == "admin" { 1 } else { 3 };
            (0..rng.usize(..most)).map(|_| words[rng.usize(..words.len())]).collect()
        };
        let (namespaces, prefixes) = (some(&NAMESPACES), some(&WORDS));
        let name = format!("t{number}");
        let asked =
            json!({"name": name, "role": role, "namespaces": namespaces, "prefixes": prefixes});
        let answer = send(connection, "POST", "/larder/v1/tokens", &asked)?;
        let made: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |field: &str| made[field].as_str().map(str::to_owned);
        let (Some(id), Some(secret)) = (text("id"), text("token")) else {
            return Err(format!("{asked} was answered {answer:?}"));
        };
        Ok(Self { id, secret, role, namespaces, prefixes, revoked: false })
    }

    /// The rules, said in another way than the host says them.
    fn verdict(&self, action: Action, namespace: &str, key: &str) -> Verdict {
        if self.revoked {
            return Verdict::Unknown;
        }
        if self.role == "admin" {
            return Verdict::Allowed;
        }
        let elsewhere = !self.namespaces.is_empty() && !self.namespaces.contains(&namespace);
        let reads_only = self.role == "read" && action.writes();
        let limited = !self.prefixes.is_empty();
        let beyond = match action {
            Action::ListTokens => true,
            Action::Look => false,
            Action::Configure => limited,
            _ => limited && self.prefixes.iter().all(|prefix| !key.starts_with(prefix)),
        };
        if elsewhere || reads_only || beyond { Verdict::Forbidden } else { Verdict::Allowed }
    }
}

fn send(
    connection: &mut Connection,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Answer, String> {
    let sent = connection.send(method, path, body.to_string().as_bytes());
    sent.map_err(|lost| format!("{method} {path}: {lost:?}"))
}

/// What is stored, by namespace and key.
type Stored = BTreeMap<(&'static str, &'static str), u64>;

/// Sends random requests with random tokens, each as `with` changes its token, and judges every
/// answer.
///
/// # Errors
/// What was answered otherwise than the grants say.
pub fn requests(
    seed: u64,
    requests: usize,
    with: &dyn Fn(&mut Rng, &str) -> String,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let larder = Larder::start();
    let mut connection = Connection::new(larder.address());
    for namespace in &NAMESPACES[1..] {
        send(
            &mut connection,
            "POST",
            "/api/v1.kv.namespace.configure",
            &json!({"name": namespace}),
        )?;
    }
    let mut tokens = (0..TOKENS)
        .map(|number| Made::draw(&mut rng, &mut connection, number))
        .collect::<Result<Vec<_>, _>>()?;
    let mut stored = Stored::new();
    for number in 0..requests {
        if rng.usize(..requests) < TOKENS / 4 {
            revoke(&mut connection, &mut tokens, &mut rng)?;
        }
        let token = &tokens[rng.usize(..TOKENS)];
        let action = Action::ALL[rng.usize(..Action::ALL.len())];
        let namespace = NAMESPACES[rng.usize(..NAMESPACES.len())];
        let key = WORDS[rng.usize(..WORDS.len())];
        let forged = rng.usize(..50) == 0;
        let verdict = if forged { Verdict::Unknown } else { token.verdict(action, namespace, key) };
        let secret = if forged { forge(&mut rng, &token.secret) } else { token.secret.clone() };
        connection.set_token(&with(&mut rng, &secret));
        let request = Request { action, namespace, key, value: number as u64 };
        let answer = request.send(&mut connection)?;
        connection.set_token(TOKEN);
        request.judge(verdict, &answer, &mut stored).map_err(|wrong| {
            let Made { role, namespaces, prefixes, revoked, .. } = token;
            format!(
                "{action:?} {namespace} {key} by {role} {namespaces:?} {prefixes:?} (revoked: {revoked}, forged: {forged}): {wrong}: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )
        })?;
        tally.add("requests", 1);
        tally.add(&format!("{verdict:?}").to_lowercase(), 1);
    }
    Ok(())
}

fn revoke(connection: &mut Connection, tokens: &mut [Made], rng: &mut Rng) -> Result<(), String> {
    let at = rng.usize(..tokens.len());
    let token = &mut tokens[at];
    if token.revoked {
        return Ok(());
    }
    let path = format!("/larder/v1/tokens/{}", token.id);
    let answer = send(connection, "DELETE", &path, &Value::Null)?;
    token.revoked = true;
    if answer.status == 204 { Ok(()) } else { Err(format!("revoking was answered {answer:?}")) }
}

/// A token that is nearly one that was made.
fn forge(rng: &mut Rng, secret: &str) -> String {
    let at = rng.usize(7..secret.len());
    let mut forged = secret.as_bytes().to_vec();
    // Another letter of the same alphabet.
    forged[at] = if forged[at] == b'a' { b'b' } else { b'a' };
    String::from_utf8_lossy(&forged).into_owned()
}

/// A request, and what is judged by.
struct Request {
    action: Action,
    namespace: &'static str,
    key: &'static str,
    value: u64,
}

impl Request {
    fn send(&self, connection: &mut Connection) -> Result<Answer, String> {
        let Self { action, namespace, key, value } = self;
        if *action == Action::ListTokens {
            return send(connection, "GET", "/larder/v1/tokens", &Value::Null);
        }
        let mut body = match action {
            Action::Look | Action::Configure => json!({"name": namespace}),
            Action::Set => json!({"key": key, "value": value.to_be_bytes()}),
            _ => json!({"key": key}),
        };
        if !matches!(action, Action::Look | Action::Configure) && *namespace != "default" {
            body["namespace"] = (*namespace).into();
        }
        send(connection, "POST", &format!("/api/v1.kv.{}", action.name()), &body)
    }

    /// Compares an answer with what the grants and the store say.
    fn judge(&self, verdict: Verdict, answer: &Answer, stored: &mut Stored) -> Result<(), String> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let place = (self.namespace, self.key);
        let fits = match verdict {
            Verdict::Unknown => answer.status == 401 && body["code"] == "invalid-token",
            Verdict::Forbidden => answer.status == 403 && body == self.refusal(),
            Verdict::Allowed => match self.action {
                Action::Get => {
                    let bytes = stored.get(&place).map(|value| json!(value.to_be_bytes()));
                    answer.status == 200 && body["value"] == bytes.unwrap_or(Value::Null)
                }
                Action::Set => {
                    stored.insert(place, self.value);
                    answer.status == 200
                }
                Action::Delete => {
                    let existed = stored.remove(&place).is_some();
                    answer.status == 200 && body["success"] == existed
                }
                Action::Look | Action::Configure => answer.status == 200,
                Action::ListTokens => answer.status == 200 && body["tokens"].is_array(),
            },
        };
        if fits { Ok(()) } else { Err(format!("should have been {verdict:?}")) }
    }

    /// All that a refusal may say.
    fn refusal(&self) -> Value {
        let Self { action, namespace, .. } = self;
        let detail = match action {
            Action::ListTokens => "This takes a token whose role is `admin`.".to_owned(),
            _ => format!("`{}` is not allowed in the namespace `{namespace}`.", action.name()),
        };
        json!({"type": "operation-error", "code": "forbidden", "detail": detail, "location": null})
    }
}
