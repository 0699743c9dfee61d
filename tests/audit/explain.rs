//! Why was it refused? By the decision's id, for a request that nobody has made yet, and in JSON.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{restless, said};
use crate::common::{API, Ask, Assertion, Backing, Broker, Setup, key_of, now, workload, workload_path};

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
    let stranger = broker.ask(&Ask::of("nobody").task("u")).field("decision_id");
    let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &stranger]));
    assert!(code == Some(0) && stdout.contains("nobody proved who asks") && stdout.contains("next:"), "{stdout}");
}

#[test]
fn who_was_claimed_and_not_proven_is_looked_for() {
    let mut broker = broker();
    let slip = Assertion::of("dmeo").signed(key_of("demo"));
    let slip = broker.ask(&Ask::of("demo").task("u").assertion(slip)).field("decision_id");
    let stranger = Assertion::of("demo").signed(key_of("nobody"));
    let stranger = broker.ask(&Ask::of("demo").task("u").assertion(stranger)).field("decision_id");
    let next = |decision: &str, told: &str| {
        let (code, stdout, stderr) = said(&broker.cli("demo", &["policy", "explain", decision]));
        assert!(code == Some(0) && stdout.contains(told), "{stdout}{stderr}");
    };
    next(&slip, "next: there is no workload dmeo: did you mean demo?");
    next(&stranger, "next: demo exists, but the assertion is by none of its keys");
    let log = broker.audit_path();
    broker.stop();
    let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &slip, "--file", log.to_str().unwrap()]));
    assert!(code == Some(0) && stdout.contains("next: the line's detail says"), "{stdout}");
}

#[test]
fn what_the_caller_was_told_is_in_the_line_and_told_with_its_step() {
    let broker = broker();
    let ahead = Assertion::of("demo").claims(json!({"iat": now() + 300, "exp": now() + 360}));
    let other = Assertion::of("demo").claims(json!({"aud": "https://another.example.com"}));
    let rows = [
        (Ask::of("demo").task("u").assertion(ahead.text()), "form: ", "compare both clocks"),
        (Ask::of("demo").task("u").assertion(other.text()), "form: ", "issuer alone as aud"),
        (Ask::of("demo").task("u").with("ttl", "soon"), "", "docs/tokens.md"),
        (Ask::of("demo").task("a//b"), "", "docs/tokens.md"),
    ];
    for (ask, fault, step) in rows {
        let answer = broker.ask(&ask);
        let said_to_caller = answer.field("error_description");
        let decision = answer.field("decision_id");
        let line = broker.decision(&decision);
        assert_eq!(line["detail"], format!("{fault}{said_to_caller}"), "{line}");
        let is_known = fault.is_empty();
        assert_eq!(line["audience"].as_str(), is_known.then_some(API), "{line}");
        let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &decision]));
        assert_eq!(code, Some(0));
        let sentence = stdout.lines().find(|line| line.contains("was refused: ")).unwrap_or_else(|| panic!("{stdout}"));
        assert!(sentence.ends_with(&said_to_caller), "{sentence}");
        assert!(stdout.lines().any(|line| line.contains("next:") && line.contains(step)), "{step}: {stdout}");
    }
    // No policy has decided what is no number of seconds.
    let token = broker.mint("demo", "renewed");
    let path = format!("/v1/leases/{}/renew", token.lease());
    let decision = broker.send(&Ask::bare("demo").with("ttl", "soon").at(&path)).field("decision_id");
    let (_, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &decision]));
    assert!(stdout.contains("was refused: ttl: whole seconds") && stdout.contains("not the policies that"), "{stdout}");
    // What has the form of a token is kept nowhere, wherever it was put.
    let misplaced = Assertion::of("demo").text();
    let answer =
        broker.ask(&Ask::of("demo").task("u").with("ttl", "soon").with("audience", format!("https://x/?{misplaced}")));
    let line = broker.decision(&answer.field("decision_id"));
    assert!(!line.to_string().contains(&misplaced[..40]), "{line}");
}

