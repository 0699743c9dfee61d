//! Several brokers on one Redis: what one does the others know at once, and none is needed for what another did.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{API, Answer, Ask, Broker, Feed, Jwks, Redis, Request, Setup, Token, complete_path, eventually, within};
use serde_json::{Value, json};

fn two(redis: &Redis) -> [Broker; 2] {
    [(); 2].map(|()| Setup::default().start_on(Some(redis.url())))
}

#[test]
fn a_token_of_one_is_good_at_the_other_from_its_first_moment() {
    let redis = Redis::start();
    let first = Setup::default().start_on(Some(redis.url()));
    first.mint("demo", "t");
    let second = Setup::default().start_on(Some(redis.url()));
    let (theirs, ours) = (second.mint("demo", "t"), first.mint("demo", "t"));
    assert_ne!(theirs.kid(), ours.kid(), "each has its own keys");
    assert!(first.stands(&theirs) && second.stands(&ours));
    for _ in 0..3 {
        second.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
        assert!(first.stands(&second.mint("demo", "t")), "also right behind a rotation");
    }
    let renewed = Token::of(&first.renew("demo", &theirs.lease(), None).expect(200));
    assert!(second.stands(&renewed));
    first.complete_by(&theirs.text, "t").expect(204);
    assert!(!second.stands(&theirs) && !second.stands(&renewed) && !second.stands(&ours));
}

/// The events of ends that a watcher is told, until there are so many.
fn watched(connection: &mut common::Http<std::os::unix::net::UnixStream>, count: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&lines);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let events =
            whole.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_end =
            |event: &Value| ["complete", "revoke", "quarantine", "end"].iter().any(|word| event["event"] == *word);
        let ends: Vec<Value> = events.filter(is_end).collect();
        if ends.len() >= count {
            return ends;
        }
        assert!(connection.chunk(&mut lines).unwrap(), "it ended");
    }
}

#[test]
fn who_watches_one_sees_every_end_of_the_other_and_each_once() {
    let redis = Redis::start();
    let [here, there] = two(&redis);
    let mut watch = here.connect_admin();
    watch.send(&Request::get("/admin/v1/watch").bytes()).unwrap();
    assert_eq!(watch.head().unwrap().0, 200);
    // In turn, so that each of them has ends around it which the other made.
    for n in 0..6 {
        let broker = if n % 2 == 0 { &here } else { &there };
        broker.mint("demo", &format!("t-{n}"));
        broker.complete("demo", &format!("t-{n}")).expect(204);
    }
    there.mint("demo", "t");
    there.operator_revokes(json!({"workload": "demo"}));
    there.mint("demo", "t");
    there.operator_revokes(json!({"audience": API}));
    here.mint("demo", "last");
    here.operator_revokes(json!({"all": true}));
    let ends = watched(&mut watch, 9);
    let mut positions: Vec<u64> = ends.iter().map(|end| end["position"].as_u64().unwrap()).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=9).collect::<Vec<_>>(), "{ends:?}");
    let at = |position: u64| ends.iter().find(|end| end["position"] == position).unwrap();
    for (position, n) in (1..=6).zip(0..) {
        let (end, is_own) = (at(position), n % 2 == 0);
        assert_eq!(end["event"], if is_own { "complete" } else { "end" }, "{end}");
        let told = if is_own { (&end["task"], json!(format!("t-{n}"))) } else { (&end["audiences"], json!([API])) };
        assert_eq!(*told.0, told.1, "{end}");
    }
    assert_eq!((&at(7)["kind"], &at(7)["workload"]), (&json!("workload"), &json!("demo")));
    assert_eq!((&at(8)["kind"], &at(8)["audience"]), (&json!("audience"), &json!(API)));
    assert_eq!((&at(9)["event"], &at(9)["actor"].is_string()), (&json!("revoke"), &true));
}

