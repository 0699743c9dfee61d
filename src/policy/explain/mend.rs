//! What would have to be different of the policies, where no other request would be allowed: the forbids in the way, and a policy that
//! permits what was asked, and nothing else.

use super::super::denial::Outcome;
use super::super::set::PolicySet;
use super::bend::{Bend, bent, combined, told_bends, told_now, told_ttl};
use super::change::{Change, is_allowed, ways, within};
use super::{PolicyExplained, Question};
use crate::model::time::format_span;
use crate::model::{ScopeSet, TaskId};

/// The policies that are in the way, and for scopes that nothing permits, policies that would.
pub(super) fn policies(set: &PolicySet, question: &Question) -> Vec<Change> {
    // What no policy can mend is mended first: a time that nothing lives for, and one at which something forbids it.
    let (mut then, mut before) = (question.clone(), Vec::new());
    if let Some(shorter) = within(set, question) {
        before.push(told_ttl(&shorter));
        then = shorter;
    }
    if let Some((later, forbids)) = past_forbids(set, &then) {
        before.push(told_now(&later, &forbids));
        then = later;
    }
    if let Some((nearer, bends)) = nearer(set, &then) {
        before.extend(bends);
        then = nearer;
    }
    let scopes = set.scopes_explained(&then.ask());
    let place = |policy: &PolicyExplained| format!("{} ({}:{})", policy.id, policy.file, policy.line);
    let mut changes = Vec::new();
    let is_forbidden = scopes.iter().any(|scope| scope.outcome == Some(Outcome::Forbidden));
    for scope in &scopes {
        for forbid in scope.policies.iter().filter(|policy| policy.applies && !policy.permits) {
            let text = format!("let policy {} not forbid {}", place(forbid), scope.scope);
            changes.push(Change::of_policies(text));
        }
    }
    let has_permit = |policies: &[PolicyExplained]| policies.iter().any(|policy| policy.permits && policy.applies);
    let wanting = scopes.iter().filter(|scope| scope.outcome.is_some() && !has_permit(&scope.policies));
    let wanting: Vec<&str> = wanting.map(|scope| scope.scope.as_str()).collect();
    match wanting.is_empty() {
        true => {}
        false if is_forbidden => changes.push(Change::of_policies(format!(
            "once nothing forbids it, add a policy that permits {} to {}",
            wanting.join(" and "),
            question.workload
        ))),
        false => changes.push(missing(set, &then, &wanting, &before)),
    }
    for scope in scopes.iter().filter(|scope| scope.outcome == Some(Outcome::NotPermitted)) {
        for permit in scope.policies.iter().filter(|policy| policy.permits && !policy.applies) {
            let unmet = permit.parts.iter().filter(|part| part.holds != Some(true)).map(|part| part.text.as_str());
            let unmet: Vec<&str> = unmet.collect();
            if unmet.iter().any(|part| part.contains("context.identity")) {
                changes.push(Change::of_policies(format!(
                    "prove it as policy {} asks (`{}`): workloads/{}.toml has no identity that shows that",
                    place(permit),
                    unmet.join("` and `"),
                    question.workload
                )));
            }
            changes.push(Change::of_policies(format!(
                "let policy {} permit it without `{}`, for all that it speaks of",
                place(permit),
                unmet.join("` and `")
            )));
        }
    }
    changes
}

/// Of several scopes, where a policy nearly permits one and none the others: the request as that policy would have it. Its
/// condition is kept rather than written around.
fn nearer(set: &PolicySet, question: &Question) -> Option<(Question, Vec<String>)> {
    let scopes = set.scopes_explained(&question.ask());
    if scopes.len() < 2 {
        return None;
    }
    let unmet = scopes.iter().filter(|scope| scope.outcome == Some(Outcome::NotPermitted));
    unmet.filter_map(|scope| Some((scope, ScopeSet::parse(&scope.scope).ok()?))).find_map(|(scope, alone)| {
        let near = scope.policies.iter().filter(|policy| policy.permits && !policy.applies);
        near.flat_map(|permit| combined(&ways(set, permit, true))).filter(|bends| !bends.is_empty()).find_map(|bends| {
            let then = bent(set, question, &bends)?;
            let alone = Question { scopes: alone.clone(), ..then.clone() };
            is_allowed(set, &alone).then(|| {
                let told = told_bends(&bends, question, &then, &[]);
                (then, told)
            })
        })
    })
}