#[test]
fn an_end_that_was_put_off_since_is_told_with_what_would_come_now() {
    let late = |end: &str| workload("late", end, &key_of("late").jwks(), "");
    let broker = restless()
        .policy("limited.cedar", LIMITED.replace("\"nothing\"", "\"late\""))
        .policy(&workload_path("late"), late("2020-01-31"))
        .start(&Backing::Embedded);
    let decision = broker.ask(&Ask::of("late").task("night-1").with("ttl", 60)).field("decision_id");
    let dir = broker.data().join("policies");
    let words = ["policy", "explain", &decision, "--policies", dir.to_str().unwrap()];
    let (code, stdout, _) = said(&broker.cli("demo", &words));
    assert!(code == Some(0) && stdout.contains("later `expires` than 2020-01-31"), "{stdout}");
    assert!(!stdout.contains("had expired then"), "{stdout}");
    std::fs::write(broker.policy(&workload_path("late")), late("2099-01-31")).unwrap();
    let (code, stdout, _) = said(&broker.cli("demo", &words));
    assert!(code == Some(0) && stdout.contains("was refused: the workload was past the end"), "{stdout}");
    assert!(stdout.contains("The workload had expired then; its file gives it a later end by now."), "{stdout}");
    assert!(stdout.contains("Asked again now, it would be granted."), "{stdout}");
    assert!(!stdout.contains("the policies have changed"), "{stdout}");
}

#[test]
fn a_refusal_by_quarantine_says_whether_it_still_stands_and_what_would_be_decided_now() {
    let mut broker = broker();
    assert!(broker.cli("demo", &["workload", "quarantine", "demo", "--reason", "drill"]).status.success());
    let shut = broker.ask(&Ask::of("demo").task("u")).field("decision_id");
    let denied = broker.ask(&Ask::of("demo").with("scope", "orders:none").task("u")).field("decision_id");
    let (code, stdout, stderr) = said(&broker.cli("demo", &["policy", "explain", &shut]));
    assert!(code == Some(0) && stdout.contains("was refused: the workload was in quarantine"), "{stdout}{stderr}");
    let uid = format!("by uid:{}: drill", rustix::process::geteuid().as_raw());
    for told in ["workload demo is in quarantine since 20", &uid, "jitney workload release demo --reason"] {
        assert!(stdout.contains(told), "{told}: {stdout}");
    }
    assert!(!stdout.contains("see whether it still is") && !stdout.contains("any more"), "{stdout}");
    let (code, told) = explained(&broker, &[&shut]);
    assert_eq!((code, &told["allowed"], &told["reason"]), (Some(0), &json!(false), &json!("quarantined")), "{told}");
    assert_eq!((&told["quarantine"]["in_force"], &told["quarantine"]["reason"]), (&json!(true), &json!("drill")));
    assert!(uid.contains(told["quarantine"]["actor"].as_str().unwrap()), "{told}");
    assert!(told["next"].as_str().unwrap().starts_with("release demo, once it is safe"), "{told}");
    assert_eq!(told["released"], Value::Null);
    // What the policies refuse besides is told with it.
    let (_, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &denied]));
    assert!(stdout.contains("is in quarantine since") && stdout.contains("the policies refuse it besides"), "{stdout}");

    assert!(broker.cli("demo", &["workload", "release", "demo", "--reason", "all clear"]).status.success());
    let (code, stdout, _) = said(&broker.cli("demo", &["policy", "explain", &shut]));
    assert!(code == Some(0) && stdout.contains("was refused: the workload was in quarantine"), "{stdout}");
    for told in ["It is in no quarantine any more, released 20", ": all clear", "Asked again now, it would be granted"]
    {
        assert!(stdout.contains(told), "{told}: {stdout}");
    }
    assert!(stdout.contains("allowed") && !stdout.contains("the policies have changed"), "{stdout}");
    let (_, told) = explained(&broker, &[&shut]);
    assert_eq!((&told["allowed"], &told["next"]), (&json!(true), &Value::Null), "{told}");
    assert_eq!((&told["quarantine"]["in_force"], &told["released"]["reason"]), (&json!(false), &json!("all clear")));
    assert!(!told["released"]["at"].as_str().unwrap().is_empty(), "{told}");

    // Where nobody can be asked, it is said how to see.
    let (log, dir) = (broker.audit_path(), broker.data().join("policies"));
    broker.stop();
    let words = ["policy", "explain", &shut, "--file", log.to_str().unwrap(), "--policies", dir.to_str().unwrap()];
    let (code, stdout, _) = said(&broker.cli("demo", &words));
    assert!(
        code == Some(0)
            && stdout.contains("quarantine was not looked at")
            && stdout.contains("next: see whether it still is, since when and why: jitney workload show demo"),
        "{stdout}"
    );
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
    // A misspelt word is no other word.
    for (word, told) in [("odic", "did you mean `oidc`?"), ("github", "`github`. There are private_key_jwt, oidc")] {
        let words = [&["policy", "explain"], &ask[..], &["--identity", word]].concat();
        let (code, stdout, stderr) = said(&broker.cli("demo", &words));
        assert!(code == Some(2) && stdout.is_empty() && stderr.contains(told), "{stdout}{stderr}");
    }
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
        (
            r#"{"workload": "nothing", "audience": "b", "scope": "c", "identity": {"type": "private_key_jtw"}}"#,
            "there is no identity type `private_key_jtw`: did you mean `private_key_jwt`?",
        ),
    ] {
        let (code, _, stderr) = ask(wrong);
        assert!(code == Some(2) && stderr.contains(why) && stderr.contains("next:"), "{stderr}");
    }
}

