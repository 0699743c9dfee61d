//! Set-ups that work: what is told, what is left behind, what is left out.

use serde_json::json;

use super::patient::{ASK, CHECKS, Patient};
use crate::common::{API, Assertion, Audit, Backing, Broker, ISSUER, Request, key_of, now};

#[test]
fn a_good_set_up_passes_every_check_and_leaves_one_ended_lease() {
    let broker = Broker::start(&Backing::Embedded);
    let patient = Patient::of(&broker, "demo");
    let findings = patient.finds(&ASK);
    findings.are("pass", &CHECKS);
    assert!(findings.detail("identity").contains("ES256, kid "), "{findings:#?}");
    assert_eq!((findings.detail("issuer"), findings.detail("key_file")), (ISSUER, "mode 0600"));
    assert!(findings.detail("policy").starts_with("granted orders:read for 300 s as doctor-"), "{findings:#?}");

    let leases = broker.admin(&Request::get("/admin/v1/leases")).expect(200).json();
    let leases = leases["leases"].as_array().unwrap();
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert!(leases[0]["task"].as_str().unwrap().starts_with("doctor-"), "{leases:?}");
    let task = leases[0]["task"].as_str().unwrap();
    let again = broker.cli("demo", &["token", "--task", task, "--audience", API, "--scope", "orders:read"]);
    assert_eq!(again.status.code(), Some(1), "the task was completed");
}

#[test]
fn people_are_told_on_one_screen_and_what_is_left_behind() {
    let broker = Broker::start(&Backing::Embedded);
    let (code, told) = Patient::of(&broker, "demo").hears(&ASK);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.lines().count() <= 24, "{told}");
    assert!(told.contains("its lease, now ended, and lines in the audit log remain"), "{told}");
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
