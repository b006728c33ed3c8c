//! Why an import of storage did not do what a guest asked: the one form that all its imports make
//! theirs of. Knows no `wit/`.

use crate::storage::{self, Part};

/// Why the storage did not do what was asked.
#[derive(Clone, Debug)]
pub struct Error {
    /// What went wrong.
    pub cause: Cause,
    /// Which change or check of several it went wrong with; None when it is not about one.
    pub part: Option<Part>,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The mount was not granted this, or the caller may not do it.
    Denied,
    /// The storage's own word.
    Storage(storage::Error),
}

impl Error {
    /// The mount was not granted this, or the caller may not do it.
    pub const DENIED: Self = Self { cause: Cause::Denied, part: None };

    /// The same of one change or check of several.
    #[must_use]
    pub fn of(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// What a guest may be told of it beyond its kind. What the system said is for the server's log alone.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.cause {
            Cause::Denied => "the mount or the caller may not do this".to_owned(),
            Cause::Storage(storage::Error::Failed(_)) => "the storage failed".to_owned(),
            Cause::Storage(error) => error.to_string(),
        }
    }
}

impl From<storage::WriteError> for Error {
    fn from(refused: storage::WriteError) -> Self {
        Self { part: refused.part, ..Self::from(refused.error) }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        if let storage::Error::Failed(error) = &error {
            tracing::error!(error, "storage failed");
        }
        Self { cause: Cause::Storage(error), part: None }
    }
}
