//! The checker finds what it is there to find: a history for each violation, and one in which there is none.

use serde_json::{Value, json};

use super::check::{Evidence, violations};
use super::history::{End, Event, Facts, Judge, SECOND, Verdict, What};

/// A good story: a token, looked at, its task ended, refused; a fault in between, and a recovery.
struct Story {
    events: Vec<Event>,
    evidence: Evidence,
}

fn token(jti: &str) -> Facts {
    let own = |text: &str| text.to_owned();
    let (workload, task, audience) = (own("demo"), own("a/b"), own("https://api.example.com"));
    Facts { jti: own(jti), workload, task, audience, kid: own("k"), exp: 1000 }
}

fn line(event: &str, outcome: &str, more: Value) -> Value {
    let mut line = json!({"event": event, "outcome": outcome});
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

impl Story {
    fn good() -> Self {
        let mut story = Self {
            events: Vec::new(),
            evidence: Evidence { wall: 100, kids: ["k".to_owned()].into(), ..Evidence::default() },
        };
        story.grants(1, "one", 1, None);
        story.judges(2, "one", Judge::Introspection, true);
        story.at(3, What::Fault { kind: "cut" });
        story.ends(4, parent(), None);
        story.judges(5, "one", Judge::Introspection, false);
        story.at(6, What::Recovered);
        story.evidence.leases.insert("one".into(), "ended".into());
        story.evidence.lines.push(line("complete", "done", json!({"workload": "demo", "task": "a"})));
        story.evidence.asked = 50 * SECOND;
        story
    }

    /// Something between this second and half a second later.
    fn at(&mut self, second: u64, what: What) {
        let start = second * SECOND;
        self.events.push(Event { start, end: start + SECOND / 2, by: "test".into(), what });
        self.events.sort_by_key(|event| event.start);
    }

    fn grants(&mut self, second: u64, jti: &str, assertion: u64, renews: Option<&str>) {
        let renews = renews.map(str::to_owned);
        self.at(second, What::Granted { token: token(jti), assertion, renews });
        self.evidence.leases.insert(jti.into(), "live".into());
        self.evidence.lines.push(line("mint", "granted", json!({"lease": jti})));
    }

    fn ends(&mut self, second: u64, end: End, decision: Option<&str>) {
        let decision = decision.map(str::to_owned);
        if let Some(decision) = &decision {
            self.evidence.lines.push(line("revoke", "done", json!({"decision_id": decision})));
        }
        self.at(second, What::Ended { end, decision, assertion: None });
    }

    fn judges(&mut self, second: u64, jti: &str, by: Judge, good: bool) {
        self.at(second, What::Judged { jti: jti.into(), by, good, assertion: None });
    }

    /// A verifier says something, and catches up at the end.
    fn says(&mut self, second: u64, verdict: Verdict) {
        self.at(second, What::Said { verifier: 1, jti: "one".into(), verdict });
        self.at(30, What::CaughtUp { verifier: 1 });
    }

    /// Exactly this is wrong with it.
    #[track_caller]
    fn violates(&self, named: &[&str]) {
        let found = violations(&self.events, &self.evidence);
        assert_eq!(found.len(), 1, "{found:#?}");
        for name in named {
            assert!(found[0].contains(name), "no {name} in {found:?}");
        }
    }

    #[track_caller]
    fn is_good(&self) {
        assert_eq!(violations(&self.events, &self.evidence), Vec::<String>::new());
    }
}

fn parent() -> End {
    End::Task { workload: "demo".into(), task: "a".into() }
}

#[test]
fn a_good_history_has_no_violation() {
    Story::good().is_good();
}

#[test]
fn a_token_without_a_line_is_found() {
    let mut story = Story::good();
    story.evidence.lines.retain(|line| line["event"] != "mint");
    story.violates(&["I1", "one", "audit"]);
}

#[test]
fn a_token_without_a_lease_is_found() {
    let mut story = Story::good();
    story.evidence.leases.clear();
    story.violates(&["I1", "one", "no lease"]);
    story.evidence.wall = 1000;
    story.is_good();
}

/// An epoch that ends for a write that was broken off takes its tokens with it; one that ends for nothing must not.
#[test]
fn a_token_that_falls_with_its_epoch_is_found_unless_a_write_was_half_written_before() {
    let mut story = Story::good();
    story.evidence.leases.clear();
    story.at(3, What::HalfWritten);
    story.violates(&["I1", "one", "no lease"]);
    story.evidence.kids.clear();
    story.is_good();
    story.events.retain(|event| !matches!(event.what, What::HalfWritten));
    story.violates(&["I1", "one", "no lease"]);
}

/// Nobody knows such a token: to end it is no error, and nothing is done that a line could tell of.
#[test]
fn an_end_of_a_token_that_fell_with_its_epoch_needs_no_line() {
    let mut story = Story::good();
    story.at(6, What::Ended { end: End::Lease("one".into()), decision: None, assertion: None });
    story.violates(&["I3", "Lease"]);
    story.at(3, What::HalfWritten);
    story.violates(&["I3", "Lease"]);
    story.evidence.kids.clear();
    story.is_good();
}

#[test]
fn a_lease_that_ended_by_itself_is_found() {
    let mut story = Story::good();
    story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
    story.violates(&["I1", "one", "ended"]);
    // An end that was tried and failed explains it.
    story.at(4, What::Tried { end: parent() });
    story.is_good();
}

#[test]
fn a_token_accepted_after_its_end_is_found_for_every_kind_of_end_and_judge() {
    let own = |text: &str| text.to_owned();
    let ends = [
        parent(),
        End::Task { workload: own("demo"), task: own("a/b") },
        End::Lease(own("one")),
        End::Workload(own("demo")),
        End::Quarantine(own("demo")),
        End::Audience(own("https://api.example.com")),
        End::Key(own("k")),
        End::All,
    ];
    for end in ends {
        for (by, bound) in [(Judge::Introspection, 0), (Judge::Offline, 0), (Judge::Live, 10), (Judge::Bearer, 0)] {
            let mut story = Story::good();
            story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
            story.ends(4, end.clone(), Some("d-1"));
            story.judges(4 + bound, "one", by, true);
            story.is_good();
            story.events.retain(|event| !matches!(event.what, What::Judged { good: true, .. }));
            story.judges(5 + bound, "one", by, true);
            match (by, &end) {
                // It may complete the task again.
                (Judge::Bearer, End::Task { .. }) => story.is_good(),
                _ => story.violates(&["I2", "one", &format!("{by:?}"), &format!("{end:?}")]),
            }
        }
    }
}

#[test]
fn what_another_end_selects_may_be_accepted() {
    for end in [End::Lease("two".into()), End::Workload("other".into()), End::Key("l".into())] {
        let mut story = Story::good();
        story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
        story.evidence.leases.insert("one".into(), "live".into());
        story.ends(4, end, Some("d-1"));
        story.judges(5, "one", Judge::Introspection, true);
        story.is_good();
    }
}

#[test]
fn the_successor_of_a_revoked_lease_is_over_too() {
    let mut story = Story::good();
    story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
    story.grants(2, "two", 2, Some("one"));
    story.ends(4, End::Lease("one".into()), Some("d-1"));
    story.is_good();
    story.judges(5, "two", Judge::Introspection, true);
    story.violates(&["I2", "two"]);
}

#[test]
fn a_token_for_a_closed_task_is_found() {
    let mut story = Story::good();
    story.grants(8, "two", 2, None);
    story.violates(&["I2", "two", "Task"]);
    let mut later = Story::good();
    later.grants(700, "two", 2, None);
    later.is_good();
}

#[test]
fn a_token_in_quarantine_is_found_and_one_behind_the_release_is_not() {
    let mut story = Story::good();
    story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
    story.ends(4, End::Quarantine("demo".into()), Some("d-1"));
    story.grants(8, "two", 2, None);
    story.violates(&["I2", "two", "Quarantine"]);
    story.at(7, What::Released { workload: "demo".into() });
    story.is_good();
}

#[test]
fn a_key_that_signs_after_its_end_and_a_lease_renewed_after_its_end_are_found() {
    for (end, renews) in [(End::Key("k".into()), None), (End::Lease("one".into()), Some("one"))] {
        let mut story = Story::good();
        story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
        story.ends(4, end, Some("d-1"));
        story.grants(8, "two", 2, renews);
        story.violates(&["I2", "two"]);
    }
}

#[test]
fn a_token_that_outlives_its_store_is_found() {
    let mut story = Story::good();
    story.at(7, What::StoreLost);
    story.is_good();
    story.judges(8, "one", Judge::Offline, true);
    story.violates(&["I1", "one", "lost"]);
}

#[test]
fn a_token_nobody_handed_out_is_found() {
    let mut story = Story::good();
    story.judges(2, "forged", Judge::Offline, true);
    story.violates(&["I1", "forged"]);
}

#[test]
fn a_lost_line_is_found_unless_nothing_was_promised() {
    let refused =
        |known| What::Refused { op: "mint", status: 400, error: "invalid_scope".into(), decision: "b-7".into(), known };
    let mut story = Story::good();
    story.at(4, refused(true));
    story.violates(&["I3", "b-7"]);
    story.at(4, What::AuditAway);
    story.is_good();
    let mut unknown = Story::good();
    unknown.at(4, refused(false));
    unknown.is_good();
}

#[test]
fn a_lost_line_of_an_end_is_found_unless_its_broker_died_at_once() {
    for second in [5, 9] {
        let mut story = Story::good();
        story.evidence.lines.retain(|line| line["event"] != "complete");
        story.violates(&["I3", "Task"]);
        story.at(second, What::Killed { broker: 0 });
        if second == 5 { story.is_good() } else { story.violates(&["I3", "Task"]) }
    }
}

#[test]
fn an_assertion_that_counts_twice_is_found() {
    let mut story = Story::good();
    story.grants(2, "two", 1, None);
    story.evidence.leases.insert("two".into(), "ended".into());
    story.violates(&["I5", "assertion 1"]);
    // The memory of it may be lost with a store, and with nothing else.
    let mut after = Story::good();
    after.at(7, What::StoreLost);
    after.at(8, What::Recovered);
    after.grants(9, "two", 1, None);
    after.is_good();
}

#[test]
fn a_broker_that_does_not_come_back_is_found() {
    let mut story = Story::good();
    story.at(7, What::Fault { kind: "cut" });
    story.violates(&["I4"]);
    story.events.push(Event { start: 8 * SECOND, end: 30 * SECOND, by: "test".into(), what: What::Recovered });
    story.violates(&["I4", "30"]);
}

#[test]
fn a_token_under_an_ended_key_names_the_lease_to_end_all_the_same() {
    for (by_its_workload, second) in [(true, 4), (true, 6), (false, 4)] {
        let mut story = Story::good();
        story.events.retain(|event| !matches!(event.what, What::Ended { .. }));
        story.grants(2, "two", 2, Some("one"));
        let What::Granted { token, .. } = &mut story.events[2].what else { panic!("{:?}", story.events[2]) };
        assert_eq!(token.jti, "two");
        token.kid = "l".into();
        story.ends(second, End::Key("k".into()), Some("d-1"));
        let assertion = by_its_workload.then_some(9);
        let decision = (!by_its_workload).then(|| "d-2".to_owned());
        story.evidence.lines.push(line("revoke", "done", json!({"decision_id": "d-2", "lease": "one"})));
        story.at(5, What::Ended { end: End::Lease("one".into()), decision, assertion });
        story.judges(7, "two", Judge::Offline, true);
        story.evidence.leases.insert("two".into(), "ended".into());
        story.violates(&["I2", "two"]);
    }
}

#[test]
fn a_token_that_a_verifier_accepts_beyond_its_bound_is_found() {
    // The end was acknowledged at 4.5 s.
    let within = |seconds| Verdict::Good { within: seconds * SECOND };
    for (second, verdict) in [(2, within(0)), (5, within(3)), (7, within(3))] {
        let mut story = Story::good();
        story.says(second, verdict);
        story.is_good();
    }
    for (second, verdict) in [(5, within(0)), (8, within(3)), (20, within(3))] {
        let mut story = Story::good();
        story.says(second, verdict);
        story.violates(&["I2", "verifier 1", "one", "\"a\""]);
    }
}

#[test]
fn an_end_that_a_verifier_makes_up_is_found() {
    let mut story = Story::good();
    story.says(5, Verdict::Ended);
    story.is_good();
    story.says(2, Verdict::Ended);
    story.violates(&["I6", "verifier 1", "nobody"]);
    // An end that failed may have been carried out.
    story.at(1, What::Tried { end: End::Lease("one".into()) });
    story.is_good();
}

#[test]
fn a_good_token_that_a_verifier_refuses_in_peace_is_found() {
    let mut story = Story::good();
    story.says(2, Verdict::Stale);
    story.is_good();
    story.says(2, Verdict::BadInPeace("its key"));
    story.violates(&["I6", "one", "its key"]);
}

#[test]
fn a_verifier_that_stays_behind_is_found() {
    let mut story = Story::good();
    story.says(2, Verdict::Stale);
    story.events.retain(|event| !matches!(event.what, What::CaughtUp { .. }));
    story.violates(&["I4", "verifier 1"]);
    // Before the last fault is no help.
    story.at(1, What::CaughtUp { verifier: 1 });
    story.violates(&["I4", "verifier 1"]);
}
