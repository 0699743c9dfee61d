//! Programs that follow the feed by the contract alone, through standard clients of server-sent events: they agree with
//! `jitney::verifier` on every token, whatever ended it, and hear of each end without asking anybody.

use jitney::model::AudienceUri;
use jitney::verifier::{Expect, Verifier, VerifierOptions};
use serde_json::{Value, json};

use super::forged::{SignedBy, forged};
use super::world::World;
use crate::common::{API, Ask, Backing, Chance, Feed, Program, SECOND, Token, eventually, now, on_both_stores};

on_both_stores!(followers_agree_with_the_verifier_on_every_token);

/// Tokens that are made up in each round.
const ROUND: usize = 400;

#[derive(Default)]
struct Count {
    accepted: usize,
    refused: usize,
}

/// All who judge by their own copies of the log.
struct Judges {
    runtime: tokio::runtime::Runtime,
    verifier: Verifier,
    programs: [Program; 2],
    count: Count,
}

impl Judges {
    fn start(world: &World) -> Self {
        let url = world.broker.url();
        let settings = [("JITNEY_URL", url.as_str()), ("JITNEY_ISSUER", url.as_str()), ("JITNEY_AUDIENCE", API)];
        let programs = ["follow.py", "follow.mjs"].map(|name| Program::start(name, &settings));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let audience = Some(AudienceUri::parse(API).unwrap());
        let options = VerifierOptions { audience, ..VerifierOptions::new(&url) };
        let verifier = runtime.block_on(Verifier::connect(options)).unwrap();
        Self { runtime, verifier, programs, count: Count::default() }
    }

    /// Waits until all have heard what the broker knows now. Nobody has found anything wrong by then.
    fn hear(&mut self, world: &World) -> u64 {
        let claims = Feed::of(&world.broker, API).claims;
        let (epoch, position) = (claims["epoch"].as_str().unwrap(), claims["position"].as_u64().unwrap());
        for program in &mut self.programs {
            program.tell(&format!("view {epoch}:{position}"));
            let said = program.says();
            assert_eq!((&said["name"], &said["epoch"]), (&json!("view"), &json!(epoch)), "{said}");
            assert_eq!(said["problems"], json!([]), "{said}");
        }
        eventually("the verifier has heard it", || {
            let view = self.verifier.view();
            let same = view.epoch().is_some_and(|own| own.to_string() == epoch);
            (same && view.position().get() >= position).then_some(())
        });
        position
    }

    /// What all say of a token: they must say the same.
    #[track_caller]
    fn judge(&mut self, name: &str, token: &str) -> bool {
        let told = self.runtime.block_on(self.verifier.verify(token, &Expect::default()));
        for program in &mut self.programs {
            program.tell(&format!("{name} {token}"));
        }
        for program in &self.programs {
            let said = program.says();
            assert_eq!(said["accepted"], told.is_ok(), "{name}: {said}, {told:?}: {:?}", Token::read(token).claims);
        }
        let count = if told.is_ok() { &mut self.count.accepted } else { &mut self.count.refused };
        *count += 1;
        told.is_ok()
    }

    /// Judges tokens that are made up from good ones: any task, actors, place in the log, time.
    fn judge_many(&mut self, of: &[(Token, SignedBy)], head: u64, chance: &mut Chance) {
        let before = (self.count.accepted, self.count.refused);
        for number in 0..ROUND {
            let (good, key) = chance.pick(of);
            let claims = varied(&good.claims, head, chance);
            let mut text = key.sign(&good.header, &claims);
            if chance.below(10) == 0 {
                text = tampered(&text, chance);
            }
            self.judge(&format!("made-up-{number}"), &text);
        }
        assert!(self.count.refused > before.1 + ROUND / 10, "too few were refused to mean anything");
    }
}

fn varied(good: &Value, head: u64, chance: &mut Chance) -> Value {
    let mut claims = good.clone();
    let mut set = |name: &str, value: Value| claims[name] = value;
    let at = now();
    set("rev", json!(chance.below(head + 3)));
    set("txn", json!(chance.pick(&["a", "a/b", "a/b/c", "ab", "b", "b/a", "c"])));
    if chance.below(4) == 0 {
        set("sub", json!(chance.pick(&["other", "nobody"])));
    }
    match chance.below(8) {
        0 => set("act", json!({"sub": "other"})),
        1 => set("act", json!({"sub": "algs", "act": {"sub": "other"}})),
        2 => set("act", json!({"sub": "algs"})),
        _ => {}
    }
    match chance.below(16) {
        0 => set("exp", json!(at - 1 - chance.below(100))),
        1 => set("iat", json!(at + 1000)),
        2 => set("nbf", json!(at + 1000)),
        3 => set("aud", json!(SECOND)),
        4 => set("iss", json!("https://other.example.com")),
        _ => set("exp", json!(at + 600)),
    }
    claims
}

