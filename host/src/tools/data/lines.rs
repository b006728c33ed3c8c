//! A whole export as lines: written with its digest, read with everything checked that the lines
//! alone can tell. Knows nothing of data directories, so that any bytes can be tried.

use std::borrow::Cow;
use std::io::{BufRead, Read, Write};

use sha2::{Digest, Sha256};

use super::error::{ToolError, explain, failed};
use super::text::{LINE_BYTES_MAX, Line};
use crate::clock::Millis;
use crate::hex;
use crate::storage::{EXPIRY_MAX, NAME_BYTES_MAX, QUOTA_LIMIT, Quotas, VALUE_BYTES_MAX, Version};

/// How a data file, and with it a backup, tells what it is: behind the head of its first page.
const PAGE_HEAD_BYTES: usize = 16;
const LMDB_MAGIC: [u8; 4] = 0xBEEF_C0DE_u32.to_ne_bytes();

/// What stands between the first line and the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A namespace, to which the entries up to the next one belong.
    Namespace {
        /// Its name: 1 to 256 bytes.
        name: Cow<'a, str>,
        /// When it was first configured.
        created: Millis,
        /// When it was last configured.
        updated: Millis,
        /// What it may have.
        quotas: Quotas,
    },
    /// An entry.
    Entry {
        /// Its key: 1 to 256 bytes.
        key: Cow<'a, [u8]>,
        /// Its value.
        value: Cow<'a, [u8]>,
        /// The version that it had.
        version: Version,
        /// When it expires, [`EXPIRY_MAX`] at most.
        expiry: Option<Millis>,
    },
}

/// Reads an export, counts it and hashes it.
pub struct Reader<'a> {
    from: &'a mut dyn BufRead,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
    namespaces: u64,
    entries: u64,
    begin: (Version, Millis),
}

impl<'a> Reader<'a> {
    /// Reads the first line.
    ///
    /// # Errors
    /// That it is none, or what could not be read.
    pub fn new(from: &'a mut dyn BufRead) -> Result<Self, ToolError> {
        let mut reader = Self {
            from,
            hash: Sha256::new(),
            line: Vec::new(),
            number: 0,
            namespaces: 0,
            entries: 0,
            begin: (Version::ABSENT, Millis(0)),
        };
        // By the first bytes, for what is no text may go on for long without an end of a line; and
        // again, for a pipe may have given fewer. What cannot be read is told where it is read.
        let foreign = foreign(reader.from.fill_buf().unwrap_or_default());
        foreign.map_or(Ok(()), |what| Err(wrong(1, what)))?;
        let read = reader.advance();
        self::foreign(&reader.line).map_or(Ok(()), |what| Err(wrong(1, what)))?;
        if !read? {
            return Err(reader.wrong("there is none"));
        }
        let line = Line::decode(&reader.line).map_err(|error| reader.wrong(&error))?;
        let Line::Begin { version, instant } = line else {
            return Err(reader.wrong("it is no larder export"));
        };
        let instant = Millis(instant);
        // A server's time never falls: one that began so late could never write an expiry again.
        if instant > EXPIRY_MAX {
            return Err(reader.wrong("the instant is out of range"));
        }
        reader.begin = (Version(version), instant);
        Ok(reader)
    }

    /// The newest version of the server that was exported, and the highest instant that it had seen.
    #[must_use]
    pub fn begin(&self) -> (Version, Millis) {
        self.begin
    }

