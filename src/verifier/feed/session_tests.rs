//! What is wrong with a feed is named, and nothing of it is believed.

use serde_json::{Value, json};

use super::super::fixtures::{
    NOW, Snapshot, heartbeat, heartbeat_at, heartbeat_in, key, keys, revoke, revoke_at, rule,
};
use super::*;
use crate::jose::es256::SigningKey;
use crate::model::{Epoch, Rule};
use crate::revocation::Refill;
use crate::revocation::event::{Kind, Reader};

/// A verifier's side of the feed: a view that stands at position 5 of epoch 1, and what comes.
struct Side {
    keys: Vec<(KeyId, VerifyingKey)>,
    view: View,
    session: Session,
    refill: Option<Refill>,
    now_ms: u64,
}

impl Side {
    fn new(key: &SigningKey) -> Self {
        let view = View::new();
        view.replace(Epoch::from_bits(1), Position::new(5), &[rule("ended", 5)], UnixTime::from_secs(NOW)).unwrap();
        let keys = vec![(key.kid().clone(), key.public().clone())];
        Self { keys, view, session: Session::new(None, 0), refill: None, now_ms: NOW * 1000 }
    }

    /// Takes all events of a stream, as the follower does; the rules that were heard.
    fn hear(&mut self, stream: &[u8]) -> Result<Vec<Rule>, FeedError> {
        let (mut heard, mut refill) = (Vec::new(), self.refill.take());
        for event in Reader::default().push(stream)? {
            let wanted = Wanted {
                issuer: "https://broker",
                audience: None,
                now_ms: self.now_ms,
                skew: Duration::from_secs(5),
                max_staleness: Duration::from_secs(10),
                max_rules: 1000,
                keys: &self.keys,
                view: &self.view,
            };
            let now = UnixTime::from_secs(self.now_ms / 1000);
            match self.session.take(&event, &wanted)? {
                News::Begin(epoch, position) => refill = Some(self.view.begin(epoch, position).unwrap()),
                News::Part(rules) => refill.as_mut().unwrap().add(&rules, now),
                News::Whole(claims, rest) => {
                    let begun = || self.view.begin(claims.epoch, claims.position).unwrap();
                    let mut whole = refill.take().unwrap_or_else(begun);
                    whole.add(&rest, now);
                    let known = if self.view.epoch() == Some(claims.epoch) { self.view.rules() } else { Vec::new() };
                    self.view.finish(whole, now).unwrap();
                    heard.extend(self.view.rules().into_iter().filter(|rule| !known.contains(rule)));
                }
                News::Rules(rules) => {
                    self.view.apply(&rules, rules.last().unwrap().position, now);
                    heard.extend(rules);
                }
                News::Beat(position, _) => self.view.said_to_reach(position),
                News::Keys(_) | News::Nothing => {}
            }
        }
        self.refill = refill;
        Ok(heard)
    }

    /// One that has heard a snapshot at position 9, with two rules.
    fn live(key: &SigningKey) -> Self {
        let mut side = Self::new(key);
        side.hear(&Snapshot::new(key, 9, &[rule("a", 8), rule("b", 9)]).bytes()).unwrap();
        side
    }
}

type Says = fn(&FeedError) -> bool;