#[test]
fn who_comes_back_is_told_this_broker_s_own_ends_too_and_each_once() {
    let redis = Redis::start();
    let broker = Setup::default().start_on(Some(redis.url()));
    let watch = |query: &str| {
        let mut connection = broker.connect_admin();
        connection.send(&Request::get(&format!("/admin/v1/watch{query}")).bytes()).unwrap();
        assert_eq!(connection.head().unwrap().0, 200);
        connection
    };
    let end = |task: &str| {
        broker.mint("demo", task);
        broker.complete("demo", task).expect(204);
    };
    let store = broker.operator_sees("/admin/v1/status")["store"].clone();
    let place = format!("?after={}&epoch={}", store["position"], store["epoch"].as_str().unwrap());
    // With somebody who stays, and whom each is told as it happens.
    let mut stays = watch("");
    end("missed");
    assert_eq!(watched(&mut stays, 1)[0]["event"], "complete");
    let mut back = watch(&place);
    end("heard");
    let told = watched(&mut back, 2);
    let told: Vec<_> = told.iter().map(|end| (end["event"].as_str().unwrap(), end["position"].as_u64())).collect();
    assert_eq!(told, [("end", Some(1)), ("complete", Some(2))]);
    // With lines on their way while they come.
    drop((stays, back));
    for n in 0..20 {
        let mut watch = watch(&place);
        end(&format!("late-{n}"));
        let told = watched(&mut watch, n + 3);
        let mut positions: Vec<u64> = told.iter().map(|end| end["position"].as_u64().unwrap()).collect();
        positions.sort_unstable();
        assert_eq!(positions, (1..=n as u64 + 3).collect::<Vec<_>>(), "{told:?}");
    }
}

#[test]
fn who_watches_over_a_restart_misses_no_end() {
    let redis = Redis::start();
    let [mut here, there] = two(&redis);
    let mut command = here.cli_command("demo", &["lease", "watch", "--output", "json"]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let end = |task: &str| {
        there.mint("demo", task);
        there.complete("demo", task).expect(204);
    };
    let mut seen = Vec::new();
    let mut next = |event: &str| loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if line["event"] == event {
            seen.push(line["position"].as_u64());
            return;
        }
    };
    // It follows once it has shown something of this broker's.
    while here.operator_sees("/admin/v1/status")["watchers"].as_u64().unwrap_or(0) == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    end("before");
    next("end");
    here.kill();
    end("meanwhile");
    end("still");
    here.start_again();
    end("behind");
    for _ in 0..3 {
        next("end");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(seen, [1, 2, 3, 4].map(Some));
}

#[test]
fn an_end_at_one_is_seen_by_the_other_at_once() {
    let redis = Redis::start();
    let brokers = two(&redis);
    for n in 0..20 {
        let (here, there) = (&brokers[n % 2], &brokers[(n + 1) % 2]);
        let task = format!("t-{n}");
        let mint = || there.mint("demo", &task);
        let revoked = mint();
        here.revoke("demo", &revoked.text).expect(200);
        assert!(!there.stands(&revoked));
        assert_eq!(there.renew("demo", &revoked.lease(), None).outcome(), (400, "invalid_grant".into()));
        assert_eq!(there.complete_by(&revoked.text, &task).status, 401);
        let selected = mint();
        here.operator_revokes(json!({"workload": "demo"}));
        assert!(!there.stands(&selected));
        let behind = mint();
        assert!(here.stands(&behind) && there.stands(&behind));
        here.complete("demo", &task).expect(204);
        assert!(!there.stands(&behind));
        assert_eq!(Feed::of(there, API).ends(&behind), Some("task"));
        assert_eq!(there.ask(&Ask::of("demo").task(&task)).outcome(), (400, "invalid_grant".into()));
        here.operator("/admin/v1/workloads/other/quarantine", json!({"reason": "a test"})).expect(200);
        assert_eq!(there.ask(&Ask::of("other")).outcome(), (400, "unauthorized_client".into()));
        there.operator("/admin/v1/workloads/other/release", json!({"reason": "a test"})).expect(200);
        here.mint("other", "t");
    }
}

#[test]
fn each_serves_the_keys_of_all() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let tokens = brokers.each_ref().map(|broker| broker.mint("demo", "t"));
    let kids = eventually("both serve all keys", || {
        let kids = brokers.each_ref().map(|broker| Jwks::fetch(broker).kids());
        (kids[0] == kids[1] && kids[0].len() >= 4).then(|| kids[0].clone())
    });
    for broker in &brokers {
        let jwks = Jwks::fetch(broker);
        assert!(tokens.iter().all(|token| jwks.check(&token.text, "at+jwt").is_ok()), "{kids:?}");
        assert_eq!(Feed::fetch(broker).claims["epoch"], Feed::fetch(&brokers[0]).claims["epoch"]);
    }
    // A stolen key is out at both at once, whichever is told.
    brokers[0].operator_revokes(json!({"key": tokens[1].kid()}));
    assert!(!brokers[0].stands(&tokens[1]) && !brokers[1].stands(&tokens[1]));
    // For a moment there may be no key that is published for long enough: 503, and by itself again.
    let fresh = recovers(&brokers[1]);
    assert_ne!(fresh.kid(), tokens[1].kid(), "it signs no more");
    assert!(brokers[0].stands(&fresh) && brokers[1].stands(&fresh));
    eventually("it is gone from both", || {
        brokers.iter().all(|broker| !Jwks::fetch(broker).kids().contains(&tokens[1].kid())).then_some(())
    });
}

