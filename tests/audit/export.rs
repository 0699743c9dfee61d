//! The log for other programs: as it stands, or as events of a schema that others know.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{audit, lines, restless};
use crate::common::{Ask, Backing, Broker, Request, eventually};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A broker to which about everything has happened.
fn eventful() -> Broker {
    let mut broker = restless().start(&Backing::Embedded);
    let token = broker.mint("demo", "t");
    broker.renew("demo", &token.lease(), None).expect(200);
    broker.introspect(crate::common::API, &token.text);
    broker.complete("demo", "t").expect(204);
    assert_eq!(broker.ask(&Ask::of("nothing")).status, 400);
    assert_eq!(broker.send(&Request::new("POST", "/oauth2/token")).status, 400);
    broker.operator_revokes(json!({"workload": "other"}));
    for verb in ["quarantine", "release"] {
        assert!(broker.cli("demo", &["workload", verb, "other", "--reason", "drill"]).status.success());
    }
    assert!(broker.cli("demo", &["key", "rotate", "--now"]).status.success());
    let policies = broker.policy("more.cedar");
    std::fs::write(policies, "@id(\"more\") forbid (principal, action, resource) when { context.ttl > 3000 };\n")
        .unwrap();
    broker.admin(&Request::new("POST", "/admin/v1/policies/reload"));
    for n in 0..20 {
        broker.mint("demo", &format!("u{n}"));
    }
    assert!(broker.stop().success());
    broker.start_again();
    broker
}

#[test]
fn json_lines_are_the_log_s_own_and_can_be_narrowed() {
    let broker = eventful();
    let value = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    // A broker that has just begun has lines of its own to add.
    let (all, whole, before, after) = eventually("the log stands still while it is read", || {
        let all = lines(&broker.audit_path());
        let middle = value(&all[all.len() / 2])["time"].as_str().unwrap().to_owned();
        let whole = audit(&broker, &["export"]);
        let before = audit(&broker, &["export", "--until", &middle]);
        let after = audit(&broker, &["export", "--since", &middle]);
        (lines(&broker.audit_path()) == all).then_some((all, whole, before, after))
    });
    assert_eq!(whole.lines().collect::<Vec<_>>(), all);
    assert!(!before.is_empty() && !after.is_empty());
    assert_eq!(before + &after, all.join("\n") + "\n");
    let nobody = broker.cli("demo", &["audit", "export", "--workload", "nosuch"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.success() && nobody.stdout.is_empty(), "{said}");
    assert!(said.contains("the policies know no workload nosuch"), "as tail says: {said}");
    let refused = audit(&broker, &["export", "--outcome", "refused", "--workload", "nothing"]);
    assert_eq!(refused.lines().map(value).map(|line| line["refusal"].clone()).collect::<Vec<_>>(), ["denied_scope"]);
}

/// Each event is held against the published schema of its class: required members, numbers of enumerations, no member that
/// the class does not know.
#[test]
fn events_of_ocsf_fit_the_schema_of_their_classes() {
    let broker = eventful();
    let (all, told) = eventually("the log stands still while it is read", || {
        let all = lines(&broker.audit_path());
        let told = audit(&broker, &["export", "--format", "ocsf"]);
        (lines(&broker.audit_path()) == all).then_some((all, told))
    });
    let events: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), all.len());
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let file = dir.path().join(format!("{n}.json"));
        std::fs::write(&file, event.to_string()).unwrap();
        files.push(file);
    }
    let check = |files: &[PathBuf]| {
        let program = root().join("target/deploy/venv/bin/check-jsonschema");
        assert!(program.exists(), "`bash tests/run` installs {}", program.display());
        let schema = root().join("tests/audit/ocsf-1.3.0.json");
        Command::new(program).arg("--schemafile").arg(schema).args(files).output().unwrap()
    };
    let output = check(&files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // The schema has teeth: without a member that it requires, or with a number it does not know, an event is refused.
    let broken = dir.path().join("broken.json");
    for (member, value) in [("metadata", None), ("activity_id", Some(json!(77))), ("colour", Some(json!("red")))] {
        let mut event = events[0].clone();
        match value {
            Some(value) => event[member] = value,
            None => drop(event.as_object_mut().unwrap().remove(member)),
        }
        std::fs::write(&broken, event.to_string()).unwrap();
        assert!(!check(std::slice::from_ref(&broken)).status.success(), "{member}");
    }
    let classes: std::collections::BTreeSet<u64> =
        events.iter().map(|event| event["class_uid"].as_u64().unwrap()).collect();
    assert_eq!(classes, [1008, 3001, 3002, 3004, 6002, 6003].into());
    for (event, line) in events.iter().zip(&all) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&event["metadata"]["sequence"], &event["metadata"]["event_code"]), (&line["seq"], &line["event"]));
    }
    assert!(!told.contains("eyJ") && !told.contains("PRIVATE"), "no credential");
}

#[test]
fn what_is_none_of_the_log_s_form_is_left_out_and_said() {
    let broker = Broker::start(&Backing::Embedded);
    broker.mint("demo", "t");
    let copy = broker.data().join("copy.jsonl");
    let all = lines(&broker.audit_path());
    std::fs::write(&copy, format!("{}\nnonsense\n{}\n", all[0], all[1])).unwrap();
    let (code, stdout, stderr) = super::said(&broker.cli("demo", &["audit", "export", "--file", at(&copy)]));
    assert_eq!((code, stdout.lines().count()), (Some(1), 2), "{stderr}");
    assert!(stderr.contains("1 line left out: not of the log's form"), "{stderr}");
}

fn at(path: &Path) -> &str {
    path.to_str().unwrap()
}
