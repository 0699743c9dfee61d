//! From ambient identity to ended task at a real broker: `jitney` inside a job or a pod that has no key, nor a name.

use std::process::Output;

use serde_json::{Value, json};

use super::common::{
    API, Backing, Broker, ISSUER, Key, Platform, Reply, Setup, Token, jitney, on_both_stores, workload_path,
};
use super::{platform_workload, trusting};

on_both_stores!(
    a_github_job_runs_its_command_and_its_run_is_ended,
    a_gitlab_job_asks_and_a_later_line_ends_its_task,
    a_pod_is_its_own_task,
    where_two_workloads_fit_the_name_decides,
);

pub const ASK: [&str; 4] = ["--audience", API, "--scope", "orders:read"];

/// The binary with these words in such surroundings.
pub fn shell(broker: &Broker, surroundings: &[(&str, &str)], words: &[&str]) -> Output {
    let url = broker.url();
    let settings = [&[("JITNEY_URL", url.as_str()), ("JITNEY_ISSUER", ISSUER)][..], surroundings].concat();
    jitney(&broker.data(), &settings, words)
}

/// What it printed, where it went well.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A platform that signs with this key.
fn platform() -> (Platform, Key) {
    let (platform, key) = (Platform::http(), Key::rsa());
    platform.publish(&[(&key, "p1")]);
    (platform, key)
}

fn a_github_job_runs_its_command_and_its_run_is_ended(backing: &Backing) {
    let (platform, key) = platform();
    let rules =
        "claims = { repository_id = \"74\", ref = { glob = \"refs/heads/*\" } }\ntask = \"{run_id}.{run_attempt}\"";
    let broker = trusting(&platform, rules).start(backing);
    let claims = json!({"repository_id": "74", "ref": "refs/heads/main", "run_id": "987", "run_attempt": "2"});
    let id_token = platform.token(&key, "p1", claims);
    // Answered for this broker's name alone.
    let path = "/idtoken?api-version=2.0&audience=https%3A%2F%2Fbroker.example.com";
    platform.answer(path, Reply::Json(json!({"count": 1, "value": id_token})));
    let url = format!("{}/idtoken?api-version=2.0", platform.url());
    let job = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")];
    let command = ["--", "sh", "-c", "cat \"$JITNEY_TOKEN_FILE\"; env >&2"];
    let output = shell(&broker, &job, &[&["run"][..], &ASK, &command].concat());
    let token = Token::read(String::from_utf8_lossy(&output.stdout).trim());
    assert_eq!((token.claim("sub"), token.claim("txn")), ("job".into(), "987.2".into()));
    assert!(!broker.stands(&token), "its task has ended");
    let seen = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(seen.contains("JITNEY_TOKEN=") && !seen.contains(&id_token) && !seen.contains("of-the-job"), "{seen}");
    let again = shell(&broker, &job, &[&["token"][..], &ASK].concat());
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.starts_with("error: invalid_grant") && said.contains("--task RUN/STEP"), "{said}");
    let other = shell(&broker, &job, &[&["token", "--task", "mine"][..], &ASK].concat());
    assert!(String::from_utf8_lossy(&other.stderr).contains("attests the task 987.2, not mine"));
    assert_eq!((again.status.code(), other.status.code()), (Some(1), Some(1)));
}

fn a_gitlab_job_asks_and_a_later_line_ends_its_task(backing: &Backing) {
    let (platform, key) = platform();
    let broker =
        trusting(&platform, "claims = { project_id = \"20\" }\ntask = \"{pipeline_id}.{job_id}\"").start(backing);
    let id_token = platform.token(&key, "p1", json!({"project_id": "20", "pipeline_id": "574", "job_id": "302"}));
    let job = [("GITLAB_CI", "true"), ("JITNEY_ID_TOKEN", id_token.as_str())];
    let token = Token::read(&printed(&shell(&broker, &job, &[&["token"][..], &ASK].concat())));
    assert!(token.claim("txn") == "574.302" && broker.stands(&token));
    let file = broker.data().join("token");
    std::fs::write(&file, &token.text).unwrap();
    assert_eq!(printed(&shell(&broker, &job, &["complete", "--token-file", file.to_str().unwrap()])), "");
    assert!(!broker.stands(&token));
}

fn a_pod_is_its_own_task(backing: &Backing) {
    let (platform, key) = platform();
    let rules = "claims = { sub = \"system:serviceaccount:reports:nightly\" }\ntask = \"{kubernetes.io/pod/uid}\"";
    let broker = trusting(&platform, rules).start(backing);
    let pod = json!({"sub": "system:serviceaccount:reports:nightly", "aud": [ISSUER],
                     "kubernetes.io": {"namespace": "reports", "pod": {"name": "nightly-7", "uid": "5e0bd49b-f040"}}});
    let file = broker.data().join("pod-token");
    std::fs::write(&file, platform.token(&key, "p1", pod)).unwrap();
    let here = [("JITNEY_ASSERTION_FILE", file.to_str().unwrap())];
    let command = ["--", "sh", "-c", "cat \"$JITNEY_TOKEN_FILE\""];
    let token = Token::read(&printed(&shell(&broker, &here, &[&["run"][..], &ASK, &command].concat())));
    assert_eq!(token.claim("txn"), "5e0bd49b-f040");
    assert!(!broker.stands(&token));
}

fn where_two_workloads_fit_the_name_decides(backing: &Backing) {
    let (platform, key) = platform();
    let rules = "claims = { project_id = \"20\" }\ntask = \"auto\"";
    let setup: Setup = trusting(&platform, rules);
    let broker = setup.policy(&workload_path("demo"), platform_workload(platform.url(), rules)).start(backing);
    let claims: Value = json!({"project_id": "20"});
    let id_token = platform.token(&key, "p1", claims);
    let words = [&["token"][..], &ASK].concat();
    let output = shell(&broker, &[("JITNEY_ID_TOKEN", &id_token)], &words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error: invalid_client") && said.contains("next:"), "{said}");
    for workload in ["job", "demo"] {
        let output = shell(&broker, &[("JITNEY_ID_TOKEN", &id_token), ("JITNEY_WORKLOAD", workload)], &words);
        assert_eq!(Token::read(&printed(&output)).claim("sub"), workload);
    }
}

#[test]
fn doctor_s_mend_for_a_token_of_two_audiences_is_a_token_of_one() {
    let (platform, key) = platform();
    let broker = trusting(&platform, "claims = { repository_id = \"74\" }").start(&Backing::Embedded);
    let shown =
        platform.token(&key, "p1", json!({"repository_id": "74", "aud": [ISSUER, "https://other.example.com"]}));
    let file = broker.data().join("assertion");
    std::fs::write(&file, shown).unwrap();
    let surroundings = [("JITNEY_ASSERTION_FILE", file.to_str().unwrap())];
    let output = shell(&broker, &surroundings, &["doctor", "--audience", API, "--scope", "orders:read"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("must name this broker alone") && told.contains("names nobody besides"), "{told}");
    assert!(!told.contains("audience =") && !told.contains("must name it as `audience`"), "{told}");
}
