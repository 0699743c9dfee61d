//! Why was it refused? By the decision's id, for a request that nobody has made yet, and in JSON.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{restless, said};
use crate::common::{API, Ask, Backing, Broker, Setup};

const LIMITED: &str = r#"
@id("nothing-reads-shortly")
permit (
  principal == Jitney::Workload::"nothing",
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://api.example.com orders:read"
)
when { context.ttl <= 120 && context.task like "night-*" };
"#;

fn broker() -> Broker {
    restless().policy("limited.cedar", LIMITED).start(&Backing::Embedded)
}

#[track_caller]
fn explained(broker: &Broker, words: &[&str]) -> (Option<i32>, Value) {
    let words = [&["policy", "explain", "--output", "json"], words].concat();
    let (code, stdout, stderr) = said(&broker.cli("demo", &words));
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
}

#[test]
fn a_refused_request_is_explained_by_its_decision_id_over_all_files() {
    let broker = broker();
    let ask = Ask::of("nothing").task("day-1").with("ttl", 300);
    let refused = broker.ask(&ask);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let decision = refused.field("decision_id");
    // By now it stands in a closed file.
    for n in 0..30 {
        broker.mint("demo", &format!("t{n}"));
    }
    assert!(super::closed(&broker.audit_path()).len() > 1);
    let (code, told) = explained(&broker, &[&decision]);
    assert_eq!((code, &told["allowed"], &told["reason"]), (Some(0), &json!(false), &json!("denied_scope")), "{told}");
    assert_eq!(told["decision"]["decision_id"], decision);
    assert_eq!((&told["request"]["ttl"], &told["request"]["task"]), (&json!(300), &json!("day-1")));
    let policies = told["scopes"][0]["policies"].as_array().unwrap();
    let policy = policies.iter().find(|policy| policy["id"] == "nothing-reads-shortly").unwrap();
    assert_eq!((&policy["applies"], &policy["line"]), (&json!(false), &json!(2)), "{policy}");
    let conditions = policy["conditions"].as_array().unwrap();
    assert_eq!(conditions[0]["text"], "context.ttl <= 120");
    assert_eq!((&conditions[0]["holds"], &conditions[0]["values"]), (&json!(false), &json!({"context.ttl": "300"})));
    assert_eq!(conditions[1]["values"], json!({"context.task": "\"day-1\""}));
    let change = &told["changes"][0];
    assert_eq!(change["proven"], true, "{told}");
    assert!(
        change["text"].as_str().unwrap().starts_with("ask for a ttl of 120 s (2m), and name the task like `night-*`"),
        "{change}"
    );
    // What it says helps.
    assert_eq!(broker.ask(&Ask::of("nothing").task("night-1").with("ttl", 120)).status, 200);
    let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &decision]));
    assert_eq!(code, Some(0));
    for told in [
        "refused",
        "nothing-reads-shortly",
        "fails  context.ttl <= 120",
        "context.ttl is 300",
        "what would have to be different",
    ] {
        assert!(stdout.contains(told), "{told}: {stdout}");
    }
}

#[test]
fn a_grant_is_explained_too_and_so_is_what_no_policy_decided() {
    let broker = broker();
    let token = broker.mint("demo", "t");
    let decision =
        broker.audited(&[("event", "mint"), ("lease", &token.lease())])["decision_id"].as_str().unwrap().to_owned();
    let (code, told) = explained(&broker, &[&decision]);
    assert_eq!((code, &told["allowed"], &told["policies"]), (Some(0), &json!(true), &json!(["most-do-all"])), "{told}");
    assert!(broker.cli("demo", &["workload", "quarantine", "demo", "--reason", "drill"]).status.success());
    let shut = broker.ask(&Ask::of("demo").task("u")).field("decision_id");
    let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &shut]));
    assert!(
        code == Some(0) && stdout.contains("The policies were not asked") && stdout.contains("quarantine"),
        "{stdout}"
    );
    let stranger = broker.ask(&Ask::of("nobody").task("u")).field("decision_id");
    let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &stranger]));
    assert!(code == Some(0) && stdout.contains("nobody proved who asks"), "{stdout}");
}

