//! What would have to be different: of the request, where another one would be allowed; else of the policies.
//!
//! Owns where to look: the limits, and what the conditions of the policies in question compare. Every change of a request was
//! decided as allowed before it is told. One of the policies is proven by whoever can load them anew.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy_core::ast::Expr;

use super::super::denial::{Denial, Outcome};
use super::super::diagnostic::closest;
use super::super::set::PolicySet;
use super::bend::{Bend, MOST, bent, combined, gather, told_bend, told_ttl};
use super::weigh::{conjuncts, with_condition};
use super::{PolicyExplained, Question, ScopeExplained};
use crate::model::{Reason, ScopeSet, WorkloadId};

/// Something that would have to be different.
#[derive(Debug, Clone)]
pub struct Change {
    /// What to do, as a sentence.
    pub text: String,
    /// What to write, and into which file of the set, where it is a change of the policies.
    pub paste: Option<(String, String)>,
    /// Whether the request was then decided as allowed.
    pub proven: bool,
}

/// All that is worth telling, the nearest first.
pub(super) fn all(set: &PolicySet, question: &Question, denial: &Denial, scopes: &[ScopeExplained]) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(spelling(set, question));
    changes.extend(ttl(set, question, scopes));
    match within(set, question) {
        // What is longer than anything may live has no way through the policies.
        Some(shorter) => changes.extend(bends(set, &shorter, &set.scopes_explained(&shorter.ask()), true)),
        None => changes.extend(bends(set, question, scopes, false)),
    }
    changes.extend(fewer(set, question, scopes));
    changes.extend(file(set, question, denial));
    if changes.iter().all(|change| !change.proven) {
        changes.extend(policies(set, question, scopes));
    }
    changes
}

fn is_allowed(set: &PolicySet, question: &Question) -> bool {
    set.decide(&question.ask()).is_ok()
}

/// A name that nearly is one.
fn spelling(set: &PolicySet, question: &Question) -> Vec<Change> {
    let told = |what: &str, name: &str, then: &Question| {
        let proven = is_allowed(set, then);
        let text = match proven {
            true => format!("ask {what} {name}"),
            false => format!("ask {what} {name}, which is the nearest that there is; more may be amiss"),
        };
        Change { text, paste: None, proven }
    };
    if set.workload(question.workload.as_str()).is_none() {
        let names = set.workloads().map(|workload| workload.id.as_str());
        let near = closest(question.workload.as_str(), names).and_then(|name| WorkloadId::parse(name).ok());
        let then = |near: WorkloadId| {
            told("as workload", near.as_str(), &Question { workload: near.clone(), ..question.clone() })
        };
        return near.map(then).into_iter().collect();
    }
    let Some(audience) = set.audience(&question.audience) else {
        let names = set.audiences().map(|audience| audience.id.as_str());
        let near = closest(&question.audience, names);
        let then = |near: &str| told("for audience", near, &Question { audience: near.into(), ..question.clone() });
        return near.map(then).into_iter().collect();
    };
    let declared: Vec<&str> = audience.scopes.iter().map(|scope| &*scope.name).collect();
    let known = |name: &str| set.target(&question.audience).is_some_and(|target| target.table.find(name).is_some());
    let mut names = Vec::new();
    let mut is_changed = false;
    for scope in question.scopes.iter().map(|scope| scope.as_str()) {
        match (known(scope), closest(scope, declared.iter().copied())) {
            (false, Some(near)) => {
                is_changed = true;
                names.push(near);
            }
            _ => names.push(scope),
        }
    }
    let scopes = ScopeSet::parse(&names.join(" ")).ok().filter(|_| is_changed);
    let then = |scopes: ScopeSet| {
        told("for scope", &scopes.to_string(), &Question { scopes: scopes.clone(), ..question.clone() })
    };
    scopes.map(then).into_iter().collect()
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
    Some(Change { text: told_ttl(&then), paste: None, proven: true })
}

