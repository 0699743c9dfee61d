//! What slicing may never do: change a decision.

use std::collections::{HashMap, HashSet};
use std::iter::once;
use std::time::Duration;

use cedar_policy::{Context, Entities, Entity, Request, RestrictedExpression};
use proptest::prelude::*;

use super::Ask;
use super::PolicySet;
use super::catalogue::scopes::Declared;
use super::facts::Facts;
use super::fixtures::{NOW, Question, audience_file, files, set, workload_file};
use super::ready::Verdict;
use super::slice::RuleIx;

const API: &str = "https://api.example.com";
const OTHER: &str = "https://other.example.com/v1";

/// Heads and conditions of every form, among which each test case picks.
const PRINCIPALS: &[&str] = &[
    "principal",
    "principal == Jitney::Workload::\"alpha\"",
    "principal == Jitney::Workload::\"beta\"",
    "principal in Jitney::Workload::\"alpha\"",
    "principal is Jitney::Workload",
    "principal is Jitney::Workload in Jitney::Workload::\"beta\"",
];
const RESOURCES: &[&str] = &[
    "resource",
    "resource is Jitney::Scope",
    "resource == Jitney::Scope::\"https://api.example.com orders:read\"",
    "resource == Jitney::Scope::\"https://api.example.com items:read:42\"",
    "resource == Jitney::Scope::\"https://api.example.com items:read:7\"",
    "resource in Jitney::Scope::\"https://api.example.com items:read:*\"",
    "resource in Jitney::Scope::\"https://api.example.com items:read:42\"",
    "resource in Jitney::Scope::\"https://api.example.com orders:write\"",
    "resource in Jitney::Audience::\"https://api.example.com\"",
    "resource is Jitney::Scope in Jitney::Audience::\"https://other.example.com/v1\"",
    "resource == Jitney::Scope::\"https://other.example.com/v1 orders:read\"",
];
const CONDITIONS: &[&str] = &[
    "",
    "when { context.ttl <= 120 }",
    "when { context.task like \"deploy*\" }",
    "unless { principal == Jitney::Workload::\"beta\" }",
    "when { principal.owner == Jitney::Workload::\"beta\".owner }",
    "when { resource in Jitney::Audience::\"https://api.example.com\" }",
    "when { resource in Jitney::Scope::\"https://api.example.com items:read:*\" }",
    "unless { resource.name like \"items:*\" || resource.audience.owner == \"\" }",
    "when { context.now + 9223372036854775807 < 0 }",
    "when { principal.purpose != \"\" && 9223372036854775807 + 1 < 0 }",
    "when { resource.name like \"orders:*\" } unless { principal.owner like \"beta@*\" }",
    "when { if principal.owner like \"beta@*\" then context.ttl > 120 else resource.name == \"orders:read\" }",
    "when { context.identity.claims has kid && context.identity.claims.kid == \"k2\" }",
    "unless { context.identity.type == \"oidc\" || context.now == 1795564807 }",
    "when { [principal.owner, context.task].contains(\"t1\") || context.ttl - 120 > 0 }",
];
/// What changes from one request to the next: task, key, moment.
const REQUESTS: [(&str, &str, u64); 4] =
    [("t1", "k1", 0), ("deploy-1", "k1", 7), ("t1", "k2", 1), ("deploy-2", "k2", 2)];
const SCOPES: &[&str] =
    &["orders:read", "orders:write", "items:read:42", "items:read:7", "items:read:8", "items:read:*"];

fn policies() -> impl Strategy<Value = String> {
    let pick = |of: &'static [&'static str]| (0..of.len()).prop_map(move |at| of[at]);
    let effect = prop_oneof![4 => Just("permit"), 1 => Just("forbid")];
    let one = (effect, pick(PRINCIPALS), pick(RESOURCES), pick(CONDITIONS));
    // Few, so that permits come through too; and more than are merged into a workload's own slice.
    let some = prop_oneof![prop::collection::vec(one.clone(), 0..8), prop::collection::vec(one, 0..60)];
    some.prop_map(|all| {
        let line = |(at, (effect, who, what, when)): (usize, (&str, &str, &str, &str))| {
            format!("@id(\"p{at}\") {effect}({who}, action, {what}) {when};\n")
        };
        all.into_iter().enumerate().map(line).collect()
    })
}

fn loaded(policies: &str) -> PolicySet {
    let mut files = files(policies);
    files.push(("audiences/other.toml".into(), audience_file(OTHER)));
    files[1].1 = workload_file().replace("team@", "beta@");
    // One instance is declared by its own name too.
    files[2].1.push_str("\"items:read:42\" = \"The one\"\n");
    PolicySet::from_sources(files, NOW).expect("loads").0
}

