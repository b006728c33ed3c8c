//! Reads arrays of JSON whose elements are taken one by one. Knows no field's name.

use core::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::values::{NameSeed, NodeSeed, Progress};
use crate::codec::document::{Fields, Node};
use crate::codec::elements::{Elements, Shape};

/// Visitor methods for values that are read into a [`Node`], which `take` takes.
macro_rules! visit_as_node {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: de::Error>(self, value: $type) -> Result<Self::Value, E> {
            let node = NodeSeed { progress: self.progress }.$method(value)?;
            Ok(self.take(node))
        })*

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(self.take(Node::Null))
        }
    };
}

/// Reads any value into a [`Node`]; if it is an array, its elements are given away as they are read.
pub struct ArraySeed<'p, E> {
    pub field: usize,
    pub shape: Shape,
    pub elements: &'p mut E,
    pub progress: &'p Progress,
}

impl<E> ArraySeed<'_, E> {
    fn take<'a>(self, node: Node<'a>) -> Node<'a> {
        node
    }
}

impl<'a, E: Elements<'a>> DeserializeSeed<'a> for ArraySeed<'_, E> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, T: Elements<'a>> Visitor<'a> for ArraySeed<'_, T> {
    type Value = Node<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self { field, shape, elements, progress } = self;
        let mut index = 0;
        loop {
            progress.element.set(Some((index, None)));
            let elements = &mut *elements;
            let seed = ElementSeed { field, index, shape, elements, progress };
            if seq.next_element_seed(seed)?.is_none() {
                progress.element.set(None);
                return Ok(Node::Elements(index));
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<Self::Value, A::Error> {
        NodeSeed { progress: self.progress }.visit_map(map)
    }

    visit_as_node!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64,
        visit_str: &str, visit_borrowed_str: &'a str);
}

/// Reads an element, and gives it away.
struct ElementSeed<'p, E> {
    field: usize,
    index: usize,
    shape: Shape,
    elements: &'p mut E,
    progress: &'p Progress,
}

impl<E> ElementSeed<'_, E> {
    fn take<'a>(self, node: Node<'a>)
    where
        E: Elements<'a>,
    {
        self.elements.value(self.field, self.index, node);
    }
}

impl<'a, E: Elements<'a>> DeserializeSeed<'a> for ElementSeed<'_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, T: Elements<'a>> Visitor<'a> for ElementSeed<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { field, index, shape, elements, progress } = self;
        let Shape::Maps { names, .. } = shape else {
            let node = NodeSeed { progress }.visit_map(map)?;
            elements.value(field, index, node);
            return Ok(());
        };
        let mut fields = Fields::new(names);
        while let Some(name) = map.next_key_seed(NameSeed { names })? {
            progress.element.set(Some((index, name.map(|name| names[name]))));
            match name {
                Some(name) => fields.put(name, map.next_value_seed(NodeSeed { progress })?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            // An error before the next field's value is in no field.
            progress.element.set(Some((index, None)));
        }
        elements.map(field, index, fields.into_document());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<(), A::Error> {
        let node = NodeSeed { progress: self.progress }.visit_seq(seq)?;
        self.take(node);
        Ok(())
    }

    visit_as_node!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64,
        visit_str: &str, visit_borrowed_str: &'a str);
}
