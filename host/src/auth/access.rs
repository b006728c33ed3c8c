//! Who may do what: who calls, what a principal's role and scope allow, and what a mount was granted.
//! Knows neither tokens nor guests, neither storage nor HTTP.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The principal that the admin token stands for.
pub const ADMIN: &str = "admin";

/// What a principal may do at most. Each role includes those before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Get entries, look at namespaces.
    Read,
    /// Set and delete entries, configure namespaces.
    Write,
    /// Everything, everywhere, and the host's own pages.
    Admin,
}

impl Role {
    /// The role as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// How far a principal's role reaches. What is empty limits nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What may be done.
    pub role: Role,
    /// In which namespaces.
    #[serde(default)]
    pub namespaces: BTreeSet<String>,
    /// With which keys: those that begin with one of these.
    #[serde(default)]
    pub prefixes: BTreeSet<String>,
}

impl Scope {
    /// Everything, everywhere.
    #[must_use]
    pub fn admin() -> Self {
        Self { role: Role::Admin, namespaces: BTreeSet::new(), prefixes: BTreeSet::new() }
    }

    /// Whether `access` to this key is within the scope.
    #[must_use]
    pub fn allows_key(&self, namespace: &str, key: &str, access: Access) -> bool {
        let within = |prefix: &String| key.starts_with(prefix.as_str());
        self.reaches(namespace, access)
            && (self.prefixes.is_empty() || self.prefixes.iter().any(within))
    }

    /// Whether all of a namespace's entries are within the scope, for reading.
    #[must_use]
    pub fn allows_all_keys(&self, namespace: &str) -> bool {
        self.reaches(namespace, Access::Read) && self.prefixes.is_empty()
    }

    /// Whether `access` to the namespace itself is within the scope. To change it takes all of it.
    #[must_use]
    pub fn allows_namespace(&self, namespace: &str, access: Access) -> bool {
        self.reaches(namespace, access) && (access == Access::Read || self.prefixes.is_empty())
    }

    /// What keys begin with that are within the scope, of those that begin with `prefix`: sorted, and none
    /// begins with another.
    #[must_use]
    pub fn prefixes_within<'a>(&'a self, prefix: &'a str) -> Vec<&'a str> {
        if self.prefixes.is_empty() || self.prefixes.iter().any(|own| prefix.starts_with(own)) {
            return vec![prefix];
        }
        let mut within: Vec<&str> = Vec::new();
        for own in self.prefixes.iter().filter(|own| own.starts_with(prefix)) {
            // Sorted, what begins with another comes right after it.
            if within.last().is_none_or(|last| !own.starts_with(last)) {
                within.push(own);
            }
        }
        within
    }

    /// Whether `access` to anything of a namespace is within the scope.
    #[must_use]
    pub fn reaches(&self, namespace: &str, access: Access) -> bool {
        let needed = match access {
            Access::Read => Role::Read,
            Access::Write => Role::Write,
            Access::Admin => Role::Admin,
        };
        self.role >= needed && (self.namespaces.is_empty() || self.namespaces.contains(namespace))
    }
}

/// Who a valid token stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// What guests and logs call it.
    pub name: Arc<str>,
    /// What it may do.
    pub scope: Scope,
}

/// Who calls, as far as authentication found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No credentials.
    Anonymous,
    /// Credentials that are not valid.
    Rejected,
    /// A principal, by name.
    Principal(Arc<Principal>),
}

impl Caller {
    /// The principal, if it is one.
    #[must_use]
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Principal(principal) => Some(principal),
            Self::Anonymous | Self::Rejected => None,
        }
    }
}

/// What may be done in a namespace. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Get.
    Read,
    /// Set and delete entries, configure the namespace.
    Write,
    /// Delete the namespace, and set its quotas.
    Admin,
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

    /// Whether `access` to every namespace was granted.
    #[must_use]
    pub fn allow_everywhere(&self, access: Access) -> bool {
        self.everywhere.is_some_and(|granted| granted >= access)
    }

    /// The namespaces that are granted by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules once more, said in another way: what takes a right away, one after the other.
    fn oracle(scope: &Scope, namespace: &str, key: Option<&str>, write: bool) -> bool {
        if write && scope.role == Role::Read {
            return false;
        }
        if !scope.namespaces.is_empty() && !scope.namespaces.iter().any(|name| name == namespace) {
            return false;
        }
        if scope.prefixes.is_empty() {
            return true;
        }
        match key {
            None => !write,
            Some(key) => scope
                .prefixes
                .iter()
                .any(|prefix| key.len() >= prefix.len() && key[..prefix.len()] == **prefix),
        }
    }

    #[test]
    fn a_million_random_questions_are_answered_as_the_rules_say() {
        // Few letters, so that namespaces, keys and prefixes often meet.
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 33) as usize % below
        };
        const WORDS: [&str; 8] = ["a", "b", "ab", "aa", "abc", "ba", "default", "a/"];
        let mut allowed = 0;
        for _ in 0..100_000 {
            let role = [Role::Read, Role::Write, Role::Admin][draw(3)];
            let mut words = |most| (0..draw(most)).map(|_| WORDS[draw(8)].to_owned()).collect();
            let scope = Scope { role, namespaces: words(4), prefixes: words(4) };
            for _ in 0..10 {
                let (namespace, key) = (WORDS[draw(8)], WORDS[draw(8)]);
                let access = [Access::Read, Access::Write][draw(2)];
                let write = access == Access::Write;
                let key_allowed = scope.allows_key(namespace, key, access);
                assert_eq!(key_allowed, oracle(&scope, namespace, Some(key), write), "{scope:?}");
                let whole = scope.allows_namespace(namespace, access);
                assert_eq!(whole, oracle(&scope, namespace, None, write), "{scope:?}");
                allowed += u32::from(key_allowed);
            }
        }
        assert!((100_000..900_000).contains(&allowed), "{allowed}");
    }

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
