//! Scoped tokens: made, listed and revoked by an administrator, kept as hashes in the store. Knows what
//! a token looks like and where its row is; what it is to be is `description`'s.
//!
//! What is in memory follows what is on disk: a token is valid, or no longer, from the commit on, whether
//! or not whoever asked for it is still there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::access::{Principal, Scope};
use super::description::{Listed, NewToken};
use super::secret::{Token, random_bytes};
use crate::clock::{Clock, Millis};
use crate::hex;
use crate::storage::{self, Storage, SystemRows, SystemTable};

/// What every scoped token begins with, so that it is known where it turns up.
const MARK: &str = "larder";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// Tokens that there may be.
const TOKENS_MAX: usize = 10_000;

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
    /// Its place among all; None for one beyond them, as a store that was restored may hold.
    _place: Option<OwnedSemaphorePermit>,
}

impl Known {
    fn new(id: &str, row: Row, place: Option<OwnedSemaphorePermit>) -> Option<Self> {
        let Row { token, created, hash } = row;
        let scope = Scope {
            role: token.role,
            namespaces: token.namespaces.clone(),
            prefixes: token.prefixes.clone(),
        };
        let principal = Arc::new(Principal { name: token.name.as_str().into(), scope });
        let listed = Listed { id: id.to_owned(), created, token };
        Some(Self { listed, hash: Token::from_hex(&hash)?, principal, _place: place })
    }
}

/// What the store holds.
#[derive(Default)]
struct Held {
    by_id: HashMap<String, Known>,
    /// Rows that are damaged or not understood. Their tokens are not valid; they can be revoked.
    unknown: HashSet<String>,
}

impl Held {
    fn holds(&self, id: &str) -> bool {
        self.by_id.contains_key(id) || self.unknown.contains(id)
    }

    fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
        self.unknown.remove(id);
    }
}

/// What is held, for the workers that read it and the writer that changes it.
#[derive(Clone, Default)]
struct Shared(Arc<RwLock<Held>>);

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All tokens. Shared by the workers, which read it, and the administrator's requests.
pub struct Tokens {
    storage: Storage,
    clock: Clock,
    held: Shared,
    /// A permit for each token that there may be more.
    places: Arc<Semaphore>,
}

impl Tokens {
    /// Takes what the store holds.
    pub fn load(storage: Storage, clock: Clock) -> Result<Self, storage::Error> {
        Self::load_up_to(TOKENS_MAX, storage, clock)
    }

    fn load_up_to(max: usize, storage: Storage, clock: Clock) -> Result<Self, storage::Error> {
        let (held, places) = (Shared::default(), Arc::new(Semaphore::new(max)));
        let SystemRows { rows, damaged_ids } = storage.system_rows(SystemTable::Tokens)?;
        for id in damaged_ids {
            tracing::error!(id, "a token's id is damaged");
        }
        for (id, content) in rows {
            let row = content.and_then(|content| serde_json::from_slice(&content).ok());
            let place = Arc::clone(&places).try_acquire_owned().ok();
            if let Some(known) = row.and_then(|row| Known::new(&id, row, place)) {
                held.write().by_id.insert(id, known);
            } else {
                tracing::error!(id, "a token's row is damaged or not understood; it is not valid");
                held.write().unknown.insert(id);
            }
        }
        Ok(Self { storage, clock, held, places })
    }

    /// Who a token stands for; None when it is not valid, for whatever reason.
    #[must_use]
    pub fn judge(&self, secret: &[u8]) -> Option<Arc<Principal>> {
        let (id, _) = split(secret)?;
        let held = self.held.read();
        let known = held.by_id.get(id)?;
        let ended = known.listed.token.expiry.is_some_and(|end| self.clock.now() >= Millis(end));
        (known.hash.is(secret) && !ended).then(|| Arc::clone(&known.principal))
    }

    /// Makes a token for `by`. What is returned with it is the only copy of its secret.
    pub async fn create(&self, token: NewToken, by: &str) -> Result<(Listed, String), TokenError> {
        let now = self.clock.now();
        let token = token.resolved(now).map_err(TokenError::Invalid)?;
        token.check(now).map_err(TokenError::Invalid)?;
        let full = |_| TokenError::Invalid(format!("there are {TOKENS_MAX} tokens already"));
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let random = |error: io::Error| TokenError::Random(error.to_string());
        let id = hex::encode(&random_bytes::<ID_BYTES>().map_err(random)?);
        let secret = URL_SAFE_NO_PAD.encode(random_bytes::<SECRET_BYTES>().map_err(random)?);
        let secret = format!("{MARK}_{id}_{secret}");
        let hash = hex::encode(&Sha256::digest(&secret));
        let row = Row { token, created: now.0, hash };
        let content = serde_json::to_vec(&row)
            .map_err(|error| TokenError::Invalid(format!("it cannot be written down: {error}")))?;
        let known = Known::new(&id, row, Some(place)).ok_or(TokenError::Unknown)?;
        let (held, by, made) = (self.held.clone(), by.to_owned(), id.clone());
        let then = move |_| {
            let listed = known.listed.clone();
            tracing::info!(id = made, name = listed.token.name, by, "a token was made");
            held.write().by_id.insert(made, known);
            Ok((listed, secret))
        };
        self.write(id, Some(content.into()), then).await
    }

    /// All tokens, oldest first, those that have ended included.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let held = self.held.read();
        in_order(held.by_id.values().map(|known| known.listed.clone()).collect())
    }

    /// Revokes a token for `by`: from here on it is not valid, and so it stays.
    pub async fn revoke(&self, id: &str, by: &str) -> Result<(), TokenError> {
        if !self.held.read().holds(id) {
            return Err(TokenError::Unknown);
        }
        let (held, by, revoked) = (self.held.clone(), by.to_owned(), id.to_owned());
        let then = move |existed: bool| {
            held.write().forget(&revoked);
            if !existed {
                // Somebody else was first.
                return Err(TokenError::Unknown);
            }
            tracing::info!(id = revoked, by, "a token was revoked");
            Ok(())
        };
        self.write(id.to_owned(), None, then).await
    }

    /// Writes or removes a row, and calls `then` when that is on disk, with whether there was one. Once
    /// it has begun, it is finished whoever goes away.
    async fn write<T: Send + 'static>(
        &self,
        id: String,
        content: Option<Bytes>,
        then: impl FnOnce(bool) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, TokenError> {
        let (asker, answer) = oneshot::channel();
        let row = id.clone();
        self.storage.write_system_row(SystemTable::Tokens, row, content, move |existed| {
            let done = existed.map_err(TokenError::from).and_then(then);
            if asker.send(done).is_err() {
                tracing::warn!(
                    id,
                    "whoever had a token made or revoked has gone before it was told"
                );
            }
        })?;
        answer.await.unwrap_or(Err(TokenError::Storage(storage::Error::InDoubt)))
    }
}

/// What tokens' rows say, oldest first; what is not understood is left out.
#[must_use]
pub fn listed(rows: &[(String, Vec<u8>)]) -> Vec<Listed> {
    let known = rows.iter().filter_map(|(id, content)| {
        let row = serde_json::from_slice(content).ok()?;
        Some(Known::new(id, row, None)?.listed)
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
mod tests;
