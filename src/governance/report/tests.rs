//! A report of a small organisation: what it says, what it proposes, and what it cannot know.

use std::fs;
use std::process::Command;

use super::*;
use crate::audit::chain::Chain;
use crate::audit::{AuditRecord, Event, Outcome};
use crate::model::{AudienceUri, Reason, ScopeSet, TaskId, WorkloadId};
use crate::policy::PolicySet;
use crate::policy::fixtures::{NOW, files};

const POLICIES: &str = r#"// The orders.

// Alpha reads them.
@id("reads")
permit (principal == Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com orders:read");

// Alpha might write them.
@id("writes")
permit (principal == Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com orders:write")
when { context.task like "w-*" };

@id("beta")
permit (principal == Jitney::Workload::"beta", action, resource == Jitney::Scope::"https://api.example.com orders:read");
"#;

/// 2026-11-20, in milliseconds.
const BEGIN: u64 = 1_795_132_800_000;

pub(super) struct Scene {
    pub dir: tempfile::TempDir,
    chain: Chain,
    text: Vec<u8>,
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files(POLICIES) {
            let path = dir.path().join("policies").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut scene = Self { dir, chain: Chain::START, text: Vec::new() };
        scene.line(0, &AuditRecord::new(Event::Start, Outcome::Done).detail("one"));
        scene
    }

    pub fn line(&mut self, at_ms: u64, record: &AuditRecord) {
        self.chain.push(&mut self.text, "b1", BEGIN + at_ms, record);
    }

    pub fn grant(&mut self, at_ms: u64, workload: &str, scope: &str, policy: &str) {
        let record = AuditRecord::new(Event::Mint, Outcome::Granted)
            .workload(WorkloadId::parse(workload).unwrap())
            .audience(AudienceUri::parse("https://api.example.com").unwrap())
            .scopes(ScopeSet::parse(scope).unwrap())
            .task(TaskId::parse("t").unwrap())
            .policies([policy.into()]);
        self.line(at_ms, &record);
    }

    pub fn report(&self, broker: Option<Live>) -> Result<Report, ReportError> {
        let log = self.dir.path().join("audit.jsonl");
        fs::write(&log, &self.text).unwrap();
        let period = Period { since: crate::audit::time(BEGIN), until: crate::audit::time(NOW.secs() * 1000) };
        let dir = self.dir.path().join("policies");
        let mut read = 0;
        let sources = Sources { dir: &dir, logs: &[log], signed: &[], period, now: NOW, broker, served: None };
        let report = build(sources, &mut |bytes| read += bytes);
        assert_eq!(read, self.text.len() as u64, "all of it was told of");
        report
    }
}

fn used() -> Scene {
    let mut scene = Scene::new();
    scene.grant(1000, "alpha", "orders:read", "reads");
    scene.grant(2000, "gone", "orders:read", "old");
    scene.line(
        3000,
        &AuditRecord::refused(Event::Mint, Reason::DeniedScope).workload(WorkloadId::parse("beta").unwrap()),
    );
    scene
}

#[test]
fn a_report_tells_what_was_used_and_what_was_not() {
    let report = used().report(None).unwrap();
    assert_eq!((report.total.granted, report.total.refused), (2, 1));
    let unused: Vec<&str> = report.unused.unused.iter().map(|grant| grant.policy.as_str()).collect();
    assert_eq!((report.unused.grants, unused), (3, vec!["writes", "beta"]));
    assert_eq!(report.unused.policies, ["beta", "writes"]);
    assert!(report.undeclared.contains_key("gone") && report.logs[0].intact && report.covers_its_period());
    let markdown = report.markdown();
    for told in [
        "| alpha | orders:write<br>at https:&#47;/api.example.com |",
        "the task is like \\`w-\\*\\`",
        "-@id(\"writes\")",
        "Named in the audit log and declared by no file any more: gone.",
        "*Serves OWASP NHI1:2025, NHI9:2025; NIST CSF GV.RR-02, ID.AM-02, ID.AM-08, PR.AA-01; SP 800-207 tenet 1.*",
    ] {
        assert!(markdown.contains(told), "{told}\n{markdown}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["workloads"][0]["usage"][0]["used"], 1);
    assert_eq!(json["controls"][0]["owasp_nhi"][0]["name"], "Improper Offboarding");
}

#[test]
fn the_patch_removes_what_nobody_used_and_what_is_left_loads() {
    let scene = used();
    let patch = scene.report(None).unwrap().unused.patch.unwrap();
    let dir = scene.dir.path().join("policies");
    let file = scene.dir.path().join("unused.patch");
    fs::write(&file, patch).unwrap();
    let status = Command::new("git").arg("-C").arg(&dir).arg("apply").arg(&file).status().unwrap();
    assert!(status.success());
    let left = fs::read_to_string(dir.join("policies.cedar")).unwrap();
    assert!(
        left.starts_with("// The orders.\n\n// Alpha reads them.\n@id(\"reads\")") && !left.contains("write"),
        "{left}"
    );
    let (set, _) = PolicySet::load_at(&dir, NOW).unwrap();
    assert_eq!(set.policy_count(), 1);
}

#[test]
fn without_a_token_nothing_is_proposed_and_gaps_of_the_log_are_told() {
    let report = Scene::new().report(None).unwrap();
    assert_eq!((report.unused.unused.len(), report.unused.patch.as_deref()), (3, None));
    assert!(report.markdown().contains("there is nothing to judge by"));
    let mut late = Scene::new();
    late.text.clear();
    late.chain = Chain::START;
    late.grant(86_400_000, "alpha", "orders:read", "reads");
    let report = late.report(None).unwrap();
    assert!(!report.covers_its_period());
    let markdown = report.markdown();
    assert!(
        markdown.contains("The audit log begins at 2026-11-21 00:00:00Z")
            && markdown.contains("only a part of the period")
    );
}

#[test]
fn a_log_that_was_touched_proves_nothing_and_the_report_says_so() {
    let mut scene = used();
    let at = scene.text.windows(6).position(|window| window == b"\"gone\"").unwrap();
    scene.text[at + 1] = b'd';
    let report = scene.report(None).unwrap();
    assert!(!report.logs[0].intact);
    // Before anything that is counted, in all three forms.
    let (markdown, html, json) = (report.markdown(), report.html(), serde_json::to_value(&report).unwrap());
    for (text, counted) in [(&markdown, "\n## Summary"), (&html, "<main>")] {
        let alarm = text.find("Do not rely on this report").unwrap();
        assert!(alarm < text.find(counted).unwrap() && text[alarm..].contains("is not as it was written"), "{text}");
    }
    assert_eq!(json["intact"], false);
    assert!(!used().report(None).unwrap().html().contains("Do not rely"));
}

#[test]
fn a_log_that_was_not_read_leaves_nothing_certain_and_a_lease_tells_of_a_use() {
    let live = |others: &[&str]| Live {
        name: "b1".into(),
        others: others.iter().map(|name| (*name).to_owned()).collect(),
        last_uses: [(
            "beta".to_owned(),
            LastUse {
                at: "2026-11-20T01:00:00Z".into(),
                audience: "https://api.example.com".into(),
                scope: "orders:read".into(),
            },
        )]
        .into(),
        ..Live::default()
    };
    let unused = |report: &Report| report.unused.unused.iter().map(|each| each.policy.clone()).collect::<Vec<_>>();
    let report = used().report(Some(live(&["b2"]))).unwrap();
    assert_eq!((report.unread.clone(), unused(&report)), (vec!["b2".to_owned()], vec!["writes".to_owned()]));
    assert_eq!((report.unused.patch.as_deref(), report.unused.policies.len()), (None, 0));
    assert_eq!(report.workloads[1].activity.last_grant.as_deref(), Some("2026-11-20T01:00:00.000Z"));
    let markdown = report.markdown();
    for told in
        ["Not read: the log of broker b2, on the same store", "None of these is known", "not seen in these logs"]
    {
        assert!(markdown.contains(told), "{told}\n{markdown}");
    }
    // All logs were read: what is left is certain.
    let report = used().report(Some(live(&[]))).unwrap();
    assert!(report.unread.is_empty() && report.unused.patch.is_some());
    // Nobody was asked: it is said what the patch rests on.
    assert!(used().report(None).unwrap().markdown().contains("whether others share its store"));
}

#[test]
fn a_broker_tells_who_is_in_quarantine_and_else_the_log_does() {
    let mut scene = used();
    let quarantine = AuditRecord::new(Event::Quarantine, Outcome::Done).workload(WorkloadId::parse("beta").unwrap());
    scene.line(4000, &quarantine.actor("uid:0").reason("leak").count(256).more(true));
    assert!(scene.report(None).unwrap().markdown().contains("| at least 256 | uid:0 | leak |"), "no more was counted");
    let state = |report: &Report| report.workloads[1].declared.state;
    assert_eq!(state(&scene.report(None).unwrap()), "quarantined");
    // Another broker has let it in again.
    let live = Live { name: "b1".into(), digest: "another".into(), ..Live::default() };
    let report = scene.report(Some(live)).unwrap();
    assert_eq!(state(&report), "ok");
    assert!(report.markdown().contains("has other policies in force"));
}

#[test]
fn policies_that_do_not_load_and_logs_that_are_not_there_are_errors() {
    let scene = used();
    fs::write(scene.dir.path().join("policies/workloads/alpha.toml"), "ownr = 1").unwrap();
    let dir = scene.dir.path().join("policies");
    let period = Period { since: String::new(), until: "9".into() };
    let build = |dir: &Path, log: &str| {
        let logs = [PathBuf::from(log)];
        build(
            Sources { dir, logs: &logs, signed: &[], period: period.clone(), now: NOW, broker: None, served: None },
            &mut |_| (),
        )
        .unwrap_err()
    };
    assert!(matches!(build(&dir, "/nonexistent"), ReportError::Policies(_)));
    let whole = used();
    assert!(matches!(build(&whole.dir.path().join("policies"), "/nonexistent"), ReportError::Log(_)));
}

#[test]
fn a_folder_that_does_not_load_is_no_end_of_a_report_where_the_broker_has_a_set_in_use() {
    let scene = used();
    let dir = scene.dir.path().join("policies");
    let log = scene.dir.path().join("audit.jsonl");
    fs::write(&log, &scene.text).unwrap();
    let (served, _) = PolicySet::load_at(&dir, NOW).unwrap();
    fs::write(dir.join("broken.cedar"), "permit(").unwrap();
    let period = Period { since: crate::audit::time(BEGIN), until: crate::audit::time(NOW.secs() * 1000) };
    let live = Live { digest: served.digest().to_owned(), ..Live::default() };
    let logs = [log];
    let sources =
        Sources { dir: &dir, logs: &logs, signed: &[], period, now: NOW, broker: Some(live), served: Some(&served) };
    let report = build(sources, &mut |_| ()).unwrap();
    assert_eq!((report.workloads.len(), report.total.granted, report.unused.patch.as_deref()), (2, 2, None));
    let why = report.policies.does_not_load.as_deref().unwrap();
    assert!(why.contains("broken.cedar:1:"), "{why}");
    let markdown = report.markdown();
    assert!(markdown.contains("does not load") && markdown.contains("what is missing"), "{markdown}");
}
