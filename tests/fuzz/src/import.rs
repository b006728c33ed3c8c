//! The target `import`: text that an export might have written. It is refused at a line, or it holds
//! what an export of the same would write again. The first byte says whether the digest of the last
//! line is made to fit: no fuzzer would find it.

use std::io::Write;

use larder::clock::Millis;
use larder::storage::Version;
use larder::tools::data::lines::{Item, Reader, Writer};
use larder::tools::data::text::Line;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::target::Target;

/// The target.
pub const TARGET: Target =
    Target { name: "import", input_bytes_max: 1024, judge: |input| judge(input, &read) };

/// What an export holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Export {
    begin: (Version, Millis),
    /// Namespaces and entries.
    pub items: Vec<Item<'static>>,
}

/// A reader of exports under test.
pub type Read = dyn Fn(&[u8]) -> Result<Export, String>;

/// The reader that imports use.
///
/// # Errors
/// Its own.
pub fn read(mut text: &[u8]) -> Result<Export, String> {
    let mut lines = Reader::new(&mut text).map_err(|error| error.to_string())?;
    let mut items = Vec::new();
    while let Some(item) = lines.next_item().map_err(|error| error.to_string())? {
        items.push(owned(item));
    }
    Ok(Export { begin: lines.begin(), items })
}

fn owned(item: Item<'_>) -> Item<'static> {
    match item {
        Item::Namespace { name, created, updated, quotas } => {
            Item::Namespace { name: name.into_owned().into(), created, updated, quotas }
        }
        Item::Entry { key, value, version, expiry } => {
            let (key, value) = (key.into_owned().into(), value.into_owned().into());
            Item::Entry { key, value, version, expiry }
        }
    }
}

/// Tries an input.
///
/// # Errors
/// What was promised and did not hold.
pub fn judge(input: &[u8], read: &Read) -> Result<(), String> {
    let (text, sealed) = match input.split_first() {
        Some((choice, text)) if choice % 2 == 1 => (sealed(text), true),
        Some((_, text)) => (text.to_vec(), false),
        None => (Vec::new(), false),
    };
    let export = match read(&text) {
        Ok(export) => export,
        Err(error) => return refused(&error, &text, sealed),
    };
    let digest = digest_of_last_line(&text);
    if digest.is_none_or(|(found, wanted)| found != wanted) {
        return Err("it was taken without a digest that fits".to_owned());
    }
    let written = write(&export)?;
    let again = read(&written).map_err(|error| format!("not taken again: {error}"))?;
    if again != export {
        return Err(format!("{again:?} came back, not {export:?}"));
    }
    if write(&again)? != written {
        return Err("it is not written alike twice".to_owned());
    }
    nothing_left_out(&text, &written)
}

/// The body, its last line ended, and a line after it that fits it all.
#[must_use]
pub fn sealed(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    if !body.ends_with(b"\n") {
        body.push(b'\n');
    }
    let (mut namespaces, mut entries) = (0, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        match Line::decode(line) {
            Ok(Line::Namespace { .. }) => namespaces += 1,
            Ok(Line::Entry { .. }) => entries += 1,
            _ => {}
        }
    }
    let sha256 = hex(&Sha256::digest(&body)).into();
    [body, Line::End { namespaces, entries, sha256 }.encode()].concat()
}

/// A refusal names a line that is there, or the one that is missing.
fn refused(error: &str, text: &[u8], sealed: bool) -> Result<(), String> {
    let rest = error.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
    let (number, _) = rest.ok_or_else(|| format!("no line is named: {error}"))?;
    let lines = text.split_inclusive(|byte| *byte == b'\n').count();
    let number: usize = number.parse().map_err(|_| format!("no line is named: {error}"))?;
    if number == 0 || number > lines + 1 || !error.ends_with("; nothing was imported") {
        return Err(format!("of {lines} lines: {error}"));
    }
    // The body may hold a last line of its own, which does not fit.
    let last = number == lines;
    if sealed && last && error.contains("what was read is not what was exported") {
        return Err("a digest that fits is refused".to_owned());
    }
    Ok(())
}

fn digest_of_last_line(text: &[u8]) -> Option<(String, String)> {
    let body = text.strip_suffix(b"\n")?;
    let last = body.iter().rposition(|byte| *byte == b'\n')? + 1;
    let line: Map<String, Value> = serde_json::from_slice(&body[last..]).ok()?;
    let found = line.get("sha256")?.as_str()?.to_owned();
    Some((found, hex(&Sha256::digest(&text[..last]))))
}

fn write(export: &Export) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let (version, instant) = export.begin;
    let to: &mut dyn Write = &mut text;
    let mut out = Writer::new(to, version, instant).map_err(|error| error.to_string())?;
    for item in &export.items {
        out.item(item.clone()).map_err(|error| error.to_string())?;
    }
    out.end().map_err(|error| error.to_string())?;
    Ok(text)
}

/// Every field of every line that was read stands in the line that is written.
fn nothing_left_out(read: &[u8], written: &[u8]) -> Result<(), String> {
    let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
    if lines(read) != lines(written) {
        return Err(format!("{} lines became {}", lines(read), lines(written)));
    }
    let ends = |byte: &u8| *byte == b'\n';
    for (before, after) in read.split(ends).zip(written.split(ends)).take(lines(read) - 1) {
        let fields = |line: &[u8]| serde_json::from_slice::<Map<String, Value>>(line);
        let before = fields(before).map_err(|error| format!("it was no JSON object: {error}"))?;
        let after = fields(after).map_err(|error| format!("it is no JSON object: {error}"))?;
        for (name, value) in before {
            // Bytes that are text are written as text.
            let kept = after.get(&name) == Some(&value)
                || value.is_null()
                || name.strip_suffix("_base64").is_some_and(|text| after.contains_key(text));
            if !kept {
                return Err(format!("{name} was {value}, and is {:?}", after.get(&name)));
            }
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