/// A resource server that meets a key for the first time asks once, of any broker, and then not again for a while.
#[test]
fn the_jwks_of_each_holds_what_another_published_a_moment_ago() {
    let redis = Redis::start();
    let first = Setup::default().start_on(Some(redis.url()));
    let kept = Jwks::fetch(&first);
    let second = Setup::default().start_on(Some(redis.url()));
    for _ in 0..4 {
        let token = second.mint("demo", "t");
        Jwks::fetch(&first).check(&token.text, "at+jwt").unwrap();
        let path = first.data().join("token");
        std::fs::write(&path, &token.text).unwrap();
        let verified = first.cli("demo", &["verify", "--token-file", path.to_str().unwrap()]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        second.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    }
    let etag = |broker: &Broker| broker.get("/oauth2/jwks").header("etag").unwrap().to_owned();
    assert_eq!(etag(&first), etag(&second), "the same keys, the same tag");
    assert!(kept.kids().iter().all(|kid| Jwks::fetch(&first).kids().contains(kid)));
}

#[test]
fn a_broker_that_is_killed_takes_neither_lease_nor_end_with_it() {
    let redis = Redis::start();
    let [mut dies, lives] = two(&redis);
    let tokens: Vec<Token> = (0..20).map(|n| dies.mint("demo", &format!("t-{n}"))).collect();
    for token in &tokens[..10] {
        dies.complete("demo", &token.claim("txn")).expect(204);
    }
    dies.kill();
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(lives.stands(token), n >= 10);
        assert_eq!(Feed::fetch(&lives).ends(token).is_none(), n >= 10);
        assert!(Jwks::fetch(&lives).check(&token.text, "at+jwt").is_ok(), "its keys stay published");
    }
    lives.renew("demo", &tokens[10].lease(), None).expect(200);
    lives.complete("demo", "t-11").expect(204);
    dies.start_again();
    assert!(dies.stands(&tokens[10]) && !dies.stands(&tokens[11]));
    assert!(lives.stands(&dies.mint("demo", "again")));
}

/// A refusal for now: 503, when to come back, no token, within two seconds and what this machine adds.
#[track_caller]
fn unavailable(broker: &Broker, request: &Request) {
    let begun = Instant::now();
    let answer = broker.send(request);
    let took = begun.elapsed();
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".into()), "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && answer.json().get("access_token").is_none());
    assert!(took < Duration::from_millis(2400), "{took:?}");
}

#[track_caller]
fn everything_is_unavailable(broker: &Broker, token: &Token) {
    unavailable(broker, &Ask::of("demo").request());
    unavailable(broker, &Ask::bare(API).with("token", &token.text).at("/oauth2/introspect"));
    unavailable(broker, &Ask::bare("demo").with("token", &token.text).at("/oauth2/revoke"));
    unavailable(broker, &Ask::bare("demo").at(&complete_path("t")));
    unavailable(broker, &Request::new("POST", &complete_path("t")).bearer(&token.text));
    unavailable(broker, &Ask::bare("demo").at(&format!("/v1/leases/{}/renew", token.lease())));
    unavailable(broker, &Request::get("/v1/revocations?once=1"));
    let revoke = Request::json("/admin/v1/revocations", &json!({"all": true, "reason": "a test"}));
    assert_eq!(broker.admin(&revoke).outcome(), (503, "temporarily_unavailable".into()));
    let readiness = broker.get("/readyz").expect(503).json();
    assert!(readiness["missing"].to_string().contains("store"), "{readiness}");
    broker.get("/livez").expect(200);
    broker.get("/oauth2/jwks").expect(200);
}

fn recovers(broker: &Broker) -> Token {
    let minted = within(Duration::from_secs(10), "it mints again", || {
        let answer = broker.ask(&Ask::of("demo"));
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 200).then_some(answer)
    });
    broker.get("/readyz").expect(200);
    Token::of(&minted)
}

