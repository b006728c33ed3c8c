//! From a token to a principal. Tokens are kept as hashes and compared in constant time; they
//! never reach a log, a guest or an error.

pub mod access;
pub mod control;
mod description;
mod secret;
mod tokens;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use self::access::{ADMIN, Caller, Principal, Scope};
pub use self::description::{Listed, NewToken};
pub use self::secret::{Token, random_bytes};
pub use self::tokens::{TokenError, Tokens, listed};

const SCHEME: &[u8] = b"bearer";

/// Knows the valid tokens.
pub struct Authenticator {
    admin: Token,
    principal: Arc<Principal>,
    scoped: Arc<Tokens>,
}

impl Authenticator {
    /// Accepts the admin token, and those that were made by an administrator.
    #[must_use]
    pub fn new(admin: Token, scoped: Arc<Tokens>) -> Self {
        let principal = Principal { name: ADMIN.into(), scope: Scope::admin() };
        Self { admin, principal: Arc::new(principal), scoped }
    }

    /// The scoped tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.scoped
    }

    /// Who sends these headers, of which one at most is `authorization`. Its scheme's case does not count.
    #[must_use]
    pub fn judge(&self, headers: &HeaderMap) -> Caller {
        let header = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let secret = header.and_then(bearer);
        match secret {
            None | Some(b"") => Caller::Anonymous,
            Some(secret) if self.admin.is(secret) => Caller::Principal(Arc::clone(&self.principal)),
            Some(secret) => self.scoped.judge(secret).map_or(Caller::Rejected, Caller::Principal),
        }
    }
}

/// What follows the scheme `Bearer` and its spaces.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let header = header.trim_ascii();
    let (scheme, rest) = header.split_at_checked(SCHEME.len())?;
    let separated = rest.first().is_none_or(|byte| *byte == b' ');
    (scheme.eq_ignore_ascii_case(SCHEME) && separated).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::storage::{Options, Storage};

    fn judge(header: Option<&str>) -> Caller {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let storage =
            Storage::open(&dir.path().join("data"), Options::default(), clock.clone()).unwrap();
        let scoped = Tokens::load(storage, clock).unwrap();
        Authenticator::new(Token::new("secret").unwrap(), Arc::new(scoped)).judge(&headers)
    }

    #[test]
    fn the_token_makes_a_principal_whatever_the_scheme_s_case_and_spaces() {
        for header in ["Bearer secret", "bearer secret", "BEARER   secret", "Bearer secret "] {
            assert!(matches!(judge(Some(header)), Caller::Principal(_)), "{header}");
        }
    }

    #[test]
    fn another_token_is_rejected() {
        for header in ["Bearer secre", "Bearer secrets", "Bearer SECRET", "Bearer secret secret"] {
            assert_eq!(judge(Some(header)), Caller::Rejected, "{header}");
        }
    }

    #[test]
    fn no_token_or_another_scheme_is_anonymous() {
        assert_eq!(judge(None), Caller::Anonymous);
        for header in ["", "Bearer", "Bearer ", "Basic c2VjcmV0", "secret", "Bearersecret"] {
            assert_eq!(judge(Some(header)), Caller::Anonymous, "{header}");
        }
    }
}