#[test]
fn a_folder_that_does_not_load_is_told_and_the_set_in_use_is_explained() {
    let broker = Setup::default().policy("limited.cedar", LIMITED).start(&Backing::Embedded);
    let decision = broker.ask(&Ask::of("nothing").task("day-1").with("ttl", 60)).field("decision_id");
    std::fs::write(broker.policy("broken.cedar"), "permit(").unwrap();
    let request =
        ["--workload", "nothing", "--audience", API, "--scope", "orders:read", "--task", "night-1", "--ttl", "60"];
    let (code, told) = explained(&broker, &request);
    assert_eq!((code, &told["allowed"], &told["is_in_use"]), (Some(0), &json!(true), &json!(true)), "{told}");
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.contains("does not load") && warning.contains("broken.cedar:1:"), "{warning}");
    for words in [&["policy", "explain", &decision][..], &[&["policy", "explain"], &request[..]].concat()] {
        let (code, stdout, stderr) = said(&broker.cli("demo", words));
        assert!(code == Some(0) && stdout.contains("nothing-reads-shortly"), "{stdout}{stderr}");
        assert!(stderr.contains("does not load") && stderr.contains("jitney policy check"), "{stderr}");
    }
    // By the folder itself, nothing can be said of the policies; what the log says of a decision stands.
    let dir = broker.data().join("policies");
    let by_folder = ["--policies", dir.to_str().unwrap()];
    let (code, _, stderr) = said(&broker.cli("demo", &[&["policy", "explain"], &request[..], &by_folder].concat()));
    assert!(code == Some(1) && stderr.contains("does not load"), "{stderr}");
    let (code, stdout, stderr) =
        said(&broker.cli("demo", &[&["policy", "explain", &decision], &by_folder[..]].concat()));
    assert!(code == Some(0) && stdout.contains("was refused: no policy grants a scope"), "{stdout}{stderr}");
    assert!(stderr.contains("cannot be told") && stderr.contains("does not load"), "{stderr}");
    let (code, told) = explained(&broker, &[&[&*decision], &by_folder[..]].concat());
    assert_eq!((code, &told["allowed"], &told["decision"]["refusal"]), (Some(0), &Value::Null, &json!("denied_scope")));
    assert!(told["warnings"][0].as_str().unwrap().contains("does not load"), "{told}");
}

