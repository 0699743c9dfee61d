//! What is described, what is offered, and what stands beside the policies.

use serde_json::{Value, json};

use super::words::Told;
use super::{json as document, *};
use crate::model::Reason;
use crate::policy::{IdentityUsed, fixtures};

fn basis(policies: &str) -> (tempfile::TempDir, Basis) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in fixtures::files(policies) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let basis = Basis::load(dir.path()).unwrap();
    (dir, basis)
}

#[test]
fn what_is_to_be_added_was_tried() {
    let forbid =
        r#"@id("f") forbid(principal, action, resource == Jitney::Scope::"https://api.example.com orders:write");"#;
    let (_dir, basis) = basis(forbid);
    for (scope, proven) in [("orders:read", true), ("orders:write", false)] {
        let described = Described::from_json(&format!(
            r#"{{"workload": "alpha", "audience": "https://api.example.com", "scope": "{scope}", "ttl": "2m"}}"#
        ));
        let question = basis.question(&described.unwrap(), Limits::default()).unwrap();
        let explained = basis.explain(&question);
        let with: Vec<bool> =
            explained.changes.iter().filter(|change| change.paste.is_some()).map(|change| change.proven).collect();
        assert!(with.iter().all(|each| *each == proven) && (!proven || !with.is_empty()), "{scope}: {explained:?}");
        let document = document(&told(&explained), Some((&question, &explained, &Quarantine::No)));
        assert_eq!((&document["allowed"], &document["request"]["ttl"]), (&json!(false), &json!(120)));
    }
}

