//! What the three platforms' tokens say, as each one's own documentation shows it; times, `iss` and `aud` are left out.

use serde_json::{Value, json};

/// A document with these claims over its own.
fn with(mut claims: Value, over: &Value) -> Value {
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// <https://docs.github.com/en/actions/reference/security/oidc>
pub fn github(over: &Value) -> Value {
    let claims = json!({
        "sub": "repo:octo-org/octo-repo:environment:production", "environment": "production", "ref": "refs/heads/main",
        "sha": "example-sha", "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "actor_id": "12",
        "repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65", "run_id": "example-run-id",
        "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted", "actor": "octocat",
        "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch",
        "ref_type": "branch", "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    });
    with(claims, over)
}

/// <https://docs.gitlab.com/ci/secrets/id_token_authentication/>
pub fn gitlab(over: &Value) -> Value {
    let claims = json!({
        "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1", "namespace_id": "72",
        "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project", "user_id": "1",
        "user_login": "sample-user", "user_email": "sample-user@example.com",
        "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}], "pipeline_id": "574",
        "pipeline_source": "push", "job_id": "302", "ref": "feature-branch-1", "ref_type": "branch",
        "ref_path": "refs/heads/feature-branch-1", "ref_protected": "false", "groups_direct": ["mygroup/mysubgroup"],
        "environment": "test-environment2", "environment_protected": "false", "deployment_tier": "testing",
        "environment_action": "start", "runner_id": 1, "runner_environment": "self-hosted", "project_visibility": "public",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "ci_config_ref_uri": "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main",
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
    });
    with(claims, over)
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>
pub fn pod(over: &Value) -> Value {
    let claims = json!({
        "sub": "system:serviceaccount:kube-system:coredns", "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
        "kubernetes.io": {
            "namespace": "kube-system",
            "node": {"name": "127.0.0.1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
            "pod": {"name": "coredns-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
            "serviceaccount": {"name": "coredns", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
            "warnafter": 1_700_081_020,
        },
    });
    with(claims, over)
}
