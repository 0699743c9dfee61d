//! Whose run it is: names that change and names that are taken over, forks and their pull requests, branches that nobody
//! protects, namespaces and clusters of others. One issuer signs for all of them, and signs well.

use serde_json::{Value, json};

use super::claims::{github, gitlab, pod};
use super::common::{Backing, Broker, Key, Platform, Setup, workload_path};
use super::{by, platform_workload};

/// A broker with these workloads, by id and rules; the issuer and its key.
fn scene(workloads: &[(&str, &str)]) -> (Platform, Key, Broker) {
    let (platform, key) = (Platform::http(), Key::rsa());
    platform.publish(&[(&key, "p1")]);
    let setup = Setup::default().set("JITNEY_FEDERATION_ALLOW_PRIVATE", platform.url());
    let setup = workloads.iter().fold(setup, |setup, (id, rules)| {
        setup.policy(&workload_path(id), platform_workload(platform.url(), &format!("{rules}\ntask = \"auto\"")))
    });
    (platform, key, setup.start(&Backing::Embedded))
}

/// Shows each of these documents as each workload: exactly those it names get a token, the others the one answer.
fn each_gets_what_is_its(workloads: &[(&str, &str)], documents: &[(&str, Value, &[&str])]) {
    let (platform, key, broker) = scene(workloads);
    for (name, claims, granted) in documents {
        let shown = platform.token(&key, "p1", claims.clone());
        for (workload, _) in workloads {
            let answer = broker.ask(&by(&shown).with("client_id", workload));
            if granted.contains(workload) {
                assert_eq!(answer.status, 200, "{name}, as {workload}: {}", answer.text());
                continue;
            }
            assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{name}, as {workload}");
            assert!(answer.field("error_description").contains("proves no client"), "{name}: {}", answer.text());
        }
    }
}

#[test]
fn on_github_ids_decide_and_what_a_pull_request_runs_is_not_what_was_merged() {
    let workflow = "octo-org/octo-repo/.github/workflows/deploy.yml";
    let by_workflow =
        format!("claims = {{ repository_id = \"74\", job_workflow_ref = {{ glob = \"{workflow}@refs/heads/*\" }} }}");
    let workloads = [
        ("by-environment", "claims = { repository_id = \"74\", environment = \"production\" }"),
        ("by-ref", "claims = { repository_id = \"74\", ref = { glob = \"refs/heads/*\" } }"),
        ("by-push", "claims = { repository_id = \"74\", ref = \"refs/heads/main\", event_name = \"push\" }"),
        ("by-workflow", by_workflow.as_str()),
    ];
    let at = |git_ref: &str| format!("{workflow}@{git_ref}");
    // A push to the main branch, by a workflow without environment.
    let push = json!({"event_name": "push", "environment": null, "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
                      "job_workflow_ref": at("refs/heads/main")});
    let with = |over: Value| {
        let mut claims = github(&push);
        over.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        claims
    };
    // The run of a pull request belongs to the repository that it is asked of, wherever its branch is from.
    let pull = json!({"event_name": "pull_request", "ref": "refs/pull/7/merge", "head_ref": "patch-1", "base_ref": "main",
                      "actor": "mallory", "actor_id": "666", "sub": "repo:octo-org/octo-repo:pull_request",
                      "job_workflow_ref": at("refs/pull/7/merge")});
    let target =
        json!({"event_name": "pull_request_target", "head_ref": "patch-1", "base_ref": "main", "actor": "mallory"});
    let fork = json!({"repository_id": "991", "repository": "mallory/octo-repo", "repository_owner": "mallory",
                      "repository_owner_id": "666", "environment": "production"});
    let renamed = json!({"repository": "new-org/new-repo", "repository_owner": "new-org",
                         "sub": "repo:new-org/new-repo:ref:refs/heads/main"});
    let taken = json!({"repository_id": "7400", "repository_owner_id": "6500", "environment": "production"});
    let documents: [(&str, Value, &[&str]); 8] = [
        ("a push", with(json!({})), &["by-ref", "by-push", "by-workflow"]),
        (
            "a run in the environment",
            with(json!({"environment": "production", "event_name": "workflow_dispatch"})),
            &["by-environment", "by-ref", "by-workflow"],
        ),
        ("a push after the organisation was renamed", with(renamed), &["by-ref", "by-push"]),
        ("who took over the old name", with(taken), &[]),
        ("a push to a fork", with(fork), &[]),
        ("a pull request, from a fork or not", with(pull), &[]),
        // It runs what was merged, beside what was not: only the event tells it apart.
        ("a pull request's target", with(target), &["by-ref", "by-workflow"]),
        (
            "another branch",
            with(json!({"ref": "refs/heads/topic", "job_workflow_ref": at("refs/heads/topic")})),
            &["by-ref", "by-workflow"],
        ),
    ];
    // Who calls the workflow of another repository has that one's workflow in its token.
    let mut documents = documents.to_vec();
    let called = "evil-org/tools/.github/workflows/deploy.yml@refs/heads/main";
    documents.push(("another's workflow", with(json!({"job_workflow_ref": called})), &["by-ref", "by-push"]));
    documents[2].1["job_workflow_ref"] = json!("new-org/new-repo/.github/workflows/deploy.yml@refs/heads/main");
    each_gets_what_is_its(&workloads, &documents);
}

