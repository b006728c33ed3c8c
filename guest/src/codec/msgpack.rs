//! Reads MessagePack: the fields of a document, and each value into a [`Node`], all borrowed from the body.
//! Skips values without recursion, so that nesting has no limit. Knows no field's name.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use rmp::Marker;

use super::document::{Document, ELEMENTS_AHEAD_MAX, Fields, MAP, NOT_WHOLE, Node};
use super::elements::{Elements, Shape};
use crate::error::Error;

/// Reads a document. It is an error when the document is malformed. A string has to be UTF-8 in every field
/// of `names` but the one named `bytes`. The elements of arrays are given to `elements` where it asks for
/// them.
#[inline]
pub fn decode<'a, const N: usize>(
    body: &'a [u8],
    names: &'static [&'static str; N],
    bytes: Option<&'static str>,
    elements: &mut impl Elements<'a>,
) -> Result<Document<'a, N>, Error> {
    let mut reader = Reader { rest: body };
    let document = reader.document(names, bytes, elements).map_err(|fault| {
        let offset = body.len() - reader.rest.len();
        let detail = format!("The body is not MessagePack: {fault} before byte {offset}.");
        Error::invalid_encoding(detail)
    })?;
    if reader.rest.is_empty() {
        Ok(document)
    } else {
        Err(Error::invalid_encoding("Something follows the MessagePack document."))
    }
}

/// An empty binary.
pub const EMPTY_BIN: [u8; 2] = [0xc4, 0];

/// A field's binary whose content ends beyond the bytes that were searched for it.
pub struct LongBin {
    /// The offset of its marker, the first byte of all.
    pub marker: usize,
    /// The offset of its content.
    pub start: usize,
    /// The length of its content in bytes.
    pub length: usize,
}

/// Finds the first such binary in the first bytes of a document.
pub fn long_bin(head: &[u8]) -> Option<LongBin> {
    let mut reader = Reader { rest: head };
    let Head::Map(fields) = reader.head().ok()? else {
        return None;
    };
    for _ in 0..fields {
        let name = reader.head().ok()?;
        reader.skip(name).ok()?;
        let marker = head.len() - reader.rest.len();
        let value = reader.head().ok()?;
        match value {
            Head::Bin(length) if length > reader.rest.len() => {
                return Some(LongBin { marker, start: head.len() - reader.rest.len(), length });
            }
            _ => reader.skip(value).ok()?,
        }
    }
    None
}

/// What makes a document malformed.
type Fault = &'static str;

const CUT_SHORT: Fault = "it ends too early";

/// A value's marker and the number after it: the value itself, or the length of its content.
enum Head {
    Nil,
    Boolean(bool),
    Unsigned(u64),
    Negative(i64),
    Float,
    Text(usize),
    Bin(usize),
    Array(usize),
    Map(usize),
    /// The length of the type's byte and the data.
    Extension(usize),
}

