//! A reader of MessagePack that shares nothing with the one under test: a table of the specification's
//! formats, and a list of what is still open. Knows nothing of how errors are told.

use std::borrow::Cow;

use larder_api::codec::Node;

use crate::fields::{BYTES, Document, Verdict, known};

/// What makes a body malformed.
#[derive(Debug)]
pub enum Fault {
    /// It ends before it is whole.
    CutShort,
    /// A string is not UTF-8 where text is wanted.
    NotUtf8,
    /// A byte that begins nothing.
    Reserved,
    /// Something follows.
    Followed,
}

/// One value without what is nested in it.
#[derive(Clone, Copy)]
enum Token<'a> {
    Nil,
    Boolean(bool),
    Number(Number),
    Text(&'a [u8]),
    Bin(&'a [u8]),
    Array(u64),
    Map(u64),
    Extension,
}

#[derive(Clone, Copy)]
enum Number {
    Unsigned(u64),
    Negative(i64),
    Float,
}

/// Reads tokens.
pub struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    /// Begins a body.
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, depth_max: 0 }
    }

    /// The deepest nesting that was passed.
    pub fn depth_max(&self) -> usize {
        self.depth_max
    }

    /// What the body must be taken for.
    pub fn document(&mut self) -> Result<Verdict<'a>, Fault> {
        let verdict = match self.token()? {
            Token::Map(pairs) => {
                let mut document = Document::default();
                for _ in 0..pairs {
                    let name = self.token()?;
                    self.pass(name)?;
                    let value = self.token()?;
                    let name = if let Token::Text(name) = name { known(name) } else { None };
                    match name {
                        Some(name) => {
                            let node = self.node(value, name == BYTES)?;
                            document.put(name, node);
                        }
                        None => self.pass(value)?,
                    }
                }
                document.verdict()
            }
            other => {
                self.pass(other)?;
                Verdict::Wrong(".")
            }
        };
        if self.at == self.body.len() { Ok(verdict) } else { Err(Fault::Followed) }
    }

    fn node(&mut self, token: Token<'a>, takes_bytes: bool) -> Result<Node<'a>, Fault> {
        let Token::Array(length) = token else {
            self.pass(token)?;
            return Ok(match token {
                Token::Nil => Node::Null,
                Token::Boolean(value) => Node::Boolean(value),
                Token::Number(Number::Unsigned(number)) => Node::Unsigned(number),
                Token::Number(Number::Negative(number)) => Node::Negative(number),
                Token::Number(Number::Float) => {
                    Node::Other("a number that is not whole or too large")
                }
                Token::Text(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => Node::Text(Cow::Borrowed(text)),
                    Err(_) if takes_bytes => Node::Bin(Cow::Borrowed(bytes)),
                    Err(_) => return Err(Fault::NotUtf8),
                },
                Token::Bin(bytes) => Node::Bin(Cow::Borrowed(bytes)),
                Token::Array(_) | Token::Map(_) => Node::Other("a map"),
                Token::Extension => Node::Other("an extension"),
            });
        };
        let mut bytes = Vec::new();
        let mut other = None;
        for at in 0..length {
            let element = self.token()?;
            self.pass(element)?;
            match element {
                Token::Number(Number::Unsigned(byte)) if byte < 256 && other.is_none() => {
                    bytes.push(byte as u8);
                }
                _ => other = other.or(usize::try_from(at).ok()),
            }
        }
        Ok(other.map_or(Node::ByteArray(bytes), Node::OtherArray))
    }

    /// Passes over what is nested in a value that was just read.
    fn pass(&mut self, token: Token<'a>) -> Result<(), Fault> {
        let mut open = vec![nested(token)];
        while let Some(left) = open.last_mut() {
            let Some(fewer) = left.checked_sub(1) else {
                open.pop();
                continue;
            };
            *left = fewer;
            let inner = nested(self.token()?);
            if inner > 0 {
                open.push(inner);
                self.depth_max = self.depth_max.max(open.len());
            }
        }
        Ok(())
    }

    fn token(&mut self) -> Result<Token<'a>, Fault> {
        let first = self.uint(1)?;
        Ok(match first {
            0x00..=0x7f => Token::Number(Number::Unsigned(first)),
            0x80..=0x8f => Token::Map(first & 0x0f),
            0x90..=0x9f => Token::Array(first & 0x0f),
            0xa0..=0xbf => Token::Text(self.bytes(first & 0x1f)?),
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Boolean(first == 0xc3),
            0xc4..=0xc6 => {
                let length = self.uint(1 << (first - 0xc4))?;
                Token::Bin(self.bytes(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.uint(1 << (first - 0xc7))?;
                self.bytes(length + 1)?;
                Token::Extension
            }
            0xca | 0xcb => {
                self.bytes(4 << (first - 0xca))?;
                Token::Number(Number::Float)
            }
            0xcc..=0xcf => Token::Number(Number::Unsigned(self.uint(1 << (first - 0xcc))?)),
            0xd0..=0xd3 => {
                let bytes = 1 << (first - 0xd0);
                let number = self.uint(bytes)?;
                let beyond = 1_i128 << (8 * bytes);
                Token::Number(if number < 1 << (8 * bytes - 1) {
                    Number::Unsigned(number)
                } else {
                    Number::Negative((i128::from(number) - beyond) as i64)
                })
            }
            0xd4..=0xd8 => {
                self.bytes(1 + (1 << (first - 0xd4)))?;
                Token::Extension
            }
            0xd9..=0xdb => {
                let length = self.uint(1 << (first - 0xd9))?;
                Token::Text(self.bytes(length)?)
            }
            0xdc | 0xdd => Token::Array(self.uint(2 << (first - 0xdc))?),
            0xde | 0xdf => Token::Map(self.uint(2 << (first - 0xde))?),
            0xe0..=0xff => Token::Number(Number::Negative(first as i64 - 256)),
            _ => return Err(Fault::Reserved),
        })
    }

    fn uint(&mut self, bytes: u64) -> Result<u64, Fault> {
        Ok(self.bytes(bytes)?.iter().fold(0, |number, byte| number * 256 + u64::from(*byte)))
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let bytes = end.and_then(|end| self.body.get(self.at..end)).ok_or(Fault::CutShort)?;
        self.at += bytes.len();
        Ok(bytes)
    }
}

fn nested(token: Token<'_>) -> u64 {
    match token {
        Token::Array(length) => length,
        Token::Map(pairs) => 2 * pairs,
        _ => 0,
    }
}
