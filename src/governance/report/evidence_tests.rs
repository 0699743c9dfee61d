//! What is counted of a log, line by line.

use super::*;
use crate::governance::inventory::Inventory;
use crate::policy::fixtures::{NOW, set};

const POLICIES: &str = r#"
    @id("reads") permit(principal == Jitney::Workload::"alpha", action, resource == Jitney::Scope::"https://api.example.com orders:read");
    @id("items") permit(principal == Jitney::Workload::"alpha", action, resource in Jitney::Scope::"https://api.example.com items:read:*");"#;

fn period() -> Period {
    Period { since: "2026-11-01T00:00:00.000Z".into(), until: "2026-12-01T00:00:00.000Z".into() }
}

fn line(day: &str, event: &str, outcome: &str, rest: &str) -> String {
    let comma = if rest.is_empty() { "" } else { "," };
    format!(
        r#"{{"v":1,"time":"{day}.000Z","seq":1,"broker":"b1","event":"{event}","outcome":"{outcome}"{comma}{rest}}}"#
    )
}

fn grant(day: &str, workload: &str, scope: &str, policy: &str, task: &str) -> String {
    let rest = format!(
        r#""workload":"{workload}","audience":"https://api.example.com","task":"{task}","scope":"{scope}","policies":["{policy}"]"#
    );
    line(day, "mint", "granted", &rest)
}

