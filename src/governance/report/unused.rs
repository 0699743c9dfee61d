//! Grants that nobody used, and the patch that removes the policies behind them.
//!
//! A policy is proposed for removal only where no token of the period rests on it. Where a part of what it grants was used, it is
//! named and left to its owner: narrower is a decision, not a patch.

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;
use similar::TextDiff;

use super::evidence::Usage;
use crate::governance::inventory::WorkloadView;
use crate::policy::{PolicySet, RuleView};

/// What nobody used.
#[derive(Debug, Default, Serialize)]
pub struct Unused {
    /// How many grants there are in all.
    pub grants: usize,
    /// Those that no token of the period used, as far as the logs that were read tell.
    pub unused: Vec<UnusedGrant>,
    /// Permits that no token of the period rests on.
    pub policies: Vec<String>,
    /// A unified diff against the policies' folder that removes them; none where there is nothing to remove, or nothing to judge
    /// by: no token, or a broker of the store whose log was not read.
    pub patch: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct UnusedGrant {
    /// Whose.
    pub workload: String,
    /// At which resource server.
    pub audience: String,
    /// What.
    pub scope: String,
    /// By which policy.
    pub policy: String,
}

impl Unused {
    /// What no token of the period used. Without any token, or with a log that nobody read, there is nothing to judge by, and
    /// nothing is proposed.
    pub(super) fn of(
        set: &PolicySet,
        workloads: &[WorkloadView],
        usage: &[Vec<Usage>],
        used: &HashSet<String>,
        granted: u64,
        is_all: bool,
    ) -> Self {
        let mut found = Self::default();
        for (workload, usage) in workloads.iter().zip(usage) {
            found.grants += usage.len();
            for (grant, usage) in workload.grants.iter().zip(usage) {
                if usage.used == 0 && usage.last.is_none() {
                    found.unused.push(UnusedGrant {
                        workload: workload.id.clone(),
                        audience: grant.audience.clone(),
                        scope: grant.scope.clone(),
                        policy: grant.policy.clone(),
                    });
                }
            }
        }
        if granted == 0 || !is_all {
            return found;
        }
        let idle: Vec<RuleView<'_>> =
            set.rule_views().filter(|rule| rule.permits && !used.contains(&**rule.id)).collect();
        found.policies = idle.iter().map(|rule| rule.id.to_string()).collect();
        found.policies.sort();
        found.patch = Some(patch(&idle)).filter(|patch| !patch.is_empty());
        found
    }
}

/// A unified diff that removes these policies, with the comments right above them.
fn patch(idle: &[RuleView<'_>]) -> String {
    let mut files: Vec<&str> = idle.iter().map(|rule| &*rule.file.path).collect();
    files.sort_unstable();
    files.dedup();
    let mut patch = String::new();
    for path in files {
        let mut rules: Vec<&RuleView<'_>> = idle.iter().filter(|rule| &*rule.file.path == path).collect();
        // From the end, so that what stands before keeps its place.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.span.start));
        let Some(before) = rules.first().map(|rule| &*rule.file.text) else { continue };
        let mut after = before.to_owned();
        rules.iter().for_each(|rule| remove(&mut after, rule.span.start, rule.span.end));
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let diff = TextDiff::from_lines(before, &after);
        patch.push_str(&diff.unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string());
    }
    patch
}

/// Removes one policy: its text, the comments right above it, and the empty line behind it.
fn remove(text: &mut String, start: usize, end: usize) {
    let mut from = line_start(text, start);
    if !text[from..start].trim().is_empty() {
        // Something else stands before it on its line.
        text.replace_range(start..end, "");
        return;
    }
    while from > 0 {
        let above = line_start(text, from - 1);
        if !text[above..from].trim_start().starts_with("//") {
            break;
        }
        from = above;
    }
    let rest = &text[end..];
    let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
    if !rest[..line_end].trim().is_empty() {
        text.replace_range(start..end, "");
        return;
    }
    let mut to = end + line_end;
    let next = text[to..].find('\n').map_or(text.len(), |at| to + at + 1);
    if to < text.len() && text[to..next].trim().is_empty() {
        to = next;
    } else if to == text.len() && text[..from].ends_with("\n\n") {
        // The last one of a file leaves no empty line at its end.
        from -= 1;
    }
    text.replace_range(from..to, "");
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str, policy: &str) -> String {
        let start = text.find(policy).unwrap();
        let mut text = text.to_owned();
        remove(&mut text, start, start + policy.len());
        text
    }

    #[test]
    fn a_policy_goes_with_its_comment_and_leaves_the_rest_as_it_was() {
        let text = "// The file.\n\n// Of a.\n// More of a.\n@a;\n\n// Of b.\n@b;\n\n@c;\n";
        assert_eq!(without(text, "@a;"), "// The file.\n\n// Of b.\n@b;\n\n@c;\n");
        assert_eq!(without(text, "@b;"), "// The file.\n\n// Of a.\n// More of a.\n@a;\n\n@c;\n");
        assert_eq!(without(text, "@c;"), "// The file.\n\n// Of a.\n// More of a.\n@a;\n\n// Of b.\n@b;\n");
        assert_eq!(without("@a; @b;\n", "@b;"), "@a; \n", "two in a line");
        assert_eq!(without("@a; @b;\n", "@a;"), " @b;\n");
        assert_eq!(without("@a; // said\n", "@a;"), " // said\n");
        assert_eq!(without("@a;", "@a;"), "");
    }
}
