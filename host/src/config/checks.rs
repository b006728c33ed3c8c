//! Why settings are refused, and the checks that several of them share. Knows no setting.

use std::ops::RangeInclusive;

use crate::auth::Token;

/// Why the configuration cannot be used. Names the key and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// The refusal with these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// Refuses with these words.
pub fn fail<T>(words: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::new(words))
}

/// Refuses a number that is out of its range.
pub fn in_range(key: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    fail(format!("{key} = {value}: must be from {} to {}", range.start(), range.end()))
}

/// Takes a token, if there is one.
pub fn token(given: Option<&str>, key: &str) -> Result<Option<Token>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    match Token::new(given) {
        Some(token) => Ok(Some(token)),
        None => {
            fail(format!("{key}: a token is one or more visible ASCII characters, without spaces"))
        }
    }
}
