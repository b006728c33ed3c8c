//! Paths: `/kv/NAMESPACE/KEY` to what it names. The path is split as it was sent and then decoded, so that the
//! first slash ends the namespace and all others belong to the key. Knows no method.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::str;

use super::percent;
use crate::codec::{Field, Node};
use crate::error::Error;
use crate::options::{NamespaceName, Parse, required};

/// Longest key in bytes.
const KEY_BYTES_MAX: usize = 256;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A key of a namespace.
    Key {
        /// The namespace.
        namespace: Cow<'a, str>,
        /// The key: any UTF-8 of 1 to 256 bytes.
        key: Cow<'a, str>,
    },
    /// All keys of this namespace.
    Keys(Cow<'a, str>),
}

impl<'a> Target<'a> {
    /// What is named by the part of a path that follows `/kv/`; None when there is no second slash.
    pub fn of_path(path: &'a str) -> Result<Option<Self>, Error> {
        let Some((namespace, key)) = path.split_once('/') else {
            return Ok(None);
        };
        let namespace = text("namespace", percent::decode(namespace)?)?;
        let (namespace, key) = (namespace_name(namespace)?, percent::decode(key)?);
        if key.is_empty() {
            return Ok(Some(Target::Keys(namespace)));
        }
        if key.len() > KEY_BYTES_MAX {
            let detail =
                format!("Expected a key of 1 to {KEY_BYTES_MAX} bytes, found {}.", key.len());
            return Err(Error::invalid_data("key", detail));
        }
        Ok(Some(Target::Key { namespace, key: text("key", key)? }))
    }
}

/// A namespace's name under the rule of the API.
fn namespace_name(name: Cow<'_, str>) -> Result<Cow<'_, str>, Error> {
    let field = Field { name: "namespace", node: Some(Node::Text(name)) };
    let NamespaceName(name) = required("namespace", NamespaceName::parse(field)?)?;
    Ok(name)
}

/// Decoded bytes as text; `name` says in an error where they stand.
pub fn text<'a>(name: &'static str, bytes: Cow<'a, [u8]>) -> Result<Cow<'a, str>, Error> {
    let not_text = || Error::invalid_data(name, "Expected UTF-8, found other bytes.");
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| not_text()),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_ends_the_namespace_and_all_others_belong_to_the_key() {
        for (path, namespace, key) in [
            ("n/k", "n", "k"),
            ("default/k", "default", "k"),
            ("n/a/b/c", "n", "a/b/c"),
            ("n//", "n", "/"),
            ("n//k", "n", "/k"),
            ("n/a/", "n", "a/"),
            ("n/..", "n", ".."),
            ("n/./../k", "n", "./../k"),
            ("../k", "..", "k"),
            ("a%2Fb/k", "a/b", "k"),
            ("a%2fb%2F/k", "a/b/", "k"),
            ("n/a%2Fb", "n", "a/b"),
            ("n/%2e%2E", "n", ".."),
            ("n/a+b", "n", "a+b"),
            ("n/a%20%00b", "n", "a \0b"),
            ("n/%C3%A9\u{e9}", "n", "\u{e9}\u{e9}"),
            ("n/%F0%9F%98%80", "n", "\u{1f600}"),
            ("n/%2525", "n", "%25"),
        ] {
            let wanted = Target::Key { namespace: namespace.into(), key: key.into() };
            assert_eq!(Target::of_path(path), Ok(Some(wanted)), "{path}");
        }
    }

    #[test]
    fn a_path_that_ends_behind_the_namespace_names_all_its_keys() {
        assert_eq!(Target::of_path("n/"), Ok(Some(Target::Keys("n".into()))));
        assert_eq!(Target::of_path("a%2Fb/"), Ok(Some(Target::Keys("a/b".into()))));
        for path in ["", "n", "a%2Fb", "%"] {
            assert_eq!(Target::of_path(path), Ok(None), "{path}");
        }
    }

    #[test]
    fn names_that_cannot_be_are_told_from_escapes_that_are_none() {
        let long = "k".repeat(257);
        for (path, status, location) in [
            ("/k", 422, Some("namespace")),
            ("//", 422, Some("namespace")),
            ("a:b/k", 422, Some("namespace")),
            ("a%20b/", 422, Some("namespace")),
            ("%C3%A9/k", 422, Some("namespace")),
            ("%FF/k", 422, Some("namespace")),
            (&format!("{long}/k"), 422, Some("namespace")),
            ("n/%FF", 422, Some("key")),
            ("n/%C3", 422, Some("key")),
            // Half of a surrogate pair, and a slash in more bytes than it has.
            ("n/%ED%A0%80", 422, Some("key")),
            ("n/%C0%AF", 422, Some("key")),
            (&format!("n/{long}"), 422, Some("key")),
            ("n/%", 400, None),
            ("n/%zz", 400, None),
            ("%2/k", 400, None),
            ("%2/", 400, None),
        ] {
            let error = Target::of_path(path).expect_err(path);
            assert_eq!((error.status, error.location.as_deref()), (status, location), "{path}");
        }
        let escaped = format!("n/{}", "%6B".repeat(256));
        assert!(
            matches!(Target::of_path(&escaped), Ok(Some(Target::Key { key, .. })) if key == long[..256])
        );
    }
}
