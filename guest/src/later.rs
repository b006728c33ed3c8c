//! The second half of a request that ended with a write: from what was remembered and the write's
//! outcome to the answer. Owns the form of what is remembered.

use alloc::vec::Vec;
use core::str;

use larder_wire::Encoding;

use crate::answer;
use crate::bindings::larder::guest::deferred::Outcome;
use crate::bindings::larder::guest::requests::Response;
use crate::bindings::larder::guest::types::Error as StoreError;
use crate::endpoint::{delete, set};
use crate::error::Error;

/// What a write's answer needs besides its outcome.
pub struct Memo<'a> {
    /// How the answer is to be encoded.
    pub answer: Encoding,
    /// Where it was written.
    pub namespace: &'a str,
}

impl<'a> Memo<'a> {
    /// As bytes: one that tells the encoding, then the namespace.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.namespace.len());
        bytes.push(u8::from(self.answer == Encoding::MessagePack));
        bytes.extend_from_slice(self.namespace.as_bytes());
        bytes
    }

    /// From bytes; None when these are not such bytes.
    pub fn of_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (encoding, namespace) = bytes.split_first()?;
        let answer = match encoding {
            0 => Encoding::Json,
            1 => Encoding::MessagePack,
            _ => return None,
        };
        Some(Self { answer, namespace: str::from_utf8(namespace).ok()? })
    }
}

/// Ends a call whose write was deferred, or was refused at once. The host drops the response.
pub fn end(
    deferred: Result<(), StoreError>,
    what: &str,
    namespace: &str,
) -> Result<Response, Error> {
    deferred.map_err(|error| Error::of_store(error, what, namespace))?;
    Ok(answer::empty(200))
}

/// Answers after a write.
pub fn complete(memo: &[u8], outcome: Outcome) -> Response {
    let Some(memo) = Memo::of_bytes(memo) else {
        return Error::internal("The server mixed writes up.").into_response(Encoding::Json);
    };
    let answered = match outcome {
        Outcome::Set(set) => set
            .map(|version| set::answer(version, memo.answer))
            .map_err(|error| Error::of_store(error, set::NAME, memo.namespace)),
        Outcome::Deleted(deleted) => deleted
            .map(|deletion| delete::answer(deletion, memo.answer))
            .map_err(|error| Error::of_store(error, delete::NAME, memo.namespace)),
    };
    answered.unwrap_or_else(|error| error.into_response(memo.answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::larder::guest::kv::Deletion;
    use crate::bindings::larder::guest::types::{Conflict, ConflictKind};

    #[test]
    fn what_is_remembered_comes_back() {
        for answer in [Encoding::Json, Encoding::MessagePack] {
            let bytes = Memo { answer, namespace: "a/b" }.to_bytes();
            let memo = Memo::of_bytes(&bytes).expect("a memo");
            assert_eq!((memo.answer, memo.namespace), (answer, "a/b"));
        }
        for bytes in [&b""[..], b"\x02a", b"\x00\xff"] {
            assert!(Memo::of_bytes(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn each_outcome_has_its_status() {
        let memo = Memo { answer: Encoding::Json, namespace: "n" }.to_bytes();
        let status = |outcome| complete(&memo, outcome).status;
        assert_eq!(status(Outcome::Set(Ok(7))), 200);
        let deletion = Deletion { existed: false, version: 7 };
        assert_eq!(status(Outcome::Deleted(Ok(deletion))), 200);
        let conflict = Conflict { kind: ConflictKind::NotFound, current: 0, newest: 7 };
        assert_eq!(status(Outcome::Set(Err(StoreError::Conflict(conflict)))), 400);
        assert_eq!(status(Outcome::Deleted(Err(StoreError::Unavailable))), 503);
        assert_eq!(complete(b"", Outcome::Set(Ok(7))).status, 500);
    }
}
