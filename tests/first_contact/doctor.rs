//! Set-ups that work: what is told, what is left behind, what is left out.

use serde_json::json;

use super::patient::{ASK, CHECKS, Patient};
use crate::common::{API, Answer, Ask, Assertion, Audit, Backing, Broker, ISSUER, Request, document, key_of, now};

#[test]
fn a_good_set_up_passes_every_check_and_nothing_lives_of_the_question() {
    let broker = Broker::start(&Backing::Embedded);
    let patient = Patient::of(&broker, "demo");
    let findings = patient.finds(&ASK);
    findings.are("pass", &CHECKS);
    assert!(findings.detail("identity").contains("ES256, kid "), "{findings:#?}");
    assert_eq!((findings.detail("issuer"), findings.detail("key_file")), (ISSUER, "mode 0600"));
    assert!(findings.detail("policy").starts_with("granted orders:read for 300 s as doctor-"), "{findings:#?}");

    let leases = broker.admin(&Request::get("/admin/v1/leases")).expect(200).json();
    assert_eq!(leases["leases"], json!([]), "its lease was over at once");
    let log = Audit::read(&broker.audit_path());
    let lines: Vec<_> = log.lines().iter().filter(|line| line["event"] == "mint").collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["outcome"], &line["probe"]), (&json!("granted"), &json!(true)), "{line}");
    assert!(line["task"].as_str().unwrap().starts_with("doctor-"), "{line}");
}

/// A question what would be granted is no use of a grant, and its refusal none that anybody met: an auditor is told of both apart.
#[test]
fn what_is_asked_is_no_use_and_no_refusal_and_is_told_as_what_it_is() {
    let broker = Broker::start(&Backing::Embedded);
    let patient = Patient::of(&broker, "demo");
    let document = |words: &[&str]| document(&broker.cli("demo", words));
    let report = || document(&["report", "--format", "json"]);
    let listed = |report: &serde_json::Value| {
        let all = report["unused"]["unused"].as_array().unwrap();
        all.iter().any(|each| each["workload"] == "demo" && each["audience"] == API && each["scope"] == "orders:read")
    };
    patient.finds(&ASK).are("pass", &CHECKS);
    patient.finds(&["--audience", API, "--scope", "orders:purge"]);
    let probed = report();
    assert!(listed(&probed), "{:#}", probed["unused"]);
    assert_eq!((&probed["total"]["granted"], &probed["total"]["refused"]), (&json!(0), &json!(0)));
    assert_eq!(probed["probes"], json!({"granted": 1, "refused": 1}));
    let show = ["workload", "show", "demo", "--output", "json"];
    assert_eq!(document(&show)["last_use"], json!(null));
    // A name proves nothing: who asks for a token under such a task has one, and has used the grant.
    let ask = ["token", "--task", "doctor-2a7ddd593c37", "--audience", API, "--scope", "orders:read"];
    assert_eq!(broker.cli("demo", &ask).status.code(), Some(0));
    assert_eq!((listed(&report()), &report()["total"]["granted"]), (false, &json!(1)));
    assert_eq!(document(&show)["last_use"]["task"], "doctor-2a7ddd593c37");
}

/// The mark comes with no token, whoever asks for it, and with no name that was not proven.
#[test]
fn a_probe_gets_no_token_and_one_who_is_not_known_no_mark() {
    let broker = Broker::start(&Backing::Embedded);
    let ask = |who: &str, probe: &str| broker.ask(&Ask::of(who).with("probe", probe));
    let error = |answer: Answer, status| answer.expect(status).json()["error"].clone();
    let answer = ask("demo", "true").expect(200).json();
    assert_eq!(
        (&answer["probe"], &answer["expires_in"], &answer["scope"]),
        (&json!(true), &json!(300), &json!("orders:read"))
    );
    assert!(answer.get("access_token").is_none(), "{answer}");
    let renewed = broker.renew("demo", answer["lease_id"].as_str().unwrap(), None);
    assert_eq!(error(renewed, 400), "invalid_grant");
    assert_eq!(error(ask("demo", "1"), 400), "invalid_request");
    assert_eq!(error(ask("nobody", "true"), 401), "invalid_client");
    let log = Audit::read(&broker.audit_path());
    let lines = log.lines();
    let marked: Vec<_> = lines.iter().filter(|line| line["probe"] == true).collect();
    assert!(marked.len() == 1 && marked[0]["workload"] == "demo", "{lines:?}");
    // Nor is a refused one a refusal of a token in the figures.
    let purge = || Ask::of("demo").with("scope", "orders:purge");
    let counted = || {
        let text = broker.admin(&Request::get("/metrics")).expect(200).text();
        text.lines()
            .find_map(|line| line.strip_prefix("jitney_mints_total{outcome=\"denied_scope\"} "))
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (error(broker.ask(&purge().with("probe", "true")), 400), counted()),
        (json!("invalid_scope"), "0".into())
    );
    assert_eq!((error(broker.ask(&purge()), 400), counted()), (json!("invalid_scope"), "1".into()));
}

