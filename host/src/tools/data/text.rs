//! The text form of data: lines of JSON, one a namespace or an entry, between a first line that says
//! what it is and a last line that proves it complete. docs/operations.md documents it for others.
//! Knows the lines; knows nothing of files or databases.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::storage::VALUE_BYTES_MAX;

/// The form that is written, and the only one that is read.
pub const FORM: u32 = 1;
/// Longest line, in bytes: the longest value that a server can be told to take, in base64 or in
/// JSON's longest way to write a text, and room for the rest.
pub const LINE_BYTES_MAX: u64 = 6 * VALUE_BYTES_MAX as u64 + (64 << 10);

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The first line.
    Begin {
        /// The newest version of the server.
        version: u64,
        /// The highest instant that the server had seen, in milliseconds.
        instant: u64,
    },
    /// A namespace; the entries up to the next such line belong to it.
    Namespace {
        /// Its name.
        name: Cow<'a, str>,
        /// When it was first configured, in milliseconds.
        created: u64,
        /// When it was last configured.
        updated: u64,
        /// The most keys that it may have, if there is a quota.
        keys_max: Option<u64>,
        /// The most bytes that they and their values may have, if there is a quota.
        bytes_max: Option<u64>,
    },
    /// An entry.
    Entry {
        /// The key's bytes.
        key: Cow<'a, [u8]>,
        /// The value's bytes.
        value: Cow<'a, [u8]>,
        /// The version that it had.
        version: u64,
        /// When it expires, in milliseconds.
        expiry: Option<u64>,
    },
    /// The last line.
    End {
        /// Namespaces before it.
        namespaces: u64,
        /// Entries before it.
        entries: u64,
        /// SHA-256, in hexadecimal digits, of all bytes before this line.
        sha256: Cow<'a, str>,
    },
}

/// Any line as it is written: the fields of its kind.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    larder_export: Option<u32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    namespace: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value_base64: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instant: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespaces: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    sha256: Option<Cow<'a, str>>,
}

impl Fields<'_> {
    /// Whether the fields are those of one kind of line, `version` apart, which two of them have.
    fn are_of_one_kind(&self) -> bool {
        let begin = self.larder_export.is_some() || self.instant.is_some();
        let numbers = [self.created, self.updated, self.keys_max, self.bytes_max];
        let namespace = self.namespace.is_some() || numbers.iter().any(Option::is_some);
        let bytes = [&self.key, &self.key_base64, &self.value, &self.value_base64];
        let entry = bytes.into_iter().any(Option::is_some) || self.expiry.is_some();
        let end = self.namespaces.is_some() || self.entries.is_some() || self.sha256.is_some();
        let versioned = begin || entry || self.version.is_none();
        versioned && [begin, namespace, entry, end].into_iter().filter(|kind| *kind).count() == 1
    }
}

impl Line<'_> {
    /// Writes the line, its newline included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let fields = match self {
            Line::Begin { version, instant } => Fields {
                larder_export: Some(FORM),
                version: Some(*version),
                instant: Some(*instant),
                ..Fields::default()
            },
            Line::Namespace { name, created, updated, keys_max, bytes_max } => Fields {
                namespace: Some(name.as_ref().into()),
                created: Some(*created),
                updated: Some(*updated),
                keys_max: *keys_max,
                bytes_max: *bytes_max,
                ..Fields::default()
            },
            Line::Entry { key, value, version, expiry } => {
                let (key, key_base64) = as_text(key);
                let (value, value_base64) = as_text(value);
                let (version, expiry) = (Some(*version), *expiry);
                Fields {
                    key,
                    key_base64,
                    value,
                    value_base64,
                    version,
                    expiry,
                    ..Fields::default()
                }
            }
            Line::End { namespaces, entries, sha256 } => Fields {
                namespaces: Some(*namespaces),
                entries: Some(*entries),
                sha256: Some(sha256.as_ref().into()),
                ..Fields::default()
            },
        };
        // Only a map with odd keys cannot be written.
        let mut line = serde_json::to_vec(&fields).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl<'a> Line<'a> {
    /// Reads a line, with or without its newline.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(line: &'a [u8]) -> Result<Self, String> {
        // Else an array would be taken for the fields in their order.
        if line.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
            return Err("it is no JSON object".to_owned());
        }
        let fields: Fields<'a> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match fields {
            _ if !fields.are_of_one_kind() => {
                Err("its fields are not those of one kind of line".to_owned())
            }
            Fields { larder_export: Some(form), .. } if form != FORM => {
                Err(format!("the form is {form}, this larder knows {FORM}"))
            }
            Fields {
                larder_export: Some(_),
                version: Some(version),
                instant: Some(instant),
                ..
            } => Ok(Line::Begin { version, instant }),
            Fields {
                namespace: Some(name),
                created: Some(created),
                updated: Some(updated),
                keys_max,
                bytes_max,
                ..
            } => Ok(Line::Namespace { name, created, updated, keys_max, bytes_max }),
            Fields {
                namespaces: Some(namespaces),
                entries: Some(entries),
                sha256: Some(sha256),
                ..
            } => Ok(Line::End { namespaces, entries, sha256 }),
            Fields {
                larder_export: None,
                key,
                key_base64,
                value,
                value_base64,
                version: Some(version),
                expiry,
                ..
            } => {
                let key = as_bytes("key", key, key_base64)?;
                let value = as_bytes("value", value, value_base64)?;
                Ok(Line::Entry { key, value, version, expiry })
            }
            _ => Err("it is none of the lines that there are, or lacks a field".to_owned()),
        }
    }
}

