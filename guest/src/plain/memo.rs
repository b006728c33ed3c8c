//! The memo of a call that ended with a change by the plain face. Owns its bytes, the first of which no memo of
//! the API has.

use alloc::vec::Vec;
use core::str;

/// What the answer after a change depends on, besides what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memo<'a> {
    /// What was done.
    pub change: Change,
    /// The namespace of the change.
    pub namespace: &'a str,
}

/// The methods that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
}

const PUT: u8 = 0x80;
const DELETE: u8 = 0x81;

impl<'a> Memo<'a> {
    /// The memo as bytes: the change, and then the namespace.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.namespace.len());
        bytes.push(match self.change {
            Change::Put => PUT,
            Change::Delete => DELETE,
        });
        bytes.extend_from_slice(self.namespace.as_bytes());
        bytes
    }

    /// The memo of these bytes; None when they are not one of the plain face.
    pub fn of_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (change, namespace) = bytes.split_first()?;
        let change = match *change {
            PUT => Change::Put,
            DELETE => Change::Delete,
            _ => return None,
        };
        Some(Self { change, namespace: str::from_utf8(namespace).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_comes_back_from_its_bytes_and_from_no_others() {
        for change in [Change::Put, Change::Delete] {
            let memo = Memo { change, namespace: "a/b" };
            assert_eq!(Memo::of_bytes(&memo.to_bytes()), Some(memo));
        }
        for bytes in [&b""[..], b"\x00\x00a", b"\x01", b"\x7f", b"\x82a", b"\x80\xff"] {
            assert!(Memo::of_bytes(bytes).is_none(), "{bytes:?}");
        }
    }
}
