//! What a token is to be, as it is asked for, stored and listed. Owns the rules of that; knows neither
//! secrets nor where tokens are kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::access::{ADMIN, Role};
use crate::clock::Millis;
use crate::storage::Ttl;

/// Longest name of a token.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of namespaces and prefixes that one token may list.
const SCOPE_BYTES_MAX: usize = 16 << 10;
/// Longest namespace, and longest prefix.
const SCOPE_NAME_BYTES_MAX: usize = 256;

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
    /// In place of `expiry`, after how many milliseconds it ends. Becomes `expiry` when the token is made,
    /// by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

impl NewToken {
    /// The same with the instant at which it ends; an error says what cannot be.
    pub(super) fn resolved(mut self, now: Millis) -> Result<Self, String> {
        let Some(ms) = self.expires_in_ms.take() else { return Ok(self) };
        let invalid = |what: &str| Err(what.to_owned());
        if self.expiry.is_some() {
            return invalid("expiry, expires_in_ms: a token has one of them");
        }
        match Ttl::new(ms).and_then(|time| time.expiry(now)) {
            Ok(end) => Ok(Self { expiry: Some(end.0), ..self }),
            Err(_) => invalid("expires_in_ms: from 1, and not beyond the year 9999"),
        }
    }

    /// Refuses what cannot be, and says why.
    pub(super) fn check(&self, now: Millis) -> Result<(), String> {
        let invalid = |what: &str| Err(what.to_owned());
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