/// Reads forward through a body.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn document<const N: usize>(
        &mut self,
        names: &'static [&'static str; N],
        bytes: Option<&'static str>,
        elements: &mut impl Elements<'a>,
    ) -> Result<Document<'a, N>, Fault> {
        let head = self.head()?;
        let Head::Map(length) = head else {
            self.skip(head)?;
            return Ok(Document::NotAMap);
        };
        self.fields(length, names, |reader, index| match elements.shape(index) {
            None => {
                let head = reader.head()?;
                reader.node(head, || bytes == Some(names[index]))
            }
            Some(shape) => reader.elements(index, shape, elements),
        })
    }

    /// Reads the `length` fields of a map: the values of those named by `value`, to which it tells the
    /// name's index.
    #[inline]
    fn fields<const N: usize>(
        &mut self,
        length: usize,
        names: &'static [&'static str],
        mut value: impl FnMut(&mut Self, usize) -> Result<Node<'a>, Fault>,
    ) -> Result<Document<'a, N>, Fault> {
        let mut fields = Fields::new(names);
        for _ in 0..length {
            let name = match self.head()? {
                Head::Text(length) => Some(self.take(length)?),
                other => {
                    self.skip(other)?;
                    None
                }
            };
            let known = |name| names.iter().position(|known| known.as_bytes() == name);
            match name.and_then(known) {
                Some(index) => fields.put(index, value(self, index)?),
                None => {
                    let head = self.head()?;
                    self.skip(head)?;
                }
            }
        }
        Ok(fields.into_document())
    }

    /// Reads the value of the field at `field`. If it is an array, its elements are given away as they
    /// are read.
    fn elements(
        &mut self,
        field: usize,
        shape: Shape,
        elements: &mut impl Elements<'a>,
    ) -> Result<Node<'a>, Fault> {
        let head = self.head()?;
        let Head::Array(length) = head else {
            return self.node(head, || false);
        };
        for index in 0..length {
            let head = self.head()?;
            match (shape, head) {
                (Shape::Maps { names, bytes }, Head::Map(length)) => {
                    let map = self.fields(length, names, |reader, index| {
                        let head = reader.head()?;
                        reader.node(head, || bytes == Some(names[index]))
                    })?;
                    elements.map(field, index, map);
                }
                (_, head) => elements.value(field, index, self.node(head, || false)?),
            }
        }
        Ok(Node::Elements(length))
    }

    /// Reads the rest of any value. `takes_bytes` tells whether a string may be other bytes than UTF-8.
    fn node(&mut self, head: Head, takes_bytes: impl Fn() -> bool) -> Result<Node<'a>, Fault> {
        Ok(match head {
            Head::Nil => Node::Null,
            Head::Boolean(value) => Node::Boolean(value),
            Head::Unsigned(number) => Node::Unsigned(number),
            Head::Negative(number) => Node::Negative(number),
            Head::Float => NOT_WHOLE,
            Head::Text(length) => {
                let bytes = self.take(length)?;
                match core::str::from_utf8(bytes) {
                    Ok(text) => Node::Text(Cow::Borrowed(text)),
                    Err(_) if takes_bytes() => Node::Bin(Cow::Borrowed(bytes)),
                    Err(_) => return Err("a string is not UTF-8"),
                }
            }
            Head::Bin(length) => Node::Bin(Cow::Borrowed(self.take(length)?)),
            Head::Array(length) => return self.array(length),
            Head::Map(_) => {
                self.skip(head)?;
                MAP
            }
            Head::Extension(_) => {
                self.skip(head)?;
                Node::Other("an extension")
            }
        })
    }

    /// Reads the elements of an array, as bytes up to the first one that is none.
    fn array(&mut self, length: usize) -> Result<Node<'a>, Fault> {
        let mut bytes = Vec::with_capacity(length.min(ELEMENTS_AHEAD_MAX));
        for read in 0..length {
            let head = self.head()?;
            let byte = match head {
                Head::Unsigned(number) => u8::try_from(number).ok(),
                _ => None,
            };
            let Some(byte) = byte else {
                self.skip(head)?;
                self.skip(Head::Array(length - read - 1))?;
                return Ok(Node::OtherArray(read));
            };
            bytes.push(byte);
        }
        Ok(Node::ByteArray(bytes))
    }

    /// Skips the rest of a value, and all that is nested in it.
    fn skip(&mut self, head: Head) -> Result<(), Fault> {
        let mut nested = self.skip_one(head)?;
        while nested > 0 {
            let head = self.head()?;
            nested = nested - 1 + self.skip_one(head)?;
        }
        Ok(())
    }

    /// Skips a value's own bytes, and returns how many values are nested directly in it.
    fn skip_one(&mut self, head: Head) -> Result<u64, Fault> {
        match head {
            Head::Nil | Head::Boolean(_) | Head::Unsigned(_) | Head::Negative(_) | Head::Float => {
                Ok(0)
            }
            Head::Text(length) | Head::Bin(length) | Head::Extension(length) => {
                self.take(length).map(|_| 0)
            }
            Head::Array(length) => Ok(length as u64),
            Head::Map(length) => Ok(2 * length as u64),
        }
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let marker = Marker::from_u8(self.uint::<1>()? as u8);
        Ok(match marker {
            Marker::Null => Head::Nil,
            Marker::True => Head::Boolean(true),
            Marker::False => Head::Boolean(false),
            Marker::FixPos(number) => Head::Unsigned(number.into()),
            Marker::U8 => Head::Unsigned(self.uint::<1>()?),
            Marker::U16 => Head::Unsigned(self.uint::<2>()?),
            Marker::U32 => Head::Unsigned(self.uint::<4>()?),
            Marker::U64 => Head::Unsigned(self.uint::<8>()?),
            Marker::FixNeg(number) => Head::Negative(number.into()),
            Marker::I8 => signed(self.uint::<1>()?, 8),
            Marker::I16 => signed(self.uint::<2>()?, 16),
            Marker::I32 => signed(self.uint::<4>()?, 32),
            Marker::I64 => signed(self.uint::<8>()?, 64),
            Marker::F32 => self.take(4).map(|_| Head::Float)?,
            Marker::F64 => self.take(8).map(|_| Head::Float)?,
            Marker::FixStr(length) => Head::Text(length.into()),
            Marker::Str8 => Head::Text(self.length::<1>()?),
            Marker::Str16 => Head::Text(self.length::<2>()?),
            Marker::Str32 => Head::Text(self.length::<4>()?),
            Marker::Bin8 => Head::Bin(self.length::<1>()?),
            Marker::Bin16 => Head::Bin(self.length::<2>()?),
            Marker::Bin32 => Head::Bin(self.length::<4>()?),
            Marker::FixArray(length) => Head::Array(length.into()),
            Marker::Array16 => Head::Array(self.length::<2>()?),
            Marker::Array32 => Head::Array(self.length::<4>()?),
            Marker::FixMap(length) => Head::Map(length.into()),
            Marker::Map16 => Head::Map(self.length::<2>()?),
            Marker::Map32 => Head::Map(self.length::<4>()?),
            Marker::FixExt1 => Head::Extension(2),
            Marker::FixExt2 => Head::Extension(3),
            Marker::FixExt4 => Head::Extension(5),
            Marker::FixExt8 => Head::Extension(9),
            Marker::FixExt16 => Head::Extension(17),
            Marker::Ext8 => Head::Extension(self.extension::<1>()?),
            Marker::Ext16 => Head::Extension(self.extension::<2>()?),
            Marker::Ext32 => Head::Extension(self.extension::<4>()?),
            Marker::Reserved => return Err("a byte stands there that begins nothing"),
        })
    }

    fn extension<const N: usize>(&mut self) -> Result<usize, Fault> {
        self.length::<N>()?.checked_add(1).ok_or(CUT_SHORT)
    }

    fn length<const N: usize>(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.uint::<N>()?).map_err(|_| CUT_SHORT)
    }

    fn uint<const N: usize>(&mut self) -> Result<u64, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// A signed number of `bits` bits that was read as an unsigned one.
fn signed(number: u64, bits: u32) -> Head {
    let unused = 64 - bits;
    let number = (number << unused).cast_signed() >> unused;
    u64::try_from(number).map_or(Head::Negative(number), Head::Unsigned)
}