#[test]
fn on_gitlab_ids_decide_and_so_may_protection() {
    let workloads = [
        ("by-project", "claims = { project_id = \"20\" }"),
        ("by-protected", "claims = { project_id = \"20\", ref_protected = \"true\" }"),
        (
            "by-environment",
            "claims = { project_id = 20, environment = \"production\", environment_protected = \"true\" }",
        ),
    ];
    let moved =
        json!({"project_path": "new-group/new-project", "namespace_path": "new-group", "ref_protected": "true"});
    let production = json!({"environment": "production", "environment_protected": "true", "ref_protected": true});
    let fork = json!({"project_id": "21", "project_path": "mallory/my-project", "ref_protected": "true"});
    let documents: [(&str, Value, &[&str]); 6] = [
        ("a branch that is not protected", gitlab(&json!({})), &["by-project"]),
        ("a protected one, of a project that was moved", gitlab(&moved), &["by-project", "by-protected"]),
        // A boolean equals its word, a number its digits: GitLab writes both in quotes, others do not.
        ("production", gitlab(&production), &["by-project", "by-protected", "by-environment"]),
        ("who took over the old path", gitlab(&json!({"project_id": "2000", "ref_protected": "true"})), &[]),
        ("a fork", gitlab(&fork), &[]),
        ("no project", gitlab(&json!({"project_id": null})), &[]),
    ];
    each_gets_what_is_its(&workloads, &documents);
}

#[test]
fn in_a_cluster_the_namespace_is_part_of_the_name_and_an_account_made_anew_is_another() {
    let sub = "system:serviceaccount:kube-system:coredns";
    let by_uid = format!(
        "claims = {{ sub = \"{sub}\", \"kubernetes.io/serviceaccount/uid\" = \"a087d5a0-e1dd-43ec-93ac-f13d89cd13af\" }}"
    );
    let by_sub = format!("claims = {{ sub = \"{sub}\" }}");
    let workloads = [("by-sub", by_sub.as_str()), ("by-uid", by_uid.as_str())];
    let mut anew = pod(&json!({}));
    anew["kubernetes.io"]["serviceaccount"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    let other = |sub: &str| pod(&json!({ "sub": sub }));
    let documents: [(&str, Value, &[&str]); 5] = [
        ("a pod", pod(&json!({})), &["by-sub", "by-uid"]),
        ("an account that was made anew", anew, &["by-sub"]),
        ("the same account's name elsewhere", other("system:serviceaccount:mallory:coredns"), &[]),
        ("a name that begins alike", other("system:serviceaccount:kube-system:coredns-2"), &[]),
        ("the API server's own", other("system:node:127.0.0.1"), &[]),
    ];
    each_gets_what_is_its(&workloads, &documents);
}

#[test]
fn another_cluster_is_another_issuer_whatever_its_tokens_say() {
    let rules = "claims = { sub = \"system:serviceaccount:kube-system:coredns\" }";
    let (_own, _, broker) = scene(&[("in-a-pod", rules)]);
    let (other, key) = (Platform::http(), Key::rsa());
    other.publish(&[(&key, "p1")]);
    let answer = broker.ask(&by(&other.token(&key, "p1", pod(&json!({})))));
    assert_eq!(answer.outcome(), (401, "invalid_client".into()));
    let line = broker.decision(&answer.field("decision_id"));
    assert!(line["detail"].as_str().unwrap().starts_with("unknown_issuer"), "{line}");
    assert_eq!(other.asked(), 0, "nobody who shows a token sends the broker anywhere");
}
