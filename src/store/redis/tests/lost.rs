//! A log whose tail is gone: whatever call comes first notices, a new epoch begins, and nothing of the old one mints.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::server::Server;
use crate::model::{Epoch, LeaseId, Position, Selector, TaskId};
use crate::store::suite::{
    Ask, KEY, WORKLOAD, assertion, complete, completion, end, now, published, quarantine, ready, workload,
};
use crate::store::{End, EndTarget, LeaseStore, RecordError, Spent};

/// Waits until a handle is in another epoch than `old`.
async fn next_epoch(store: &Arc<dyn LeaseStore>, old: Epoch) -> Epoch {
    let mut moved = store.moved();
    let changed = async {
        loop {
            match store.head().await {
                Ok(head) if head.epoch != old => return head.epoch,
                _ => moved.changed().await.expect("the store lives"),
            }
        }
    };
    let epoch = tokio::time::timeout(Duration::from_secs(5), changed).await.expect("a new epoch");
    // The line of ends is connected anew on its own.
    let settled = async {
        while store.settle().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), settled).await.expect("ends are taken again");
    epoch
}

/// Waits until all handles are in one epoch that is not `old`. Two that find the loss at once may each begin one: the
/// later stands, and the earlier has signed nothing that outlives it.
async fn agreed_epoch(brokers: &[Arc<dyn LeaseStore>], old: Epoch) -> Epoch {
    let agreed = async {
        loop {
            let mut epochs = Vec::new();
            for store in brokers {
                epochs.push(next_epoch(store, old).await);
            }
            if epochs.iter().all(|epoch| *epoch == epochs[0]) {
                return epochs[0];
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), agreed).await.expect("brokers agree")
}

/// Nothing of `old` mints or renews on any of the brokers, and all agree on one epoch.
async fn old_epoch_is_over(server: &Server, brokers: &[Arc<dyn LeaseStore>], old: Epoch) -> Epoch {
    let new = agreed_epoch(brokers, old).await;
    for store in brokers {
        let refused = Ask::task("t", old).record(store).await.unwrap_err();
        assert!(matches!(refused, RecordError::Epoch(real) if real == new), "{refused:?}");
        assert!(
            store.keys().await.unwrap().iter().all(|key| key.kid.as_str() != KEY),
            "no key of the old epoch counts"
        );
        let refused = Ask::task("t", new).record(store).await.unwrap_err();
        assert!(matches!(refused, RecordError::KeyRefused(_)), "{refused:?}");
    }
    let fresh = server.store().await;
    assert_eq!(fresh.head().await.unwrap().epoch, new);
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_that_find_an_empty_redis_agree_on_its_first_epoch() {
    for _ in 0..5 {
        let server = Server::safe().await;
        let (one, two) = tokio::join!(server.store(), server.store());
        assert_eq!(one.head().await.unwrap(), two.head().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_begins_a_new_epoch_behind_the_last_known_place() {
    let server = Server::safe().await;
    let (one, old) = ready(&server).await;
    let two = server.store().await;
    let lease = Ask::task("t", old).record(&one).await.unwrap();
    let rule = complete(&one, "t").await.rules[0];
    two.head().await.unwrap();
    server.say(&["FLUSHALL"]).await;
    let new = old_epoch_is_over(&server, &[Arc::clone(&one), two], old).await;
    assert!(one.head().await.unwrap().position >= rule.position, "no place is used twice");
    one.publish(published(KEY), new).await.unwrap();
    let refused = Ask::task("t", new).renews(lease.id).record(&one).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
    Ask::task("t", new).record(&one).await.expect("life goes on in the new epoch");
    assert_eq!(complete(&one, "t").await.rules.len(), 1);
    let page = one.log(Position::START, 100).await.unwrap();
    assert_eq!((page.entries.len(), page.head.epoch), (1, new), "of the old log nothing is told");
}

/// Whether an assertion counts, at each call that takes one.
async fn counts(
    store: &Arc<dyn LeaseStore>,
    epoch: Epoch,
    spent: impl Fn(&str) -> Spent,
) -> [Result<(), RecordError>; 3] {
    store.publish(published(KEY), epoch).await.unwrap();
    let end = End { target: completion("nothing"), at: now(), spent: Some(spent("end")) };
    [
        Ask::task("t", epoch).spending(spent("mint")).record(store).await.map(drop),
        store.spend(spent("spend")).await.map(drop),
        store.end(end).await.map(drop),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_used_before_the_loss_does_not_count_anywhere() {
    let server = Server::safe().await;
    let (one, old) = ready(&server).await;
    let made = now();
    server.say(&["FLUSHALL"]).await;
    let new = next_epoch(&one, old).await;
    let two = server.store().await;
    for store in [&one, &two] {
        for outcome in counts(store, new, |jti| assertion(jti).usable_from(made)).await {
            let told = matches!(outcome, Err(RecordError::Forgotten { from, since }) if from == made && since >= made);
            assert!(told, "also at a broker that came later: {outcome:?}");
        }
    }
    for outcome in counts(&two, new, |jti| assertion(jti).usable_from(made).unless("a")).await {
        assert!(
            matches!(outcome, Err(RecordError::Forgotten { .. })),
            "nobody knows what it was bound to: {outcome:?}"
        );
    }
    let later = || now().plus(Duration::from_secs(60));
    for _ in 0..2 {
        one.spend(assertion("bound").usable_from(later()).unless("a")).await.expect("the purpose it is bound to since");
    }
    let replayed = two.spend(assertion("bound").usable_from(made).unless("b")).await.unwrap_err();
    assert!(matches!(replayed, RecordError::Replayed), "what is known to be bound is told so: {replayed:?}");
    for outcome in counts(&one, new, |jti| assertion(jti).usable_from(later())).await {
        outcome.expect("what was made since counts");
    }
    let replayed = two.spend(assertion("spend").usable_from(later())).await.unwrap_err();
    assert!(matches!(replayed, RecordError::Replayed), "once: {replayed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_binds_the_epoch_in_which_it_was() {
    let server = Server::safe().await;
    let (store, old) = ready(&server).await;
    let known = quarantine(WORKLOAD);
    end(&store, EndTarget::Quarantine(known.clone())).await;
    store.release(workload(WORKLOAD)).await.unwrap();
    // A tail is lost: a lease, and with it, say, that the workload was shut out once more.
    Ask::task("t", old).workload("other").record(&store).await.unwrap();
    server.say(&["EVAL", "return redis.call('DEL', redis.call('KEYS', 'jitney:{*}:l:*')[1])", "0"]).await;
    let new = next_epoch(&store, old).await;
    assert!(end(&store, EndTarget::Restore(known.clone(), new)).await.imposed, "it fails closed");
    assert_eq!(store.quarantines().await.unwrap().all, [known]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_went_back_begins_a_new_epoch() {
    let server = Server::safe().await;
    let (store, old) = ready(&server).await;
    for name in ["a", "b"] {
        Ask::task(name, old).record(&store).await.unwrap();
    }
    complete(&store, "a").await;
    server.say(&["EVAL", "redis.call('SET', 'before', redis.call('HGET', 'jitney:{log}:head', 'now'))", "0"]).await;
    complete(&store, "b").await;
    // All at once, as a failover does it: the older head, and the last rule gone.
    let script = "redis.call('RPOP', redis.call('KEYS', 'jitney:{log}:s:*')[1])
        redis.call('HSET', 'jitney:{log}:head', 'now', redis.call('GET', 'before'))";
    server.say(&["EVAL", script, "0"]).await;
    old_epoch_is_over(&server, &[store], old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rule_at_the_last_known_place_begins_a_new_epoch() {
    // With as many rules as before, and with more: then the head alone tells nothing.
    for further in [0, 3] {
        let server = Server::safe().await;
        let (store, old) = ready(&server).await;
        Ask::task("t", old).record(&store).await.unwrap();
        let place = complete(&store, "t").await.rules[0].position.get();
        // What a broker that never saw the lost rule has written instead.
        let (last, other) = (place + further, "ffffffffffff");
        let script = format!(
            "local segment = redis.call('KEYS', 'jitney:{{log}}:s:*')[1] redis.call('RPOP', segment)
            for place = {place}, {last} do
              local body = '\\2' .. string.rep('x', 16) .. struct.pack('>I6I5', place, 9999999999)
              redis.call('RPUSH', segment, body .. '{other}')
            end
            local now = string.sub(redis.call('HGET', 'jitney:{{log}}:head', 'now'), 1, 34)
            redis.call('HSET', 'jitney:{{log}}:head', 'now', now .. '{other}' .. {last})"
        );
        server.say(&["EVAL", &script, "0"]).await;
        old_epoch_is_over(&server, &[store], old).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_begins_a_new_epoch_though_no_rule_is_missing() {
    let server = Server::safe().await;
    let (store, old) = ready(&server).await;
    Ask::task("t", old).record(&store).await.unwrap();
    server.say(&["EVAL", "return redis.call('DEL', redis.call('KEYS', 'jitney:{*}:l:*')[1])", "0"]).await;
    old_epoch_is_over(&server, &[store], old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_marks_begin_a_new_epoch_though_every_lease_is_there() {
    for lost in ["jitney:{*}:m:all", "jitney:{*}:m:[0-9]*"] {
        let server = Server::safe().await;
        let (store, old) = ready(&server).await;
        Ask::task("t", old).record(&store).await.unwrap();
        assert_eq!(store.head().await.unwrap().epoch, old);
        server.say(&["EVAL", "return redis.call('DEL', redis.call('KEYS', ARGV[1])[1])", "0", lost]).await;
        old_epoch_is_over(&server, &[store], old).await;
    }
}

/// A window that is gone is answered for by one epoch, however many mints fall into others.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_window_ends_one_epoch_and_not_those_that_follow() {
    let server = Server::safe().await;
    let (store, old) = ready(&server).await;
    Ask::task("t", old).record(&store).await.unwrap();
    assert_eq!(store.head().await.unwrap().epoch, old);
    server.say(&["EVAL", "return redis.call('DEL', redis.call('KEYS', 'jitney:{*}:m:[0-9]*')[1])", "0"]).await;
    let new = old_epoch_is_over(&server, &[Arc::clone(&store)], old).await;
    store.publish(published(KEY), new).await.unwrap();
    Ask::task("t", new).ttl(3000).record(&store).await.expect("in another window");
    server.say(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let fresh = server.store().await;
    let settled = async { while store.settle().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(5), settled).await.expect("ends are taken again");
    assert_eq!([store.head().await.unwrap().epoch, fresh.head().await.unwrap().epoch], [new, new]);
}

/// Where the commands of the last transaction in Redis' append-only file end, the opening one first.
fn last_transaction(file: &[u8]) -> Vec<usize> {
    let opening: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
    let mut at = file.windows(opening.len()).rposition(|bytes| bytes == opening).unwrap();
    let number = |at: &mut usize| -> usize {
        let end = *at + file[*at..].windows(2).position(|pair| pair == b"\r\n").unwrap();
        let text = std::str::from_utf8(&file[*at + 1..end]).unwrap();
        *at = end + 2;
        text.parse().unwrap()
    };
    let mut ends = Vec::new();
    while at < file.len() {
        for _ in 0..number(&mut at) {
            at += number(&mut at) + 2;
        }
        ends.push(at);
    }
    ends
}

/// Redis 7.0 drops a transaction that its disk broke off, but for the commands of it that are whole: these it carries out
/// when it is started once more. An end of which only the mark counts would be taken for one that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_half_written_is_none() {
    let digest = Selector::Task(workload(WORKLOAD), TaskId::parse("t").unwrap()).digest();
    let mut whole = 1;
    loop {
        let server = Server::safe().await;
        let (store, epoch) = ready(&server).await;
        Ask::task("t", epoch).record(&store).await.unwrap();
        complete(&store, "t").await;
        drop(store);
        server.stop(Signal::KILL);
        let mut files =
            std::fs::read_dir(server.dir.path().join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
        let path = files.find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
        let file = std::fs::read(&path).unwrap();
        let ends = last_transaction(&file);
        // Not each end has as many commands: one that begins a minute has more.
        if whole >= ends.len() {
            break;
        }
        std::fs::write(&path, &file[..ends[whole - 1] + 7]).unwrap();
        server.start();
        Ask::task("another", epoch).record(&server.store().await).await.expect("of the half nothing counts yet");
        server.stop(Signal::KILL);
        server.start();
        let store = server.store().await;
        // Of all but the one that only opens it, and the one that lacks its closing alone.
        let is_half = whole > 1 && whole + 1 < ends.len();
        assert_eq!(
            store.head().await.unwrap().epoch != epoch,
            is_half,
            "{whole} commands of {} were whole",
            ends.len()
        );
        if !is_half {
            complete(&store, "t").await;
            let told = store.log(Position::START, 100).await.unwrap().entries;
            let rules = told.iter().filter(|entry| entry.rule.digest == digest).count();
            assert_eq!(rules, 1, "{whole} commands of {} were whole", ends.len());
        }
        whole += 1;
    }
    assert!(whole > 6, "an end is more than {whole} commands");
}

/// Nobody looks for them any more: sixteen other writes were acknowledged since.
#[tokio::test(flavor = "multi_thread")]
async fn marks_that_were_taken_away_are_made_up_for_by_a_rule_for_all_that_may_live() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    // Of one minute and one window, whenever this runs.
    let (at, corner) = (now(), LeaseId::shard_of(&workload(WORKLOAD)));
    let mint = async |name: &str, n: u64| {
        let id = LeaseId::new(at.secs() * 1000, corner, n);
        Ask::task(name, epoch).at(at).id(id).record(&store).await.unwrap()
    };
    let lease = mint("t", 4).await;
    for n in 0..20 {
        Ask::task(&format!("u-{n}"), epoch).workload("another").record(&store).await.unwrap();
    }
    let marks = format!("jitney:{{{:08x}}}:m:[0-9]*", u32::from_be_bytes(corner));
    server.say(&["EVAL", "return redis.call('DEL', redis.call('KEYS', ARGV[1])[1])", "0", &marks]).await;
    mint("another", 8).await;
    let ended = complete(&store, "t").await;
    let [rule] = ended.rules[..] else { panic!("{ended:?}") };
    assert!(rule.until >= Some(lease.expires_at), "{rule:?}");
    assert_eq!(store.head().await.unwrap().epoch, epoch);
    assert_eq!(complete(&store, "t").await.rules, [], "that covers all of them");
    assert_eq!(complete(&store, "another").await.rules.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_not_lost() {
    let server = Server::safe().await;
    let (store, epoch) = ready(&server).await;
    Ask::task("t", epoch).record(&store).await.unwrap();
    complete(&store, "t").await;
    // Another broker's rule, so that the first one must look for its own last place, and the segment is gone in time.
    let other = server.store().await;
    Ask::task("u", epoch).record(&other).await.unwrap();
    server.say(&["EVAL", "return redis.call('DEL', redis.call('KEYS', 'jitney:{log}:s:*')[1])", "0"]).await;
    complete(&other, "u").await;
    assert_eq!(store.head().await.unwrap().epoch, epoch);
    assert_eq!(store.log(Position::START, 10).await.unwrap().entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_whose_head_was_deleted_begins_a_new_epoch() {
    let server = Server::safe().await;
    let (store, old) = ready(&server).await;
    let lease = Ask::task("t", old).record(&store).await.unwrap();
    complete(&store, "u").await;
    drop(store);
    server.say(&["DEL", "jitney:{log}:head"]).await;
    let store = server.store().await;
    let new = store.head().await.unwrap().epoch;
    assert_ne!(new, old);
    store.publish(published(KEY), new).await.unwrap();
    let refused = Ask::task("t", new).renews(lease.id).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::Predecessor(_)), "{refused:?}");
    let refused = Ask::task("u", new).record(&store).await.unwrap_err();
    assert!(matches!(refused, RecordError::TaskEnded { .. }), "an ended task stays closed: {refused:?}");
    Ask::task("t", new).record(&store).await.unwrap();
    assert_eq!(complete(&store, "t").await.rules.len(), 1);
}