    /// Bytes of the line that was read last.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        self.line.len()
    }

    /// Reads up to the next item; None after a last line that fits all before it.
    ///
    /// # Errors
    /// The line that is wrong and why, or what could not be read.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, ToolError> {
        let before = self.hash.clone();
        if !self.advance()? {
            return Err(self.wrong("the last line is missing: the export is not complete"));
        }
        let number = self.number;
        let line = Line::decode(&self.line).map_err(|error| wrong(number, &error))?;
        if let Line::End { namespaces, entries, sha256 } = line {
            let counted = (self.namespaces, self.entries);
            if (namespaces, entries) != counted || *sha256 != hex::encode(&before.finalize()) {
                return Err(wrong(number, "what was read is not what was exported"));
            }
            let rest = self.from.fill_buf();
            let rest = rest.map_err(|error| wrong(number + 1, &error.to_string()))?;
            if rest.is_empty() {
                return Ok(None);
            }
            return Err(wrong(number + 1, "there is something behind the last line"));
        }
        let item = item(line, self.namespaces == 0).map_err(|error| wrong(number, &error))?;
        match item {
            Item::Namespace { .. } => self.namespaces += 1,
            Item::Entry { .. } => self.entries += 1,
        }
        Ok(Some(item))
    }

    /// Reads the next line and hashes it; false at the end.
    fn advance(&mut self) -> Result<bool, ToolError> {
        self.line.clear();
        self.number += 1;
        let mut from = (&mut *self.from).take(LINE_BYTES_MAX);
        let read = from.read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| failed(format!("line {}: {error}", self.number)))?;
        if read > 0 && self.line.last() != Some(&b'\n') {
            return Err(self.wrong("it is cut short, or longer than any line can be"));
        }
        if self.line.ends_with(b"\r\n") {
            return Err(self.wrong(
                "it ends with CR and LF, and lines end with LF alone: the file was changed on its way",
            ));
        }
        self.hash.update(&self.line);
        Ok(read > 0)
    }

    /// An error that names the line that was read last.
    #[must_use]
    pub fn wrong(&self, what: &str) -> ToolError {
        wrong(self.number, what)
    }
}

/// What else bytes are that begin like this.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const UTF_16: &str = "it is UTF-16, and lines are UTF-8; run: iconv -f UTF-16 -t UTF-8 FILE";
    const COMPRESSED: &str =
        "it is compressed; decompress it first, as with: gunzip -c FILE | larder import -";
    const BEGINNINGS: [(&[u8], &str); 10] = [
        (
            b"\xEF\xBB\xBF",
            "it begins with a byte order mark, and lines are UTF-8 without one: the file was changed on \
             its way",
        ),
        (b"\xFF\xFE", UTF_16),
        (b"\xFE\xFF", UTF_16),
        (b"{\0", UTF_16),
        (b"\0{", UTF_16),
        (b"\x1F\x8B", COMPRESSED),
        (b"\x28\xB5\x2F\xFD", COMPRESSED),
        (b"\xFD7zXZ\0", COMPRESSED),
        (b"BZh", COMPRESSED),
        (b"PK\x03\x04", COMPRESSED),
    ];
    if bytes.get(PAGE_HEAD_BYTES..).is_some_and(|rest| rest.starts_with(&LMDB_MAGIC)) {
        return Some("it is a data file, or a backup, which `larder restore` takes");
    }
    BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, what)| *what)
}

fn wrong(number: u64, what: &str) -> ToolError {
    failed(format!("line {number}: {what}; nothing was imported"))
}

