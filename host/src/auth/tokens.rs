//! Scoped tokens: made, listed and revoked by an administrator, kept as hashes in the store. Knows what
//! a token looks like and what its row says; what it allows is its scope's.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ADMIN, Token, random_bytes};
use crate::clock::{Clock, Millis};
use crate::hex;
use crate::runtime::{Principal, Role, Scope};
use crate::storage::{self, Operation, Outcome, Storage};

/// What every scoped token begins with, so that it is known where it turns up.
const MARK: &str = "larder";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// Longest name of a token.
const NAME_BYTES_MAX: usize = 64;
/// Tokens that there may be.
const TOKENS_MAX: usize = 10_000;
/// Bytes of namespaces and prefixes that one token may list.
const SCOPE_BYTES_MAX: usize = 16 << 10;
/// Longest namespace, and longest prefix.
const SCOPE_NAME_BYTES_MAX: usize = 256;

/// Why a token cannot be made or revoked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There is no token with this id.
    #[error("there is no token with this id")]
    Unknown,
    /// The system gave no random bytes.
    #[error("no random bytes could be had: {0}")]
    Random(String),
    /// The store refused.
    #[error("the token could not be stored: {0}")]
    Storage(#[from] storage::Error),
}

/// What a token is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Names the principal, for guests and logs: 1 to 64 visible ASCII characters.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// In which namespaces; in all when there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub namespaces: BTreeSet<String>,
    /// With which keys: those that begin with one of these; with all when there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub prefixes: BTreeSet<String>,
    /// When it ends, in milliseconds since the epoch; never without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<u64>,
}

impl NewToken {
    fn check(&self, now: Millis) -> Result<(), TokenError> {
        let invalid = |what: &str| Err(TokenError::Invalid(what.to_owned()));
        let visible = self.name.bytes().all(|byte| byte.is_ascii_graphic());
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !visible {
            return invalid("name: 1 to 64 visible ASCII characters");
        }
        if self.name == ADMIN {
            return invalid("name: `admin` is the admin token's");
        }
        let limits = self.namespaces.iter().chain(&self.prefixes);
        if limits.clone().any(|name| name.is_empty() || name.len() > SCOPE_NAME_BYTES_MAX) {
            return invalid("namespaces, prefixes: each is 1 to 256 bytes");
        }
        if limits.clone().any(|name| name.contains(char::is_control)) {
            return invalid("namespaces, prefixes: control characters are not allowed");
        }
        if limits.map(String::len).sum::<usize>() > SCOPE_BYTES_MAX {
            return invalid("namespaces, prefixes: 16 KiB in all at most");
        }
        if self.role == Role::Admin && !(self.namespaces.is_empty() && self.prefixes.is_empty()) {
            return invalid("role: an admin may do everything; leave namespaces and prefixes out");
        }
        if self.expiry.is_some_and(|end| Millis(end) <= now) {
            return invalid("expiry: this instant is over; it is in milliseconds since 1970");
        }
        Ok(())
    }
}

/// A token as it is listed: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Names the token, to revoke it.
    pub id: String,
    /// When it was made, in milliseconds since the epoch.
    pub created: u64,
    /// What it is.
    #[serde(flatten)]
    pub token: NewToken,
}

/// A token's row in the store.
#[derive(Serialize, Deserialize)]
struct Row {
    token: NewToken,
    created: u64,
    /// SHA-256 of the token, in hexadecimal digits.
    hash: String,
}

/// A token that may be valid.
struct Known {
    listed: Listed,
    hash: Token,
    principal: Arc<Principal>,
}

impl Known {
    fn new(id: &str, row: Row) -> Option<Self> {
        let Row { token, created, hash } = row;
        let scope = Scope {
            role: token.role,
            namespaces: token.namespaces.clone(),
            prefixes: token.prefixes.clone(),
        };
        let principal = Arc::new(Principal { name: token.name.as_str().into(), scope });
        let listed = Listed { id: id.to_owned(), created, token };
        Some(Self { listed, hash: Token::from_hex(&hash)?, principal })
    }
}

/// All tokens. Shared by the workers, which read it, and the administrator's requests.
pub struct Tokens {
    storage: Storage,
    clock: Clock,
    by_id: RwLock<HashMap<String, Known>>,
}

