//! OAuth scopes (RFC 6749 §3.3): one token of it, and the set that a request asks for.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{InvalidName, read_text};

/// One scope token: visible ASCII without `"` and `\`, at most 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        read_text(d, Self::parse)
    }
}

impl Scope {
    /// Parses one scope token (RFC 6749 §3.3: `%x21 / %x23-5B / %x5D-7E`).
    ///
    /// # Errors
    /// [`InvalidName`] with the rule that was broken.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        let good =
            (1..=128).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if good {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidName { what: "scope", rule: "a scope is 1 to 128 visible ASCII characters without \" and \\" })
        }
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidName;
    fn try_from(raw: String) -> Result<Self, InvalidName> {
        Self::parse(&raw)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.0.as_ref().to_owned()
    }
}

/// The scopes of one request or token: at least one, none twice, in the order they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeSet(Arc<[Scope]>);

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        read_text(d, Self::parse)
    }
}

impl ScopeSet {
    /// The most scopes one token may carry.
    pub const MAX: usize = 32;

    /// Parses a space-separated list (RFC 6749 §3.3). A repeated scope counts once.
    ///
    /// # Errors
    /// [`InvalidName`] where there is none, there are too many, one is malformed, or spaces stand where none belong.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        let mut scopes: Vec<Scope> = Vec::with_capacity(2);
        for part in raw.split(' ') {
            let scope = Scope::parse(part)?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
            if scopes.len() > Self::MAX {
                return Err(InvalidName { what: "scope", rule: "at most 32 scopes may be asked for at once" });
            }
        }
        Ok(Self(scopes.into()))
    }

    /// The scopes, in the order asked.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// How many there are: at least one.
    #[allow(clippy::len_without_is_empty, reason = "a set of scopes is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `scope` is among them.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|each| each.as_str() == scope)
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ScopeSet {
    type Error = InvalidName;
    fn try_from(raw: String) -> Result<Self, InvalidName> {
        Self::parse(&raw)
    }
}

impl From<ScopeSet> for String {
    fn from(scopes: ScopeSet) -> String {
        scopes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_in_order_and_repeats_count_once() {
        let scopes = ScopeSet::parse("orders:write orders:read orders:write").unwrap();
        assert_eq!(scopes.to_string(), "orders:write orders:read");
        assert!(scopes.contains("orders:read") && !scopes.contains("orders"));
    }

    #[test]
    fn lists_outside_the_rule_are_refused() {
        let many = (0..33).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
        for raw in ["", " ", "a  b", " a", "a ", "a\tb", "a\"b", "a\\b", "é", many.as_str()] {
            assert!(ScopeSet::parse(raw).is_err(), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_to_something_that_parses_to_the_same(raw in "[!-~ ]{0,80}") {
            if let Ok(scopes) = ScopeSet::parse(&raw) {
                prop_assert_eq!(ScopeSet::parse(&scopes.to_string()).unwrap(), scopes.clone());
                let mut seen = std::collections::HashSet::new();
                for scope in &scopes {
                    prop_assert!(seen.insert(scope.clone()));
                    prop_assert!(!scope.as_str().contains(['"', '\\', ' ']));
                }
            } else {
                prop_assert!(raw.split(' ').any(|p| p.is_empty() || p.contains(['"', '\\'])) || raw.split(' ').count() > 32);
            }
        }
    }
}