/// The decision of all policies at once, among all entities: what Cedar says without any slicing.
fn unsliced(set: &PolicySet, question: &Question) -> Option<Verdict> {
    let policies = cedar_policy::PolicySet::from_policies(set.rules().iter().map(|rule| rule.policy.clone())).unwrap();
    let (_, principal) = set.principal(question.workload)?;
    let target = set.target(&question.audience)?;
    let scope = question.scopes.as_str();
    target.table.find(scope)?;
    let uid = super::world::scope_uid(&"Jitney::Scope".parse().unwrap(), target, scope);
    let mut entities: Vec<Entity> = set.world().entities.iter().cloned().collect();
    if set.world().entities.get(&uid).is_none() {
        let open = super::world::scope_uid(&"Jitney::Scope".parse().unwrap(), target, "items:read:*");
        let attributes = HashMap::from([
            ("name".to_owned(), RestrictedExpression::new_string(scope.to_owned())),
            ("audience".to_owned(), RestrictedExpression::new_entity_uid(target.uid.clone())),
        ]);
        entities.push(Entity::new(uid.clone(), attributes, HashSet::from([open, target.uid.clone()])).unwrap());
    }
    let entities = Entities::from_entities(entities, None).unwrap();
    question.ask(|ask| {
        let context = context(ask);
        let request = Request::new(principal.uid.clone(), set.mint().clone(), uid, context, None).unwrap();
        Some(set.weigh(once(&policies), &request, &entities))
    })
}

/// The decision by slices, as a request meets it.
fn sliced(set: &PolicySet, question: &Question) -> Option<Verdict> {
    let (at, principal) = set.principal(question.workload)?;
    let target = set.target(&question.audience)?;
    let declared = target.table.find(&question.scopes)?;
    question.ask(|ask| {
        let mut facts = Facts::new(ask, ask.ttl.unwrap_or_default());
        let scope = ask.scopes.iter().next()?;
        Some(match declared {
            Declared::Exactly(ix) => set.judge(at, principal, ix, &mut facts),
            Declared::InstanceOf(ix) => {
                set.judge_instance(at, (principal, target), (ix, scope), &mut facts).expect("an instance")
            }
        })
    })
}

/// What policies see as `context`, through Cedar's own front door.
fn context(ask: &Ask<'_>) -> Context {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let long = |secs: u64| RestrictedExpression::new_long(i64::try_from(secs).unwrap());
    let record = |pairs: Vec<_>| RestrictedExpression::new_record(pairs).unwrap();
    let claims = ask.identity.claims.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let identity = vec![("type".to_owned(), text(ask.identity.kind.as_str())), ("claims".to_owned(), record(claims))];
    Context::from_pairs([
        ("task".to_owned(), text(ask.task.as_str())),
        ("ttl".to_owned(), long(ask.ttl.unwrap_or_default().as_secs())),
        ("now".to_owned(), long(ask.now.secs())),
        ("identity".to_owned(), record(identity)),
    ])
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_sliced_decision_is_the_unsliced_one(policies in policies(), ttl in 100u64..140) {
        let set = loaded(&policies);
        // More than once each: what the first request settles, the others must find to be true of them.
        for (task, kid, later) in REQUESTS {
            let now = NOW.plus(Duration::from_secs(later));
            for (workload, audience) in [("alpha", API), ("alpha", OTHER), ("beta", API), ("beta", OTHER)] {
                for scope in SCOPES {
                    let audience = audience.to_owned();
                    let question = Question { workload, audience, task, kid, now, ..Question::of(scope).ttl(ttl + later) };
                    let (sliced, unsliced) = (told(sliced(&set, &question)), told(unsliced(&set, &question)));
                    prop_assert_eq!(sliced, unsliced, "{} {} {}", workload, question.audience, scope);
                }
            }
        }
    }
}

/// What is told of a verdict: where a forbid applies, the permits beside it may or may not be named.
fn told(verdict: Option<Verdict>) -> Option<(Vec<RuleIx>, Vec<RuleIx>)> {
    verdict.map(|Verdict { permits, forbids }| (if forbids.is_empty() { permits } else { Vec::new() }, forbids))
}

#[test]
fn a_workload_s_slice_holds_its_own_policies_and_those_of_everybody() {
    let set = set(
        r#"@id("a") permit(principal == Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com orders:read");
           @id("b") permit(principal == Jitney::Workload::"beta", action, resource);
           @id("c") forbid(principal, action, resource) when { context.ttl > 500 };
           @id("d") permit(principal, action, resource == Jitney::Scope::"https://api.example.com orders:write");"#,
    );
    let ids = |workload: &str, scope: &str| {
        let (at, _) = set.principal(workload).unwrap();
        let (Declared::Exactly(scope) | Declared::InstanceOf(scope)) =
            set.target(API).unwrap().table.find(scope).unwrap();
        let mut ids: Vec<_> = set.slices().of(at, scope).flat_map(|part| part.slice.rules.iter().copied()).collect();
        ids.sort_unstable();
        ids.into_iter().map(|ix| set.rule(ix).id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("alpha", "orders:read"), ["a", "c"]);
    assert_eq!(ids("alpha", "orders:write"), ["c", "d"]);
    assert_eq!(ids("beta", "orders:read"), ["b", "c"]);
    assert_eq!(ids("beta", "items:read:9"), ["b", "c"]);
}