#[test]
fn a_folder_that_was_changed_just_now_is_told_of() {
    let broker = broker();
    let dir = broker.data().join("policies");
    let file = dir.join("audiences").read_dir().unwrap().next().unwrap().unwrap().path();
    // A look may fall between the two: then it is in use, and nothing is to be told.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n# later\n")).unwrap();
    let (_, told) = explained(&broker, &["--workload", "nothing", "--audience", API, "--scope", "orders:read"]);
    let status: Value = serde_json::from_str(&said(&broker.cli("demo", &["status", "--output", "json"])).1).unwrap();
    let is_told =
        told["warnings"].as_array().unwrap().iter().any(|each| each.as_str().unwrap().contains("another set"));
    assert!(is_told || told["digest"] == status["policies"]["digest"], "{told}");
}

#[test]
fn who_is_in_quarantine_is_refused_and_without_a_broker_it_is_said_that_nobody_looked() {
    let mut broker = broker();
    let request = ["--workload", "demo", "--audience", API, "--scope", "orders:read"];
    let (code, told) = explained(&broker, &request);
    assert_eq!(
        (code, &told["allowed"], &told["quarantine"]["in_force"]),
        (Some(0), &json!(true), &json!(false)),
        "{told}"
    );
    assert!(broker.cli("demo", &["workload", "quarantine", "demo", "--reason", "a drill"]).status.success());
    let dir = broker.data().join("policies");
    let in_dir = [&request[..], &["--policies", dir.to_str().unwrap()]].concat();
    for words in [&request[..], &in_dir] {
        let (code, told) = explained(&broker, words);
        assert_eq!(
            (code, &told["allowed"], &told["reason"]),
            (Some(1), &json!(false), &json!("quarantined")),
            "{told}"
        );
        assert_eq!((&told["quarantine"]["in_force"], &told["quarantine"]["reason"]), (&json!(true), &json!("a drill")));
        assert!(told["next"].as_str().unwrap().contains("jitney workload release demo"), "{told}");
    }
    let (code, stdout, _) = said(&broker.cli("demo", &[&["policy", "explain"], &request[..]].concat()));
    assert!(
        code == Some(1) && stdout.contains("demo is in quarantine since") && stdout.contains("a drill"),
        "{stdout}"
    );
    broker.stop();
    let (code, told) = explained(&broker, &in_dir);
    assert_eq!(
        (code, &told["allowed"], &told["quarantine"]["in_force"]),
        (Some(0), &json!(true), &Value::Null),
        "{told}"
    );
    assert!(told["quarantine"]["not_looked_at"].is_string(), "{told}");
    let (_, stdout, _) = said(&broker.cli("demo", &[&["policy", "explain"], &in_dir[..]].concat()));
    assert!(stdout.contains("quarantine was not looked at"), "{stdout}");
}

#[test]
fn a_decision_that_no_policy_made_is_a_plain_sentence() {
    let broker = broker();
    let token = broker.mint("demo", "t-1");
    assert!(broker.cli("demo", &["complete", "--task", "t-1"]).status.success());
    let id = |wanted: &[(&str, &str)]| broker.audited(wanted)["decision_id"].as_str().unwrap().to_owned();
    let ended = broker.ask(&Ask::of("demo").task("t-1"));
    assert_eq!(ended.status, 400, "{}", ended.text());
    let cases = [
        (id(&[("event", "mint"), ("lease", &token.lease())]), "a token of demo with", "was granted by most-do-all"),
        (id(&[("event", "complete"), ("task", "t-1")]), "the completion of demo's task t-1", "was done"),
        (ended.field("decision_id"), "a token of demo with", "was refused: the task had ended"),
    ];
    for (decision, what, came_out) in cases {
        let (code, stdout, stderr) = said(&broker.cli("demo", &["policy", "explain", &decision]));
        assert!(code == Some(0) && stdout.contains(what) && stdout.contains(came_out), "{stdout}{stderr}");
        let (_, told) = explained(&broker, &[&decision]);
        assert!(told["sentence"].as_str().unwrap().contains(came_out), "{told}");
        assert_eq!(told["next"].is_null(), !came_out.contains("refused"), "{told}");
    }
}
