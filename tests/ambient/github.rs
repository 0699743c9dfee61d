//! A GitHub Actions job.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fake::actions::{Actions, REQUEST_TOKEN};
use super::fake::broker::{Broker, Manner};
use super::{ASK, TOKEN, fake, jitney, printed, run, shown, text};

const COMPLETE: &str = "/v1/tasks/9876543210.2/complete";

/// `task = "{run_id}.{run_attempt}"`.
fn run_of(claims: &Value) -> String {
    format!("{}.{}", claims["run_id"].as_str().unwrap(), claims["run_attempt"].as_str().unwrap())
}

fn broker(manner: Manner) -> Broker {
    Broker::start(Manner { attests: Some(run_of), ..manner })
}

/// What the runner gives a job that has `id-token: write`.
fn within(actions: &Actions, mut command: Command) -> Command {
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_RUN_ID", "9876543210")
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", actions.request_url())
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN);
    command
}

#[test]
fn a_job_runs_its_command_with_a_token_of_its_run_and_the_run_s_task_is_ended() {
    let (broker, actions) = (broker(Manner::default()), Actions::start(300, 0));
    let output = within(&actions, run(&broker, "echo \"got $JITNEY_TOKEN\"; env")).output().unwrap();
    let seen = printed(&output);
    assert!(seen.starts_with("got token-1\n") && seen.contains("GITHUB_RUN_ID="), "{seen}");
    assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
    // Asked for once, for this broker; it says which workload and task this is, so nothing else does.
    let given = actions.given();
    assert_eq!(shown(&broker), given);
    assert_eq!(fake::claims(&given[0]).unwrap()["aud"], broker.url());
    let asked = &broker.requests()[0];
    assert_eq!((asked.form("task"), asked.form("client_id")), (None, None));
    assert_eq!(asked.form("grant_type").as_deref(), Some("client_credentials"));
    for secret in [REQUEST_TOKEN, &actions.request_url(), &given[0], "ACTIONS_ID_TOKEN"] {
        assert!(!seen.contains(secret), "{secret}: {seen}");
    }
}

#[test]
fn where_the_workload_is_named_the_name_goes_along() {
    let (broker, actions) = (broker(Manner::default()), Actions::start(300, 0));
    let mut command = within(&actions, jitney(&broker, &["token"]));
    let output = command.args(ASK).args(["--task", "9876543210.2/migrate"]).env("JITNEY_WORKLOAD", "deploy").output();
    assert_eq!(printed(&output.unwrap()), "token-1\n");
    let asked = &broker.requests()[0];
    assert_eq!(asked.form("client_id").as_deref(), Some("deploy"));
    assert_eq!(asked.form("task").as_deref(), Some("9876543210.2/migrate"));
}

#[test]
fn a_task_that_is_not_the_run_s_is_refused_in_the_broker_s_words() {
    let (broker, actions) = (broker(Manner::default()), Actions::start(300, 0));
    let output = within(&actions, jitney(&broker, &["token", "--task", "mine"])).args(ASK).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = text(&output.stderr);
    assert!(said.contains("the platform attests the task 9876543210.2, not mine"), "{said}");
}

#[test]
fn in_a_long_job_the_platform_is_asked_anew_before_its_token_ends() {
    let (broker, actions) = (broker(Manner { ttl: 2, ..Manner::default() }), Actions::start(1, 0));
    let script =
        "while [ \"$(cat \"$JITNEY_TOKEN_FILE\")\" = token-1 ]; do sleep 0.02; done; cat \"$JITNEY_TOKEN_FILE\"";
    let output = within(&actions, run(&broker, script)).output().unwrap();
    assert_eq!(printed(&output), "token-2");
    assert_eq!(broker.heard(), [TOKEN, TOKEN, COMPLETE]);
    let (shown, given) = (shown(&broker), actions.given());
    assert!(given.len() >= 2 && shown == given, "{} shown, {} given", shown.len(), given.len());
    assert_eq!(broker.requests()[1].form("task").as_deref(), Some("9876543210.2"), "the task it has");
}

#[test]
fn after_a_refusal_the_platform_is_asked_anew_for_its_token_may_count_once() {
    let broker = broker(Manner { ttl: 2, grants: &[200, 400, 200], ..Manner::default() });
    let actions = Actions::start(300, 0);
    let script = "while [ \"$(cat \"$JITNEY_TOKEN_FILE\")\" = token-1 ]; do sleep 0.02; done";
    let output = within(&actions, run(&broker, script)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let given = actions.given();
    let shown: Vec<_> = broker.requests().iter().map(|each| each.form("client_assertion").unwrap()).collect();
    assert_eq!(given.len(), 2);
    assert_eq!(shown, [&given[0], &given[0], &given[1], &given[1]].map(String::clone), "two asks, one more, the end");
}

#[test]
fn a_platform_that_is_busy_is_asked_again_and_one_that_is_not_there_is_told() {
    let (broker, actions) = (broker(Manner::default()), Actions::start(300, 1));
    let output = within(&actions, jitney(&broker, &["token"])).args(ASK).output().unwrap();
    assert_eq!(printed(&output), "token-1\n");
    let mut command = within(&actions, jitney(&broker, &["token"]));
    let output = command.args(ASK).env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-another-job").output().unwrap();
    let said = text(&output.stderr);
    assert!(said.starts_with("error: GitHub Actions: the job's request token is not taken"), "{said}");
    assert!(said.contains("next:") && !said.contains("of-another-job"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_later_step_ends_the_task_by_the_token_of_an_earlier_one() {
    let (broker, actions) = (broker(Manner::default()), Actions::start(300, 0));
    let file = broker.dir().join("token");
    std::fs::write(&file, fake::jwt(&serde_json::json!({"txn": "9876543210.2"}))).unwrap();
    let mut command = within(&actions, jitney(&broker, &["complete", "--token-file", file.to_str().unwrap()]));
    assert_eq!(printed(&command.output().unwrap()), "");
    assert_eq!(broker.heard(), [COMPLETE]);
    assert_eq!(shown(&broker), actions.given());
}

#[test]
fn a_job_that_is_stopped_before_it_hears_of_its_token_ends_the_task_all_the_same() {
    let (broker, actions) = (broker(Manner { waits: true, ..Manner::default() }), Actions::start(300, 0));
    let mut child = within(&actions, run(&broker, "exec sleep 60")).stdout(Stdio::null()).spawn().unwrap();
    while broker.count(TOKEN) == 0 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    broker.release();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(broker.heard(), [TOKEN, COMPLETE]);
}
