//! Fields that are arrays of many elements: whoever decodes a document takes each element as soon as it is
//! read, so that no array of maps is ever in memory as nodes. Knows neither encoding.

use super::document::{Document, Node};

/// Most fields that are asked for of a map in an array.
pub const ELEMENT_FIELDS_MAX: usize = 10;

/// How the elements of an array are read.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Each as a value.
    Values,
    /// Each as a map.
    Maps {
        /// The fields that are asked for, at most [`ELEMENT_FIELDS_MAX`].
        names: &'static [&'static str],
        /// The one of them that takes any bytes.
        bytes: Option<&'static str>,
    },
}

/// Takes the elements of a document's arrays. The document may still turn out to be malformed.
pub trait Elements<'a> {
    /// How the elements of an array in the field at `field` are read; None when the field's value is read
    /// into one node, whatever it is.
    fn shape(&self, field: usize) -> Option<Shape>;

    /// Takes the element at `index` of the array in the field at `field`: a value, or something else where
    /// a map was to be read.
    fn value(&mut self, field: usize, index: usize, value: Node<'a>);

    /// The same where the element is a map, and was to be one.
    fn map(&mut self, _field: usize, _index: usize, _map: Document<'a, ELEMENT_FIELDS_MAX>) {}
}

/// For documents without such fields.
pub struct NoElements;

impl Elements<'_> for NoElements {
    #[inline(always)]
    fn shape(&self, _: usize) -> Option<Shape> {
        None
    }

    fn value(&mut self, _: usize, _: usize, _: Node<'_>) {}
}
