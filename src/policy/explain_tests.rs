//! What is said of requests that are allowed, and of those that are not.

use super::super::catalogue::IdentityKind;
use super::super::fixtures::{NOW, files, set, workload_file};
use super::*;
use crate::model::Reason;

fn question(scopes: &str) -> Question {
    Question {
        workload: WorkloadId::parse("alpha").unwrap(),
        audience: "https://api.example.com".into(),
        scopes: ScopeSet::parse(scopes).unwrap(),
        task: TaskId::parse("t1").unwrap(),
        is_task_said: true,
        attested: None,
        open_task: None,
        ttl: None,
        identity: IdentityUsed::private_key_jwt(Some("k1")),
        now: NOW,
        limits: Limits::default(),
    }
}

fn ttl(question: Question, secs: u64) -> Question {
    Question { ttl: Some(Duration::from_secs(secs)), ..question }
}

fn texts(explained: &Explanation) -> Vec<&str> {
    explained.changes.iter().map(|change| change.text.as_str()).collect()
}

const READ: &str = r#"@id("read") permit(principal == Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com orders:read")"#;

#[test]
fn an_allowed_request_names_the_policy_and_what_of_it_holds() {
    let set = set(&format!("{READ} when {{ context.ttl <= 300 && context.task like \"t*\" }};"));
    let explained = set.explain(&question("orders:read"));
    assert!(explained.decided.is_ok() && explained.changes.is_empty());
    let [scope] = &explained.scopes[..] else { panic!("{explained:?}") };
    assert_eq!(scope.outcome, Some(Outcome::Permitted));
    let [policy] = &scope.policies[..] else { panic!("{scope:?}") };
    assert!(policy.applies && policy.permits && policy.line == 1 && policy.file.ends_with("policies.cedar"));
    let parts: Vec<_> = policy.parts.iter().map(|part| (part.text.as_str(), part.holds)).collect();
    assert_eq!(parts, [("context.ttl <= 300", Some(true)), ("context.task like \"t*\"", Some(true))]);
    assert_eq!(policy.parts[0].values, [("context.ttl".to_owned(), "300".to_owned())]);
}

#[test]
fn the_part_that_failed_is_named_with_its_values_and_the_nearest_change_is_one_that_helps() {
    let set = set(&format!("{READ} when {{ context.ttl <= 120 && context.task like \"deploy-*\" }};"));
    let explained = set.explain(&ttl(question("orders:read"), 600));
    assert_eq!(explained.decided.as_ref().unwrap_err().refusal.reason, Reason::DeniedScope);
    let parts = &explained.scopes[0].policies[0].parts;
    assert_eq!(parts.iter().map(|part| part.holds).collect::<Vec<_>>(), [Some(false), Some(false)]);
    assert_eq!(parts[1].values, [("context.task".to_owned(), "\"t1\"".to_owned())]);
    assert_eq!(
        texts(&explained),
        ["ask for a ttl of 120 s (2m), and name the task like `deploy-*`, as `deploy-1` (policy read)"]
    );
    let with_task = Question { task: TaskId::parse("deploy-9").unwrap(), ..ttl(question("orders:read"), 600) };
    assert_eq!(texts(&set.explain(&with_task))[0], "ask for a ttl of 120 s (2m)");
}

#[test]
fn comparisons_of_every_kind_have_a_way_out() {
    for (condition, asked, expected) in [
        ("context.ttl < 120", 600, "ask for a ttl of 119 s (119s)"),
        ("context.ttl > 120", 60, "ask for a ttl of 121 s (121s)"),
        ("context.ttl >= 120", 60, "ask for a ttl of 120 s (2m)"),
        ("!(context.ttl == 60)", 60, "ask for a ttl of 59 s (59s)"),
        ("120 >= context.ttl", 600, "ask for a ttl of 120 s (2m)"),
        ("context.task == \"nightly\"", 60, "name the task `nightly` (policy read)"),
        (
            "context.identity.claims has kid && context.identity.claims.kid == \"k2\"",
            60,
            "prove it with the claim kid = `k2` (policy read)",
        ),
    ] {
        let set = set(&format!("{READ} when {{ {condition} }};"));
        let explained = set.explain(&ttl(question("orders:read"), asked));
        assert_eq!(texts(&explained), [expected], "{condition}");
        assert!(explained.changes[0].proven);
    }
}

