//! What `end` promises, target by target.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;
use crate::model::{Position, Rule, RuleDigest, RuleKind, Selector};

pub(crate) async fn a_completed_task_has_a_rule_that_covers_its_leases<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let short = Ask::task("t", epoch).ttl(60).record(&store).await.unwrap();
    let long = Ask::task("t", epoch).ttl(600).record(&store).await.unwrap();
    let ended = complete(&store, "t").await;
    let [rule] = ended.rules[..] else { panic!("{ended:?}") };
    assert_eq!((rule.kind, rule.digest), (RuleKind::Task, RuleDigest::task(&workload(WORKLOAD), "t")));
    assert!(rule.position > short.position && rule.position > long.position);
    assert!(rule.until >= Some(long.expires_at));
    assert_eq!(ended.leases, [], "told only where the target was a lease");
}

pub(crate) async fn a_second_completion_appends_nothing<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    Ask::task("t", epoch).record(&store).await.unwrap();
    assert_eq!(complete(&store, "t").await.rules.len(), 1);
    for store in [&store, &fixture.open().await] {
        assert_eq!(complete(store, "t").await.rules, []);
    }
    assert_eq!(store.head().await.unwrap().position.get(), 1);
}

pub(crate) async fn a_task_that_woke_again_ends_again<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let closed_until = now().plus(Duration::from_secs(1));
    let target = EndTarget::Task { workload: workload(WORKLOAD), task: task("t"), closed_until };
    Ask::task("t", epoch).record(&store).await.unwrap();
    let first = end(&store, target).await.rules[0];
    let lease = loop {
        match Ask::task("t", epoch).record(&store).await {
            Ok(lease) => break lease,
            Err(RecordError::TaskEnded { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(lease.position >= first.position, "the first end does not touch it");
    let second = complete(&store, "t").await;
    assert_eq!(second.rules.len(), 1, "{second:?}");
    assert!(second.rules[0].position > lease.position && second.rules[0].until >= Some(lease.expires_at));
}

pub(crate) async fn ending_the_parent_covers_the_children<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let child = Ask::task("t/a/b", epoch).ttl(900).record(&store).await.unwrap();
    let ended = complete(&store, "t").await;
    assert_eq!(ended.rules.len(), 1, "a child's lease alone is a reason for a rule");
    assert_eq!(ended.rules[0].digest, RuleDigest::task(&workload(WORKLOAD), "t"));
    assert!(ended.rules[0].until >= Some(child.expires_at));
}

pub(crate) async fn a_completion_without_a_lease_appends_nothing_and_closes_the_name<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    Ask::task("another", epoch).record(&store).await.unwrap();
    Ask::task("t", epoch).workload("other").record(&store).await.unwrap();
    assert_eq!(complete(&store, "t").await, Ended::default());
    assert_eq!(store.head().await.unwrap().position.get(), 0);
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::TaskEnded { .. }), "{refused:?}");
}

pub(crate) async fn an_assertion_ends_something_once<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    Ask::task("u", epoch).record(&store).await.unwrap();
    let end = |name: &str| End { target: completion(name), at: now(), spent: Some(assertion("one")) };
    store.end(end("t")).await.expect("the first time");
    let refused = store.end(end("u")).await.unwrap_err();
    assert!(matches!(refused, RecordError::Replayed), "{refused:?}");
    assert_eq!(store.head().await.unwrap().position.get(), 0, "what was refused did nothing");
    Ask::task("u", epoch).record(&store).await.expect("u is open still");
    let refused = Ask::task("v", epoch).spending(assertion("one")).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Replayed), "{refused:?}");
}