impl Tokens {
    /// Takes what the store holds.
    pub fn load(storage: Storage, clock: Clock) -> Result<Self, storage::Error> {
        let mut by_id = HashMap::new();
        for (id, content) in storage.tokens()? {
            let row = serde_json::from_slice(&content).ok();
            match row.and_then(|row| Known::new(&id, row)) {
                Some(known) => drop(by_id.insert(id, known)),
                None => tracing::error!(id, "a token's row is not understood; it is not valid"),
            }
        }
        Ok(Self { storage, clock, by_id: RwLock::new(by_id) })
    }

    /// Who a token stands for; None when it is not valid, for whatever reason.
    #[must_use]
    pub fn judge(&self, secret: &[u8]) -> Option<Arc<Principal>> {
        let (id, _) = split(secret)?;
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let known = by_id.get(id)?;
        let ended = known.listed.token.expiry.is_some_and(|end| self.clock.now() >= Millis(end));
        (known.hash.is(secret) && !ended).then(|| Arc::clone(&known.principal))
    }

    /// Makes a token for `by`. What is returned with it is the only copy of its secret.
    pub async fn create(&self, token: NewToken, by: &str) -> Result<(Listed, String), TokenError> {
        token.check(self.clock.now())?;
        if self.by_id.read().unwrap_or_else(PoisonError::into_inner).len() >= TOKENS_MAX {
            return Err(TokenError::Invalid(format!("there are {TOKENS_MAX} tokens already")));
        }
        let random = |error: io::Error| TokenError::Random(error.to_string());
        let id = hex::encode(&random_bytes::<ID_BYTES>().map_err(random)?);
        let secret = URL_SAFE_NO_PAD.encode(random_bytes::<SECRET_BYTES>().map_err(random)?);
        let secret = format!("{MARK}_{id}_{secret}");
        let hash = hex::encode(&Sha256::digest(&secret));
        let row = Row { token, created: self.clock.now().0, hash };
        let content = serde_json::to_vec(&row)
            .map_err(|error| TokenError::Invalid(format!("it cannot be written down: {error}")))?;
        self.store(&id, Some(content.into())).await?;
        let known = Known::new(&id, row).ok_or(TokenError::Unknown)?;
        let listed = known.listed.clone();
        tracing::info!(id, name = listed.token.name, by, "a token was made");
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).insert(id, known);
        Ok((listed, secret))
    }

    /// All tokens, oldest first, those that have ended included.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        in_order(by_id.values().map(|known| known.listed.clone()).collect())
    }

    /// Revokes a token for `by`: from here on it is not valid, and so it stays.
    pub async fn revoke(&self, id: &str, by: &str) -> Result<(), TokenError> {
        // Out of memory first: should the disk fail, the token is refused until the restart.
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if !self.store(id, None).await? {
            return Err(TokenError::Unknown);
        }
        tracing::info!(id, by, "a token was revoked");
        Ok(())
    }

    async fn store(&self, id: &str, content: Option<Bytes>) -> Result<bool, TokenError> {
        let operation = Operation::Token { id: id.to_owned(), content };
        let outcomes = self.storage.submit(vec![operation])?.await?;
        Ok(matches!(outcomes.first(), Some(Outcome::Token { existed: true })))
    }
}

/// What tokens' rows say, oldest first; what is not understood is left out.
#[must_use]
pub fn listed(rows: &[(String, Vec<u8>)]) -> Vec<Listed> {
    let known = rows.iter().filter_map(|(id, content)| {
        let row = serde_json::from_slice(content).ok()?;
        Some(Known::new(id, row)?.listed)
    });
    in_order(known.collect())
}

fn in_order(mut all: Vec<Listed>) -> Vec<Listed> {
    all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    all
}