#[test]
fn unless_and_negation_are_told_as_they_stand() {
    let policy =
        format!("{READ} when {{ context.ttl > 60 }} unless {{ context.task == \"t1\" || context.ttl == 90 }};");
    let set = set(&policy);
    let explained = set.explain(&ttl(question("orders:read"), 90));
    let parts: Vec<_> =
        explained.scopes[0].policies[0].parts.iter().map(|part| (part.text.as_str(), part.holds)).collect();
    assert_eq!(
        parts,
        [
            ("context.ttl > 60", Some(true)),
            ("!(context.task == \"t1\")", Some(false)),
            ("!(context.ttl == 90)", Some(false)),
        ]
    );
}

#[test]
fn limits_beyond_the_policies_have_a_nearest_ttl_too() {
    let open = set(&format!("{READ};"));
    assert_eq!(texts(&open.explain(&ttl(question("orders:read"), 3000))), ["ask for a ttl of 600 s (10m)"]);
    let obliged = set(&format!("@max_ttl(\"90s\") {READ};"));
    let explained = obliged.explain(&ttl(question("orders:read"), 300));
    assert_eq!(texts(&explained), ["ask for a ttl of 90 s (90s)"]);
}

#[test]
fn what_is_too_long_and_amiss_besides_is_mended_in_one_go() {
    let set = set(&format!("@max_ttl(\"90s\") {READ} when {{ context.task like \"deploy-*\" }};"));
    for asked in [300, 3000] {
        let explained = set.explain(&ttl(question("orders:read"), asked));
        let expected = "ask for a ttl of 90 s (90s), and name the task like `deploy-*`, as `deploy-1` (policy read)";
        assert_eq!(texts(&explained), [expected], "{asked}");
    }
}

#[test]
fn what_nothing_permits_gets_a_policy_to_paste_that_helps() {
    let set = set(&format!("{READ};"));
    let explained = set.explain(&question("orders:read orders:write"));
    assert_eq!(texts(&explained), ["ask for orders:read alone"]);
    let explained = set.explain(&question("orders:write"));
    let [change] = &explained.changes[..] else { panic!("{:?}", explained.changes) };
    let (file, policy) = change.paste.as_ref().unwrap();
    let mut with = files(&format!("{READ};"));
    with.push((file.clone(), policy.clone()));
    let (with, _) = PolicySet::from_sources(with, NOW).unwrap();
    assert!(with.decide(&question("orders:write").ask()).is_ok(), "{policy}");
    assert!(with.decide(&question("items:read:7").ask()).is_err());
}

#[test]
fn instances_of_an_open_scope_are_weighed_as_themselves() {
    let policy = r#"@id("items") permit(principal, action, resource in Jitney::Audience::"https://api.example.com") when { resource.name == "items:read:42" };"#;
    let set = set(policy);
    assert!(set.explain(&question("items:read:42")).decided.is_ok());
    let explained = set.explain(&question("items:read:43"));
    let part = &explained.scopes[0].policies[0].parts[0];
    assert_eq!((part.holds, &*part.values[0].1), (Some(false), "\"items:read:43\""));
    assert!(explained.changes.iter().any(|change| change.text.contains("let policy items")), "{:?}", explained.changes);
}

#[test]
fn a_forbid_is_named_and_evaded_where_that_is_possible() {
    let set = set(&format!(
        "{READ};\n@id(\"long\") forbid(principal, action, resource) when {{ context.ttl > 120 }};\n\
         @id(\"never\") forbid(principal, action, resource == Jitney::Scope::\"https://api.example.com orders:write\");"
    ));
    let explained = set.explain(&ttl(question("orders:read"), 300));
    assert_eq!(explained.scopes[0].outcome, Some(Outcome::Forbidden));
    assert_eq!(texts(&explained), ["ask for a ttl of 120 s (2m)"]);
    let explained = set.explain(&question("orders:write"));
    assert!(texts(&explained).iter().any(|text| text.starts_with("let policy never (")), "{:?}", texts(&explained));
}

#[test]
fn names_that_nearly_are_one_are_told() {
    let set = set(&format!("{READ};"));
    assert_eq!(texts(&set.explain(&question("orders:raed"))), ["ask for scope orders:read"]);
    let other = Question { workload: WorkloadId::parse("alhpa").unwrap(), ..question("orders:read") };
    assert_eq!(texts(&set.explain(&other)), ["ask as workload alpha"]);
    let other = Question { audience: "https://api.exampel.com".into(), ..question("orders:read") };
    assert_eq!(texts(&set.explain(&other)), ["ask for audience https://api.example.com"]);
}

