//! What must never be possible: forbids beside the set, that no broker weighs. Read and checked as policies are.
//!
//! Owns what an invariant is. Whether one holds is asked elsewhere.

use std::ops::Range;
use std::sync::Arc;

use cedar_policy::{Authorizer, Effect, Policy, Request};

use super::ask::Ask;
use super::catalogue::scopes::Declared;
use super::condition::Reads;
use super::diagnostic::{Diagnostic, Severity, SourceFile};
use super::facts::Facts;
use super::names;
use super::rule;
use super::schema::Words;
use super::set::PolicySet;
use super::world::Principal;
use crate::model::Scope;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Invariant {
    pub id: Arc<str>,
    pub policy: Policy,
    pub file: SourceFile,
    pub span: Range<usize>,
}

impl Invariant {
    /// Its file and line.
    pub fn place(&self) -> String {
        let Diagnostic { file, line, .. } =
            Diagnostic::of(Severity::Note, "invariant", "").at(&self.file, self.span.clone());
        format!("{file}:{line}")
    }
}

impl PolicySet {
    /// Reads invariants, among the workloads and audiences of this set; errors are what is wrong with them.
    pub(crate) fn invariants(&self, files: &[SourceFile]) -> (Vec<Invariant>, Vec<Diagnostic>) {
        let mut findings = Vec::new();
        let words = Words::shared().and_then(|shared| shared.keeping(&self.kept()));
        let (shared, wider) = match (Words::shared(), words) {
            (Ok(shared), Ok(wider)) => (shared, wider),
            (Err(error), _) | (_, Err(error)) => return (Vec::new(), vec![error]),
        };
        let words = wider.as_ref().unwrap_or(shared);
        let rules = rule::read(files, words, &mut findings);
        names::check_invariants(words, self.principals(), self.targets(), &rules, &mut findings);
        findings.retain(|finding| finding.severity == Severity::Error);
        for finding in findings.iter_mut().filter(|finding| finding.help.is_none()) {
            finding.help = Some("an invariant is a forbid, read as policies are".into());
        }
        for permit in rules.iter().filter(|rule| rule.permits()) {
            let finding = Diagnostic::error("invariant", format!("invariant `{}` permits", permit.id));
            let finding = finding.at(&permit.file, permit.span.clone());
            findings.push(finding.help("an invariant is a forbid: it says what must never be possible"));
        }
        let of = |rule: rule::Rule| Invariant { id: rule.id, policy: rule.policy, file: rule.file, span: rule.span };
        (rules.into_iter().filter(|rule| !rule.permits()).map(of).collect(), findings)
    }

    /// What an invariant names that does not exist here, as it is written. None where nothing can be said of names.
    pub(crate) fn unknown_to(&self, invariant: &Invariant) -> Option<Vec<String>> {
        let words = Words::shared().ok()?;
        let unknown = names::unknown(words, self.principals(), self.targets(), &invariant.policy);
        Some(unknown.into_iter().map(|uid| uid.to_string()).collect())
    }

    /// Whether an invariant speaks of this request; so does one that fails.
    pub(crate) fn is_met(&self, invariant: &Invariant, ask: &Ask<'_>) -> bool {
        self.speaks_of(invariant, ask).unwrap_or(true)
    }

    /// The workloads that a policy writes out.
    pub(super) fn named_by(&self, policy: &Policy) -> Vec<&Principal> {
        let mut named: Vec<usize> = policy
            .entity_literals()
            .iter()
            .filter_map(|uid| self.principal(uid.id().unescaped()).filter(|(_, each)| each.uid == *uid))
            .map(|(at, _)| at)
            .collect();
        named.sort_unstable();
        named.dedup();
        named.into_iter().map(|at| &self.principals()[at]).collect()
    }

    /// None where the request is none, or the invariant cannot be weighed.
    fn speaks_of(&self, invariant: &Invariant, ask: &Ask<'_>) -> Option<bool> {
        let (_, principal) = self.principal(ask.workload.as_str())?;
        let target = self.target(ask.audience)?;
        let scope: &Scope = ask.scopes.iter().next()?;
        let context = Facts::new(ask, ask.ttl.unwrap_or_default()).context(Reads::CONTEXT);
        let (uid, instance) = match target.table.find(scope.as_str())? {
            Declared::Exactly(ix) => (self.scope(ix).uid.clone(), None),
            Declared::InstanceOf(ix) => {
                let (uid, entities) = self.world().instance(principal, target, self.scope(ix), scope).ok()?;
                (uid, Some(self.world().naming(entities, self.named_by(&invariant.policy).into_iter()).ok()?))
            }
        };
        let entities = instance.as_ref().unwrap_or(&self.world().entities);
        let request = Request::new(principal.uid.clone(), self.mint().clone(), uid, context.into(), None).ok()?;
        let alone = cedar_policy::PolicySet::from_policies([invariant.policy.clone()]).ok()?;
        let response = Authorizer::new().is_authorized(&request, &alone, entities);
        let diagnostics = response.diagnostics();
        debug_assert_eq!(invariant.policy.effect(), Effect::Forbid, "an invariant is a forbid");
        Some(diagnostics.reason().next().is_some() || diagnostics.errors().next().is_some())
    }
}