/// What a line says, if it can stand there: `first` where there is no namespace before it.
fn item(line: Line<'_>, first: bool) -> Result<Item<'_>, String> {
    let fault = |what: &str| Err(what.to_owned());
    match line {
        Line::Namespace { name, .. } if name.is_empty() || name.len() > NAME_BYTES_MAX => {
            fault("a name is 1 to 256 bytes")
        }
        Line::Namespace { created, updated, .. } if created.max(updated) > EXPIRY_MAX.0 => {
            fault("an instant is out of range")
        }
        Line::Namespace { keys_max, bytes_max, .. }
            if keys_max.max(bytes_max) >= Some(QUOTA_LIMIT) =>
        {
            fault("a quota is out of range")
        }
        Line::Namespace { name, created, updated, keys_max, bytes_max } => {
            let (created, updated) = (Millis(created), Millis(updated));
            Ok(Item::Namespace { name, created, updated, quotas: Quotas { keys_max, bytes_max } })
        }
        Line::Entry { .. } if first => fault("an entry comes before its namespace"),
        Line::Entry { key, .. } if key.is_empty() || key.len() > NAME_BYTES_MAX => {
            fault("a key is 1 to 256 bytes")
        }
        Line::Entry { expiry: Some(expiry), .. } if expiry > EXPIRY_MAX.0 => {
            fault("the expiry is out of range")
        }
        Line::Entry { value, .. } if value.len() > VALUE_BYTES_MAX => {
            Err(format!("a value is {VALUE_BYTES_MAX} bytes at most, this one has {}", value.len()))
        }
        Line::Entry { key, value, version, expiry } => {
            Ok(Item::Entry { key, value, version: Version(version), expiry: expiry.map(Millis) })
        }
        Line::Begin { .. } | Line::End { .. } => fault("it is out of place"),
    }
}

/// Writes an export and hashes what was written.
pub struct Writer<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
    namespaces: u64,
    entries: u64,
}

impl<'a> Writer<'a> {
    /// Writes the first line: the newest version, and the highest instant.
    ///
    /// # Errors
    /// What could not be written.
    pub fn new(
        to: &'a mut dyn Write,
        version: Version,
        instant: Millis,
    ) -> Result<Self, ToolError> {
        let mut writer = Self { to, hash: Sha256::new(), namespaces: 0, entries: 0 };
        writer.line(&Line::Begin { version: version.0, instant: instant.0 })?;
        Ok(writer)
    }

    /// Writes an item.
    ///
    /// # Errors
    /// What could not be written.
    pub fn item(&mut self, item: Item<'_>) -> Result<(), ToolError> {
        match item {
            Item::Namespace { name, created, updated, quotas } => {
                self.namespaces += 1;
                let (created, updated) = (created.0, updated.0);
                let Quotas { keys_max, bytes_max } = quotas;
                self.line(&Line::Namespace { name, created, updated, keys_max, bytes_max })
            }
            Item::Entry { key, value, version, expiry } => {
                self.entries += 1;
                let (version, expiry) = (version.0, expiry.map(|expiry| expiry.0));
                self.line(&Line::Entry { key, value, version, expiry })
            }
        }
    }