fn with<T>(lines: &[String], look: impl FnOnce(&Evidence<'_>, &[WorkloadView]) -> T) -> T {
    let set = set(POLICIES);
    let views: Vec<WorkloadView> = Inventory::of(&set, NOW).workloads().collect();
    let period = period();
    let mut evidence = Evidence::new(&period, &views);
    lines.iter().for_each(|line| evidence.take(&serde_json::from_str(line).unwrap()));
    look(&evidence, &views)
}

#[test]
fn each_grant_counts_the_tokens_that_used_it() {
    let lines = [
        grant("2026-11-02T10:00:00", "alpha", "orders:read items:read:42", "reads", "t"),
        grant("2026-11-03T10:00:00", "alpha", "items:read:7", "items", "t"),
        grant("2026-11-04T10:00:00", "alpha", "items:read:7:8", "items", "t"),
        grant("2026-10-30T10:00:00", "alpha", "orders:read", "reads", "t"),
        grant("2026-12-01T00:00:00", "alpha", "orders:read", "reads", "t"),
        grant("2026-11-05T10:00:00", "gone", "orders:read", "old", "t"),
    ];
    with(&lines, |evidence, views| {
        let alpha = views.iter().position(|view| view.id == "alpha").unwrap();
        let used: Vec<(String, u64)> = views[alpha]
            .grants
            .iter()
            .zip(&evidence.usage[alpha])
            .map(|(grant, usage)| (format!("{} {}", grant.scope, grant.policy), usage.used))
            .collect();
        assert_eq!(used, [("items:read:* items".to_owned(), 1), ("orders:read reads".to_owned(), 1)]);
        let activity = &evidence.activity[alpha];
        assert_eq!((activity.granted, evidence.total.granted), (3, 4), "those outside of the period do not count");
        assert_eq!(activity.last_grant.as_deref(), Some("2026-11-04T10:00:00.000Z"));
        assert_eq!(evidence.strangers["gone"].granted, 1);
        assert!(evidence.used_policies.contains("old") && evidence.used_policies.len() == 3);
        let days: Vec<(&str, u64)> = evidence.days.iter().map(|(day, counts)| (day.as_str(), counts.granted)).collect();
        assert_eq!(days, [("2026-11-02", 1), ("2026-11-03", 1), ("2026-11-04", 1), ("2026-11-05", 1)]);
    });
}

#[test]
fn ends_are_told_apart_and_timed_and_a_task_s_time_with_access_is_known() {
    let lines = [
        grant("2026-11-02T10:00:00", "alpha", "orders:read", "reads", "job"),
        line("2026-11-02T10:00:30", "complete", "done", r#""workload":"alpha","task":"job","took_us":900"#),
        line("2026-11-02T11:00:00", "complete", "done", r#""workload":"alpha","task":"other","took_us":1100"#),
        line("2026-11-02T11:00:00", "revoke", "done", r#""workload":"alpha","lease":"l","took_us":700"#),
        line("2026-11-02T12:00:00", "revoke", "done", r#""workload":"alpha","actor":"uid:0","reason":"drill""#),
        line("2026-11-02T12:00:00", "quarantine", "done", r#""workload":"alpha","actor":"uid:0","reason":"leak""#),
        line("2026-11-02T13:00:00", "revoke", "refused", r#""refusal":"invalid_client""#),
    ];
    with(&lines, |evidence, _| {
        let ends: Vec<(&str, u64, Option<u64>)> = evidence
            .ends
            .iter()
            .map(|(kind, spread)| (*kind, spread.quantiles().count, spread.quantiles().max_us))
            .collect();
        assert_eq!(
            ends,
            [
                ("a task completed by its workload", 2, Some(1100)),
                ("a token revoked by its workload", 1, Some(700)),
                ("a workload quarantined", 1, None),
                ("leases revoked by an operator", 1, None),
            ]
        );
        assert_eq!(evidence.held.quantiles().max_us, Some(30_000_000));
        let told: Vec<String> =
            evidence.changes.iter().map(|change| format!("{} {}", change.what, change.of)).collect();
        assert_eq!(told, ["revoke workload alpha", "quarantine alpha"]);
        assert_eq!(evidence.changes[1].why.as_deref(), Some("leak"));
        assert!(evidence.activity[0].quarantined_since.is_some());
        assert_eq!(evidence.refusals["invalid_client"], 1);
    });
}

#[test]
fn a_probe_is_neither_use_nor_refusal_and_is_counted_as_what_it_is() {
    let asked = r#""workload":"alpha","audience":"https://api.example.com","scope":"orders:read","policies":["reads"],"probe":true"#;
    let lines = [
        line("2026-11-02T10:00:00", "mint", "granted", asked),
        line("2026-11-02T10:00:01", "mint", "refused", &format!(r#"{asked},"refusal":"denied_scope""#)),
    ];
    with(&lines, |evidence, _| {
        assert_eq!((evidence.total.granted, evidence.total.refused, evidence.refusals.len()), (0, 0, 0));
        assert_eq!((evidence.probes.granted, evidence.probes.refused, evidence.activity[0].probes), (1, 1, 2));
        assert!(evidence.activity[0].last_grant.is_none() && evidence.used_policies.is_empty());
    });
}

#[test]
fn an_act_that_did_nothing_is_no_end_and_no_change() {
    let lines = [
        line(
            "2026-11-02T10:00:00",
            "quarantine",
            "done",
            r#""workload":"alpha","actor":"uid:0","position":2,"count":0"#,
        ),
        line(
            "2026-11-02T10:00:01",
            "quarantine",
            "done",
            r#""workload":"alpha","actor":"uid:0","position":3,"count":0,"no_effect":true,"took_us":5"#,
        ),
        line(
            "2026-11-02T10:00:02",
            "revoke",
            "done",
            r#""lease":"l","actor":"uid:0","count":0,"no_effect":true,"took_us":5"#,
        ),
        line("2026-11-02T10:00:03", "revoke", "done", r#""lease":"l","actor":"uid:0","count":0,"took_us":5"#),
        line("2026-11-02T10:00:04", "complete", "done", r#""workload":"alpha","task":"t","count":0,"took_us":5"#),
        line("2026-11-02T10:00:05", "release", "done", r#""workload":"beta","actor":"uid:0","no_effect":true"#),
    ];
    with(&lines, |evidence, _| {
        assert_eq!(evidence.total.ended, 1);
        assert_eq!(evidence.ends.keys().collect::<Vec<_>>(), [&"a workload quarantined"]);
        assert_eq!(
            evidence.ends["a workload quarantined"].quantiles().max_us,
            None,
            "its time is not in the percentiles"
        );
        let told: Vec<&str> = evidence.changes.iter().map(|change| change.what.as_str()).collect();
        assert_eq!(told, ["quarantine"]);
    });
}

#[test]
fn a_start_and_the_same_policies_again_are_no_change() {
    let reload = |at: &str, digest: &str| line(at, "policy.reload", "done", &format!(r#""detail":"{digest}""#));
    let lines = [
        line("2026-10-02T10:00:00", "start", "done", r#""detail":"one""#),
        reload("2026-11-02T10:00:00", "one"),
        reload("2026-11-02T11:00:00", "two"),
        line("2026-11-02T12:00:00", "policy.reload", "failed", r#""detail":"a.cedar:1:2: no""#),
        line("2026-11-02T13:00:00", "start", "done", r#""detail":"three""#),
        line("2026-11-03T13:00:00", "release", "done", r#""workload":"alpha","actor":"uid:0""#),
    ];
    with(&lines, |evidence, _| {
        let told: Vec<String> =
            evidence.changes.iter().map(|change| format!("{} {}", change.what, change.of)).collect();
        assert_eq!(told, ["policies in force two", "policies refused ", "policies in force three", "release alpha"]);
        assert_eq!(evidence.changes[1].why.as_deref(), Some("a.cedar:1:2: no"));
        assert_eq!(evidence.activity[0].quarantined_since, None);
    });
}

#[test]
fn a_refused_reload_that_was_mended_does_not_stand_last() {
    let reload =
        |at: &str, outcome: &str, detail: &str| line(at, "policy.reload", outcome, &format!(r#""detail":"{detail}""#));
    let lines = [
        line("2026-11-02T10:00:00", "start", "done", r#""detail":"one""#),
        reload("2026-11-02T12:00:00", "failed", "a.cedar:1:2: no"),
        reload("2026-11-02T12:01:00", "failed", "a.cedar:1:3: no"),
        reload("2026-11-02T12:02:00", "done", "one"),
        reload("2026-11-02T12:03:00", "done", "one"),
        reload("2026-11-02T12:04:00", "failed", "a.cedar:1:2: no"),
        reload("2026-11-02T12:05:00", "done", "two"),
        reload("2026-11-02T12:06:00", "done", "two"),
    ];
    with(&lines, |evidence, _| {
        let told: Vec<String> =
            evidence.changes.iter().map(|change| format!("{} {}", change.what, change.of)).collect();
        let refused = "policies refused ";
        let mended = "policies load again, as before one";
        assert_eq!(told, [refused, refused, mended, refused, "policies in force two"]);
    });
}

#[test]
fn refusals_count_by_reason_and_the_nameless_together() {
    let lines = [
        line("2026-11-02T10:00:00", "mint", "refused", r#""workload":"alpha","refusal":"denied_scope""#),
        line("2026-11-02T10:00:00", "mint", "refused", r#""refusal":"invalid_client""#),
        line("2026-11-02T10:00:00", "refused.summary", "refused", r#""count":40"#),
    ];
    with(&lines, |evidence, _| {
        let told: Vec<(&str, u64)> =
            evidence.refusals.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        assert_eq!(told, [("denied_scope", 1), ("invalid_client", 1), ("unknown_caller", 40)]);
        assert_eq!((evidence.total.refused, evidence.activity[0].refused), (42, 1));
    });
}

#[test]
fn moments_differ_by_milliseconds() {
    let (a, b) = (moment("2026-11-30T23:59:59.900Z"), moment("2026-12-01T00:00:00.100Z"));
    assert_eq!(b - a, 200);
    assert_eq!(moment("2028-03-01T00:00:00.000Z") - moment("2028-02-28T00:00:00.000Z"), 2 * 86_400_000, "a leap year");
    assert_eq!(moment("nonsense"), moment(""), "what is no moment is nobody's difference");
}
