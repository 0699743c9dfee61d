//! A task's name: the bounded piece of work a token is for. Its name alone tells its ancestors.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{InvalidName, read_text};

/// The name of a task: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ : -`, with `/` between a task and its child.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        read_text(d, Self::parse)
    }
}

impl TaskId {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses a task's name; no part of it may be empty, `.` or `..`.
    ///
    /// # Errors
    /// [`InvalidName`] with the rule that was broken.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        let broken = |rule| Err(InvalidName { what: "task", rule });
        if raw.is_empty() || raw.len() > Self::MAX_LEN {
            return broken("a task is named by 1 to 128 characters");
        }
        if !raw.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b':' | b'-' | b'/')) {
            return broken("a task's name is made of A-Z a-z 0-9 . _ ~ : - and / before a child");
        }
        if raw.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return broken("no part of a task's name is empty, `.` or `..`");
        }
        Ok(Self(raw.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The task and its ancestors, eldest first, itself last: `a/b/c` gives `a`, `a/b`, `a/b/c`.
    pub fn lineage(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at]).chain(std::iter::once(&*self.0))
    }

    /// Whether this is `ancestor` itself or one of its descendants.
    pub fn is_within(&self, ancestor: &TaskId) -> bool {
        self.lineage().any(|name| name == ancestor.as_str())
    }
}

impl std::borrow::Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = InvalidName;
    fn try_from(raw: String) -> Result<Self, InvalidName> {
        Self::parse(&raw)
    }
}

impl From<TaskId> for String {
    fn from(task: TaskId) -> String {
        task.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_tells_its_ancestors() {
        let task = TaskId::parse("deploy-42/migrate/users").unwrap();
        assert_eq!(task.lineage().collect::<Vec<_>>(), ["deploy-42", "deploy-42/migrate", "deploy-42/migrate/users"]);
        assert!(task.is_within(&TaskId::parse("deploy-42").unwrap()));
        assert!(!task.is_within(&TaskId::parse("deploy-4").unwrap()));
        assert!(!TaskId::parse("deploy-42").unwrap().is_within(&task));
    }

    #[test]
    fn names_outside_the_rule_are_refused() {
        let long = "x".repeat(129);
        for raw in ["", "/", "a/", "/a", "a//b", "a/../b", ".", "..", "a/.", "a b", "ü", "a\n", "a%2Fb", long.as_str()]
        {
            assert!(TaskId::parse(raw).is_err(), "{raw:?}");
        }
        assert!(TaskId::parse(&"x".repeat(128)).is_ok());
        assert!(TaskId::parse("run:42.1~b_c-d/...").is_ok());
    }

    proptest! {
        #[test]
        fn whatever_parses_reads_back_and_ends_with_itself(raw in "[A-Za-z0-9._~:/ -]{0,140}") {
            if let Ok(task) = TaskId::parse(&raw) {
                prop_assert_eq!(task.as_str(), raw.as_str());
                let lineage: Vec<&str> = task.lineage().collect();
                prop_assert_eq!(lineage.last().copied(), Some(raw.as_str()));
                prop_assert_eq!(lineage.len(), raw.split('/').count());
                for name in lineage {
                    prop_assert!(task.is_within(&TaskId::parse(name).unwrap()));
                }
            } else {
                let bad_part = raw.split('/').any(|p| matches!(p, "" | "." | ".."));
                prop_assert!(raw.is_empty() || raw.len() > 128 || raw.contains(' ') || bad_part);
            }
        }
    }
}