    /// Writes the last line; returns the namespaces and the entries that were written.
    ///
    /// # Errors
    /// What could not be written.
    pub fn end(mut self) -> Result<(u64, u64), ToolError> {
        let sha256 = hex::encode(&std::mem::take(&mut self.hash).finalize());
        let (namespaces, entries) = (self.namespaces, self.entries);
        self.line(&Line::End { namespaces, entries, sha256: sha256.into() })?;
        self.to.flush().map_err(|error| unwritten(&error))?;
        Ok((namespaces, entries))
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), ToolError> {
        let line = line.encode();
        self.hash.update(&line);
        self.to.write_all(&line).map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &std::io::Error) -> ToolError {
    failed(format!("cannot write the export: {}", explain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(lines: &[&str]) -> String {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut bytes = text.as_bytes();
        let mut reader = match Reader::new(&mut bytes) {
            Ok(reader) => reader,
            Err(error) => return error.to_string(),
        };
        loop {
            match reader.next_item() {
                Ok(Some(_)) => {}
                Ok(None) => return String::new(),
                Err(error) => return error.to_string(),
            }
        }
    }

    #[test]
    fn what_is_no_export_is_told_as_what_it_is() {
        let begin = "{\"larder_export\":1,\"version\":1,\"instant\":1}";
        let utf_16 =
            |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut data_file = vec![0; 4096];
        data_file[16..20].copy_from_slice(&0xBEEF_C0DE_u32.to_le_bytes());
        for (bytes, said) in [
            (Vec::new(), "there is none"),
            (format!("{begin}\r\n").into_bytes(), "it ends with CR and LF"),
            (format!("\u{feff}{begin}\n").into_bytes(), "it begins with a byte order mark"),
            (utf_16(&format!("\u{feff}{begin}\n")), "it is UTF-16"),
            (utf_16(&format!("{begin}\n")), "it is UTF-16"),
            (b"\x1F\x8B\x08\x08 and no newline".to_vec(), "it is compressed"),
            (b"\x28\xB5\x2F\xFD".to_vec(), "it is compressed"),
            (data_file, "it is a data file, or a backup, which `larder restore` takes"),
            (b"[1]\n".to_vec(), "it is no JSON object"),
        ] {
            // A pipe may give as little as a byte at a time.
            let mut slow = std::io::BufReader::with_capacity(1, &*bytes);
            for from in [&mut &*bytes as &mut dyn BufRead, &mut slow] {
                let error = Reader::new(from).err().expect(said).to_string();
                assert!(error.starts_with(&format!("line 1: {said}")), "{error}");
                assert!(error.ends_with("; nothing was imported"), "{error}");
            }
        }
    }

    #[test]
    fn line_ends_that_were_changed_are_told_at_the_first_of_them() {
        let begin = r#"{"larder_export":1,"version":1,"instant":1}"#;
        let said = refusal(&[begin, "{\"namespace\":\"n\",\"created\":1,\"updated\":1}\r"]);
        assert!(said.starts_with("line 2: it ends with CR and LF"), "{said}");
    }

    #[test]
    fn a_quota_that_no_server_takes_is_refused_by_its_line() {
        let begin = r#"{"larder_export":1,"version":1,"instant":1}"#;
        let quota = |name: &str, most: u64| {
            let line = r#"{"namespace":"n","created":1,"updated":1,"#;
            refusal(&[begin, &format!("{line}\"{name}\":{most}}}")])
        };
        for name in ["keys_max", "bytes_max"] {
            let said = quota(name, QUOTA_LIMIT);
            assert!(said.starts_with("line 2: a quota is out of range"), "{said}");
            let said = quota(name, QUOTA_LIMIT - 1);
            assert!(said.starts_with("line 3: the last line is missing"), "{said}");
        }
    }

    #[test]
    fn a_value_that_no_server_could_hold_is_refused_by_its_line() {
        let begin = r#"{"larder_export":1,"version":1,"instant":1}"#;
        let namespace = r#"{"namespace":"n","created":1,"updated":1}"#;
        let entry = |bytes: usize| {
            format!("{{\"key\":\"k\",\"value\":\"{}\",\"version\":1}}", "v".repeat(bytes))
        };
        let held = refusal(&[begin, namespace, &entry(VALUE_BYTES_MAX)]);
        assert!(held.starts_with("line 4: the last line is missing"), "{held:.100}");
        let refused = refusal(&[begin, namespace, &entry(VALUE_BYTES_MAX + 1)]);
        let said = "line 3: a value is 67108864 bytes at most, this one has 67108865";
        assert!(refused.starts_with(said), "{refused:.100}");
    }

    #[test]
    fn instants_that_no_server_can_have_seen_are_refused() {
        const BEGIN: &str = r#"{"larder_export":1,"version":1,"instant":1}"#;
        for (lines, said) in [
            (
                vec![r#"{"larder_export":1,"version":1,"instant":253402207201000}"#],
                "line 1: the instant is out of range",
            ),
            (
                vec![BEGIN, r#"{"namespace":"n","created":253402207201000,"updated":1}"#],
                "line 2: an instant is out of range",
            ),
            (
                vec![BEGIN, r#"{"namespace":"n","created":1,"updated":18446744073709551615}"#],
                "line 2: an instant is out of range",
            ),
        ] {
            assert!(refusal(&lines).starts_with(said), "{lines:?}: {}", refusal(&lines));
        }
        let last = [BEGIN, r#"{"namespace":"n","created":1,"updated":253402207200999}"#];
        assert!(refusal(&last).contains("the last line is missing"), "{}", refusal(&last));
    }
}