/// The same question for as long as configuration and audience let a token live, where it asks for longer.
fn within(set: &PolicySet, question: &Question) -> Option<Question> {
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
            let mut then = bent(question, &bends)?;
            let longest = needs.longest.filter(|longest| then.ttl.is_some_and(|ttl| ttl > *longest));
            then.ttl = longest.or(then.ttl);
            is_allowed(set, &then).then_some((bends, then, longest.is_some()))
        });
        let Some((bends, then, is_capped)) = found else { continue };
        let has_ttl = bends.iter().any(|bend| matches!(bend, Bend::Ttl(_)));
        let shorter = ((is_shorter || is_capped) && !has_ttl).then(|| told_ttl(&then));
        let parts: Vec<String> = shorter.into_iter().chain(bends.iter().map(|bend| told_bend(bend, &then))).collect();
        let which = if needs.policies.len() == 1 { "policy" } else { "policies" };
        let text = format!("{} ({which} {})", parts.join(", and "), needs.policies.join(", "));
        if changes.iter().all(|(_, change)| change.text != text) {
            changes.push((bends.len(), Change { text, paste: None, proven: true }));
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
    }
    if permits.iter().any(|permit| permit.applies) {
        return vec![past];
    }
    let through = |permit: &&PolicyExplained| Needs {
        ways: ways(set, permit, true).into_iter().chain(past.ways.iter().cloned()).collect(),
        policies: [std::slice::from_ref(&permit.id), &past.policies[..]].concat(),
        longest: [set.rule(permit.rule).max_ttl, set.rule(permit.rule).max_lifetime].into_iter().flatten().min(),
    };
    permits.iter().map(through).collect()
}

/// For each part of the policy's condition that has to be different: what would make it so. A part that nothing in a request
/// can change has no way.
fn ways(set: &PolicySet, policy: &PolicyExplained, must_hold: bool) -> Vec<Vec<Bend>> {
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
    is_allowed(set, &then).then(|| Change { text: format!("ask for {told} alone"), paste: None, proven: true })
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
    Some(Change { text, paste: None, proven: false })
}

/// The policies that are in the way, and for a scope that nothing permits, one that would.
fn policies(set: &PolicySet, question: &Question, scopes: &[ScopeExplained]) -> Vec<Change> {
    let mut changes = Vec::new();
    for scope in scopes {
        let place = |policy: &PolicyExplained| format!("{} ({}:{})", policy.id, policy.file, policy.line);
        for forbid in scope.policies.iter().filter(|policy| policy.applies && !policy.permits) {
            let text = format!("let policy {} not forbid {}", place(forbid), scope.scope);
            changes.push(Change { text, paste: None, proven: false });
        }
        let permits: Vec<&PolicyExplained> = scope.policies.iter().filter(|policy| policy.permits).collect();
        for permit in permits.iter().filter(|policy| !policy.applies) {
            let unmet: Vec<&str> =
                permit.parts.iter().filter(|part| part.holds != Some(true)).map(|part| part.text.as_str()).collect();
            let text = format!("let policy {} permit it without `{}`", place(permit), unmet.join("` and `"));
            changes.push(Change { text, paste: None, proven: false });
        }
        if scope.outcome == Some(Outcome::NotPermitted) {
            changes.push(missing(set, question, &scope.scope));
        }
    }
    changes
}

/// A policy that permits this scope to this workload, and nothing else.
fn missing(set: &PolicySet, question: &Question, scope: &str) -> Change {
    let audience = set.audience(&question.audience).map_or(question.audience.as_str(), |known| known.id.as_str());
    let taken: Vec<_> = set.rule_views().map(|rule| rule.id.to_string()).collect();
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let base = format!("{}-{}", plain(question.workload.as_str()), plain(scope)).trim_matches('-').to_owned();
    let id = (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") }).find(|id| !taken.contains(id));
    let id = id.unwrap_or(base);
    let policy = format!(
        "@id(\"{id}\")\npermit (\n    principal == Jitney::Workload::\"{}\",\n    action == Jitney::Action::\"mint\",\n    \
         resource == Jitney::Scope::\"{audience} {scope}\"\n);\n",
        question.workload
    );
    Change {
        text: format!("add a policy that permits {scope} to {}", question.workload),
        paste: Some((format!("{id}.cedar"), policy)),
        proven: false,
    }
}
