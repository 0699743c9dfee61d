//! What would have to be different: of the request, where another one would be allowed; else of the policies.
//!
//! Owns where to look: the limits, and what the conditions of the policies in question compare. Every change of a request was
//! decided as allowed before it is told. One of the policies is proven by whoever can load them anew.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy_core::ast::Expr;

use super::super::denial::{Denial, Outcome};
use super::super::set::PolicySet;
use super::bend::{Bend, MOST, bent, combined, gather, told_bends, told_ttl};
use super::weigh::{conjuncts, with_condition};
use super::{PolicyExplained, Question, ScopeExplained};
use super::{mend, spelling};
use crate::model::{Reason, ScopeSet};

/// Something that would have to be different.
#[derive(Debug, Clone)]
pub struct Change {
    /// What to do, as a sentence.
    pub text: String,
    /// What to write, and into which file of the set, where it is a change of the policies.
    pub paste: Option<(String, String)>,
    /// The request that is then allowed, where that has to be another one too.
    pub with: Option<Question>,
    /// Whether the request was then decided as allowed.
    pub proven: bool,
    /// Whether it is the policies that would be others.
    pub is_of_policies: bool,
}

impl Change {
    /// One that nobody has tried.
    pub const fn told(text: String) -> Self {
        Self { text, paste: None, with: None, proven: false, is_of_policies: false }
    }

    /// One of the policies.
    pub(super) fn of_policies(text: String) -> Self {
        Self { is_of_policies: true, ..Self::told(text) }
    }

    fn tried(text: String) -> Self {
        Self { proven: true, ..Self::told(text) }
    }
}

/// All that is worth telling, the nearest first.
pub(super) fn all(set: &PolicySet, question: &Question, denial: &Denial, scopes: &[ScopeExplained]) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(spelling::spelling(set, question));
    changes.extend(ttl(set, question, scopes));
    match within(set, question) {
        // What is longer than anything may live has no way through the policies.
        Some(shorter) => changes.extend(bends(set, &shorter, &set.scopes_explained(&shorter.ask()), true)),
        None => changes.extend(bends(set, question, scopes, false)),
    }
    changes.extend(fewer(set, question, scopes));
    changes.extend(file(set, question, denial));
    if changes.iter().all(|change| !change.proven) {
        changes.extend(mend::policies(set, question));
    }
    if changes.is_empty() {
        changes.push(Change::told(format!("mend what refuses it: {}", denial.refusal.description)));
    }
    changes
}

pub(super) fn is_allowed(set: &PolicySet, question: &Question) -> bool {
    set.decide(&question.ask()).is_ok()
}

/// Another time to live alone: of all that is compared with it anywhere here, the nearest that is allowed.
fn ttl(set: &PolicySet, question: &Question, scopes: &[ScopeExplained]) -> Option<Change> {
    let limits = question.limits;
    let audience = set.audience(&question.audience);
    let policies = || scopes.iter().flat_map(|scope| &scope.policies);
    let obliged = policies().flat_map(|policy| {
        let rule = set.rule(policy.rule);
        [rule.max_ttl, rule.max_lifetime]
    });
    let spans = [limits.max_ttl, limits.max_lifetime, limits.default_ttl].map(Some).into_iter();
    let spans =
        spans.chain(audience.iter().flat_map(|audience| [audience.max_ttl, audience.max_lifetime])).chain(obliged);
    let mut tried: Vec<u64> = spans.flatten().map(|span| span.as_secs()).collect();
    for policy in policies() {
        for bend in ways(set, policy, true).into_iter().chain(ways(set, policy, false)).flatten() {
            if let Bend::Ttl(secs) = bend {
                tried.push(secs);
            }
        }
    }
    let asked = question.ttl.unwrap_or(limits.default_ttl).as_secs();
    tried.sort_by_key(|secs| (secs.abs_diff(asked), *secs));
    tried.dedup();
    let found = tried.into_iter().filter(|secs| *secs > 0 && Some(*secs) != question.ttl.map(|ttl| ttl.as_secs()));
    let mut found = found.map(|secs| Question { ttl: Some(Duration::from_secs(secs)), ..question.clone() });
    let then = found.find(|then| is_allowed(set, then))?;
    Some(Change::tried(told_ttl(&then)))
}

/// The same question for as long as configuration and audience let a token live, where it asks for longer.
pub(super) fn within(set: &PolicySet, question: &Question) -> Option<Question> {
    let audience = set.audience(&question.audience)?;
    let limits = [question.limits.max_ttl, question.limits.max_lifetime].into_iter();
    let longest = limits.chain(audience.max_ttl).chain(audience.max_lifetime).min()?;
    let is_longer = question.ttl.is_some_and(|ttl| ttl > longest);
    is_longer.then(|| Question { ttl: Some(longest), ..question.clone() })
}

/// What has to be different for a request to be allowed: each of these, in one of its ways. And whose conditions say so.
#[derive(Debug, Clone, Default)]
struct Needs {
    ways: Vec<Vec<Bend>>,
    policies: Vec<Arc<str>>,
    /// Those of them that forbid.
    forbids: Vec<String>,
    /// The longest that these let a token live.
    longest: Option<Duration>,
}

