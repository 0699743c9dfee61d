//! A GitLab job with `id_tokens: { JITNEY_ID_TOKEN: { aud: … } }`.

use serde_json::{Value, json};

use super::fake::broker::{Broker, Manner};
use super::{TOKEN, fake, printed, run, shown};

fn job_of(claims: &Value) -> String {
    format!("{}.{}", claims["pipeline_id"].as_str().unwrap(), claims["job_id"].as_str().unwrap())
}

/// Shaped like those in GitLab's documentation.
fn id_token(audience: &str) -> String {
    fake::jwt(&json!({
        "iss": "https://gitlab.example.com",
        "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
        "aud": audience,
        "jti": format!("for {audience}"),
        "namespace_id": "72",
        "project_id": "20",
        "project_path": "my-group/my-project",
        "pipeline_id": "574",
        "job_id": "302",
        "ref": "main",
        "ref_type": "branch",
        "ref_protected": "true",
        "runner_environment": "gitlab-hosted",
    }))
}

#[test]
fn a_job_runs_its_command_with_a_token_of_its_own_and_keeps_its_other_id_tokens() {
    let broker = Broker::start(Manner { attests: Some(job_of), ..Manner::default() });
    let (own, other) = (id_token(broker.url()), id_token("https://vault.example.com"));
    let mut command = run(&broker, "echo \"got $JITNEY_TOKEN\"; env");
    command
        .env("GITLAB_CI", "true")
        .env("CI_JOB_ID", "302")
        .env("JITNEY_ID_TOKEN", &own)
        .env("VAULT_ID_TOKEN", &other)
        .env("A_COPY", format!("Bearer {own}"))
        .env("SECOND_ID_TOKEN", fake::jwt(&json!({"aud": broker.url(), "jti": "second"})));
    let gitlab_s = ["CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "CI_REPOSITORY_URL", "CI_JOB_JWT_V2"];
    for name in gitlab_s {
        command.env(name, "planted");
    }
    let seen = printed(&command.output().unwrap());
    assert!(seen.starts_with("got token-1\n") && seen.contains("CI_JOB_ID=302"), "{seen}");
    assert!(seen.contains(&format!("VAULT_ID_TOKEN={other}")), "{seen}");
    assert!(!seen.contains(&own) && !seen.contains("SECOND_ID_TOKEN") && !seen.contains("planted"), "{seen}");
    assert_eq!(broker.heard(), [TOKEN, "/v1/tasks/574.302/complete"]);
    assert_eq!(shown(&broker), [own]);
}
