//! The memo: what the call that answers after a write has to know of the call that deferred it. Owns
//! its bytes.

use alloc::vec::Vec;
use core::str;

use larder_wire::Encoding;

/// What a write's answer needs besides its outcome.
pub struct Memo<'a> {
    /// How the answer is to be encoded.
    pub answer: Encoding,
    /// The namespace that was written in.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_comes_back_from_its_bytes_and_from_no_others() {
        for answer in [Encoding::Json, Encoding::MessagePack] {
            let bytes = Memo { answer, namespace: "a/b" }.to_bytes();
            let memo = Memo::of_bytes(&bytes).expect("a memo");
            assert_eq!((memo.answer, memo.namespace), (answer, "a/b"));
        }
        for bytes in [&b""[..], b"\x02a", b"\x00\xff"] {
            assert!(Memo::of_bytes(bytes).is_none(), "{bytes:?}");
        }
    }
}