#[test]
fn a_wrong_snapshot_is_named_and_nothing_of_it_believed() {
    let (key, other) = (key(), key());
    let good = || Snapshot::new(&key, 9, &[rule("live", 9)]);
    let without = |what: &str| {
        let text = String::from_utf8(good().bytes()).unwrap();
        text.split_inclusive("\n\n").filter(|event| !event.contains(what)).collect::<String>().into_bytes()
    };
    let mut forged = Snapshot { key: &other, ..good() };
    forged.header = json!({ "alg": "ES256", "typ": TYP, "kid": key.kid().as_str() });
    let gigantic = [b"event: snapshot\ndata: ".to_vec(), vec![b'a'; 2 << 20]].concat();
    let many = good().with(|claims| claims.parts = vec![String::new(); 5000]).bytes();
    let altered = String::from_utf8(good().bytes()).unwrap().replace(",9,", ",8,").into_bytes();
    let twice = [good().bytes(), without("event: snapshot")].concat();
    let within = [without("event: part"), heartbeat(9, 1, NOW * 1000)].concat();
    let again = [without("event: part"), good().bytes()].concat();
    let kid = |name: &str| KeyId::parse(name).unwrap();
    let table: Vec<(&str, Vec<u8>, Says)> = vec![
        ("forged", forged.bytes(), |error| matches!(error, FeedError::Signature)),
        ("another key", Snapshot::new(&other, 9, &[]).bytes(), |error| matches!(error, FeedError::Key(_))),
        ("no kid", good().with_header("kid", Value::Null).bytes(), |error| matches!(error, FeedError::Jws(_))),
        ("a token", good().with_header("typ", json!("at+jwt")).bytes(), |error| matches!(error, FeedError::Jws(_))),
        ("none", good().with_header("alg", json!("none")).bytes(), |error| matches!(error, FeedError::Jws(_))),
        ("not its own", good().with(|claims| claims.kids = vec![kid("x")]).bytes(), |error| {
            matches!(error, FeedError::Key(_))
        }),
        ("issuer", good().with(|claims| claims.iss.push('/')).bytes(), |error| matches!(error, FeedError::Issuer(_))),
        (
            "another audience",
            good().with(|claims| claims.audience = Some(AudienceUri::parse("https://x").unwrap())).bytes(),
            |error| matches!(error, FeedError::Audience),
        ),
        ("future", good().with(|claims| claims.iat = UnixTime::from_secs(NOW + 6)).bytes(), |error| {
            matches!(error, FeedError::Future(_))
        }),
        ("kept for long", good().with(|claims| claims.iat = UnixTime::from_secs(NOW - 16)).bytes(), |error| {
            matches!(error, FeedError::Old(_))
        }),
        ("replayed", Snapshot::new(&key, 4, &[]).bytes(), |error| {
            matches!(error, FeedError::Replace(ReplaceError::Backwards { .. }))
        }),
        ("altered", altered, |error| matches!(error, FeedError::Snapshot(_))),
        ("a part without a snapshot", without("event: snapshot"), |error| matches!(error, FeedError::NoSnapshot)),
        ("a part too many", twice, |error| matches!(error, FeedError::Order("part"))),
        ("a heartbeat before the last part", within, |error| matches!(error, FeedError::Order("heartbeat"))),
        ("a snapshot before the last part", again, |error| matches!(error, FeedError::Order("snapshot"))),
        ("count", good().with(|claims| claims.count = 2).bytes(), |error| matches!(error, FeedError::Snapshot(_))),
        ("ahead", good().with(|claims| claims.position = Position::new(8)).bytes(), |error| {
            matches!(error, FeedError::Snapshot(_))
        }),
        ("many", many, |error| matches!(error, FeedError::Snapshot(_))),
        ("gigantic", gigantic, |error| matches!(error, FeedError::Event(_))),
        ("a rule first", revoke(5, &[rule("live", 6)]), |error| matches!(error, FeedError::NoSnapshot)),
        ("a heartbeat first", heartbeat(5, 0, NOW * 1000), |error| matches!(error, FeedError::NoSnapshot)),
        ("keys first", keys(&[key.kid()]), |error| matches!(error, FeedError::NoSnapshot)),
        ("binary", vec![0xff, b'\n'], |error| matches!(error, FeedError::Event(_))),
    ];
    for (name, bytes, says) in table {
        let mut side = Side::new(&key);
        let is_replaced = name == "a part too many";
        let error = side.hear(&bytes).expect_err(name);
        assert!(says(&error), "{name}: {error:?}");
        let stands = (side.view.epoch(), side.view.position(), side.view.len());
        let kept = if is_replaced { (9, 2) } else { (5, 1) };
        assert_eq!(stands, (Some(Epoch::from_bits(1)), Position::new(kept.0), kept.1), "{name}");
    }
    for aged in [0, 15] {
        let bytes = good().with(|claims| claims.iat = UnixTime::from_secs(NOW - aged)).bytes();
        assert_eq!(Side::new(&key).hear(&bytes).unwrap(), [rule("live", 9)]);
    }
}

