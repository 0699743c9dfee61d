//! `jitney report` from outside.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use super::commit;
use crate::common::{API, Backing, Broker, Redis, Setup, clean, document, done, jitney};

/// A broker that has granted, refused and ended something, and whose policies have a history.
fn scene() -> Broker {
    let unused = r#"
// Nobody needs this any more.
@id("left-over")
permit (
  principal == Jitney::Workload::"brief",
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://api.example.com orders:write"
);
"#;
    let broker = Setup::default().policy("left-over.cedar", unused).start(&Backing::Embedded);
    commit(&broker.data().join("policies"), "Ada", "the first policies");
    broker.mint("demo", "t-1");
    done(&broker.cli("demo", &["complete", "--task", "t-1"]));
    let refused = broker.cli("demo", &["token", "--task", "t-2", "--audience", API, "--scope", "orders:purge"]);
    assert!(!refused.status.success());
    let reason = "<script>alert(1)</script>|@everyone";
    done(&broker.cli("demo", &["workload", "quarantine", "other", "--reason", reason]));
    broker
}

#[test]
fn a_report_holds_what_happened_in_all_three_forms() {
    let broker = scene();
    let json = document(&broker.cli("demo", &["report", "--format", "json"]));
    assert_eq!((&json["total"]["granted"], &json["total"]["ended"]), (&1.into(), &2.into()));
    assert!(json["total"]["refused"].as_u64().unwrap() >= 1);
    let workload = |id: &str| {
        let all = json["workloads"].as_array().unwrap();
        all.iter().find(|each| each["id"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    };
    assert_eq!(
        (&workload("demo")["activity"]["granted"], &workload("other")["state"]),
        (&1.into(), &"quarantined".into())
    );
    assert_eq!(workload("demo")["history"]["created"]["author"], "Ada <ada@example.com>");
    let ends = &json["ends"]["a task completed by its workload"];
    assert!(ends["count"] == 1 && ends["p95_us"].as_u64().unwrap() > 0, "{ends}");
    assert_eq!(json["logs"][0]["intact"], true);
    assert_eq!(json["commits"][0]["subject"], "the first policies");
    assert!(json["broker"]["quarantines"]["other"].is_string());
    let file = broker.data().join("report.html");
    let told = done(&broker.cli("demo", &["report", "--format", "html", "--out", file.to_str().unwrap()]));
    assert!(told.starts_with("written "), "{told}");
    let html = fs::read_to_string(file).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;|@everyone") && !html.contains("<script"));
    // What nobody says the name of the file does; what is said counts.
    for (name, format, begins) in [
        ("a.html", None, "<!"),
        ("b.JSON", None, "{"),
        ("c.md", None, "# "),
        ("d.txt", None, "# "),
        ("e.html", Some("json"), "{"),
        ("f.json", Some("markdown"), "# "),
    ] {
        let file = broker.data().join(name);
        let mut words = vec!["report", "--out", file.to_str().unwrap()];
        words.extend(format.into_iter().flat_map(|format| ["--format", format]));
        done(&broker.cli("demo", &words));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(begins), "{name} {format:?}: {}", text.get(..80).unwrap_or_default());
    }
    let pdf = broker.data().join("a.pdf");
    let refused = broker.cli("demo", &["report", "--out", pdf.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("not written as .pdf") && !pdf.exists(), "{said}");
    let markdown = done(&broker.cli("demo", &["report"]));
    assert!(markdown.contains(r"&lt;script&gt;alert(1)&lt;/script&gt;\|&#64;everyone"), "{markdown}");
    for section in
        ["Inventory", "Standing access", "Grants that nobody used", "Ends", "Refusals", "Changes", "The evidence"]
    {
        assert!(markdown.contains(&format!("\n## {section}")) && html.contains(&format!("<h2>{section}")), "{section}");
    }
}

#[test]
fn the_patch_of_a_report_removes_what_nobody_used_and_the_rest_is_checked_and_works() {
    let broker = scene();
    let json = document(&broker.cli("demo", &["report", "--format", "json"]));
    let patch = json["unused"]["patch"].as_str().unwrap();
    assert!(patch.contains("-// Nobody needs this any more.") && patch.contains("-@id(\"left-over\")"), "{patch}");
    let file = broker.data().join("unused.patch");
    fs::write(&file, patch).unwrap();
    let policies = broker.data().join("policies");
    let mut command = Command::new("patch");
    let status = command.arg("-p1").arg("-s").arg("-d").arg(&policies).arg("-i").arg(&file).status().unwrap();
    assert!(status.success());
    done(&broker.cli("demo", &["policy", "check", policies.to_str().unwrap()]));
    broker.mint("demo", "t-3");
}

#[test]
fn what_another_broker_of_the_store_may_have_granted_is_never_called_unused() {
    let backing = Backing::Redis(Redis::start());
    let [here, there] = [(); 2].map(|()| Setup::default().start(&backing));
    here.mint("demo", "t-1");
    there.mint("other", "t-2");
    let ask = |more: &[&str]| {
        let output = here.cli("demo", &[&["report"], more].concat());
        (String::from_utf8_lossy(&output.stderr).into_owned(), done(&output))
    };
    let json =
        |more: &[&str]| -> Value { serde_json::from_str(&ask(&[&["--format", "json"], more].concat()).1).unwrap() };
    let name = there.operator_sees("/admin/v1/status")["broker"].as_str().unwrap().to_owned();
    let alone = json(&[]);
    assert_eq!(alone["unread"], serde_json::json!([name]));
    assert_eq!((&alone["unused"]["patch"], &alone["unused"]["policies"]), (&Value::Null, &serde_json::json!([])));
    let is_listed = |report: &Value| {
        let all = report["unused"]["unused"].as_array().unwrap();
        all.iter().any(|each| each["workload"] == "other" && each["audience"] == API && each["scope"] == "orders:read")
    };
    assert!(!is_listed(&alone), "its lease tells of it: {}", alone["unused"]);
    let (said, markdown) = ask(&[]);
    assert!(said.starts_with(&format!("warning: the log of broker {name} was not read: ")), "{said}");
    assert!(
        markdown.contains("Not read: the log of broker ") && markdown.contains("None of these is known"),
        "{markdown}"
    );
    // With both logs all is known.
    let logs = [&here, &there].map(|broker| broker.audit_path().to_str().unwrap().to_owned());
    let both = ["--audit", &logs[0], "--audit", &logs[1]];
    let whole = json(&both);
    assert_eq!((&whole["unread"], &whole["total"]["granted"]), (&serde_json::json!([]), &2.into()));
    assert!(whole["unused"]["patch"].is_string() && !is_listed(&whole), "{}", whole["unused"]);
    assert_eq!(ask(&both).0, "");
}

#[test]
fn a_report_is_made_from_files_where_no_broker_runs() {
    let mut broker = scene();
    broker.stop();
    let (policies, log) = (broker.data().join("policies"), broker.audit_path());
    let dir = tempfile::tempdir().unwrap();
    let paths = [policies.to_str().unwrap(), "--audit", log.to_str().unwrap()];
    // More than a pipe holds.
    let report = |more: &[&str]| {
        let words = [&["report"], &paths[..], more].concat();
        clean(env!("CARGO_BIN_EXE_jitney")).args(words).current_dir(dir.path()).output().unwrap()
    };
    let json: Value = document(&report(&["--format", "json"]));
    assert_eq!((&json["broker"], &json["total"]["granted"]), (&Value::Null, &1.into()));
    let other = json["workloads"].as_array().unwrap().iter().find(|each| each["id"] == "other").unwrap().clone();
    assert_eq!(other["state"], "quarantined", "as the log has it");
    let old: Value = document(&report(&["--format", "json", "--since", "2021-01-01", "--until", "2021-12-31"]));
    assert_eq!((&old["total"]["granted"], &old["unused"]["patch"]), (&0.into(), &Value::Null));
    assert!(json["logs"][0]["checkpoints"].as_u64().unwrap() > 0, "its last line is signed for");
    // A log whose end was cut off, which its checkpoints tell.
    let text = fs::read_to_string(&log).unwrap();
    let (rest, _) = text.trim_end().rsplit_once('\n').unwrap();
    fs::write(&log, format!("{rest}\n")).unwrap();
    let (cut, said) = broken(&report(&["--format", "json"]));
    let cut = &serde_json::from_str::<Value>(&cut).unwrap()["logs"][0];
    assert!(cut["intact"] == false && cut["fault"].as_str().unwrap().contains("truncated"), "{cut}");
    assert!(
        said.contains("truncated") && said.contains("next: compare the log with a copy: jitney audit verify"),
        "{said}"
    );
    // A log that somebody touched.
    fs::write(&log, text.replacen("\"t-1\"", "\"t-9\"", 1)).unwrap();
    let verify = clean(env!("CARGO_BIN_EXE_jitney")).args(["audit", "verify", "--file"]).arg(&log).output().unwrap();
    let out = dir.path().join("report");
    for format in ["markdown", "json", "html"] {
        let printed = report(&["--format", format]);
        assert_eq!(printed.status.code(), verify.status.code(), "as `audit verify` ends");
        let (text, _) = broken(&printed);
        assert!(text.contains("Do not rely on this report") || text.contains("\"intact\": false"), "{text}");
        let (told, said) = broken(&report(&["--format", format, "--out", out.to_str().unwrap()]));
        assert!(told.starts_with("written ") && said.contains("is not as it was written"), "{told}{said}");
        assert!(fs::metadata(&out).unwrap().len() > 1000, "it is written all the same");
        fs::remove_file(&out).unwrap();
    }
}

/// Standard output and error of a report over a log that somebody touched.
#[track_caller]
fn broken(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.code() == Some(1) && said.starts_with("error: "), "{told}{said}");
    (told, said)
}

#[test]
fn what_is_missing_is_named_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    let fails = |words: &[&str], code: i32, wrong: &str| {
        let output = jitney(dir.path(), &[], &[&["report"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(wrong) && said.contains("\n  next: "), "{said}");
    };
    fails(&[], 1, "no broker listens here");
    fails(&["policies", "--offline"], 2, "it is not said where the audit log lies");
    fails(&["--offline"], 2, "it is not said where the policies lie");
    fails(&["policies", "--audit", "nowhere", "--offline"], 1, "nowhere");
    fails(&["policies", "--audit", "a", "--since", "2026-02-01", "--until", "2026-01-01"], 2, "ends before it begins");
    fs::create_dir(dir.path().join("policies/workloads")).unwrap();
    fs::write(dir.path().join("policies/workloads/w.toml"), "ownr = 1").unwrap();
    fails(&["policies", "--audit", "a", "--offline"], 1, "do not load");
}

#[test]
fn a_folder_that_does_not_load_leaves_a_report_of_the_set_in_use() {
    let broker = scene();
    fs::write(broker.policy("broken.cedar"), "permit(").unwrap();
    let output = broker.cli("demo", &["report", "--format", "json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("does not load") && said.contains("broken.cedar:1:"), "{said}");
    let json = document(&output);
    assert!(json["policies"]["does_not_load"].as_str().unwrap().contains("broken.cedar"));
    assert_eq!((&json["policies"]["digest"], &json["total"]["granted"]), (&json["broker"]["digest"], &1.into()));
    assert!(json["workloads"].as_array().unwrap().iter().any(|each| each["id"] == "demo"));
    let policies = broker.data().join("policies");
    let log = broker.audit_path();
    let words = ["report", policies.to_str().unwrap(), "--audit", log.to_str().unwrap(), "--offline"];
    let output = broker.cli("demo", &words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("do not load"), "{said}");
}
