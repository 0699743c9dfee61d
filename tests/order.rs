//! Before and after: thousands of mints race with ends, on both stores, across two brokers where there are two.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{API, Ask, Backing, Broker, Chance, Feed, Rule, Token, eventually, on_both_stores};
use serde_json::json;

on_both_stores!(
    a_revoked_workload_s_tokens_die_by_order,
    a_completed_task_has_no_token_left,
    a_quarantined_workload_has_no_token_left,
);

const ROUNDS: u64 = 60;
const MINTERS: usize = 3;

/// A request for a token: when it was sent and answered, and what came.
struct Asked {
    at: Instant,
    answered: Instant,
    outcome: Result<Token, (u16, String)>,
}

/// An end: when it was asked for and acknowledged, and the positions of its rules.
struct Ended {
    at: Instant,
    acknowledged: Instant,
    rules: Vec<Rule>,
}

fn brokers(backing: &Backing) -> Vec<Broker> {
    let count = if matches!(backing, Backing::Redis(_)) { 2 } else { 1 };
    (0..count).map(|_| Broker::start(backing)).collect()
}

/// Mints at random brokers from several connections while one end is asked for at a random moment, until a few were asked
/// for behind its acknowledgement.
fn race(
    brokers: &[Broker],
    chance: &mut Chance,
    ask: &Ask,
    end: impl FnOnce(&Broker) -> Vec<Rule> + Send,
) -> (Vec<Asked>, Ended) {
    let (over, granted) = (AtomicBool::new(false), Mutex::new(Vec::<Token>::new()));
    let (ender, delay) = (chance.pick(brokers), Duration::from_micros(chance.below(3000)));
    let wait_for = usize::try_from(1 + chance.below(7)).unwrap();
    std::thread::scope(|scope| {
        let stop = Stop(&over);
        let minters: Vec<_> = (0..MINTERS)
            .map(|_| {
                let (broker, mut chance, over, granted) = (chance.pick(brokers), chance.fork(), &over, &granted);
                scope.spawn(move || mint_until_over(broker, &mut chance, ask, over, granted))
            })
            .collect();
        eventually("so many are minted", || (granted.lock().unwrap().len() >= wait_for).then_some(()));
        std::thread::sleep(delay);
        let newest = granted.lock().unwrap().last().unwrap().clone();
        let mut witness = chance.pick(brokers).connect();
        let question = Ask::bare(API).with("token", &newest.text).at("/oauth2/introspect");
        let at = Instant::now();
        let rules = end(ender);
        let ended = Ended { at, acknowledged: Instant::now(), rules };
        let told = witness.ask(&question).unwrap().expect(200).json();
        assert_eq!(told, json!({"active": false}), "dead everywhere from the acknowledgement on: {}", newest.claims);
        drop(stop);
        (minters.into_iter().flat_map(|minter| minter.join().unwrap()).collect(), ended)
    })
}

/// Tells the minters to come to an end, also where the end itself has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn mint_until_over(
    broker: &Broker,
    chance: &mut Chance,
    ask: &Ask,
    over: &AtomicBool,
    granted: &Mutex<Vec<Token>>,
) -> Vec<Asked> {
    let mut http = broker.connect();
    let mut all = Vec::new();
    let mut behind = 0;
    while behind < 2 {
        behind += u32::from(over.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_micros(chance.below(1500)));
        let request = ask.request();
        let at = Instant::now();
        let answer = http.ask(&request).unwrap();
        let answered = Instant::now();
        let outcome = if answer.status == 200 { Ok(Token::of(&answer)) } else { Err(answer.outcome()) };
        if let Ok(token) = &outcome {
            granted.lock().unwrap().push(token.clone());
        }
        all.push(Asked { at, answered, outcome });
    }
    all
}

/// Whether each token stands, as a random broker says, held against what the feed says.
fn judge(brokers: &[Broker], chance: &mut Chance, tokens: &[&Token]) -> Vec<bool> {
    let feed = Feed::of(chance.pick(brokers), API);
    let mut connections: Vec<_> = brokers.iter().map(Broker::connect).collect();
    let judged = tokens.iter().map(|token| {
        let at = usize::try_from(chance.below(brokers.len() as u64)).unwrap();
        let request = Ask::bare(API).with("token", &token.text).at("/oauth2/introspect");
        let stands = connections[at].ask(&request).unwrap().expect(200).json()["active"].as_bool().unwrap();
        assert_eq!(stands, feed.ends(token).is_none(), "the feed says otherwise of {}", token.claims);
        stands
    });
    judged.collect()
}

