//! What a policy adds to a grant for people: its file and line, and its conditions in words.

use std::collections::HashMap;

use cedar_policy::ResourceConstraint;
use serde::Serialize;

use super::words;
use crate::governance::logic::facts::{BUDGET, Facts};
use crate::policy::{Audience, PolicySet, PossibleGrant, RuleView, Workload};

/// One scope that some policy could permit.
#[derive(Debug, Clone, Serialize)]
pub struct GrantView {
    /// The resource server.
    pub audience: String,
    /// The scope.
    pub scope: String,
    /// By which policy.
    pub policy: String,
    /// The policy's file, relative to the policies' folder.
    pub file: String,
    /// Its first line there.
    pub line: usize,
    /// The longest token, seconds, where policy or audience limit it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<u64>,
    /// The longest chain of renewals, seconds, where policy or audience limit it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<u64>,
    /// Whether it hangs on conditions.
    pub conditional: bool,
    /// The conditions in words, those of forbids that may apply too. What has no words is told in Cedar's.
    pub conditions: Vec<String>,
    /// The forbids that may take a part of it away.
    pub forbids: Vec<PolicyView>,
}

/// One scope that some permit names, and that forbids take away whole.
#[derive(Debug, Clone, Serialize)]
pub struct WithheldView {
    /// The resource server.
    pub audience: String,
    /// The scope.
    pub scope: String,
    /// The permit.
    #[serde(flatten)]
    pub permit: PolicyView,
    /// The forbids each of which is enough.
    pub forbids: Vec<PolicyView>,
}

/// A policy, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// Its id.
    pub policy: String,
    /// Its file, relative to the policies' folder.
    pub file: String,
    /// Its first line there.
    pub line: usize,
}

/// The policies of a set, by id.
pub(super) struct Policies<'a>(HashMap<&'a str, Known<'a>>);

struct Known<'a> {
    rule: RuleView<'a>,
    line: usize,
}

impl<'a> Policies<'a> {
    pub fn of(set: &'a PolicySet) -> Self {
        // The ends of lines of each file: it is gone through once, however many policies stand in it.
        let mut files: HashMap<&str, Vec<usize>> = HashMap::new();
        let all = set.rule_views().map(|rule| {
            let ends = files
                .entry(&rule.file.path)
                .or_insert_with(|| memchr::memchr_iter(b'\n', rule.file.text.as_bytes()).collect());
            let line = ends.partition_point(|end| *end < rule.span.start) + 1;
            (&**rule.id, Known { line, rule })
        });
        Self(all.collect())
    }

    /// A grant with what its policies say.
    pub fn view(&self, grant: PossibleGrant) -> GrantView {
        let PolicyView { policy, file, line } = self.named(&grant.policy);
        let permit = self.0.get(&*grant.policy);
        let own = permit.and_then(|known| known.rule.body).map_or_else(Vec::new, words::conditions);
        let limits = grant.forbids.iter().filter_map(|id| self.0.get(&**id)).map(|known| limit(&known.rule));
        GrantView {
            conditions: own.into_iter().chain(limits).collect(),
            forbids: grant.forbids.iter().map(|id| self.named(id)).collect(),
            file,
            line,
            audience: grant.audience.to_string(),
            scope: grant.scope.to_string(),
            policy,
            max_ttl: grant.max_ttl.map(|ttl| ttl.as_secs()),
            max_lifetime: grant.max_lifetime.map(|span| span.as_secs()),
            conditional: grant.conditional,
        }
    }

    /// Whether a permit can let anything through here: what the set says of both may settle its conditions.
    pub fn can_apply(&self, workload: &Workload, audience: Option<&Audience>, grant: &PossibleGrant) -> bool {
        let body = self.0.get(&*grant.policy).and_then(|known| known.rule.body);
        let (Some(body), Some(audience)) = (body, audience) else { return true };
        let mut facts = Facts::default();
        facts.know_workload(workload);
        facts.know_audience(audience);
        if !grant.scope.ends_with(":*") {
            facts.is("resource.name", &grant.scope);
        }
        let mut budget = BUDGET;
        facts.can_hold(&[(body, true)], &mut budget)
    }

    /// What a permit names in vain, with the forbids that take it away.
    pub fn withheld(&self, permit: &PossibleGrant) -> WithheldView {
        WithheldView {
            audience: permit.audience.to_string(),
            scope: permit.scope.to_string(),
            permit: self.named(&permit.policy),
            forbids: permit.taken_by.iter().map(|id| self.named(id)).collect(),
        }
    }

    /// A policy with its place.
    pub fn named(&self, id: &str) -> PolicyView {
        let known = self.0.get(id);
        PolicyView {
            policy: id.to_owned(),
            file: known.map_or_else(String::new, |known| file_name(&known.rule.file.path)),
            line: known.map_or(0, |known| known.line),
        }
    }
}

/// Policies lie in the folder itself, and in no folder in it.
fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// What a forbid takes away, in words.
fn limit(forbid: &RuleView<'_>) -> String {
    let id = forbid.id;
    match forbid.body {
        Some(body) => format!("{} (forbid {id})", words::not_where(body)),
        // It names an instance, or it would have taken all of it away.
        None => match forbid.policy.resource_constraint() {
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                let name = uid.id().unescaped();
                format!("never {} (forbid {id})", name.split_once(' ').map_or(name, |(_, scope)| scope))
            }
            _ => format!("never where forbid {id} applies"),
        },
    }
}