pub(crate) async fn a_lease_ends_with_its_successors_and_without_its_predecessor<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let first = Ask::task("t", epoch).record(&store).await.unwrap();
    let second = Ask::task("t", epoch).renews(first.id).ttl(400).record(&store).await.unwrap();
    let third = Ask::task("t", epoch).renews(second.id).ttl(500).record(&store).await.unwrap();
    let ended = end(&store, EndTarget::Lease(second.id)).await;
    assert_eq!(ended.leases, [second.id, third.id]);
    let digests: Vec<_> = ended.rules.iter().map(|rule| (rule.kind, rule.digest)).collect();
    assert_eq!(
        digests,
        [(RuleKind::Lease, RuleDigest::lease(second.id)), (RuleKind::Lease, RuleDigest::lease(third.id))]
    );
    for (rule, lease) in ended.rules.iter().zip([&second, &third]) {
        assert!(rule.until >= Some(lease.expires_at) && rule.position > lease.position);
        assert_eq!(store.lease(lease.id).await.unwrap().unwrap().ended.unwrap().position, rule.position);
    }
    assert_eq!(store.lease(first.id).await.unwrap().unwrap().ended, None);
    assert_eq!(end(&store, EndTarget::Lease(second.id)).await.rules, [], "ended before");
}

pub(crate) async fn an_unknown_lease_ends_nothing<F: Fixture>(fixture: F) {
    let (store, _) = ready(&fixture).await;
    assert_eq!(end(&store, EndTarget::Lease(fresh_id(WORKLOAD))).await, Ended::default());
    assert_eq!(store.head().await.unwrap().position.get(), 0);
}

pub(crate) async fn workload_audience_and_all_append_one_rule_each<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let lease = Ask::task("t", epoch).ttl(900).record(&store).await.unwrap();
    let targets = [
        (EndTarget::Workload(workload(WORKLOAD)), Selector::Workload(workload(WORKLOAD))),
        (EndTarget::Audience(audience(AUDIENCE)), Selector::Audience(audience(AUDIENCE))),
        (EndTarget::All, Selector::All),
    ];
    for (at, (target, selector)) in (1..).zip(targets) {
        let ended = end(&store, target).await;
        let [rule] = ended.rules[..] else { panic!("{selector}: {ended:?}") };
        assert_eq!((rule.kind, rule.digest, rule.position.get()), (selector.kind(), selector.digest(), at));
        assert!(rule.until >= Some(lease.expires_at), "{selector}");
    }
    let after = Ask::task("t", epoch).record(&store).await.expect("an end by selector shuts nothing");
    assert_eq!(after.position.get(), 3, "so it outlives all three");
}

pub(crate) async fn a_quarantine_appends_a_rule_and_is_told<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let lease = Ask::task("t", epoch).record(&store).await.unwrap();
    let quarantine = quarantine(WORKLOAD);
    let ended = end(&store, EndTarget::Quarantine(quarantine.clone())).await;
    let [rule] = ended.rules[..] else { panic!("{ended:?}") };
    assert_eq!((rule.kind, rule.digest), (RuleKind::Workload, Selector::Workload(workload(WORKLOAD)).digest()));
    assert!(rule.position > lease.position && rule.until >= Some(lease.expires_at));
    assert!(ended.imposed);
    let told = Quarantines { epoch, all: vec![quarantine] };
    assert_eq!(fixture.open().await.quarantines().await.unwrap(), told);
    store.release(workload(WORKLOAD)).await.unwrap();
    assert_eq!(store.quarantines().await.unwrap().all, []);
}

pub(crate) async fn a_second_quarantine_leaves_the_first_as_it_is<F: Fixture>(fixture: F) {
    let (store, _) = ready(&fixture).await;
    let first = quarantine(WORKLOAD);
    assert!(end(&store, EndTarget::Quarantine(first.clone())).await.imposed);
    let since = first.since.plus(Duration::from_secs(7));
    let second = Quarantine { reason: "another".into(), actor: "uid:7".into(), since, ..first.clone() };
    let other = fixture.open().await;
    assert!(!end(&other, EndTarget::Quarantine(second.clone())).await.imposed);
    for store in [&store, &other, &fixture.open().await] {
        assert_eq!(store.quarantines().await.unwrap().all, std::slice::from_ref(&first));
    }
    assert!(store.release(workload(WORKLOAD)).await.unwrap());
    assert!(end(&other, EndTarget::Quarantine(second.clone())).await.imposed, "once released, it is a new one");
    assert_eq!(store.quarantines().await.unwrap().all, [second]);
}

