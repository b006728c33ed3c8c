//! The memo: the state from which a call resumes after its changes are on disk. Owns its bytes.

use alloc::vec::Vec;
use core::str;

use larder_wire::Encoding;

/// What the answer after a write depends on, besides the write's outcome.
pub struct Memo<'a> {
    /// The write that ended the call.
    pub write: Write,
    /// How the answer is to be encoded.
    pub answer: Encoding,
    /// The namespace of the write.
    pub namespace: &'a str,
}

/// The endpoints that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// `v1.kv.set`.
    Set,
    /// `v1.kv.delete`.
    Delete,
    /// `v1.kv.namespace.configure`.
    Configure,
}

impl Write {
    /// The name of the write in errors.
    pub fn name(self) -> &'static str {
        match self {
            Write::Set => "set",
            Write::Delete => "delete",
            Write::Configure => "namespace.configure",
        }
    }
}

impl<'a> Memo<'a> {
    /// The memo as bytes: the write, the encoding, and then the namespace.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + self.namespace.len());
        bytes.push(match self.write {
            Write::Set => 0,
            Write::Delete => 1,
            Write::Configure => 2,
        });
        bytes.push(u8::from(self.answer == Encoding::MessagePack));
        bytes.extend_from_slice(self.namespace.as_bytes());
        bytes
    }

    /// The memo of these bytes; None when they are not a memo's.
    pub fn of_bytes(bytes: &'a [u8]) -> Option<Self> {
        let ([write, answer], namespace) = bytes.split_first_chunk()?;
        let write = match write {
            0 => Write::Set,
            1 => Write::Delete,
            2 => Write::Configure,
            _ => return None,
        };
        let answer = match answer {
            0 => Encoding::Json,
            1 => Encoding::MessagePack,
            _ => return None,
        };
        Some(Self { write, answer, namespace: str::from_utf8(namespace).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_comes_back_from_its_bytes_and_from_no_others() {
        for write in [Write::Set, Write::Delete, Write::Configure] {
            for answer in [Encoding::Json, Encoding::MessagePack] {
                let bytes = Memo { write, answer, namespace: "a/b" }.to_bytes();
                let memo = Memo::of_bytes(&bytes).expect("a memo");
                assert_eq!((memo.write, memo.answer, memo.namespace), (write, answer, "a/b"));
            }
        }
        for bytes in [&b""[..], b"\x00", b"\x03\x00a", b"\x00\x02a", b"\x00\x00\xff"] {
            assert!(Memo::of_bytes(bytes).is_none(), "{bytes:?}");
        }
    }
}