fn a_revoked_workload_s_tokens_die_by_order(backing: &Backing) {
    let (brokers, mut chance) = (brokers(backing), Chance::new());
    let (mut before, mut amid, mut after) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let (asked, ended) = race(&brokers, &mut chance, &Ask::of("demo").task("t"), |broker| {
            let done = broker.operator_revokes(json!({"workload": "demo"}));
            done["rules"].as_array().unwrap().iter().map(Rule::read).collect()
        });
        let position = ended.rules.last().expect("a rule").position;
        let tokens: Vec<&Token> = asked.iter().map(|asked| asked.outcome.as_ref().expect("a grant")).collect();
        let stands = judge(&brokers, &mut chance, &tokens);
        for ((asked, token), stands) in asked.iter().zip(&tokens).zip(stands) {
            assert_eq!(stands, token.number("rev") >= position, "by order: {} and {position}", token.claims);
            if asked.answered < ended.at {
                assert!(!stands, "minted before the end was asked for: {}", token.claims);
                before += 1;
            } else if asked.at > ended.acknowledged {
                assert!(stands, "asked for behind the acknowledgement: {}", token.claims);
                after += 1;
            } else {
                amid += 1;
            }
        }
    }
    assert!(before > 50 && amid > 50 && after > 50, "{before} before, {amid} amid, {after} after");
}

/// Of what ends with a mark no token is left: whatever was recorded was recorded before.
fn nothing_is_left(brokers: &[Broker], chance: &mut Chance, asked: &[Asked], ended: &Ended, refusal: &str) -> [u32; 3] {
    let tokens: Vec<&Token> = asked.iter().filter_map(|asked| asked.outcome.as_ref().ok()).collect();
    let standing = judge(brokers, chance, &tokens).into_iter().filter(|stands| *stands).count();
    assert_eq!(standing, 0, "of {} tokens", tokens.len());
    let mut counts = [0; 3];
    for asked in asked {
        match &asked.outcome {
            Ok(token) => assert!(asked.at < ended.acknowledged, "granted behind the end: {}", token.claims),
            Err(outcome) => assert_eq!(*outcome, (400, refusal.to_owned())),
        }
        assert!(asked.outcome.is_ok() || asked.answered > ended.at, "refused before the end was asked for");
        counts[if asked.answered < ended.at {
            0
        } else if asked.at > ended.acknowledged {
            2
        } else {
            1
        }] += 1;
    }
    counts
}

fn a_completed_task_has_no_token_left(backing: &Backing) {
    let (brokers, mut chance) = (brokers(backing), Chance::new());
    let mut counts = [0; 3];
    for round in 0..ROUNDS {
        let task = format!("build-{round}");
        // Now and then the parent is ended, or the end comes from a token of the task itself.
        let ended = if chance.below(3) == 0 { task.clone() } else { format!("{task}/step") };
        let ask = Ask::of("demo").task(&format!("{task}/step"));
        let token = (chance.below(3) == 0).then(|| brokers[0].granted(&Ask::of("demo").task(&ended)));
        let (asked, end) = race(&brokers, &mut chance, &ask, |broker| {
            match &token {
                Some(token) => broker.complete_by(&token.text, &ended).expect(204),
                None => broker.complete("demo", &ended).expect(204),
            };
            Vec::new()
        });
        let more = nothing_is_left(&brokers, &mut chance, &asked, &end, "invalid_grant");
        counts = [0, 1, 2].map(|at| counts[at] + more[at]);
    }
    assert!(counts.iter().all(|count| *count > 50), "before, amid, after: {counts:?}");
}

fn a_quarantined_workload_has_no_token_left(backing: &Backing) {
    let (brokers, mut chance) = (brokers(backing), Chance::new());
    let mut counts = [0; 3];
    for _ in 0..ROUNDS {
        let (asked, end) = race(&brokers, &mut chance, &Ask::of("other").task("t"), |broker| {
            broker.operator("/admin/v1/workloads/other/quarantine", json!({"reason": "a test"})).expect(200);
            Vec::new()
        });
        let more = nothing_is_left(&brokers, &mut chance, &asked, &end, "unauthorized_client");
        counts = [0, 1, 2].map(|at| counts[at] + more[at]);
        chance.pick(&brokers).operator("/admin/v1/workloads/other/release", json!({"reason": "a test"})).expect(200);
    }
    assert!(counts.iter().all(|count| *count > 50), "before, amid, after: {counts:?}");
}
