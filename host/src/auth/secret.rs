//! Secrets: how a token is kept and compared, and where random bytes come from. Knows neither who a token stands
//! for nor where it is kept.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::hex;

/// A secret that can only be hashed and compared.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Takes a token of at least one visible character; None for anything that no header can carry.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let visible = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then(|| Self(Sha256::digest(secret).into()))
    }

    /// Takes the SHA-256 of a token, in hexadecimal digits.
    pub(super) fn from_hex(hash: &str) -> Option<Self> {
        hex::decode(hash).map(Self)
    }

    /// Whether this is the secret.
    pub(super) fn is(&self, secret: &[u8]) -> bool {
        self.0.ct_eq(&Sha256::digest(secret)).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Random bytes of the system's, for secrets.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", Token::new("secret")), "Some(Token(..))");
        assert!(Token::new("").is_none());
        assert!(Token::new("a b").is_none());
    }
}
