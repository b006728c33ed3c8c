//! What both encodings are read into: the values that the API distinguishes, and the fields of a document.
//! Knows neither encoding.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::error::Error;

/// Most elements for which an array's memory is allocated before they are read.
pub const ELEMENTS_AHEAD_MAX: usize = 4096;

/// The value of one field, in the kinds that the API distinguishes.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `null` or nil.
    Null,
    /// A whole number from 0 to 2^64-1.
    Unsigned(u64),
    /// A negative whole number from -2^63.
    Negative(i64),
    /// A boolean.
    Boolean(bool),
    /// A string in UTF-8.
    Text(Cow<'a, str>),
    /// MessagePack `bin`, or a string of other bytes in a field that takes them.
    Bin(Cow<'a, [u8]>),
    /// An array whose elements are all whole numbers from 0 to 255.
    ByteArray(Vec<u8>),
    /// An array with an element that is no such number; the first one is at this index.
    OtherArray(usize),
    /// An array whose elements were taken one by one, so many.
    Elements(usize),
    /// Anything else, by a name for its kind.
    Other(&'static str),
}

/// A number with a fraction or an exponent, or a whole one over 2^64-1 or below -2^63.
pub const NOT_WHOLE: Node<'static> = Node::Other("a number that is not whole or too large");
/// A map.
pub const MAP: Node<'static> = Node::Other("a map");

impl Node<'_> {
    /// The value's kind, as error messages name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Unsigned(_) => "a whole number",
            Node::Negative(_) => "a negative number",
            Node::Boolean(_) => "a boolean",
            Node::Text(_) => "a string",
            Node::Bin(_) => "binary",
            Node::ByteArray(_) | Node::OtherArray(_) | Node::Elements(_) => "an array",
            Node::Other(kind) => kind,
        }
    }
}

/// One field of a body, by name.
pub struct Field<'a> {
    /// Its name, which is also its path.
    pub name: &'static str,
    /// Its value, None when it is not there.
    pub node: Option<Node<'a>>,
}

/// A well-formed document, or a map in one.
pub enum Document<'a, const N: usize> {
    /// The fields that were asked for, in the order of their names.
    Fields([Option<Node<'a>>; N]),
    /// The field of this name occurs more than once.
    Duplicate(&'static str),
    /// It is no map of fields.
    NotAMap,
}

impl<'a, const N: usize> Document<'a, N> {
    /// The fields, of which the one at an index has the name that `name` tells.
    #[inline]
    pub fn into_fields(
        self,
        name: impl Fn(usize) -> &'static str,
    ) -> Result<[Field<'a>; N], Error> {
        match self {
            Document::Fields(mut nodes) => Ok(core::array::from_fn(|index| Field {
                name: name(index),
                node: nodes[index].take(),
            })),
            Document::Duplicate(name) => {
                Err(Error::invalid_data(name, "The field is there twice."))
            }
            Document::NotAMap => Err(Error::invalid_data(".", "The body must be a map of fields.")),
        }
    }
}

/// Collects the fields of a map while it is read.
pub struct Fields<'a, const N: usize> {
    names: &'static [&'static str],
    nodes: [Option<Node<'a>>; N],
    duplicate: Option<&'static str>,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// No fields yet, of those named, which are at most `N`.
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, nodes: [const { None }; N], duplicate: None }
    }

    /// Takes the field of the name at `index`.
    pub fn put(&mut self, index: usize, node: Node<'a>) {
        if self.nodes[index].replace(node).is_some() {
            self.duplicate = self.duplicate.or(Some(self.names[index]));
        }
    }

    /// The document, when all of the map has been read.
    pub fn into_document(self) -> Document<'a, N> {
        self.duplicate.map_or(Document::Fields(self.nodes), Document::Duplicate)
    }
}
