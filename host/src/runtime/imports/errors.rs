//! How guests are told why the storage did not do what they asked: by a handle whose functions say more and
//! more of it, and by an enumeration for guests of 0.1.0 and 0.1.1.

use wasmtime::component::Resource;

use super::bindings::larder::guest::storage::HostError;
use super::bindings::larder::guest::types::{self, ErrorResult as Enumerated};
use crate::runtime::error::{Cause, Error};
use crate::runtime::state::State;
use crate::storage::{self, ConflictKind, Part, Quota};

/// Which quota is used up.
fn quota(error: &Error) -> Option<&'static str> {
    match &error.cause {
        Cause::Storage(storage::Error::Full) => Some("disk"),
        Cause::Storage(storage::Error::TooManyNamespaces) => Some("namespaces"),
        Cause::Storage(storage::Error::OverQuota(Quota::Keys)) => Some("keys"),
        Cause::Storage(storage::Error::OverQuota(Quota::Bytes)) => Some("bytes"),
        _ => None,
    }
}

/// The word for an error.
fn code(error: &Error) -> &'static str {
    let Cause::Storage(error) = &error.cause else { return "denied" };
    match error {
        storage::Error::Conflict(conflict) => match conflict.kind {
            ConflictKind::VersionMismatch => "version-mismatch",
            ConflictKind::AlreadyExists => "already-exists",
            ConflictKind::NotFound => "not-found",
            ConflictKind::NotANumber => "not-a-number",
            ConflictKind::Overflow => "overflow",
            ConflictKind::OutOfBounds => "out-of-bounds",
        },
        storage::Error::NoSuchNamespace => "no-such-namespace",
        storage::Error::InvalidName => "invalid-name",
        storage::Error::ExpiryOutOfRange => "expiry-out-of-range",
        storage::Error::TooLarge => "too-large",
        storage::Error::Full | storage::Error::TooManyNamespaces | storage::Error::OverQuota(_) => {
            "full"
        }
        storage::Error::Unavailable(_) => "unavailable",
        storage::Error::InDoubt => "in-doubt",
        storage::Error::Corrupt => "corrupt",
        storage::Error::Failed(_) => "internal",
    }
}

fn conflict(error: &Error) -> Option<storage::Conflict> {
    match &error.cause {
        Cause::Storage(storage::Error::Conflict(conflict)) => Some(*conflict),
        _ => None,
    }
}

/// The same for guests that know an enumeration of errors.
pub(super) fn enumerated(error: Error) -> Enumerated {
    let error = match error.cause {
        Cause::Denied => return Enumerated::Denied,
        Cause::Storage(error) => error,
    };
    match error {
        storage::Error::Conflict(storage::Conflict { kind, current, newest }) => {
            let kind = match kind {
                ConflictKind::VersionMismatch => types::ConflictKind::VersionMismatch,
                ConflictKind::AlreadyExists => types::ConflictKind::AlreadyExists,
                ConflictKind::NotFound => types::ConflictKind::NotFound,
                // Of adds, which these guests do not know.
                ConflictKind::NotANumber | ConflictKind::Overflow | ConflictKind::OutOfBounds => {
                    return Enumerated::Other("the add was refused".to_owned());
                }
            };
            let (current, newest) = (current.0, newest.0);
            Enumerated::Conflict(types::Conflict { kind, current, newest })
        }
        storage::Error::NoSuchNamespace => Enumerated::NoSuchNamespace,
        storage::Error::InvalidName => Enumerated::InvalidName,
        storage::Error::ExpiryOutOfRange => Enumerated::ExpiryOutOfRange,
        storage::Error::TooLarge => Enumerated::TooLarge,
        storage::Error::Full | storage::Error::TooManyNamespaces | storage::Error::OverQuota(_) => {
            Enumerated::Full
        }
        storage::Error::Unavailable(_) => Enumerated::Unavailable,
        storage::Error::InDoubt => Enumerated::InDoubt,
        storage::Error::Corrupt => Enumerated::Corrupt,
        storage::Error::Failed(_) => Enumerated::Other("the storage failed".to_owned()),
    }
}

impl types::Host for State {}

impl HostError for State {
    fn code(&mut self, error: Resource<Error>) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(code(self.table.get(&error)?).to_owned())
    }

    fn message(&mut self, error: Resource<Error>) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.table.get(&error)?.words())
    }

    fn change(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<u32>> {
        self.enter()?;
        Ok(match self.table.get(&error)?.part {
            Some(Part::Operation(change)) => u32::try_from(change).ok(),
            _ => None,
        })
    }

    fn check(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<u32>> {
        self.enter()?;
        Ok(match self.table.get(&error)?.part {
            Some(Part::Check(check)) => u32::try_from(check).ok(),
            _ => None,
        })
    }

    fn current_version(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<u64>> {
        self.enter()?;
        Ok(conflict(self.table.get(&error)?).map(|conflict| conflict.current.0))
    }

    fn newest_version(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<u64>> {
        self.enter()?;
        Ok(conflict(self.table.get(&error)?).map(|conflict| conflict.newest.0))
    }

    fn quota(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        Ok(quota(self.table.get(&error)?).map(str::to_owned))
    }

    fn drop(&mut self, error: Resource<Error>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}