/// A broker restores what it knew in an epoch before; two brokers may know the same.
pub(crate) async fn a_quarantine_is_restored_where_it_is_missing_and_once<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let lease = Ask::task("t", epoch).record(&store).await.unwrap();
    let known = quarantine(WORKLOAD);
    let restored = end(&store, EndTarget::Restore(known.clone(), epoch)).await;
    let [rule] = restored.rules[..] else { panic!("{restored:?}") };
    assert!(restored.imposed && rule.position > lease.position, "what it got meanwhile ends");
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Quarantined(_)), "{refused:?}");
    let other = Quarantine { reason: "as another broker knew it".into(), ..known.clone() };
    assert_eq!(end(&store, EndTarget::Restore(other, epoch)).await, Ended::default());
    assert_eq!(store.quarantines().await.unwrap().all, std::slice::from_ref(&known));
    let elsewhere = EndTarget::Restore(known, Epoch::from_bits(epoch.bits() ^ 1));
    let refused = store.end(End { target: elsewhere, at: now(), spent: None }).await.unwrap_err();
    assert!(matches!(refused, RecordError::Epoch(real) if real == epoch), "{refused:?}");
}

pub(crate) async fn what_was_released_in_this_epoch_is_not_restored<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let known = quarantine(WORKLOAD);
    // One that is not restored yet, and one that stands.
    for stands in [false, true] {
        if stands {
            end(&store, EndTarget::Quarantine(known.clone())).await;
        }
        assert_eq!(store.release(workload(WORKLOAD)).await.unwrap(), stands);
        let late = fixture.open().await;
        assert_eq!(end(&late, EndTarget::Restore(known.clone(), epoch)).await, Ended::default());
        Ask::task("t", epoch).record(&store).await.expect("the release stands");
    }
    assert!(
        end(&store, EndTarget::Quarantine(known.clone())).await.imposed,
        "whoever is released can be shut out again"
    );
    assert_eq!(store.quarantines().await.unwrap().all, [known]);
}

pub(crate) async fn an_end_of_what_lives_writes_nothing_where_nothing_does<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let closed_until = now().plus(Duration::from_secs(3600));
    let only_live = |name: &str, jti: &str| {
        let target = EndTarget::LiveTask { workload: workload(WORKLOAD), task: task(name), closed_until };
        store.end(End { target, at: now(), spent: Some(assertion(jti)) })
    };
    let nothing = |got: Result<Ended, RecordError>| assert!(matches!(got, Err(RecordError::NothingLives)), "{got:?}");
    nothing(only_live("t", "one").await);
    Ask::task("t", epoch).record(&store).await.expect("the name is not closed");
    Ask::task("u/v", epoch).record(&store).await.unwrap();
    assert_eq!(only_live("t", "one").await.expect("the assertion was not used up").rules.len(), 1);
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::TaskEnded { .. }), "{refused:?}");
    nothing(only_live("t", "two").await);
    assert_eq!(only_live("u", "three").await.unwrap().rules.len(), 1, "a parent ends by its child");
    nothing(only_live("u", "four").await);
    assert!(matches!(only_live("u", "three").await, Err(RecordError::Replayed)), "first of all, who asks");
}

pub(crate) async fn settling_changes_nothing_and_tells_nobody<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    store.settle().await.expect("also where nothing was written yet");
    Ask::task("t", epoch).record(&store).await.unwrap();
    complete(&store, "t").await;
    let other = fixture.open().await;
    let (head, log) = (store.head().await.unwrap(), store.log(Position::START, 10).await.unwrap());
    let moved = store.moved();
    for handle in [&store, &other] {
        handle.settle().await.unwrap();
        assert_eq!(handle.head().await.unwrap(), head);
        assert_eq!(handle.log(Position::START, 10).await.unwrap().entries, log.entries);
    }
    assert!(!moved.has_changed().unwrap(), "nobody has to read the log for it");
    assert_eq!(complete(&other, "t").await.rules, [], "the end stands as it stood");
}