#[test]
fn a_wrong_event_is_named_and_nothing_of_it_believed() {
    let key = key();
    let now = NOW * 1000;
    let table: Vec<(&str, Vec<u8>, Says)> = vec![
        ("a gap", revoke(10, &[rule("c", 11)]), |error| matches!(error, FeedError::Gap { .. })),
        ("told before", revoke(8, &[rule("b", 9)]), |error| matches!(error, FeedError::Gap { .. })),
        ("twice", [revoke(9, &[rule("c", 10)]), revoke(9, &[rule("c", 10)])].concat(), |error| {
            matches!(error, FeedError::Gap { .. })
        }),
        ("out of order", [revoke(10, &[rule("d", 11)]), revoke(9, &[rule("c", 10)])].concat(), |error| {
            matches!(error, FeedError::Gap { .. })
        }),
        ("rules out of order", revoke(9, &[rule("d", 11), rule("c", 10)]), |error| {
            matches!(error, FeedError::Form("revoke", _))
        }),
        ("a rule of before", revoke(9, &[rule("b", 9)]), |error| matches!(error, FeedError::Form("revoke", _))),
        ("no rules", revoke(9, &[]), |error| matches!(error, FeedError::Form("revoke", _))),
        ("one rule too few came", heartbeat(9, 3, now), |error| {
            matches!(error, FeedError::Count { told: 3, heard: 2 })
        }),
        ("one too many", heartbeat(9, 1, now), |error| matches!(error, FeedError::Count { .. })),
        ("behind", heartbeat(8, 2, now), |error| matches!(error, FeedError::Behind { .. })),
        ("of the past", heartbeat(9, 2, now - 10_001), |error| matches!(error, FeedError::Past(10_001))),
        ("of the future", heartbeat(9, 2, now + 5001), |error| matches!(error, FeedError::Ahead(5001))),
        ("of another epoch", heartbeat_in(2, None, 9, 2), |error| matches!(error, FeedError::Epoch { .. })),
        ("of another filter", heartbeat_in(1, Some("https://orders"), 9, 2), |error| {
            matches!(error, FeedError::Audience)
        }),
        (
            "rules from before a heartbeat's place",
            [heartbeat(20, 2, now), revoke(9, &[rule("c", 15)])].concat(),
            |error| matches!(error, FeedError::Form("revoke", _)),
        ),
        (
            "of a later last rule",
            revoke_at(13, 9, &[rule("c", 12)]),
            |error| matches!(error, FeedError::Place { told, heard } if (told.get(), heard.get()) == (13, 12)),
        ),
        (
            "of an earlier last rule",
            revoke_at(11, 9, &[rule("c", 12)]),
            |error| matches!(error, FeedError::Place { told, heard } if (told.get(), heard.get()) == (11, 12)),
        ),
        ("of a later place", heartbeat_at(10, 9, 2), |error| matches!(error, FeedError::Place { .. })),
        ("no heartbeat", b"event: heartbeat\ndata: {}\n\n".to_vec(), |error| {
            matches!(error, FeedError::Form("heartbeat", _))
        }),
        ("no keys", b"event: keys\ndata: []\n\n".to_vec(), |error| matches!(error, FeedError::Form("keys", _))),
        ("an older snapshot", Snapshot::new(&key, 8, &[]).bytes(), |error| matches!(error, FeedError::Replace(_))),
    ];
    for (name, bytes, says) in table {
        let mut side = Side::live(&key);
        let error = side.hear(&bytes).expect_err(name);
        assert!(says(&error), "{name}: {error:?}");
        let taken = u64::from(name == "twice");
        let beaten = if name == "rules from before a heartbeat's place" { 11 } else { 0 };
        assert_eq!(side.view.position(), Position::new(9 + taken + beaten), "{name}");
        assert!(side.view.rules().iter().all(|rule| rule.position.get() <= 9 + taken), "{name}");
    }
}

