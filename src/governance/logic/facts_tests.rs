//! What contradicts itself, what holds of any request, and what is left alone.

use super::*;
use cedar_policy::Policy;
use cedar_policy_core::ast;

fn possible(condition: &str) -> bool {
    let policy = Policy::parse(None, format!("permit(principal, action, resource) when {{ {condition} }};")).unwrap();
    let policy: &ast::Policy = policy.as_ref();
    let mut facts = Facts::default();
    facts.must("context.ttl", Test::Between(1, 600));
    facts.is("principal.owner", "team-a");
    facts.claims = Some(HashSet::from(["kid".to_owned()]));
    facts.can_hold(&[(policy.non_scope_constraints().unwrap(), true)], &mut 2000)
}

#[test]
fn contradictions_are_found() {
    for condition in [
        "false",
        "context.task == \"a\" && context.task == \"b\"",
        "context.task == \"a\" && context.task like \"b*\"",
        "context.task == \"ab\" && !(context.task like \"a*\")",
        "context.task == \"a\" && context.task != \"a\"",
        "context.ttl > 600",
        "context.ttl >= 601",
        "context.ttl < 1",
        "600 < context.ttl",
        "!(context.ttl <= 600)",
        "context.ttl == 0",
        "principal.owner == \"team-b\"",
        "(principal.owner == \"team-b\" || principal.owner == \"team-c\") && context.ttl > 1",
        "[\"x\", \"y\"].contains(context.task) && context.task like \"z*\"",
        "if context.ttl > 5 then principal.owner == \"b\" else false",
        "context.identity.claims has actor && context.identity.claims.actor == \"x\"",
        "context.ttl + 1 > 60 && !(context.ttl + 1 > 60)",
        "context.task like \"ab*\" && !(context.task like \"a*\")",
        "context.task like \"a*c*e\" && !(context.task like \"a*e\")",
        "context.task like \"a*\" && context.task like \"b*\"",
        "context.task == \"a\" && !([\"a\", \"b\"].contains(context.task))",
    ] {
        assert!(!possible(condition), "{condition}");
    }
}

#[test]
fn what_holds_of_any_request_is_known_and_nothing_else() {
    let is_always = |condition: &str| {
        let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
        let policy = Policy::parse(None, policy).unwrap();
        let policy: &ast::Policy = policy.as_ref();
        let body = policy.non_scope_constraints().unwrap().clone();
        !Facts::of_any_request().can_hold(&[(&body, false)], &mut BUDGET.clone())
    };
    for condition in [
        "context.ttl > 0",
        "context.ttl < 9223372036854775807",
        "context.task != \"\"",
        "context has task && context.identity has claims",
        "1 == 1",
        "\"a\" != \"b\"",
        "principal == principal",
        "context.now > 0",
        "context.now > 1 && context.now < 9999999999",
        "context.task like \"*\" || context.task == \"x\"",
        "[context.task].contains(context.task)",
        "if context.task == \"a\" then true else true",
        "context.ttl <= 60 || context.ttl > 60",
    ] {
        assert!(is_always(condition), "{condition}");
    }
    for condition in [
        "context.ttl > 1",
        "context.task != \"a\"",
        "!(context.task like \"zz\")",
        "context.identity.claims has kid",
        "1 == 2",
        "context.now > 1790000000",
        "principal.owner like \"*@*\"",
        "principal.owner == resource.audience.owner",
        "if context.task == \"a\" then true else false",
        "[context.identity.type].contains(context.task)",
    ] {
        assert!(!is_always(condition), "{condition}");
    }
}

#[test]
fn what_may_hold_is_left_alone() {
    for condition in [
        "true",
        "context.task == \"a\" || context.task == \"b\"",
        "context.task like \"a*\" && context.task like \"*b\"",
        "context.ttl <= 600 && context.ttl >= 600",
        "context.ttl > 599",
        "600 <= context.ttl",
        "principal.owner == \"team-a\"",
        "principal.owner == resource.audience.owner",
        "!(context.task == \"a\" && context.task == \"b\")",
        "context.identity.claims has kid",
        "!(context.identity.claims has actor)",
        "context.ttl + 1 > 601",
        "[\"x\", \"y\"].contains(context.task) && context.task like \"y*\"",
        "context.task like \"a*\" && !(context.task like \"ab*\")",
        "context.task like \"*b*\" && !(context.task like \"*b\")",
        "context.task like \"a\\**\" && !(context.task like \"a*b\")",
        "context.task like \"a*\" && context.task like \"ab*\"",
        "context.task == \"c\" && !([\"a\", \"b\"].contains(context.task))",
    ] {
        assert!(possible(condition), "{condition}");
    }
}