#[test]
fn a_description_that_is_none_is_told() {
    let (_dir, basis) = basis("");
    for wrong in ["", "[]", r#"{"workload": "a"}"#, r#"{"workload": "a", "audience": "b", "scope": "c", "colour": 1}"#]
    {
        assert!(Described::from_json(wrong).is_err(), "{wrong}");
    }
    for (member, value) in [("ttl", "0"), ("ttl", "\"soon\""), ("now", "\"then\""), ("task", "\"a//b\"")] {
        let text = format!(r#"{{"workload": "a", "audience": "b", "scope": "c", "{member}": {value}}}"#);
        let described = Described::from_json(&text).unwrap();
        let error = basis.question(&described, Limits::default()).unwrap_err().to_string();
        assert!(error.starts_with(member), "{error}");
    }
}

#[test]
fn who_is_shut_out_gets_nothing_whatever_the_policies_say() {
    let (_dir, basis) = basis(r#"@id("all") permit(principal, action, resource);"#);
    let text = r#"{"workload": "alpha", "audience": "https://api.example.com", "scope": "orders:read"}"#;
    let question = basis.question(&Described::from_json(text).unwrap(), Limits::default()).unwrap();
    let shut = Quarantine::Yes { since: "2026-11-25T00:00:00Z".into(), actor: "uid:0".into(), reason: "leak".into() };
    let mut explained = basis.explain(&question);
    Quarantine::No.weigh(&question, &mut explained);
    Quarantine::NotLookedAt("no broker".into()).weigh(&question, &mut explained);
    assert!(explained.decided.is_ok());
    shut.weigh(&question, &mut explained);
    assert_eq!(explained.decided.as_ref().unwrap_err().refusal.reason, crate::model::Reason::Quarantined);
    assert!(explained.changes[0].proven && explained.changes[0].text.contains("jitney workload release alpha"));
}

#[test]
fn a_document_has_the_same_members_in_every_case() {
    let (_dir, basis) = basis("");
    let names = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let bare = document(&Told { sentence: String::new(), next: None }, None);
    let text = r#"{"workload": "alpha", "audience": "https://api.example.com", "scope": "orders:read"}"#;
    let question = basis.question(&Described::from_json(text).unwrap(), Limits::default()).unwrap();
    let explained = basis.explain(&question);
    let whole = document(&told(&explained), Some((&question, &explained, &Quarantine::No)));
    assert_eq!(names(&bare), names(&whole));
    assert!(whole["sentence"].as_str().unwrap().starts_with("it would be refused: ") && !whole["next"].is_null());
}

#[test]
fn what_a_workload_cannot_prove_is_refused_with_what_it_can() {
    let (_dir, basis) = basis(r#"@id("all") permit(principal, action, resource);"#);
    let text = r#"{"workload": "alpha", "audience": "https://api.example.com", "scope": "orders:read",
        "identity": {"type": "oidc", "claims": {"repository": "a/b"}}}"#;
    let question = basis.question(&Described::from_json(text).unwrap(), Limits::default()).unwrap();
    let explained = basis.explain(&question);
    assert_eq!(explained.decided.as_ref().unwrap_err().refusal.reason, Reason::InvalidClient);
    let first = &explained.changes[0];
    assert!(first.proven && first.text == "prove it by private_key_jwt", "{first:?}");
}

#[test]
fn what_is_to_be_added_goes_no_further_than_the_task_and_keeps_what_nearly_permits() {
    let near = r#"@id("near") permit(principal == Jitney::Workload::"alpha", action,
        resource == Jitney::Scope::"https://api.example.com orders:read") when { context.task like "nightly-*" };"#;
    let (_dir, basis) = basis(near);
    let explained = |scope: &str, task: &str| {
        let text = format!(
            r#"{{"workload": "alpha", "audience": "https://api.example.com", "scope": "{scope}", "task": "{task}"}}"#
        );
        basis.explain(&basis.question(&Described::from_json(&text).unwrap(), Limits::default()).unwrap())
    };
    let pasted = |explained: &Explanation| {
        let change = explained.changes.iter().find(|change| change.paste.is_some()).expect("something to add");
        assert!(change.proven);
        (change.text.clone(), change.paste.clone().unwrap().1)
    };
    for (task, condition) in [
        ("job-7", Some(r#"context.task like "job-*""#)),
        ("cleanup", Some(r#"context.task == "cleanup""#)),
        ("77.1", None),
    ] {
        let (_, text) = pasted(&explained("orders:write", task));
        assert_eq!(text.contains("context.task"), condition.is_some(), "{text}");
        assert!(condition.is_none_or(|condition| text.contains(condition)), "{text}");
    }
    let (told, text) = pasted(&explained("orders:read orders:write", "adhoc"));
    assert!(told.contains("name the task like `nightly-*`"), "{told}");
    assert!(text.contains("orders:write") && !text.contains("orders:read"), "{text}");
}

/// The example organisation's job of GitHub Actions: what its file demands, what is kept of it, and whose word its task is.
#[test]
fn a_platform_s_workload_is_asked_with_what_its_token_says() {
    let basis = Basis::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap();
    let explained = |task: &str, claims: &str| {
        let text = format!(
            r#"{{"workload": "release-notes", "audience": "https://deploy.example.com", "scope": "releases:read"{task},
                "identity": {{"claims": {{{claims}}}}}}}"#
        );
        let question = basis.question(&Described::from_json(&text).unwrap(), Limits::default()).unwrap();
        (basis.explain(&question), question)
    };
    for (task, claims) in [
        ("", r#""repository": "example/shop""#),
        (r#", "task": "77.1""#, r#""repository_id": "123456", "repository": "example/shop""#),
        (r#", "task": "77.1/step""#, r#""ref": "refs/tags/v1", "repository": "example/shop""#),
    ] {
        let (explained, question) = explained(task, claims);
        assert!(explained.decided.is_ok(), "{task} {claims}: {explained:?}");
        // Policies see of it what is kept, and no more.
        assert!(
            !question.identity.claims.contains_key("ref") && !question.identity.claims.contains_key("repository_id")
        );
    }
    for (task, claims, reason, word) in [
        (r#", "task": "job-7""#, "", Reason::InvalidRequest, "leave the task out"),
        (r#", "task": "77.1""#, r#""repository_id": "999""#, Reason::InvalidClient, "prove it by"),
        (r#", "task": "77.1""#, r#""ref": "refs/heads/main""#, Reason::InvalidClient, "prove it by"),
        (r#", "task": "foo.1""#, r#""run_id": "77", "run_attempt": "1""#, Reason::InvalidRequest, "leave the task out"),
        (r#", "task": "77.1""#, r#""workflow": "w""#, Reason::DeniedScope, "prove it with the claim repository"),
    ] {
        let (explained, _) = explained(task, claims);
        assert_eq!(explained.decided.as_ref().unwrap_err().refusal.reason, reason, "{task} {claims}");
        assert!(explained.changes[0].text.starts_with(word), "{:?}", explained.changes);
    }
}

mod whatever_is_offered {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{ScopeSet, TaskId, WorkloadId};
    use crate::policy::fixtures::NOW;

    /// Policies that grant a little, and stand in the way of a little.
    fn policy() -> impl Strategy<Value = String> {
        let who = prop_oneof![Just("principal"), Just("principal == Jitney::Workload::\"alpha\"")];
        let what = prop_oneof![
            Just("resource".to_owned()),
            Just("resource in Jitney::Scope::\"https://api.example.com items:read:*\"".to_owned()),
            "(orders:read|orders:write|items:read:4[23])"
                .prop_map(|scope| format!("resource == Jitney::Scope::\"https://api.example.com {scope}\"")),
        ];
        let when = prop_oneof![
            Just(String::new()),
            (1u64..900).prop_map(|ttl| format!(" when {{ context.ttl <= {ttl} }}")),
            (0u64..900).prop_map(|ahead| format!(" when {{ context.now < {} }}", NOW.secs() + ahead)),
            "[ab]".prop_map(|task| format!(" when {{ context.task like \"{task}*\" }}")),
            "k[12]".prop_map(|kid| format!(
                " when {{ context.identity.claims has kid && context.identity.claims.kid == \"{kid}\" }}"
            )),
        ];
        let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
        (effect, who, what, when)
            .prop_map(|(effect, who, what, when)| format!("{effect}({who}, action, {what}){when};"))
    }

    fn set_of(policies: &[String], more: Option<(&str, &str)>) -> PolicySet {
        let named = (0..).zip(policies).map(|(n, policy): (u32, _)| format!("@id(\"p{n}\") {policy}\n"));
        let mut files = fixtures::files(&named.collect::<String>());
        files.extend(more.map(|(file, text)| (file.to_owned(), text.to_owned())));
        PolicySet::from_sources(files, NOW).unwrap().0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        /// Each refusal has a next step; what is told to be added allows just the request that it was offered for.
        #[test]
        fn it_allows_what_was_asked_and_nothing_else(
            policies in proptest::collection::vec(policy(), 0..4),
            scopes in prop_oneof![
                "(orders:read|orders:write|items:read:4[24])",
                Just("orders:read items:read:42".to_owned()),
                "[a-z:*]{1,8}",
            ],
            workload in prop_oneof![4 => Just("alpha"), 1 => Just("alhpa"), 1 => Just("zzzzzzzz")],
            ttl in proptest::option::of(1u64..1200), task in "[abc]1", kid in proptest::option::of("k[12]"),
        ) {
            let basis = Basis { set: set_of(&policies, None), held: Held::default() };
            let question = Question {
                workload: WorkloadId::parse(workload).unwrap(), audience: "https://api.example.com".into(),
                scopes: ScopeSet::parse(&scopes).unwrap(), task: TaskId::parse(&task).unwrap(), is_task_said: true,
                attested: None, open_task: None, ttl: ttl.map(std::time::Duration::from_secs), identity: IdentityUsed::private_key_jwt(kid.as_deref()),
                now: NOW, limits: Limits::default(),
            };
            let explained = basis.explain(&question);
            prop_assert_eq!(explained.decided.is_err(), !explained.changes.is_empty());
            for change in &explained.changes {
                let Some((file, text)) = &change.paste else { continue };
                let with = set_of(&policies, Some((file, text)));
                let asked = change.with.as_ref().unwrap_or(&question);
                prop_assert!(change.proven && with.decide(&asked.ask()).is_ok(), "{}", text);
                for scope in ["orders:read", "orders:write", "items:read:42", "items:read:43", "items:read:44"] {
                    let other = Question { scopes: ScopeSet::parse(scope).unwrap(), ..asked.clone() };
                    let beta = Question { workload: WorkloadId::parse("beta").unwrap(), ..other.clone() };
                    let is_asked = asked.scopes.iter().any(|asked| asked.as_str() == scope);
                    for (probe, is_meant) in [(other, is_asked), (beta, false)] {
                        let (before, after) = (basis.set.decide(&probe.ask()), with.decide(&probe.ask()));
                        prop_assert!(is_meant || before.is_ok() == after.is_ok(), "{scope}: {text}");
                    }
                }
            }
        }
    }
}

/// What the example organisation's policies say to such a request.
fn of_the_example(request: &str) -> Explanation {
    let basis = Basis::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap();
    basis.explain(&basis.question(&Described::from_json(request).unwrap(), Limits::default()).unwrap())
}

#[test]
fn what_an_invariant_forbids_is_not_offered() {
    let of = |workload: &str, task: &str| {
        of_the_example(&format!(
            r#"{{"workload": "{workload}", "audience": "https://deploy.example.com", "scope": "deploy:production"{task}}}"#
        ))
    };
    for (workload, task) in
        [("ledger-export", r#", "task": "deploy-v1""#), ("ledger-export", ""), ("ledger-export", r#", "task": "77.1""#)]
    {
        let explained = of(workload, task);
        assert!(explained.changes.iter().all(|change| change.paste.is_none() && !change.proven), "{explained:?}");
        let [change] = &explained.changes[..] else { panic!("{explained:?}") };
        assert!(change.text.starts_with("the invariant production-is-for-tagged-releases ("), "{}", change.text);
        assert!(change.text.contains("production.cedar:4) forbids this: "), "{}", change.text);
    }
    // What the request itself may be is none of an offer's.
    let explained = of("deploy-pipeline", r#", "task": "deploy-1""#);
    assert!(explained.changes[0].proven && explained.changes[0].text.contains("deploy-v*"), "{explained:?}");
    // What no invariant speaks of is offered, and of a task that nobody named no condition is made.
    let read = r#"{"workload": "ledger-export", "audience": "https://deploy.example.com", "scope": "releases:read"}"#;
    let explained = of_the_example(read);
    let (_, text) = explained.changes[0].paste.as_ref().unwrap();
    assert!(explained.changes[0].proven && !text.contains("context.task"), "{text}");
    assert!(explained.changes[0].text.contains("name one by --task"), "{explained:?}");
}

#[test]
fn where_the_folder_of_invariants_cannot_be_read_that_is_told() {
    let (dir, basis) = basis("");
    let files: Vec<_> = basis.set.files().iter().map(|(path, file)| (path.clone(), file.text.to_string())).collect();
    let offered = |basis: &Basis| {
        let text = r#"{"workload": "alpha", "audience": "https://api.example.com", "scope": "orders:read"}"#;
        let question = basis.question(&Described::from_json(text).unwrap(), Limits::default()).unwrap();
        let explained = basis.explain(&question);
        assert!(explained.changes[0].paste.is_some(), "{explained:?}");
        explained.changes[0].text.clone()
    };
    assert!(!offered(&basis).contains("invariant"));
    let gone = Basis::of_files(&dir.path().join("gone"), files).unwrap();
    assert!(offered(&gone).contains("(invariants were not looked at: "), "{}", offered(&gone));
}

#[test]
fn a_claim_that_rules_its_proof_out_is_named_and_one_that_nothing_speaks_of_is_passed_over() {
    let basis = Basis::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap();
    let of = |claims: &str| {
        let described = Described::from_json(&format!(
            r#"{{"workload": "release-notes", "audience": "https://deploy.example.com", "scope": "releases:read",
                "identity": {{"claims": {{{claims}}}}}}}"#
        ));
        let described = described.unwrap();
        let question = basis.question(&described, Limits::default()).unwrap();
        (basis.explain(&question), basis.passed_over(&described, &question), question)
    };
    let (explained, _, _) = of(r#""repository": "example/shop", "repository_id": "9", "ref": "refs/heads/main""#);
    let refusal = &explained.decided.as_ref().unwrap_err().refusal;
    assert_eq!(refusal.reason, Reason::InvalidClient);
    let why = &refusal.description;
    assert!(why.contains("its file wants the claim repository_id to be `123456`, not `9`"), "{why}");
    assert!(why.contains("its file wants the claim ref to be like `refs/tags/v*`, not `refs/heads/main`"), "{why}");
    assert!(explained.changes[0].proven && explained.changes.len() == 1, "{explained:?}");
    // What a broker passes over refuses nothing: it is told, with what was probably meant.
    let (explained, passed_over, _) = of(r#""repository": "example/shop", "event_name": "push""#);
    assert!(explained.decided.is_ok(), "{explained:?}");
    assert!(
        passed_over[0].contains("the claim event_name") && !passed_over[0].contains("did you mean"),
        "{passed_over:?}"
    );
    let (explained, passed_over, _) = of(r#""repositry": "example/shop""#);
    let refusal = &explained.decided.as_ref().unwrap_err().refusal;
    assert_eq!(refusal.reason, Reason::DeniedScope);
    assert!(refusal.description.contains("task {run_id}.{run_attempt}"), "no stand-in is told as a task: {refusal}");
    assert!(passed_over[0].ends_with("did you mean repository?"), "{passed_over:?}");
    // What its file's `task` is made of names the task.
    let (explained, passed_over, question) = of(r#""repository": "example/shop", "run_id": "77", "run_attempt": "2""#);
    assert!(explained.decided.is_ok() && passed_over.is_empty(), "{explained:?} {passed_over:?}");
    assert_eq!((question.task.as_str(), question.open_task), ("77.2", None));
}

#[test]
fn what_a_condition_says_of_a_task_that_the_platform_names_is_open() {
    let (dir, _) = basis("");
    let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
    write(
        "workloads/job.toml",
        "owner = \"o\"\npurpose = \"p\"\nexpires = 2099-12-31\n[[identity]]\ntype = \"oidc\"\nissuer = \
         \"https://ci.example.com\"\nclaims = { sub = \"job\" }\ntask = \"{run_id}.{run_attempt}\"\n",
    );
    write(
        "job.cedar",
        r#"@id("job") permit(principal == Jitney::Workload::"job", action,
            resource == Jitney::Scope::"https://api.example.com orders:read") when { context.task like "77.*" };"#,
    );
    let basis = Basis::load(dir.path()).unwrap();
    let explained = |claims: &str| {
        let text = format!(
            r#"{{"workload": "job", "audience": "https://api.example.com", "scope": "orders:read",
                "identity": {{"claims": {{{claims}}}}}}}"#
        );
        let question = basis.question(&Described::from_json(&text).unwrap(), Limits::default()).unwrap();
        let explained = basis.explain(&question);
        let part = explained.scopes[0].policies[0].parts[0].clone();
        (explained.decided.is_ok(), part.holds, part.is_open)
    };
    assert_eq!(explained(""), (true, None, true));
    assert_eq!(explained(r#""run_id": "77", "run_attempt": "1""#), (true, Some(true), false));
    assert_eq!(explained(r#""run_id": "78", "run_attempt": "1""#), (false, Some(false), false));
}
