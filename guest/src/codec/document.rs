//! What a body is read into, whatever its encoding: values as far as the API tells them apart, and the fields
//! that are asked for. Knows neither encoding.

use alloc::borrow::Cow;
use alloc::vec::Vec;

/// Array elements that room is made for before they are seen.
pub const ELEMENTS_AHEAD_MAX: usize = 4096;

/// The value of one field, as far as the API tells values apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `null` or nil.
    Null,
    /// A whole number from 0 to 2^64-1.
    Unsigned(u64),
    /// A string in UTF-8.
    Text(Cow<'a, str>),
    /// MessagePack `bin`, or a string of other bytes in a field that takes them.
    Bin(Cow<'a, [u8]>),
    /// An array whose elements are all whole numbers from 0 to 255.
    ByteArray(Vec<u8>),
    /// An array with another element, the first of which stands at this index.
    OtherArray(usize),
    /// Anything else, by name.
    Other(&'static str),
}

pub const NEGATIVE: Node<'static> = Node::Other("a negative number");
pub const NOT_WHOLE: Node<'static> = Node::Other("a number that is not whole or too large");
pub const BOOLEAN: Node<'static> = Node::Other("a boolean");
pub const MAP: Node<'static> = Node::Other("a map");

impl Node<'_> {
    /// What the value is, for a sentence.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Unsigned(_) => "a whole number",
            Node::Text(_) => "a string",
            Node::Bin(_) => "binary",
            Node::ByteArray(_) | Node::OtherArray(_) => "an array",
            Node::Other(kind) => kind,
        }
    }
}

/// A well-formed document, read for the fields that are asked for.
pub enum Document<'a, const N: usize> {
    Fields([Option<Node<'a>>; N]),
    Twice(&'static str),
    NotAMap,
}

/// A map of fields while it is read.
pub struct Found<'a, const N: usize> {
    names: &'static [&'static str; N],
    nodes: [Option<Node<'a>>; N],
    twice: Option<&'static str>,
}

impl<'a, const N: usize> Found<'a, N> {
    pub fn new(names: &'static [&'static str; N]) -> Self {
        Self { names, nodes: [const { None }; N], twice: None }
    }

    pub fn put(&mut self, at: usize, node: Node<'a>) {
        if self.nodes[at].replace(node).is_some() {
            self.twice = self.twice.or(Some(self.names[at]));
        }
    }

    pub fn into_document(self) -> Document<'a, N> {
        self.twice.map_or(Document::Fields(self.nodes), Document::Twice)
    }
}
