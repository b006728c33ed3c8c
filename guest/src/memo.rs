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
    /// Of a batch: which write each of its operations is.
    pub operations: Operations<'a>,
}

/// Writes by their bytes, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations<'a>(&'a [u8]);

impl<'a> Operations<'a> {
    /// Those that [`Write::byte`] told.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The writes, where each byte is one's.
    pub fn writes(self) -> impl ExactSizeIterator<Item = Option<Write>> {
        self.0.iter().map(|byte| Write::of_byte(*byte))
    }
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
    /// `v1.kv.touch`.
    Touch,
    /// `v1.kv.add`.
    Add,
    /// `v1.kv.batch`.
    Batch,
    /// `v1.kv.namespace.delete`.
    DeleteNamespace,
}

/// All writes; the place of each is its byte.
const WRITES: [Write; 7] = [
    Write::Set,
    Write::Delete,
    Write::Configure,
    Write::Touch,
    Write::Add,
    Write::Batch,
    Write::DeleteNamespace,
];

impl Write {
    /// The name of the write in errors.
    pub fn name(self) -> &'static str {
        match self {
            Write::Set => "set",
            Write::Delete => "delete",
            Write::Configure => "namespace.configure",
            Write::Touch => "touch",
            Write::Add => "add",
            Write::Batch => "batch",
            Write::DeleteNamespace => "namespace.delete",
        }
    }

    /// The byte that stands for the write.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The write for which a byte stands.
    fn of_byte(byte: u8) -> Option<Self> {
        WRITES.get(usize::from(byte)).copied()
    }
}

impl<'a> Memo<'a> {
    /// The memo as bytes: the write, the encoding, the length of the namespace's name in two bytes, the
    /// name, and then the operations.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (name, operations) = (self.namespace.as_bytes(), self.operations.0);
        let mut bytes = Vec::with_capacity(4 + name.len() + operations.len());
        bytes.push(self.write.byte());
        bytes.push(u8::from(self.answer == Encoding::MessagePack));
        // A name has at most 256 bytes.
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(operations);
        bytes
    }

    /// The memo of these bytes; None when they are not a memo's.
    pub fn of_bytes(bytes: &'a [u8]) -> Option<Self> {
        let ([write, answer, length @ ..], rest) = bytes.split_first_chunk::<4>()?;
        let (namespace, operations) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let answer = match answer {
            0 => Encoding::Json,
            1 => Encoding::MessagePack,
            _ => return None,
        };
        Some(Self {
            write: Write::of_byte(*write)?,
            answer,
            namespace: str::from_utf8(namespace).ok()?,
            operations: Operations(operations),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_comes_back_from_its_bytes_and_from_no_others() {
        let all = WRITES.map(Write::byte);
        for write in WRITES {
            for answer in [Encoding::Json, Encoding::MessagePack] {
                for namespace in ["a/b", &"n".repeat(256)] {
                    let operations = Operations::of_bytes(&all);
                    let bytes = Memo { write, answer, namespace, operations }.to_bytes();
                    let memo = Memo::of_bytes(&bytes).expect("a memo");
                    assert_eq!(
                        (memo.write, memo.answer, memo.namespace),
                        (write, answer, namespace)
                    );
                    assert!(memo.operations.writes().eq(WRITES.map(Some)));
                }
            }
        }
        for bytes in [
            &b""[..],
            b"\x00",
            b"\x00\x00\x01",
            b"\x07\x00\x01\x00a",
            b"\x00\x02\x01\x00a",
            b"\x00\x00\x01\x00\xff",
            b"\x00\x00\x02\x00a",
        ] {
            assert!(Memo::of_bytes(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn the_longest_memo_is_within_what_the_host_keeps() {
        let (namespace, operations) = ("n".repeat(256), [Write::Add.byte(); 1000]);
        let operations = Operations::of_bytes(&operations);
        let memo =
            Memo { write: Write::Batch, answer: Encoding::Json, namespace: &namespace, operations };
        assert!(memo.to_bytes().len() <= 4096);
    }
}
