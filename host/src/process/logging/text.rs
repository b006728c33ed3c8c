//! What stands in a line: names and words of strangers are told as they are, but for characters that
//! would end the line, or that a terminal would obey. Knows formats, not where lines go.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// Writes an event's message and fields as text, as the library does, but escaped. Colours are the
/// library's own, and not.
pub struct Fields;

/// Hands each value on, escaped.
pub struct Escaping<'a>(DefaultVisitor<'a>);

impl<'a> MakeVisitor<Writer<'a>> for Fields {
    type Visitor = Escaping<'a>;

    fn make_visitor(&self, target: Writer<'a>) -> Escaping<'a> {
        Escaping(DefaultVisitor::new(target, true))
    }
}

impl Visit for Escaping<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.record_debug(field, &Escaped(value));
    }
}

impl VisitOutput<fmt::Result> for Escaping<'_> {
    fn finish(self) -> fmt::Result {
        self.0.finish()
    }
}

impl VisitFmt for Escaping<'_> {
    fn writer(&mut self) -> &mut dyn Write {
        self.0.writer()
    }
}

/// A value that is written escaped.
struct Escaped<'a>(&'a dyn Debug);

impl Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{:?}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(steers) {
            let last = part.chars().next_back().filter(|c| steers(*c));
            let plain = last.map_or(part, |last| &part[..part.len() - last.len_utf8()]);
            self.0.write_str(plain)?;
            if let Some(last) = last {
                write!(self.0, "{}", last.escape_default())?;
            }
        }
        Ok(())
    }
}

/// Whether a character ends a line, steers a terminal, or turns round what follows it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line of JSON without the control characters that JSON lets stand and some terminals obey; None
/// when there are none. They can only be in strings.
pub fn escape_json(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = std::str::from_utf8(line).ok().filter(|text| text.contains(char::is_control))?;
    let mut escaped = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if c.is_control() {
            // All of them have four digits.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped.push('\n');
    Some(escaped.into_bytes())
}