/// With one character changed, but for the last of each part, in which bits are loose.
fn tampered(token: &str, chance: &mut Chance) -> String {
    let whole = |at: &usize| {
        let mut next = token[*at..].chars();
        next.next() != Some('.') && !matches!(next.next(), None | Some('.'))
    };
    let places: Vec<usize> = (0..token.len()).filter(whole).collect();
    let at = *chance.pick(&places);
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

fn followers_agree_with_the_verifier_on_every_token(backing: &Backing) {
    let world = World::start(backing);
    let mut chance = Chance::seeded(7);
    let mut judges = Judges::start(&world);
    let mint = |task: &str| world.mint("demo", &Ask::of("demo").task(task));
    let mut of: Vec<(Token, SignedBy)> = ["a", "a/b", "b", "c"]
        .map(|task| {
            let token = mint(task);
            let key = SignedBy::find(&world, &token);
            (token, key)
        })
        .into();

    let head = judges.hear(&world);
    assert!(of.iter().map(|(token, _)| token.text.clone()).all(|text| judges.judge("good", &text)));
    for (name, token) in forged(&of[0].0, &of[0].1) {
        assert!(!judges.judge(name, &token), "{name}");
    }
    judges.judge_many(&of, head, &mut chance);

    // Each kind of end, one after the other.
    let other_key = of[0].0.kid();
    let ends: [&dyn Fn(); 7] = [
        &|| drop(world.send("demo", "/oauth2/revoke", &Ask::nobody().with("token", &of[3].0.text)).expect(200)),
        &|| drop(world.send("demo", "/v1/tasks/a%2Fb/complete", &Ask::nobody()).expect(204)),
        &|| drop(world.send("demo", "/v1/tasks/a/complete", &Ask::nobody()).expect(204)),
        &|| drop(world.broker.operator_revokes(json!({"workload": "other"}))),
        &|| drop(world.broker.operator_revokes(json!({"audience": SECOND}))),
        &|| drop(world.broker.operator_revokes(json!({"audience": API}))),
        &|| drop(world.broker.operator_revokes(json!({"all": true}))),
    ];
    for end in ends {
        end();
        let head = judges.hear(&world);
        judges.judge_many(&of, head, &mut chance);
    }
    let gone = of[0].0.text.clone();
    assert!(!judges.judge("ended", &gone));

    // Another key, and then the end of the first one.
    world.broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    let fresh = mint("d");
    let key = SignedBy::find(&world, &fresh);
    of.push((fresh, key));
    let head = judges.hear(&world);
    judges.judge_many(&of, head, &mut chance);
    world.broker.operator_revokes(json!({"key": other_key}));
    let head = judges.hear(&world);
    judges.judge_many(&of, head, &mut chance);
    let last = of.last().unwrap().0.text.clone();
    assert!(judges.judge("of-the-new-key", &last));

    if let Backing::Redis(redis) = backing {
        the_log_is_lost(&world, redis, &mut judges, &of);
    }
    let Count { accepted, refused } = judges.count;
    assert!(accepted > 500 && refused > 2000, "{accepted} accepted, {refused} refused");
    judges.programs.into_iter().for_each(Program::ends);
}

/// With the log all keys are lost: in the new epoch no token of the old one lives on, whoever judges.
fn the_log_is_lost(world: &World, redis: &crate::common::Redis, judges: &mut Judges, of: &[(Token, SignedBy)]) {
    let epoch = Feed::of(&world.broker, API).claims["epoch"].clone();
    assert_eq!(redis.say("FLUSHALL"), "+OK");
    let fresh = eventually("a token of the new epoch", || {
        let assertion = crate::common::Assertion::of("demo").claim("aud", world.broker.url()).text();
        let answer = world.broker.send(&Ask::of("demo").task("e").assertion(assertion).at("/oauth2/token"));
        (answer.status == 200).then(|| Token::of(&answer))
    });
    assert_ne!(Feed::of(&world.broker, API).claims["epoch"], epoch);
    judges.hear(world);
    assert!(judges.judge("of-the-new-epoch", &fresh.text));
    for (token, key) in of {
        assert!(!judges.judge("of-the-old-epoch", &token.text));
        let mut ahead = token.claims.clone();
        ahead["rev"] = json!(1000);
        assert!(!judges.judge("of-the-old-epoch-by-its-place", &key.sign(&token.header, &ahead)));
    }
}
