//! What is named, what could be, and which instances a pattern meets.

use super::*;

fn policy(condition: &str) -> Policy {
    Policy::parse(None, format!("forbid(principal, action, resource) when {{ {condition} }};")).unwrap()
}

fn could(condition: &str) -> bool {
    let policy = policy(condition);
    let found = namings(&policy);
    assert_eq!(found.len(), 1, "{condition}");
    found[0].texts.iter().all(|text| text.could_name(found[0].kind))
}

#[test]
fn what_no_name_can_be_is_told_from_what_one_may() {
    for condition in [
        "context.task like \"pick-?*\"",
        "context.task like \"pick *\"",
        "context.task like \"*//*\"",
        "context.task like \"a/../*\"",
        "context.task like \"/*\"",
        "context.task like \"a\\*\"",
        "context.task == \"\"",
        "!(context.task == \"a b\")",
        "[\"a\", \"b/\"].contains(context.task)",
        "principal.id like \"_*\"",
        "principal.id == \"team/report\"",
        "resource.name == \"orders:read:*\"",
        "resource.name like \"orders read*\"",
        "resource.audience.id == \"orders\"",
        "resource.audience.id like \"https://* *\"",
    ] {
        assert!(!could(condition), "{condition}");
    }
    for condition in [
        "context.task like \"*\"",
        "context.task like \"pick-*\"",
        "context.task like \"a/*\"",
        "context.task like \"*/..*\"",
        "context.task like \"**\"",
        "\"a\" == context.task",
        "principal.id like \"*_*\"",
        "resource.name like \"pick-?*\"",
        "resource.name == \"orders:read:42\"",
        "resource.audience.id like \"*orders*\"",
        "resource.audience.id like \"https://*.example.com\"",
        "[resource.audience.id].containsAny([\"https://a\", \"urn:b\"])",
    ] {
        assert!(could(condition), "{condition}");
    }
}

#[test]
fn parts_are_found_with_the_way_they_turn() {
    for (condition, expected) in [
        ("resource.name == \"a\"", vec![(1, true)]),
        ("resource.name != \"a\"", vec![(1, false)]),
        ("!(resource.name != \"a\" && principal.id != \"b\")", vec![(1, true), (1, true)]),
        ("resource.name == \"a\" || \"b\" == resource.name || resource.name like \"c*\"", vec![(3, true)]),
        ("resource.name == \"a\" || principal.id == \"b\"", vec![(1, true), (1, true)]),
        ("[\"a\", \"b\"].containsAll([resource.name])", vec![(2, true)]),
        ("if resource.name == \"a\" then principal.id != \"b\" else true", vec![(1, true), (1, false)]),
        ("principal.owner == \"a\" && context.ttl < 5", vec![]),
    ] {
        let policy = policy(condition);
        let found: Vec<_> = namings(&policy).iter().map(|each| (each.texts.len(), each.narrows)).collect();
        assert_eq!(found, expected, "{condition}");
    }
}

#[test]
fn a_pattern_meets_the_instances_of_an_open_scope() {
    let meets = |pattern: &str| {
        let policy = policy(&format!("resource.name like \"{pattern}\""));
        let Text::Like(pattern) = namings(&policy)[0].texts[0] else { panic!("{pattern}") };
        has_instance(pattern.get_elems(), "orders:read:")
    };
    for pattern in
        ["*", "orders:read:*", "orders:read:4*", "orders:*", "*:4", "orders:*:*4*", "*read*", "orders:read:x"]
    {
        assert!(meets(pattern), "{pattern}");
    }
    for pattern in ["orders:read", "orders:read:", "orders:write:*", "orders:read:4:2", "*:a:b:c", "x*"] {
        assert!(!meets(pattern), "{pattern}");
    }
}