type Text<'a> = Option<Cow<'a, str>>;

/// Bytes as text where they are some, else as base64.
fn as_text(bytes: &[u8]) -> (Text<'_>, Text<'_>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes).into())),
    }
}

fn as_bytes<'a>(name: &str, text: Text<'a>, base64: Text<'a>) -> Result<Cow<'a, [u8]>, String> {
    match (text, base64) {
        (Some(Cow::Borrowed(text)), None) => Ok(text.as_bytes().into()),
        (Some(Cow::Owned(text)), None) => Ok(text.into_bytes().into()),
        (None, Some(base64)) => {
            let bytes = STANDARD.decode(base64.as_bytes());
            bytes.map(Cow::Owned).map_err(|error| format!("{name}_base64: {error}"))
        }
        _ => Err(format!("it must have one of {name} and {name}_base64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_written() {
        let lines = [
            Line::Begin { version: 7, instant: 8 },
            Line::Namespace {
                name: "a \"b\"\n".into(),
                created: 1,
                updated: 2,
                keys_max: None,
                bytes_max: None,
            },
            Line::Namespace {
                name: "n".into(),
                created: 1,
                updated: 2,
                keys_max: Some(0),
                bytes_max: Some(u64::MAX),
            },
            Line::Entry {
                key: b"k".as_slice().into(),
                value: b"line\nbreak".as_slice().into(),
                version: 3,
                expiry: Some(4),
            },
            Line::Entry {
                key: [0xFF].as_slice().into(),
                value: [0, 0x80].as_slice().into(),
                version: 3,
                expiry: None,
            },
            Line::End { namespaces: 1, entries: 2, sha256: "00".into() },
        ];
        for line in lines {
            let written = line.encode();
            assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(Line::decode(&written), Ok(line));
        }
    }

    #[test]
    fn text_is_written_as_text() {
        let line = Line::Entry {
            key: b"key".as_slice().into(),
            value: "\u{fc}".as_bytes().into(),
            version: 1,
            expiry: None,
        };
        assert_eq!(
            line.encode(),
            "{\"key\":\"key\",\"value\":\"\u{fc}\",\"version\":1}\n".as_bytes()
        );
    }

    #[test]
    fn a_quota_that_is_none_is_left_out_so_that_older_programs_read_the_line() {
        let line = |keys_max, bytes_max| Line::Namespace {
            name: "n".into(),
            created: 1,
            updated: 2,
            keys_max,
            bytes_max,
        };
        let written = |line: Line<'_>| String::from_utf8(line.encode()).unwrap_or_default();
        let plain = "{\"namespace\":\"n\",\"created\":1,\"updated\":2}\n";
        assert_eq!(written(line(None, None)), plain);
        let limited = "{\"namespace\":\"n\",\"created\":1,\"updated\":2,\"bytes_max\":7}\n";
        assert_eq!(written(line(None, Some(7))), limited);
    }

    #[test]
    fn lines_that_are_none_are_refused_with_the_reason() {
        for (line, reason) in [
            ("", "EOF"),
            ("[]", "no JSON object"),
            ("[1,null,null,null,null,null,null,null,7,8]", "no JSON object"),
            ("7", "no JSON object"),
            ("{}", "not those of one kind"),
            (r#"{"version":1}"#, "not those of one kind"),
            (r#"{"larder_export":1,"version":1}"#, "lacks a field"),
            (r#"{"namespace":"n","created":1,"updated":1,"version":1}"#, "not those of one kind"),
            (r#"{"larder_export":1,"version":1,"instant":1,"key":"k"}"#, "not those of one kind"),
            (r#"{"key":"k","value":"v","version":1,"entries":1}"#, "not those of one kind"),
            (r#"{"key":"k","value":"v","version":1,"keys_max":1}"#, "not those of one kind"),
            (r#"{"larder_export":2,"version":1,"instant":1}"#, "form is 2"),
            (r#"{"key":"k","version":1}"#, "one of value and value_base64"),
            (r#"{"key":"k","key_base64":"aw==","value":"","version":1}"#, "one of key"),
            (r#"{"key":"k","value_base64":"a","version":1}"#, "value_base64"),
            (r#"{"key":"k","value":"v","version":1,"ttl":1}"#, "unknown field"),
            (r#"{"key":"k","value":"v","version":-1}"#, "invalid"),
        ] {
            let error = Line::decode(line.as_bytes()).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