pub(crate) async fn a_revoked_key_is_gone_for_good<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    store.publish(published("key-2"), epoch).await.unwrap();
    Ask::task("t", epoch).record(&store).await.unwrap();
    let ended = end(&store, EndTarget::Key(kid(KEY))).await;
    let [rule] = ended.rules[..] else { panic!("{ended:?}") };
    assert_eq!((rule.kind, rule.digest, rule.until), (RuleKind::Key, Selector::Key(kid(KEY)).digest(), None));
    let kids: Vec<_> = fixture.open().await.keys().await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, [kid("key-2")]);
    let refused = store.publish(published(KEY), epoch).await.unwrap_err();
    assert!(matches!(&refused, RecordError::KeyRefused(key) if key.as_str() == KEY), "{refused:?}");
    let refused = Ask::task("t", epoch).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::KeyRefused(_)), "{refused:?}");
    Ask::task("t", epoch).kid("key-2").record(&store).await.expect("the other key signs on");
}

/// Whom a target ends, in the words of the contract: the naive reading that stores are held against.
fn selects(target: &EndTarget, lease: &Lease) -> bool {
    match target {
        EndTarget::Task { workload, task, .. } | EndTarget::LiveTask { workload, task, .. } => {
            lease.workload == *workload && lease.task.is_within(task)
        }
        EndTarget::Lease(id) => lease.id == *id,
        EndTarget::Workload(workload) => lease.workload == *workload,
        EndTarget::Quarantine(quarantine) | EndTarget::Restore(quarantine, _) => lease.workload == quarantine.workload,
        EndTarget::Audience(uri) => lease.audience == *uri,
        EndTarget::Key(kid) => lease.kid == *kid,
        EndTarget::All => true,
    }
}

fn targets() -> impl Strategy<Value = EndTarget> {
    // Open again at once: leases after an end are the point.
    let closed_until = now();
    let names = prop_oneof![Just("a"), Just("a/b"), Just("a/b/c"), Just("d")];
    let workloads = prop_oneof![Just("w0"), Just("w1"), Just("w2")];
    prop_oneof![
        4 => (workloads.clone(), names).prop_map(move |(of, name)| EndTarget::Task {
            workload: workload(of),
            task: task(name),
            closed_until
        }),
        1 => workloads.clone().prop_map(|of| EndTarget::Workload(workload(of))),
        1 => workloads.prop_map(|of| EndTarget::Quarantine(quarantine(of))),
        1 => (0..2u8).prop_map(|n| EndTarget::Audience(audience(&format!("https://a{n}.example")))),
        1 => Just(EndTarget::All),
    ]
}

pub(crate) async fn no_rule_ends_before_the_last_lease_it_selects<F: Fixture>(fixture: F) {
    let (store, epoch) = ready(&fixture).await;
    let mut recorded: Vec<Lease> = Vec::new();
    let leases = (0..3u8, 0..2u8, prop_oneof![Just("a"), Just("a/b"), Just("a/b/c"), Just("d")], 1..3600u64);
    let steps = proptest::collection::vec(prop_oneof![3 => leases.prop_map(Ok), 1 => targets().prop_map(Err)], 300);
    let steps = steps.new_tree(&mut TestRunner::default()).expect("steps").current();
    for (at, step) in steps.into_iter().enumerate() {
        match step {
            Ok((who, whom, name, ttl)) => {
                let ask = Ask::task(name, epoch).workload(&format!("w{who}")).ttl(ttl);
                // Ended tasks and quarantined workloads are refused, which is another case's business.
                recorded.extend(ask.audience(&format!("https://a{whom}.example")).record(&store).await.ok());
            }
            Err(target) => {
                let ended = end(&store, target.clone()).await;
                let last = recorded.iter().filter(|lease| selects(&target, lease)).map(|lease| lease.expires_at).max();
                for Rule { until, .. } in ended.rules {
                    assert!(until >= last, "step {at}: {target:?} ends at {until:?}, a lease of it at {last:?}");
                }
                if let EndTarget::Quarantine(quarantine) = target {
                    store.release(quarantine.workload).await.unwrap();
                }
            }
        }
    }
    assert!(recorded.len() > 20, "too few leases to say anything: {}", recorded.len());
}