/// The same behind a loss: what was made in its very second may have been used before it.
fn recovers_from_a_loss(broker: &Broker) -> Token {
    let minted = within(Duration::from_secs(20), "it mints again", || {
        let answer = broker.ask(&Ask::of("demo"));
        assert!(matches!(answer.status, 200 | 401 | 503), "{}", answer.text());
        (answer.status == 200).then_some(answer)
    });
    Token::of(&minted)
}

#[test]
fn while_redis_is_silent_nothing_is_granted_and_nothing_is_waited_for() {
    let redis = Redis::start();
    let broker = Setup::default().start_on(Some(redis.url()));
    let token = broker.mint("demo", "live");
    redis.pause();
    everything_is_unavailable(&broker, &token);
    redis.resume();
    recovers(&broker);
}

#[test]
fn a_redis_that_was_gone_is_found_again_with_all_it_had() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let (token, ended) = (brokers[0].mint("demo", "live"), brokers[0].mint("demo", "ended"));
    brokers[0].complete("demo", "ended").expect(204);
    let epoch = Feed::fetch(&brokers[0]).claims["epoch"].clone();
    redis.kill();
    everything_is_unavailable(&brokers[0], &token);
    redis.restart();
    for broker in &brokers {
        let fresh = recovers(broker);
        assert_eq!([&token, &ended, &fresh].map(|token| broker.stands(token)), [true, false, true]);
        assert_eq!(broker.ask(&Ask::of("demo").task("ended")).outcome(), (400, "invalid_grant".into()));
        assert_eq!(Feed::fetch(broker).claims["epoch"], epoch);
    }
}

#[test]
fn a_log_that_is_lost_is_a_new_epoch_in_which_no_old_token_lives() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let tokens = brokers.each_ref().map(|broker| broker.mint("demo", "live"));
    brokers[0].complete("demo", "ended").expect(204);
    brokers[0].revoke("demo", &brokers[0].mint("demo", "t").text).expect(200);
    let epoch = Feed::fetch(&brokers[0]).claims["epoch"].clone();
    assert_eq!(redis.say("FLUSHALL"), "+OK");
    // Both find the loss, and each may begin an epoch of its own: the last one holds.
    let told = |broker: &Broker| {
        let answer = Some(broker.get("/v1/revocations?once=1")).filter(|answer| answer.status == 200)?;
        let snapshot = answer.text().lines().find_map(|line| Some(Token::read(line.strip_prefix("data: ")?)));
        snapshot.map(|snapshot| snapshot.claim("epoch")).filter(|told| epoch != *told)
    };
    let agreed = || told(&brokers[0]).filter(|epoch| told(&brokers[1]).as_ref() == Some(epoch));
    eventually("both are in the same new epoch", agreed);
    for broker in &brokers {
        let fresh = recovers_from_a_loss(broker);
        let dead = |token: &Token| broker.introspect(API, &token.text)["active"] == false;
        assert!(tokens.iter().all(dead), "what was lost may have ended them");
        assert!(tokens.iter().all(|token| token.kid() != fresh.kid()));
        assert!(brokers.iter().all(|broker| broker.stands(&fresh)));
        let feed = Feed::fetch(broker);
        assert_ne!(feed.claims["epoch"], epoch);
        eventually("the old keys are gone", || {
            let kids = Jwks::fetch(broker).kids();
            tokens.iter().all(|token| !kids.contains(&token.kid())).then_some(())
        });
    }
    for broker in &brokers {
        broker.audited(&[("event", "epoch.start")]);
    }
}

