//! A parser of JSON that shares nothing with the one under test: RFC 8259, read byte by byte. Knows
//! what fields are made of values; knows nothing of how errors are told.

use std::borrow::Cow;

use larder_api::codec::Node;

use crate::fields::{Document, Verdict, known};

/// Doubles beyond this may or may not be rounded to infinity.
const EDGE: f64 = 1.79e308;

/// Not well-formed.
struct Malformed;

/// A value of a field.
enum Value<'a> {
    Node(Node<'a>),
    /// The grammar allows it and nothing can hold it.
    Unholdable,
    /// It is on the edge of that.
    Either,
}

/// What a body must be taken for.
pub fn verdict(body: &[u8]) -> Verdict<'_> {
    if std::str::from_utf8(body).is_err() {
        return Verdict::Malformed;
    }
    Parser { body, at: 0 }.document().unwrap_or(Verdict::Malformed)
}

struct Parser<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<Verdict<'a>, Malformed> {
        self.blanks();
        if self.peek() != Some(b'{') {
            self.skip()?;
            return self.end(Verdict::Wrong("."));
        }
        self.at += 1;
        let mut document = Document::default();
        // The first value that cannot be held decides, wherever the malformed does not.
        let mut decided = None;
        let mut first = true;
        while !self.closes(b'}', &mut first)? {
            let name = self.string()?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            let Some(name) = name else {
                self.skip()?;
                decided = decided.or(Some(Verdict::Wrong(".")));
                continue;
            };
            match known(name.as_bytes()) {
                None => self.skip()?,
                Some(name) => match self.value()? {
                    Value::Node(node) => document.put(name, node),
                    Value::Unholdable => decided = decided.or(Some(Verdict::Wrong(name))),
                    Value::Either => decided = decided.or(Some(Verdict::Either)),
                },
            }
            self.blanks();
        }
        self.end(decided.unwrap_or_else(|| document.verdict()))
    }

    /// Whether a list ends here; if not, the separator is passed and the next element begins.
    fn closes(&mut self, bracket: u8, first: &mut bool) -> Result<bool, Malformed> {
        self.blanks();
        if self.peek() == Some(bracket) {
            self.at += 1;
            return Ok(true);
        }
        if !std::mem::take(first) {
            self.expect(b',')?;
            self.blanks();
        }
        Ok(false)
    }

    fn end(&mut self, verdict: Verdict<'a>) -> Result<Verdict<'a>, Malformed> {
        self.blanks();
        if self.at == self.body.len() { Ok(verdict) } else { Err(Malformed) }
    }

    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        Ok(match self.peek() {
            Some(b'"') => {
                self.string()?.map_or(Value::Unholdable, |text| Value::Node(Node::Text(text)))
            }
            Some(b'-' | b'0'..=b'9') => number(self.number()?),
            Some(b'[') => return self.array(),
            // No map is a valid value. Whether one with a name that nothing can hold is told as
            // that or as a map, in its array's place or in its own, is nobody's promise.
            Some(b'{') => {
                if self.map()? {
                    Value::Node(Node::Other("a map"))
                } else {
                    Value::Either
                }
            }
            Some(b'n') => {
                self.word(b"null")?;
                Value::Node(Node::Null)
            }
            other => {
                self.skip()?;
                Value::Node(Node::Boolean(other == Some(b't')))
            }
        })
    }

    /// An array: bytes until an element is none. That one must be holdable, no later one.
    fn array(&mut self) -> Result<Value<'a>, Malformed> {
        self.expect(b'[')?;
        let mut bytes = Vec::new();
        let mut other = None;
        let mut first = true;
        while !self.closes(b']', &mut first)? {
            if other.is_some() {
                self.skip()?;
                continue;
            }
            // What is nested is passed over whole: numbers in it are never looked at.
            let element = match self.peek() {
                Some(b'[') => {
                    self.skip()?;
                    Value::Node(Node::Null)
                }
                _ => self.value()?,
            };
            match element {
                Value::Node(Node::Unsigned(byte)) if byte < 256 => bytes.push(byte as u8),
                Value::Node(_) => other = Some(Value::Node(Node::OtherArray(bytes.len()))),
                unheld => other = Some(unheld),
            }
        }
        Ok(other.unwrap_or(Value::Node(Node::ByteArray(bytes))))
    }

    /// Passes over a map; whether all of its own names can be held.
    fn map(&mut self) -> Result<bool, Malformed> {
        self.expect(b'{')?;
        let (mut held, mut first) = (true, true);
        while !self.closes(b'}', &mut first)? {
            held &= self.string()?.is_some();
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            self.skip()?;
        }
        Ok(held)
    }

    /// Passes over a value, however deep.
    fn skip(&mut self) -> Result<(), Malformed> {
        let mut open: Vec<(u8, bool)> = Vec::new();
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => drop(self.string()?),
                b'-' | b'0'..=b'9' => drop(self.number()?),
                b'n' => self.word(b"null")?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                bracket @ (b'[' | b'{') => {
                    self.at += 1;
                    open.push((bracket + 2, true));
                }
                _ => return Err(Malformed),
            }
            loop {
                let Some((bracket, first)) = open.last_mut() else {
                    return Ok(());
                };
                let bracket = *bracket;
                if self.closes(bracket, first)? {
                    open.pop();
                    continue;
                }
                if bracket == b'}' {
                    self.string()?;
                    self.blanks();
                    self.expect(b':')?;
                    self.blanks();
                }
                break;
            }
        }
    }

    /// A string; None when its escapes name half of a surrogate pair.
    fn string(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.expect(b'"')?;
        let begin = self.at;
        // UTF-16, since that is what escapes are.
        let mut units: Vec<u16> = Vec::new();
        let mut escaped = false;
        loop {
            match self.next()? {
                b'"' => break,
                0..0x20 => return Err(Malformed),
                b'\\' => {
                    escaped = true;
                    let unit = match self.next()? {
                        plain @ (b'"' | b'\\' | b'/') => plain.into(),
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => 10,
                        b'r' => 13,
                        b't' => 9,
                        b'u' => self.hex()?,
                        _ => return Err(Malformed),
                    };
                    units.push(unit);
                }
                byte => {
                    let from = self.at - 1;
                    let length = 1.max(byte.leading_ones() as usize);
                    self.at = from + length;
                    let text = std::str::from_utf8(&self.body[from..self.at]);
                    units.extend(text.map_err(|_| Malformed)?.encode_utf16());
                }
            }
        }
        if !escaped {
            let text = std::str::from_utf8(&self.body[begin..self.at - 1]);
            return text.map(|text| Some(Cow::Borrowed(text))).map_err(|_| Malformed);
        }
        Ok(String::from_utf16(&units).ok().map(Cow::Owned))
    }

    fn hex(&mut self) -> Result<u16, Malformed> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Malformed)?;
            unit = unit << 4 | digit as u16;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        std::str::from_utf8(&self.body[begin..self.at]).map_err(|_| Malformed)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > begin { Ok(()) } else { Err(Malformed) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        word.iter().try_for_each(|byte| self.expect(*byte))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next()? == byte { Ok(()) } else { Err(Malformed) }
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }
}

fn number(text: &str) -> Value<'static> {
    const NOT_WHOLE: Node<'static> = Node::Other("a number that is not whole or too large");
    if let Ok(whole) = text.parse::<u64>() {
        return Value::Node(Node::Unsigned(whole));
    }
    if let Ok(whole @ ..0) = text.parse::<i64>() {
        return Value::Node(Node::Negative(whole));
    }
    match text.parse::<f64>().map(f64::abs) {
        Ok(double) if double < EDGE => Value::Node(NOT_WHOLE),
        Ok(double) if double.is_infinite() && !is_near_the_edge(text) => Value::Unholdable,
        _ => Value::Either,
    }
}

/// Whether a number beyond doubles is so close to them that rounding decides.
fn is_near_the_edge(text: &str) -> bool {
    // Ten times smaller, it is a double again, and the largest there are.
    let tenth = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => exponent
            .parse::<i64>()
            .ok()
            .and_then(|exponent| exponent.checked_sub(1))
            .map(|exponent| format!("{digits}e{exponent}")),
        None => Some(format!("{text}e-1")),
    };
    let tenth = tenth.and_then(|tenth| tenth.parse::<f64>().ok()).map(f64::abs);
    tenth.is_some_and(|tenth| tenth < 1.81e307)
}
