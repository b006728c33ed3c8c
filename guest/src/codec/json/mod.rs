//! Reads JSON: the fields of a document. What is in the fields is read by `values` and `arrays`. Knows no
//! field's name.

mod arrays;
mod values;

use alloc::format;
use core::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::arrays::ArraySeed;
use self::values::{NameSeed, NodeSeed, Progress, visit_all_as};
use super::document::{Document, Fields};
use super::elements::Elements;
use crate::error::Error;

/// Reads a document. It is an error when the document is malformed, or has a value that no type of this
/// program can represent. The elements of arrays are given to `elements` where it asks for them.
pub fn decode<'a, const N: usize>(
    body: &'a [u8],
    names: &'static [&'static str; N],
    elements: &mut impl Elements<'a>,
) -> Result<Document<'a, N>, Error> {
    // Bytes that are not UTF-8 are malformed everywhere in a document.
    let text = core::str::from_utf8(body)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))?;
    let progress = Progress::default();
    let seed = DocumentSeed { names, elements, progress: &progress };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = seed
        .deserialize(&mut deserializer)
        .and_then(|document| deserializer.end().map(|()| document))
        .map_err(|error| error_at(text, &error, &progress))?;
    if progress.unchecked.get() {
        check_grammar(text)?;
    }
    Ok(document)
}

/// Checks that all of a document is JSON, whatever its values are.
fn check_grammar(text: &str) -> Result<(), Error> {
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(drop)
        .map_err(|error| Error::invalid_encoding(format!("The body is not JSON: {error}.")))
}

/// The error of a document that could not be read further. JSON's grammar allows values that no type here
/// can represent: numbers beyond a double, and halves of surrogate pairs. Reading ends at the first one, so
/// the grammar is checked here for the whole document: if it is malformed anywhere, that is the error.
fn error_at(text: &str, error: &serde_json::Error, progress: &Progress) -> Error {
    check_grammar(text).err().unwrap_or_else(|| {
        let detail = format!("The value is out of range: {error}.");
        Error::invalid_data(progress.location(), detail)
    })
}

struct DocumentSeed<'p, E, const N: usize> {
    names: &'static [&'static str; N],
    elements: &'p mut E,
    progress: &'p Progress,
}

impl<'a, E: Elements<'a>, const N: usize> DeserializeSeed<'a> for DocumentSeed<'_, E, N> {
    type Value = Document<'a, N>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, T: Elements<'a>, const N: usize> Visitor<'a> for DocumentSeed<'_, T, N> {
    type Value = Document<'a, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { names, elements, progress } = self;
        let mut fields = Fields::new(names);
        while let Some(index) = map.next_key_seed(NameSeed { names })? {
            progress.field.set(index.map(|index| names[index]));
            match index {
                Some(field) => {
                    let node = match elements.shape(field) {
                        None => map.next_value_seed(NodeSeed { progress })?,
                        Some(shape) => {
                            let elements = &mut *elements;
                            map.next_value_seed(ArraySeed { field, shape, elements, progress })?
                        }
                    };
                    fields.put(field, node);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            // An error before the next field's value is in no field.
            progress.field.set(None);
        }
        Ok(fields.into_document())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::NotAMap)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Document::NotAMap)
    }

    visit_all_as!(Document::NotAMap; visit_bool: bool, visit_i64: i64, visit_u64: u64,
        visit_f64: f64, visit_str: &str);
}