#[test]
fn a_workload_that_is_past_its_end_or_without_an_owner_needs_its_file_changed() {
    let late = Question { now: UnixTime::from_secs(NOW.secs() + 400 * 86_400), ..question("orders:read") };
    let explained = set(&format!("{READ};")).explain(&late);
    assert!(
        texts(&explained).iter().any(|text| text.contains("a later `expires` than 2027-06-30")),
        "{:?}",
        texts(&explained)
    );
    let mut files = files(&format!("{READ};"));
    files[0].1 = workload_file().replace("owner = \"team@example.com\"\n", "");
    let (set, _) = PolicySet::from_sources(files, NOW).unwrap();
    let explained = set.explain(&question("orders:read"));
    assert!(texts(&explained).iter().any(|text| text.contains("alpha.toml its owner")), "{:?}", texts(&explained));
}

#[test]
fn the_longest_condition_that_is_let_through_is_explained() {
    let any: Vec<String> = (0..190).map(|n| format!("context.task == \"x{n}\"")).collect();
    let set = set(&format!("{READ} when {{ {} }};", any.join(" || ")));
    let explained = set.explain(&question("orders:read"));
    assert_eq!(explained.scopes[0].policies[0].parts.len(), 1);
    assert_eq!(texts(&explained), ["name the task `x0` (policy read)"]);
}

#[test]
fn of_an_open_scope_the_asked_instance_is_offered_and_never_the_wildcard() {
    let all = r#"@id("all") permit(principal, action, resource);"#;
    assert_eq!(texts(&set(all).explain(&question("itmes:read:42"))), ["ask for scope items:read:42"]);
    for bare in ["items:read", "items:read:*"] {
        let explained = set(all).explain(&question(bare));
        let told = "name one instance in place of the `*` of items:read:*, such as items:read:42";
        assert_eq!(texts(&explained), [told], "{bare}");
    }
    let explained = set("").explain(&question("items:read:42"));
    let (_, policy) = explained.changes[0].paste.as_ref().unwrap();
    assert!(policy.contains("\"https://api.example.com items:read:42\"") && !policy.contains("read:*"), "{policy}");
    assert!(policy.contains("@max_ttl(\"5m\")"), "no longer than was asked: {policy}");
}

#[test]
fn names_that_are_near_to_nothing_have_a_next_step_and_several_slips_are_told_at_once() {
    let set = set(&format!("{READ};"));
    let both = Question { workload: WorkloadId::parse("alhpa").unwrap(), ..question("orders:raed") };
    assert_eq!(texts(&set.explain(&both)), ["ask as workload alpha, and for scope orders:read"]);
    let strange = Question { workload: WorkloadId::parse("qqqqqqqq").unwrap(), ..question("orders:read") };
    assert!(texts(&set.explain(&strange))[0].starts_with("ask as a workload that there is: alpha, beta; or write"));
    let strange = Question { audience: "https://qqqqqqqqqqqqqqqqqq.org".into(), ..question("orders:read") };
    assert!(texts(&set.explain(&strange))[0].starts_with("ask for an audience that there is: https://api.example.com"));
    let declared = "ask for a scope that https://api.example.com declares: items:read:*, orders:read, orders:write";
    assert_eq!(texts(&set.explain(&question("qqqqqqqqqq"))), [declared]);
}

#[test]
fn what_is_forbidden_for_a_time_is_told_until_when_and_no_permit_is_offered() {
    let until = NOW.secs() + 3600;
    let freeze = format!(
        "@id(\"freeze\") forbid(principal, action, resource) when {{ context.now >= {} && context.now < {until} }};",
        NOW.secs() - 60
    );
    let granted = set(&format!("{READ};\n{freeze}")).explain(&question("orders:read"));
    let at = UnixTime::from_secs(until).rfc3339();
    let told = format!("ask at {at} or later: until then policy freeze forbids it");
    assert!(texts(&granted)[0].starts_with(&told), "{:?}", texts(&granted));
    assert!(granted.changes.iter().all(|change| change.paste.is_none()), "{granted:?}");
    // Nothing grants it besides: the policy is to be tried at the moment when nothing forbids it.
    let bare = set(&freeze).explain(&question("orders:read"));
    let [change] = &bare.changes[..] else { panic!("{bare:?}") };
    assert_eq!(change.text, format!("{told}, and add a policy that permits orders:read to alpha"));
    assert_eq!(change.with.as_ref().unwrap().now.secs(), until);
    // A window that is over does not come again.
    let over = format!("{READ} when {{ context.now < {} }};", NOW.secs() - 60);
    let explained = set(&over).explain(&question("orders:read"));
    assert!(texts(&explained).iter().all(|text| !text.starts_with("ask at")), "{:?}", texts(&explained));
    let ahead = format!("{READ} when {{ context.now >= {until} }};");
    let explained = set(&ahead).explain(&question("orders:read"));
    assert_eq!(texts(&explained), [format!("ask at {at} or later (policy read)")]);
}

