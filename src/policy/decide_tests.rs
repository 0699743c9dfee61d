//! The rules of the decision, one test a rule.

use std::time::Duration;

use super::fixtures::{NOW, Question, audience_file, files, set, workload_file};
use super::{Limits, Outcome, PolicySet, Renewed};
use crate::model::{LeaseId, Reason, UnixTime};

const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;
const MINUTE: u64 = 60;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn refusal(question: &Question, set: &PolicySet) -> (Reason, String) {
    let denial = question.decided(set).expect_err("a refusal");
    (denial.refusal.reason, denial.refusal.description.into_owned())
}

#[test]
fn nothing_is_granted_that_no_policy_grants() {
    let set = set(r#"@id("a") permit(principal == Jitney::Workload::"beta", action, resource);"#);
    let (reason, text) = refusal(&Question::of("orders:read"), &set);
    assert_eq!(reason, Reason::DeniedScope);
    assert!(text.contains("no policy grants orders:read") && !text.contains("beta"), "{text}");
}

#[test]
fn every_asked_scope_must_be_permitted_on_its_own() {
    let set =
        set(r#"@id("r") permit(principal, action, resource == Jitney::Scope::"https://api.example.com orders:read");"#);
    let grant = Question::of("orders:read").decided(&set).unwrap();
    assert_eq!(grant.policies().iter().map(|id| &**id).collect::<Vec<_>>(), ["r"]);
    let denial = Question::of("orders:read orders:write").decided(&set).expect_err("one is not");
    assert_eq!(denial.refusal.reason, Reason::DeniedScope);
    let outcomes: Vec<_> = denial.considered.iter().map(ToString::to_string).collect();
    assert_eq!(outcomes, ["orders:read permitted by r", "orders:write not_permitted"]);
}

#[test]
fn a_forbid_wins_and_is_named() {
    let set = set(&format!(
        r#"{ALL} @id("freeze") forbid(principal, action, resource == Jitney::Scope::"https://api.example.com orders:write");"#
    ));
    assert!(Question::of("orders:read").decided(&set).is_ok());
    let denial = Question::of("orders:write").decided(&set).expect_err("forbidden");
    assert!(denial.refusal.description.contains("orders:write is forbidden by policy freeze"));
    assert_eq!(denial.policies, [std::sync::Arc::<str>::from("freeze")]);
    assert_eq!(denial.considered[0].outcome, Outcome::Forbidden);
}

#[test]
fn a_forbid_that_fails_to_evaluate_forbids() {
    // The sum overflows: Cedar itself would pass over the policy.
    let set = set(&format!(
        r#"{ALL} @id("sum") forbid(principal, action, resource) when {{ context.now + 9223372036854775807 < 0 }};"#
    ));
    let denial = Question::of("orders:read").decided(&set).expect_err("forbidden");
    assert_eq!(denial.policies, [std::sync::Arc::<str>::from("sum")]);
}

#[test]
fn a_workload_s_own_state_comes_first() {
    let mut files = files(ALL);
    files[0].1 = workload_file().replace("purpose", "#");
    let (set, warnings) = PolicySet::from_sources(files, NOW).unwrap();
    assert_eq!(warnings.len(), 1);
    let wrong_everywhere = Question { audience: "https://nowhere.example".into(), ..Question::of("no:such").ttl(0) };
    let (reason, text) = refusal(&wrong_everywhere, &set);
    assert_eq!((reason, text.as_str()), (Reason::Ungoverned, "workload alpha has no purpose"));
    let late = Question { workload: "beta", now: UnixTime::from_secs(1_814_400_000), ..wrong_everywhere.clone() };
    assert_eq!(refusal(&late, &set).0, Reason::Expired);
    let known = Question { workload: "beta", ..wrong_everywhere };
    assert_eq!(refusal(&known, &set).0, Reason::UnknownAudience);
    let slip = Question { audience: "https://api.exmaple.com".into(), ..known.clone() };
    let text = refusal(&slip, &set).1;
    assert_eq!(text, "unknown audience: https://api.exmaple.com: did you mean https://api.example.com?");
    let slip = Question { audience: "https://api.example.com".into(), scopes: "orders:raed".into(), ..slip };
    assert!(refusal(&slip, &set).1.ends_with("declares no orders:raed: did you mean orders:read?"));
    let open = Question { scopes: "items:read:*".into(), ..slip };
    let (reason, text) = refusal(&open, &set);
    assert!(reason == Reason::UnknownScope && text.starts_with("unknown scope: "), "{text}");
    assert!(text.ends_with(": name one instance in place of the `*`, such as items:read:42"), "{text}");
    assert!(!text.contains("declares no"), "it does: {text}");
    let known = Question { audience: "https://api.example.com/".into(), ..known };
    assert_eq!(refusal(&known, &set).0, Reason::UnknownScope);
    let known = Question { scopes: "orders:read".into(), ..known };
    assert_eq!(refusal(&known, &set).0, Reason::InvalidRequest);
}

#[test]
fn an_unknown_workload_gets_nothing() {
    let question = Question { workload: "gamma", ..Question::of("orders:read") };
    assert_eq!(refusal(&question, &set(ALL)).0, Reason::Ungoverned);
}

#[test]
fn the_token_carries_the_declared_spelling_of_the_audience() {
    let question = Question { audience: "https://api.example.com/".into(), ..Question::of("orders:read") };
    assert_eq!(question.decided(&set(ALL)).unwrap().audience().as_str(), "https://api.example.com");
}

#[test]
fn an_instance_of_an_open_scope_can_be_permitted_alone_by_prefix_or_by_its_declaration() {
    let head = r#"@id("p") permit(principal, action, resource"#;
    let one = set(&format!(r#"{head} == Jitney::Scope::"https://api.example.com items:read:42");"#));
    let every = set(&format!(r#"{head} in Jitney::Scope::"https://api.example.com items:read:*");"#));
    let some =
        set(&format!(r#"{head}) when {{ resource.name like "items:read:4*" && resource.audience.owner != "" }};"#));
    let whole = set(&format!(r#"{head} in Jitney::Audience::"https://api.example.com");"#));
    for set in [&one, &every, &some, &whole] {
        assert!(Question::of("items:read:42").decided(set).is_ok());
        assert_eq!(refusal(&Question::of("items:read:*"), set).0, Reason::UnknownScope);
        assert_eq!(refusal(&Question::of("items:read"), set).0, Reason::UnknownScope);
    }
    assert!(Question::of("items:read:43").decided(&every).is_ok());
    assert!(Question::of("items:read:43").decided(&some).is_ok());
    assert_eq!(refusal(&Question::of("items:read:43"), &one).0, Reason::DeniedScope);
    assert_eq!(refusal(&Question::of("items:read:53"), &some).0, Reason::DeniedScope);
}

#[test]
fn conditions_see_task_ttl_now_and_the_proof() {
    let set = set(r#"@id("c") permit(principal, action, resource) when {
            context.task like "t*" && context.ttl <= 120 && context.now > 0 && principal.owner == "team@example.com" &&
            context.identity.type == "private_key_jwt" && context.identity.claims has kid && context.identity.claims.kid == "k1"
        };"#);
    assert!(Question::of("orders:read").ttl(120).decided(&set).is_ok());
    assert_eq!(refusal(&Question::of("orders:read").ttl(121), &set).0, Reason::DeniedScope);
    assert_eq!(refusal(&Question { task: "u1", ..Question::of("orders:read").ttl(120) }, &set).0, Reason::DeniedScope);
}

#[test]
fn without_a_ttl_the_default_is_cut_to_what_is_allowed() {
    let question = Question::of("orders:read");
    assert_eq!(question.decided(&set(ALL)).unwrap().ttl(), secs(300));
    let limits = Limits { default_ttl: secs(3600), ..Limits::default() };
    let long = Question { limits, ..question.clone() };
    assert_eq!(long.decided(&set(ALL)).unwrap().ttl(), secs(10 * MINUTE));
    let short = set(r#"@id("s") @max_ttl("2m") permit(principal, action, resource);"#);
    assert_eq!(question.decided(&short).unwrap().ttl(), secs(2 * MINUTE));
}

#[test]
fn a_ttl_above_the_longest_is_refused_and_the_rule_named() {
    let question = Question::of("orders:read");
    let over = |question: &Question, policies: &str, longest: u64, rule: &str| {
        let set = set(policies);
        let at = question.clone().ttl(longest).decided(&set).unwrap();
        assert_eq!(at.ttl(), secs(longest));
        let (reason, text) = refusal(&question.clone().ttl(longest + 1), &set);
        assert_eq!(reason, Reason::InvalidRequest);
        assert!(text.contains(&format!("{longest} s")) && text.ends_with(rule), "{text}");
    };
    over(&question, ALL, 600, "max_ttl of the audience");
    let limits = Limits { max_ttl: secs(60), ..Limits::default() };
    over(&Question { limits, ..question.clone() }, ALL, 60, "max_ttl of the broker's [tokens]");
    over(&question, r#"@id("s") @max_ttl("2m") permit(principal, action, resource);"#, 120, "@max_ttl of policy s");
    over(
        &question,
        r#"@id("s") @max_lifetime("3m") permit(principal, action, resource);"#,
        180,
        "@max_lifetime of policy s",
    );
    let limits = Limits { max_lifetime: secs(90), ..Limits::default() };
    over(&Question { limits, ..question.clone() }, ALL, 90, "max_lifetime of the broker's [tokens]");
}

#[test]
fn all_permits_that_apply_oblige() {
    let set = set(r#"@id("long") @max_ttl("5m") permit(principal, action, resource);
           @id("short") @max_ttl("1m") permit(principal, action, resource == Jitney::Scope::"https://api.example.com orders:write");"#);
    assert_eq!(Question::of("orders:read").decided(&set).unwrap().ttl(), secs(300));
    let both = Question::of("orders:read orders:write").decided(&set).unwrap();
    assert_eq!(both.ttl(), secs(60));
    assert_eq!(both.policies().len(), 2);
    let denial = Question::of("orders:write").ttl(61).decided(&set).expect_err("too long");
    assert_eq!(denial.policies, [std::sync::Arc::<str>::from("short")]);
}

#[test]
fn a_ttl_of_nothing_is_refused() {
    assert_eq!(refusal(&Question::of("orders:read").ttl(0), &set(ALL)).0, Reason::InvalidRequest);
}

#[test]
fn the_chain_ends_with_the_least_of_the_lifetimes() {
    let limit = |policies: &str| Question::of("orders:read").decided(&set(policies)).unwrap().chain_limit();
    assert_eq!(limit(ALL), NOW.plus(secs(3600)));
    assert_eq!(limit(r#"@id("s") @max_lifetime("20m") permit(principal, action, resource);"#), NOW.plus(secs(1200)));
}

#[test]
fn a_renewal_gets_what_is_left_and_not_a_second_more() {
    let set = set(r#"@id("s") @max_lifetime("5m") permit(principal, action, resource);"#);
    let lease = LeaseId::new(1, [0; 4], 1);
    let renewing = |left: u64| Question {
        renews: Some(Renewed { lease, chain_limit: NOW.plus(secs(left)) }),
        ..Question::of("orders:read")
    };
    let grant = renewing(400).decided(&set).unwrap();
    assert_eq!((grant.ttl(), grant.chain_limit()), (secs(400), NOW.plus(secs(400))));
    assert_eq!(grant.predecessor(), Some(lease));
    assert_eq!(renewing(3000).decided(&set).unwrap().ttl(), secs(10 * MINUTE));
    assert_eq!(renewing(400).ttl(30).decided(&set).unwrap().ttl(), secs(30));
    let (reason, text) = refusal(&renewing(400).ttl(401), &set);
    assert!(reason == Reason::InvalidRequest && text.contains("what is left"), "{text}");
    assert_eq!(refusal(&renewing(0), &set).0, Reason::InvalidGrant);
}

#[test]
fn an_audience_that_says_no_times_leaves_them_to_the_configuration() {
    let mut files = files(ALL);
    files[2].1 = audience_file("https://api.example.com").replace("max_", "#");
    let (set, _) = PolicySet::from_sources(files, NOW).unwrap();
    let grant = Question::of("orders:read").ttl(3600).decided(&set).unwrap();
    assert_eq!(grant.chain_limit(), NOW.plus(secs(8 * 3600)));
}