#[test]
fn what_follows_is_heard_and_the_feed_goes_on_where_it_was_left() {
    let key = key();
    let mut side = Side::live(&key);
    let now = NOW * 1000;
    let unknown = b"event: weather\nid: x\ndata: rain\n\n".to_vec();
    let stream = [
        revoke(9, &[rule("c", 12)]),
        unknown,
        heartbeat(14, 3, now + 400),
        keys(&[key.kid()]),
        revoke(12, &[rule("d", 15), rule("e", 17)]),
    ];
    assert_eq!(side.hear(&stream.concat()).unwrap(), [rule("c", 12), rule("d", 15), rule("e", 17)]);
    assert_eq!(side.view.position(), Position::new(17));
    let place = side.session.place().unwrap();
    side.session = Session::new(Some(&place), now + 400);
    assert!(side.session.is_live());
    // On a connection of its own, the count begins anew.
    assert_eq!(side.hear(&[heartbeat(17, 0, now), revoke(17, &[rule("f", 20)])].concat()).unwrap(), [rule("f", 20)]);
    assert_eq!(side.hear(&heartbeat(22, 1, now)).unwrap(), []);
    assert!(matches!(side.hear(&heartbeat(21, 1, now)), Err(FeedError::Behind { .. })));
    // A broker that cannot go on from there begins anew.
    side.session = Session::new(Some(&place), now);
    assert_eq!(side.hear(&Snapshot::new(&key, 23, &[rule("f", 20), rule("g", 23)]).bytes()).unwrap(), [rule("g", 23)]);
}

#[test]
fn another_life_of_the_log_comes_by_a_snapshot_alone_and_is_not_left_for_the_old_one() {
    let key = key();
    let mut side = Side::live(&key);
    let second = Snapshot::new(&key, 1, &[rule("x", 1)]).with(|claims| claims.epoch = Epoch::from_bits(2));
    assert_eq!(side.hear(&second.bytes()).unwrap(), [rule("x", 1)]);
    assert_eq!((side.view.epoch(), side.view.position()), (Some(Epoch::from_bits(2)), Position::new(1)));
    // What the connection was sent before is counted too: two rules of the old log, one of the new.
    assert_eq!(side.hear(&heartbeat_in(2, None, 1, 3)).unwrap(), []);
    let error = side.hear(&Snapshot::new(&key, 99, &[]).bytes()).unwrap_err();
    assert!(matches!(error, FeedError::Replace(ReplaceError::Left(_))), "{error:?}");
}

#[test]
fn within_a_snapshot_there_is_no_place_to_go_on_from() {
    let key = key();
    let mut side = Side::new(&key);
    assert_eq!(side.session.place(), None);
    let text = String::from_utf8(Snapshot::new(&key, 9, &[rule("a", 9)]).bytes()).unwrap();
    let [snapshot, part] = text.split_inclusive("\n\n").collect::<Vec<_>>().try_into().unwrap();
    side.hear(snapshot.as_bytes()).unwrap();
    assert_eq!((side.session.place(), side.session.is_live()), (None, false));
    assert!(Kind::parse("part").is_some() && side.hear(part.as_bytes()).is_ok());
    assert!(side.session.place().is_some());
}

#[test]
fn a_place_to_go_on_from_is_that_of_an_event_which_was_held_against_the_rules_before_it() {
    let key = key();
    let mut side = Side::live(&key);
    let named = |event: Vec<u8>, id: &str| {
        let text = String::from_utf8(event).unwrap();
        let lines =
            text.split('\n').map(|line| if line.starts_with("id:") { format!("id: {id}") } else { line.into() });
        lines.collect::<Vec<_>>().join("\n").into_bytes()
    };
    for (event, name, place) in [
        (heartbeat(9, 2, NOW * 1000), "beat", "beat"),
        (keys(&[key.kid()]), "keys", "beat"),
        (revoke(9, &[rule("c", 12)]), "rules", "rules"),
    ] {
        side.hear(&named(event, name)).unwrap();
        assert_eq!(side.session.place().unwrap().cursor, place);
    }
}

#[test]
fn a_key_that_is_not_known_yet_leaves_all_as_it_was() {
    let (old, new) = (key(), key());
    let mut side = Side::live(&old);
    let bytes = Snapshot::new(&new, 12, &[]).bytes();
    assert!(matches!(side.hear(&bytes), Err(FeedError::Key(_))));
    side.keys.push((new.kid().clone(), new.public().clone()));
    side.hear(&bytes).unwrap();
    assert_eq!(side.view.position(), Position::new(12));
}