#[test]
fn people_are_told_on_one_screen_and_what_is_left_behind() {
    let broker = Broker::start(&Backing::Embedded);
    let (code, told) = Patient::of(&broker, "demo").hears(&ASK);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.lines().count() <= 24, "{told}");
    assert!(told.contains("none was made: a line in the audit log remains, marked as a probe"), "{told}");
    assert!(told.ends_with("all is well\n"), "{told}");
}

#[test]
fn without_an_audience_only_who_asks_is_asked() {
    let broker = Broker::start(&Backing::Embedded);
    let findings = Patient::of(&broker, "demo").finds(&[]);
    findings.are("fail", &[]).are("skipped", &["workload", "audience", "scope", "policy"]);
    assert_eq!(findings.detail("policy"), "not asked: add --audience and --scope");
    let wrong = Patient::of(&broker, "demo");
    wrong.write("key.pem", &key_of("nobody").pem());
    wrong.finds(&[]).only("authentication", &["invalid_client"], &["jitney workload show demo"]);
}

#[test]
fn what_is_not_to_be_asked_leaves_no_trace() {
    let broker = Broker::start(&Backing::Embedded);
    let findings = Patient::of(&broker, "demo").finds(&[&ASK[..], &["--no-ask"]].concat());
    findings.are("skipped", &["authentication", "workload", "audience", "scope", "policy"]);
    assert_eq!(findings.detail("scope"), "left out by --no-ask");
    let lines = Audit::read(&broker.audit_path());
    assert!(!lines.lines().iter().any(|line| line.to_string().contains("doctor-")), "{:?}", lines.lines());
}

#[test]
fn a_task_is_only_a_parent_and_lives_on() {
    let broker = Broker::start(&Backing::Embedded);
    let findings = Patient::of(&broker, "demo").finds(&[&ASK[..], &["--task", "nightly-1"]].concat());
    assert!(findings.detail("policy").contains("as nightly-1/doctor-"), "{findings:#?}");
    let after = broker.cli("demo", &["token", "--task", "nightly-1", "--audience", API, "--scope", "orders:read"]);
    assert_eq!(after.status.code(), Some(0), "the parent was not completed");
}

#[test]
fn of_a_token_it_is_told_what_it_says_and_not_the_token() {
    let broker = Broker::start(&Backing::Embedded);
    let patient = Patient::of(&broker, "demo").without("JITNEY_KEY_FILE");
    let token = |claims| Assertion::of("demo").claims(claims).text();
    let file = patient.write("token", &token(json!({})));
    let patient = patient.set("JITNEY_ASSERTION_FILE", file.to_str().unwrap());
    let findings = patient.finds(&["--no-ask"]);
    findings.are("fail", &[]);
    let told = findings.detail("identity");
    assert!(told.contains(&format!("iss demo, sub demo, aud {ISSUER}, exp ")) && !told.contains("audience"), "{told}");

    patient.write("token", &token(json!({"aud": "https://other.example.com"})));
    let findings = patient.finds(&["--no-ask"]);
    assert!(findings.detail("identity").contains("must name it as `audience`"), "{findings:#?}");

    patient.write("token", &token(json!({"exp": now() - 60})));
    patient.finds(&ASK).only("identity", &["has expired", "sub demo"], &["fresh token"]);
    patient.write("token", "no token at all, but something long and secret");
    patient.finds(&ASK).only("identity", &["holds no token"], &["JITNEY_ASSERTION_FILE"]);
}