/// Splits a token into its id and its secret; None for what is none of ours.
fn split(token: &[u8]) -> Option<(&str, &[u8])> {
    let rest = token.strip_prefix(MARK.as_bytes())?.strip_prefix(b"_")?;
    let (id, rest) = rest.split_at_checked(2 * ID_BYTES)?;
    Some((std::str::from_utf8(id).ok()?, rest.strip_prefix(b"_")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DrivenClock;
    use crate::storage::Options;

    struct Bed {
        tokens: Tokens,
        driver: DrivenClock,
        dir: tempfile::TempDir,
    }

    fn bed() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let driver = DrivenClock::at(Millis(1_000_000));
        let clock = Clock::driven(&driver);
        let storage = Storage::open(&dir.path().join("data"), Options::default(), clock.clone());
        Bed { tokens: Tokens::load(storage.unwrap(), clock).unwrap(), driver, dir }
    }

    fn reader(name: &str) -> NewToken {
        let (namespaces, prefixes) = (["orders".to_owned()].into(), BTreeSet::new());
        NewToken { name: name.to_owned(), role: Role::Read, namespaces, prefixes, expiry: None }
    }

    #[tokio::test]
    async fn a_token_is_valid_from_its_making_to_its_revoking_over_restarts() {
        let Bed { tokens, driver, dir } = bed();
        let (listed, secret) = tokens.create(reader("billing"), "a test").await.unwrap();
        let principal = tokens.judge(secret.as_bytes()).unwrap();
        assert_eq!((&*principal.name, principal.scope.role), ("billing", Role::Read));
        assert_eq!(tokens.list(), std::slice::from_ref(&listed));
        tokens.storage.close();
        drop(tokens);
        let clock = Clock::driven(&driver);
        let storage = Storage::open(&dir.path().join("data"), Options::default(), clock.clone());
        let tokens = Tokens::load(storage.unwrap(), clock).unwrap();
        assert_eq!(tokens.judge(secret.as_bytes()), Some(principal));
        tokens.revoke(&listed.id, "a test").await.unwrap();
        assert_eq!(tokens.judge(secret.as_bytes()), None);
        assert_eq!(tokens.revoke(&listed.id, "a test").await, Err(TokenError::Unknown));
        assert_eq!(Tokens::load(tokens.storage.clone(), tokens.clock.clone()).unwrap().list(), []);
    }

    #[tokio::test]
    async fn a_token_ends_at_its_very_millisecond() {
        let Bed { tokens, driver, dir: _dir } = bed();
        let token = NewToken { expiry: Some(1_000_500), ..reader("short") };
        let (_, secret) = tokens.create(token, "a test").await.unwrap();
        driver.advance(499);
        assert!(tokens.judge(secret.as_bytes()).is_some());
        driver.advance(1);
        assert!(tokens.judge(secret.as_bytes()).is_none());
    }

    #[tokio::test]
    async fn what_is_close_to_a_token_is_not_valid() {
        let Bed { tokens, dir: _dir, .. } = bed();
        let (_, secret) = tokens.create(reader("a"), "a test").await.unwrap();
        let (_, other) = tokens.create(reader("b"), "a test").await.unwrap();
        let at = MARK.len() + 1 + 2 * ID_BYTES;
        for close in [
            &secret[..secret.len() - 1],
            &format!("{secret}a"),
            &format!("{}{}", &secret[..at], &other[at..]),
            &secret.to_uppercase(),
            "larder_",
            "larder",
            "",
        ] {
            assert!(tokens.judge(close.as_bytes()).is_none(), "{close}");
        }
    }

    #[tokio::test]
    async fn the_data_file_holds_no_secret() {
        let Bed { tokens, dir, .. } = bed();
        let (listed, secret) = tokens.create(reader("a"), "a test").await.unwrap();
        let file = std::fs::read(dir.path().join("data/data.mdb")).unwrap();
        let holds = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(holds(&listed.id) && !holds(&secret[secret.len() - 43..]));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_the_reason() {
        let Bed { tokens, dir: _dir, .. } = bed();
        let scope = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for (token, reason) in [
            (reader(""), "name"),
            (reader("a b"), "name"),
            (reader("admin"), "admin token"),
            (NewToken { namespaces: scope(&[""]), ..reader("a") }, "1 to 256 bytes"),
            (NewToken { role: Role::Admin, ..reader("a") }, "leave namespaces"),
            (NewToken { expiry: Some(1_000_000), ..reader("a") }, "is over"),
            (NewToken { prefixes: scope(&[&"p".repeat(257)]), ..reader("a") }, "1 to 256 bytes"),
            (NewToken { prefixes: scope(&["a\x1b[2J"]), ..reader("a") }, "control characters"),
        ] {
            let error = tokens.create(token, "a test").await.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