#[test]
fn without_a_ttl_the_default_is_what_conditions_see() {
    let set = set(&format!("{READ} when {{ context.ttl <= 120 }};"));
    let explained = set.explain(&question("orders:read"));
    assert_eq!(explained.scopes[0].policies[0].parts[0].values, [("context.ttl".to_owned(), "300".to_owned())]);
    assert_eq!(texts(&explained), ["ask for a ttl of 120 s (2m)"]);
    // A limit on the whole chain cuts the default, and what is shown is what was decided on.
    let short = Limits { max_lifetime: Duration::from_secs(60), ..Limits::default() };
    let explained = set.explain(&Question { limits: short, ..question("orders:read") });
    assert!(explained.decided.is_ok() && explained.scopes[0].outcome == Some(Outcome::Permitted), "{explained:?}");
}

/// Alpha, who has a key, and proves itself by a platform too.
fn with_platform(policies: &str) -> PolicySet {
    let mut files = files(policies);
    files[0].1 += "[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\n\
                   claims = { repository = \"a/b\" }\nkeep = [\"repository\", \"environment\"]\n";
    match PolicySet::from_sources(files, NOW) {
        Ok((set, _)) => set,
        Err(findings) => panic!("{findings}"),
    }
}

#[test]
fn a_claim_that_was_not_shown_is_asked_for_by_the_identity_that_has_it() {
    let claims = "context.identity.claims";
    let env = format!("{claims} has environment && {claims}.environment == \"production\"");
    let set = with_platform(&format!("{READ} when {{ {env} }};"));
    let by_key = set.explain(&question("orders:read"));
    assert_eq!(
        texts(&by_key),
        ["prove it by oidc, and prove it with the claim environment = `production` (policy read)"]
    );
    let alpha = WorkloadId::parse("alpha").unwrap();
    let platform = set.ways_to_prove(&alpha).into_iter().find(|used| used.kind == IdentityKind::Oidc).unwrap();
    let by_platform = set.explain(&Question { identity: platform, ..question("orders:read") });
    assert_eq!(texts(&by_platform), ["prove it with the claim environment = `production` (policy read)"]);
    // What the file asks of a token is no matter of choice, and what it does not keep no policy sees.
    for unseen in ["repository", "branch"] {
        let set = with_platform(&format!("{READ} when {{ {claims} has {unseen} && {claims}.{unseen} == \"c/d\" }};"));
        let explained = set.explain(&question("orders:read"));
        let told = texts(&explained).join("\n");
        assert!(explained.changes.iter().all(|change| !change.proven), "{told}");
        assert!(told.contains("workloads/alpha.toml has no identity that shows that"), "{told}");
    }
}

mod whatever_is_asked {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Every change of a request that is told as proven was decided; and what is said of policies is what decides.
        #[test]
        fn the_explanation_says_what_the_decision_says(
            low in 1u64..700, secs in 1u64..900, task in "[a-c]{1,2}", kid in "k[12]", forbidden in 0u64..700,
        ) {
            let set = set(&format!(
                "{READ} when {{ context.ttl <= {low} && context.task like \"a*\" }};\n\
                 @id(\"f\") forbid(principal, action, resource) when {{ context.ttl > {forbidden} }} unless {{ context.identity.claims has kid && context.identity.claims.kid == \"k1\" }};"
            ));
            let question = Question {
                task: TaskId::parse(&task).unwrap(),
                identity: IdentityUsed::private_key_jwt(Some(&kid)),
                ..ttl(question("orders:read"), secs)
            };
            let explained = set.explain(&question);
            if explained.decided.is_ok() {
                prop_assert_eq!(explained.scopes[0].outcome, Some(Outcome::Permitted));
                prop_assert!(explained.changes.is_empty());
            } else {
                prop_assert!(secs > 600 || explained.scopes[0].outcome != Some(Outcome::Permitted));
                prop_assert!(explained.changes.iter().any(|change| change.proven), "{:?}", explained.changes);
            }
            for policy in &explained.scopes[0].policies {
                prop_assert_eq!(policy.applies, policy.parts.iter().all(|part| part.holds == Some(true)));
            }
        }
    }
}