/// The first moment at which nothing forbids what is asked any more, and what forbids it until then.
fn past_forbids(set: &PolicySet, question: &Question) -> Option<(Question, Vec<String>)> {
    let forbidding = |question: &Question| {
        let scopes = set.scopes_explained(&question.ask());
        let forbids = scopes.into_iter().flat_map(|scope| scope.policies);
        forbids.filter(|policy| policy.applies && !policy.permits).collect::<Vec<_>>()
    };
    let forbids = forbidding(question);
    if forbids.is_empty() {
        return None;
    }
    let mut moments: Vec<u64> = Vec::new();
    for bend in forbids.iter().flat_map(|forbid| ways(set, forbid, false)).flatten() {
        if let Bend::Now(secs) = bend {
            moments.push(secs);
        }
    }
    moments.sort_unstable();
    let mut later = moments.into_iter().filter_map(|secs| bent(set, question, &[Bend::Now(secs)]));
    let later = later.find(|later| forbidding(later).is_empty())?;
    let mut names: Vec<String> = forbids.iter().map(|forbid| forbid.id.to_string()).collect();
    names.dedup();
    Some((later, names))
}

/// A condition that holds for the task, and for those that are called like it but for a number at their end. None where it is
/// all numbers, as runs of a platform are.
fn of_the_task(task: &TaskId) -> Option<String> {
    let name = task.as_str();
    if !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let head = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(match head.len() < name.len() {
        true => format!("context.task like \"{head}*\""),
        false => format!("context.task == \"{name}\""),
    })
}

/// Policies that permit these scopes to this workload, for as long as it asks and for tasks like the one it names, and nothing else.
fn missing(set: &PolicySet, then: &Question, scopes: &[&str], before: &[String]) -> Change {
    let known = set.audience(&then.audience).map_or(then.audience.as_str(), |known| known.id.as_str());
    let ttl = format_span(set.wanted_ttl(then));
    let mut taken: Vec<String> = set.rule_views().map(|rule| rule.id.to_string()).collect();
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let of_the_task = then.is_task_said.then(|| of_the_task(&then.task)).flatten();
    let when = of_the_task.map_or_else(String::new, |condition| format!(" when {{\n    {condition}\n}}"));
    let mut ids = Vec::new();
    let mut text = String::new();
    for scope in scopes {
        let base = format!("{}-{}", plain(then.workload.as_str()), plain(scope)).trim_matches('-').to_owned();
        let all = (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") });
        let id = all.clone().find(|id| !taken.contains(id)).unwrap_or_else(|| base.clone());
        let policy = format!(
            "@id(\"{id}\")\n@max_ttl(\"{ttl}\")\npermit (\n    principal == Jitney::Workload::\"{}\",\n    action == \
             Jitney::Action::\"mint\",\n    resource == Jitney::Scope::\"{known} {scope}\"\n){when};\n",
            then.workload
        );
        text = if text.is_empty() { policy } else { format!("{text}\n{policy}") };
        taken.push(id.clone());
        ids.push(id);
    }
    let what = if scopes.len() == 1 { "a policy that permits" } else { "policies that permit" };
    let told = format!("add {what} {} to {}", scopes.join(" and "), then.workload);
    let is_fixed = then.is_task_said || set.attested_tasks(then).is_some();
    let hint = if is_fixed { "" } else { " (for whatever task: name one by --task, and it is for such alone)" };
    let told = [before, &[told + hint]].concat().join(", and ");
    let file = format!("{}.cedar", ids.first().map_or("added", String::as_str));
    Change { paste: Some((file, text)), with: (!before.is_empty()).then(|| then.clone()), ..Change::of_policies(told) }
}