/// Permits whose condition does not hold, and forbids whose condition does, bent until the request is allowed.
/// `is_shorter`: the question asks for another ttl already.
fn bends(set: &PolicySet, question: &Question, scopes: &[ScopeExplained], is_shorter: bool) -> Vec<Change> {
    let mut all = vec![Needs::default()];
    for scope in scopes.iter().filter(|scope| scope.outcome != Some(Outcome::Permitted)) {
        let of_scope = needs(set, scope);
        let longer = all.iter().flat_map(|before| {
            of_scope.iter().map(|more| Needs {
                ways: [&before.ways[..], &more.ways[..]].concat(),
                policies: [&before.policies[..], &more.policies[..]].concat(),
                forbids: [&before.forbids[..], &more.forbids[..]].concat(),
                longest: before.longest.into_iter().chain(more.longest).min(),
            })
        });
        all = longer.take(MOST).collect();
    }
    let mut changes: Vec<(usize, Change)> = Vec::new();
    for needs in all {
        // Another ttl alone was told already.
        let is_told = |bends: &Vec<Bend>| bends.is_empty() || matches!(bends[..], [Bend::Ttl(_)]);
        let mut tried = combined(&needs.ways).into_iter().filter(|bends| !is_told(bends));
        let found = tried.find_map(|bends| {
            let mut then = bent(set, question, &bends)?;
            let longest = needs.longest.filter(|longest| then.ttl.is_some_and(|ttl| ttl > *longest));
            then.ttl = longest.or(then.ttl);
            is_allowed(set, &then).then_some((bends, then, longest.is_some()))
        });
        let Some((bends, then, is_capped)) = found else { continue };
        let has_ttl = bends.iter().any(|bend| matches!(bend, Bend::Ttl(_)));
        let shorter = ((is_shorter || is_capped) && !has_ttl).then(|| told_ttl(&then));
        let told = told_bends(&bends, question, &then, &needs.forbids);
        let parts: Vec<String> = shorter.into_iter().chain(told).collect();
        let which = if needs.policies.len() == 1 { "policy" } else { "policies" };
        let text = format!("{} ({which} {})", parts.join(", and "), needs.policies.join(", "));
        if changes.iter().all(|(_, change)| change.text != text) {
            changes.push((bends.len(), Change::tried(text)));
        }
    }
    changes.sort_by_key(|(parts, _)| *parts);
    changes.into_iter().map(|(_, change)| change).collect()
}

/// The ways to a permit of one scope: through each that does not apply yet, or through the one that does, and past each forbid.
fn needs(set: &PolicySet, scope: &ScopeExplained) -> Vec<Needs> {
    let (permits, forbids): (Vec<&PolicyExplained>, Vec<_>) = scope.policies.iter().partition(|policy| policy.permits);
    let mut past = Needs::default();
    for forbid in forbids.into_iter().filter(|forbid| forbid.applies) {
        // One part that does not hold is enough.
        past.ways.push(ways(set, forbid, false).into_iter().flatten().collect());
        past.policies.push(forbid.id.clone());
        past.forbids.push(forbid.id.to_string());
    }
    if permits.iter().any(|permit| permit.applies) {
        return vec![past];
    }
    let through = |permit: &&PolicyExplained| Needs {
        ways: ways(set, permit, true).into_iter().chain(past.ways.iter().cloned()).collect(),
        policies: [std::slice::from_ref(&permit.id), &past.policies[..]].concat(),
        forbids: past.forbids.clone(),
        longest: [set.rule(permit.rule).max_ttl, set.rule(permit.rule).max_lifetime].into_iter().flatten().min(),
    };
    permits.iter().map(through).collect()
}

/// For each part of the policy's condition that has to be different: what would make it so. A part that nothing in a request
/// can change has no way.
pub(super) fn ways(set: &PolicySet, policy: &PolicyExplained, must_hold: bool) -> Vec<Vec<Bend>> {
    let rule = set.rule(policy.rule);
    let look = |_: &str, expr: &Expr| {
        let mut all = Vec::new();
        for (conjunct, part) in conjuncts(expr).iter().zip(&policy.parts) {
            if must_hold != (part.holds == Some(true)) {
                let mut bends = Vec::new();
                gather(conjunct.expr, conjunct.must_hold == must_hold, &mut bends);
                all.push(bends);
            }
        }
        all
    };
    with_condition(rule, look).unwrap_or_default()
}

/// Those of the scopes that are permitted, without the others.
fn fewer(set: &PolicySet, question: &Question, scopes: &[ScopeExplained]) -> Option<Change> {
    let permitted: Vec<&str> = scopes
        .iter()
        .filter(|scope| scope.outcome == Some(Outcome::Permitted))
        .map(|scope| scope.scope.as_str())
        .collect();
    if permitted.is_empty() || permitted.len() == scopes.len() {
        return None;
    }
    let told = permitted.join(" ");
    let then = Question { scopes: ScopeSet::parse(&told).ok()?, ..question.clone() };
    is_allowed(set, &then).then(|| Change::tried(format!("ask for {told} alone")))
}

/// What the workload's own file lacks.
fn file(set: &PolicySet, question: &Question, denial: &Denial) -> Option<Change> {
    let workload = set.workload(question.workload.as_str())?;
    let text = match denial.refusal.reason {
        Reason::Expired => {
            let day = workload.expires.map(|day| day.to_string()).unwrap_or_default();
            format!("give workloads/{}.toml a later `expires` than {day}, where its owner still needs it", workload.id)
        }
        Reason::Ungoverned => format!("give workloads/{}.toml its {}", workload.id, workload.gaps().join(" and its ")),
        _ => return None,
    };
    Some(Change::told(text))
}