#[test]
fn what_a_lost_store_forgot_its_brokers_know_or_do_not_rely_on() {
    let redis = Redis::start();
    let brokers = two(&redis);
    let used = Ask::of("demo").assertion(common::Assertion::of("demo").claim("iat", common::now() - 5).text());
    brokers[0].granted(&used);
    let quarantine = |id: &str| format!("/admin/v1/workloads/{id}/quarantine");
    for (broker, id) in [(&brokers[0], "other"), (&brokers[1], "brief")] {
        broker.operator(&quarantine(id), json!({"reason": "seen elsewhere"})).expect(200);
    }
    assert_eq!(redis.say("FLUSHALL"), "+OK");
    for broker in &brokers {
        let refused = within(Duration::from_secs(10), "the used one is told apart", || {
            let answer = broker.ask(&used);
            assert!(matches!(answer.status, 401 | 503), "{}", answer.text());
            (answer.status == 401).then_some(answer)
        });
        assert_eq!(refused.outcome(), (401, "invalid_client".into()));
        assert!(refused.field("error_description").contains("make a fresh one"), "{}", refused.text());
    }
    for broker in &brokers {
        recovers_from_a_loss(broker);
        for id in ["other", "brief"] {
            assert_eq!(broker.ask(&Ask::of(id)).outcome(), (400, "unauthorized_client".into()), "{id}");
            let shown = broker.operator_sees(&format!("/admin/v1/workloads/{id}"));
            assert_eq!(shown["quarantine"]["reason"], "seen elsewhere");
        }
    }
    // Each knew of its own; which of them imposed one that both knew does not matter.
    for id in ["other", "brief"] {
        let line = eventually("it is in an audit log", || {
            brokers.iter().find_map(|broker| {
                let is_it = |line: &&Value| line["event"] == "quarantine" && line["workload"] == id;
                broker.audit().lines().iter().filter(is_it).find(|line| line["detail"].is_string()).cloned()
            })
        });
        assert!(line["actor"].as_str().unwrap().starts_with("broker:"), "{line}");
        assert!(line["detail"].as_str().unwrap().contains("release it again"), "{line}");
    }
    brokers[1].operator("/admin/v1/workloads/other/release", json!({"reason": "a test"})).expect(200);
    assert!(brokers.iter().all(|broker| broker.ask(&Ask::of("other")).status == 200), "a release stands");
}

/// A configuration in which everything stands below the folder that the broker is started in.
fn configuration(redis: &Redis, more: &str) -> String {
    format!(
        "[admin]\nsocket = \"data/admin.sock\"\n\n[policies]\ndir = \"data/policies\"\n\n[keys]\ndir = \"data/keys\"\n\n\
         [audit]\npath = \"data/audit.jsonl\"\n\n[store]\nurl = \"{}\"\n{more}\n",
        redis.url()
    )
}

#[test]
fn a_redis_that_forgets_is_refused_unless_it_is_accepted_by_name() {
    let redis = Redis::with(&["--appendonly", "no"]);
    let strict = Setup::default().config(&configuration(&redis, "")).stopped(None);
    let output = strict.fails_to_start();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("error: ") && said.contains("appendonly") && said.contains("accept_unsafe"), "{said}");
    assert!(!strict.data().join("admin.sock").exists(), "nothing half-started");

    let names = "accept_unsafe = [\"appendonly\", \"appendfsync\"]";
    let accepted = Setup::default().config(&configuration(&redis, names)).start_on(None);
    accepted.mint("demo", "t");
    let dev = Setup::default().start_on(Some(redis.url()));
    dev.mint("demo", "t");
    assert!(dev.stderr().contains("appendonly"), "a warning: {}", dev.stderr());

    let safe = Redis::start();
    Setup::default().config(&configuration(&safe, "")).start_on(None).mint("demo", "t");
}

#[test]
fn an_answer_that_came_too_late_is_no_token_and_its_retry_is_one() {
    let redis = Redis::start();
    let broker = Setup::default().start_on(Some(redis.url()));
    broker.mint("demo", "t");
    redis.pause();
    let used = Ask::of("demo").task("late").assertion(common::Assertion::of("demo").text());
    unavailable(&broker, &used.request());
    redis.resume();
    recovers(&broker);
    // The lost one may have been recorded, and so used up its assertion; a fresh one gets a token in any case.
    let again: Answer = broker.ask(&used);
    assert!(matches!(again.status, 200 | 401), "{}", again.text());
    let token = broker.mint("demo", "late");
    broker.complete("demo", "late").expect(204);
    assert!(!broker.stands(&token));
}

#[test]
fn a_redis_that_forgot_its_scripts_is_told_them_again() {
    let redis = Redis::start();
    let brokers = two(&redis);
    for broker in &brokers {
        let token = broker.mint("other", "t");
        assert_eq!(redis.say("SCRIPT FLUSH"), "+OK");
        broker.mint("other", "t");
        assert_eq!(redis.say("SCRIPT FLUSH"), "+OK");
        broker.operator_revokes(json!({"workload": "other"}));
        assert_eq!(redis.say("SCRIPT FLUSH"), "+OK");
        broker.revoke("other", &token.text).expect(200);
        assert!(!broker.stands(&token));
        broker.operator_sees("/admin/v1/leases");
    }
}
