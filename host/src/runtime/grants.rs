//! What a mount may reach: namespaces, for reading or for writing. Knows neither guests nor
//! storage.

use std::collections::HashMap;

/// What may be done in a namespace. Writing includes reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Get.
    Read,
    /// Get, set, delete, configure.
    Write,
}

/// The namespaces that a mount may reach.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    everywhere: Option<Access>,
    by_name: HashMap<String, Access>,
}

/// Stands for every namespace, also those that are made later.
const EVERY_NAMESPACE: &str = "*";

impl Grants {
    /// Takes a list of names and accesses, where `*` stands for every namespace.
    #[must_use]
    pub fn new(grants: impl IntoIterator<Item = (String, Access)>) -> Self {
        let mut by_name: HashMap<_, _> = grants.into_iter().collect();
        Self { everywhere: by_name.remove(EVERY_NAMESPACE), by_name }
    }

    /// Whether `access` to the namespace was granted.
    #[must_use]
    pub fn allow(&self, namespace: &str, access: Access) -> bool {
        self.everywhere.is_some_and(|granted| granted >= access)
            || self.by_name.get(namespace).is_some_and(|granted| *granted >= access)
    }

    /// The namespaces that are granted by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_reaches_its_namespace_and_no_other() {
        let grants =
            Grants::new([("read".to_owned(), Access::Read), ("write".to_owned(), Access::Write)]);
        assert!(grants.allow("read", Access::Read));
        assert!(!grants.allow("read", Access::Write));
        assert!(grants.allow("write", Access::Read));
        assert!(grants.allow("write", Access::Write));
        assert!(!grants.allow("other", Access::Read));
        assert!(!grants.allow("*", Access::Read));
        assert!(!Grants::default().allow("default", Access::Read));
    }

    #[test]
    fn a_star_stands_for_every_namespace() {
        let grants =
            Grants::new([("*".to_owned(), Access::Read), ("own".to_owned(), Access::Write)]);
        assert!(grants.allow("anything", Access::Read));
        assert!(!grants.allow("anything", Access::Write));
        assert!(grants.allow("own", Access::Write));
    }
}