#[test]
fn a_decision_of_another_broker_says_whose_it_is() {
    let (broker, other) = (broker(), Broker::start(&Backing::Embedded));
    let theirs = other.ask(&Ask::of("nothing")).field("decision_id");
    let (code, _, stderr) = said(&broker.cli("demo", &["policy", "explain", &theirs]));
    let name = theirs.split('.').next().unwrap();
    assert!(code == Some(1) && stderr.contains(&format!("is one of broker {name}")), "{stderr}");
    assert!(stderr.contains(&format!("look into the audit log of {name}")), "{stderr}");
    let (code, _, stderr) = said(&broker.cli("demo", &["audit", "tail", "--decision", &theirs]));
    assert!(code == Some(1) && stderr.contains(&format!("is one of broker {name}")), "{stderr}");
    let log = other.audit_path();
    let words = ["policy", "explain", &theirs, "--file", log.to_str().unwrap()];
    assert!(broker.cli("demo", &words).status.success(), "told where to look, it finds it");
    let own = broker.ask(&Ask::of("nothing")).field("decision_id");
    let unknown = format!("{}.{}", own.split('.').next().unwrap(), "A".repeat(22));
    let (code, _, stderr) = said(&broker.cli("demo", &["policy", "explain", &unknown]));
    assert!(code == Some(1) && stderr.contains("has no line of decision"), "{stderr}");
    let (code, _, stderr) = said(&broker.cli("demo", &["policy", "explain", "nonsense"]));
    assert!(code == Some(2) && stderr.contains("no decision id"), "{stderr}");
}

#[test]
fn a_request_nobody_has_made_is_explained_by_the_broker_s_policies_or_a_directory_s() {
    let broker = broker();
    let ask = ["--workload", "nothing", "--audience", API, "--scope", "orders:write"];
    let (code, told) = explained(&broker, &ask);
    assert_eq!((code, &told["is_in_use"]), (Some(1), &json!(true)), "{told}");
    let paste = told["changes"].as_array().unwrap().iter().find(|change| !change["paste"].is_null()).unwrap();
    assert_eq!(paste["proven"], true, "{told}");
    // Pasted, it helps.
    let file = broker.policy(paste["paste"]["file"].as_str().unwrap());
    std::fs::write(&file, paste["paste"]["text"].as_str().unwrap()).unwrap();
    let dir = broker.data().join("policies");
    let in_dir = [&ask[..], &["--policies", dir.to_str().unwrap()]].concat();
    let (code, told) = explained(&broker, &in_dir);
    assert_eq!((code, &told["allowed"]), (Some(0), &json!(true)), "{told}");
    let (code, stdout, _) = said(&broker.cli("demo", &[&["policy", "explain"], &in_dir[..]].concat()));
    assert!(code == Some(0) && stdout.starts_with("allowed"), "{stdout}");
    let (code, _, stderr) = said(&broker.cli(
        "demo",
        &["policy", "explain", "--policies", "/nonexistent", "--workload", "w", "--audience", API, "--scope", "a"],
    ));
    assert!(code == Some(1) && stderr.contains("/nonexistent does not load"), "{stderr}");
    let limits = [&ask[..5], &["orders:read", "--task", "night-1", "--ttl", "2h"]].concat();
    let (code, told) = explained(&broker, &limits);
    assert!(code == Some(1) && told["reason"] == "invalid_request", "{told}");
    assert!(told["changes"][0]["text"].as_str().unwrap().contains("ask for a ttl of 120 s"), "{told}");
}

#[test]
fn a_request_in_json_comes_by_standard_input() {
    let broker = broker();
    let ask = |text: &str| {
        let mut command = broker.cli_command("demo", &["policy", "explain", "--output", "json", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        said(&child.wait_with_output().unwrap())
    };
    let request = json!({
        "workload": "nothing", "audience": API, "scope": "orders:read", "task": "night-7", "ttl": "2m",
        "identity": {"claims": {"kid": "k"}},
    });
    let (code, stdout, stderr) = ask(&request.to_string());
    assert_eq!(code, Some(0), "{stderr}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&told["allowed"], &told["ttl"]), (&json!(true), &json!(120)), "{told}");
    for (wrong, why) in [
        ("nonsense", "no request in JSON"),
        (r#"{"workload": "a", "audience": "b", "scope": "c", "colour": 1}"#, "colour"),
    ] {
        let (code, _, stderr) = ask(wrong);
        assert!(code == Some(2) && stderr.contains(why) && stderr.contains("next:"), "{stderr}");
    }
}

#[test]
fn what_lies_in_the_folder_and_is_not_in_use_is_said() {
    let broker = Setup::default().policy("limited.cedar", LIMITED).start(&Backing::Embedded);
    std::fs::write(broker.policy("broken.cedar"), "permit(").unwrap();
    let words = ["policy", "explain", "--workload", "nothing", "--audience", API, "--scope", "orders:read"];
    let (code, _, stderr) = said(&broker.cli("demo", &words));
    assert!(code == Some(1) && stderr.contains("does not load") && stderr.contains("jitney policy check"), "{stderr}");
}
