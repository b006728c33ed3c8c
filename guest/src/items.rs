//! Collects the elements of a body's array while it is read: each parsed as soon as it is there, up to the
//! most that a request may have. Knows no endpoint.

use alloc::vec::Vec;

use crate::codec::{Field, Node};
use crate::error::Error;
use crate::options::unexpected;

/// Most elements of all arrays of a request.
pub const ITEMS_MAX: usize = 1000;

/// What was parsed of an array.
pub struct Items<T> {
    items: Vec<T>,
    /// The error of the first element that is wrong.
    fault: Option<Error>,
}

impl<T> Items<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { items: Vec::new(), fault: None }
    }

    /// Takes the element at `index` of the array named `array`, which `parse` reads. Nothing more is parsed
    /// after one that is wrong, or beyond the most that are taken.
    pub fn take(&mut self, array: &str, index: usize, parse: impl FnOnce() -> Result<T, Error>) {
        if self.fault.is_some() || self.items.len() >= ITEMS_MAX {
            return;
        }
        match parse() {
            Ok(item) => self.items.push(item),
            Err(error) => self.fault = Some(error.within(array, index)),
        }
    }

    /// The items, once the document was read, and how many elements there were in `array`, the field that
    /// they are from; None when it is absent.
    pub fn finish(self, array: &Field<'_>) -> Result<Option<(Vec<T>, usize)>, Error> {
        match &array.node {
            None => Ok(None),
            Some(Node::Elements(count)) => match self.fault {
                Some(fault) => Err(fault),
                None => Ok(Some((self.items, *count))),
            },
            Some(node) => Err(unexpected(array.name, "an array", node)),
        }
    }
}
