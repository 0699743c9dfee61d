//! The feed as a verifier reads it: the event stream, the signed snapshot, and the view that comes of both.

use std::time::Duration;

use serde_json::{Value, json};

use super::shared::{ISSUER, NOW, cut, key, signed};
use crate::model::{Epoch, Position, Rule, RuleKind, UnixTime};
use crate::revocation::event::{self, Kind, Reader};
use crate::revocation::snapshot::{SnapshotClaims, TYP, part_hash};
use crate::revocation::{Cursor, View};
use crate::verifier::feed::{FeedError, News, Session, Wanted};

/// A stream as it comes, or, behind an `S`, a line of claims and further lines, each a part. The claims are signed here;
/// where they lack what a snapshot has, they are given it, so that the parts are reached.
pub fn feed(data: &[u8]) {
    match data {
        [b'S', rest @ ..] => {
            if let Some(stream) = made(rest) {
                apply(&stream);
            }
        }
        _ => {
            chunks(data);
            apply(data);
        }
    }
}

/// It does not matter where a stream is cut, and no event is longer than the bound.
fn chunks(data: &[u8]) {
    let most = 512;
    let whole = Reader::new(most).push(data);
    let at = usize::from(data.first().copied().unwrap_or_default()) % data.len().max(1);
    let (head, tail) = data.split_at(at);
    let mut reader = Reader::new(most);
    let halves = reader.push(head).and_then(|mut events| {
        events.extend(reader.push(tail)?);
        Ok(events)
    });
    match (whole, halves) {
        (Ok(whole), Ok(halves)) => {
            assert_eq!(whole, halves);
            assert!(whole.iter().all(|event| event.data.len() <= most && event.id.len() <= most));
        }
        (whole, halves) => assert_eq!(whole.err(), halves.err()),
    }
}

fn made(data: &[u8]) -> Option<Vec<u8>> {
    let (claims, parts) = cut(data, b'\n');
    let parts: Vec<&str> = std::str::from_utf8(parts).ok()?.lines().collect();
    let mut claims: Value = serde_json::from_slice(claims).ok()?;
    let members = claims.as_object_mut()?;
    let hashes: Vec<String> = parts.iter().map(|part| part_hash(part)).collect();
    let rules = |part: &&str| Some(serde_json::from_str::<Value>(part).ok()?.get("rules")?.as_array()?.len());
    let count: usize = parts.iter().filter_map(rules).sum();
    for (name, value) in [
        ("iss", json!(ISSUER)),
        ("iat", json!(NOW)),
        ("epoch", json!("0000000000000007")),
        ("position", json!(1000)),
        ("kids", json!([key().kid().as_str()])),
        ("parts", json!(hashes)),
        ("count", json!(count)),
    ] {
        members.entry(name).or_insert(value);
    }
    let header = json!({ "alg": "ES256", "typ": TYP, "kid": key().kid().as_str() });
    let jws = signed(header.to_string().as_bytes(), claims.to_string().as_bytes());
    let cursor = Cursor::new(Epoch::from_bits(7), Position::new(1000), None);
    let mut stream = event::write(Kind::Snapshot, &cursor.within_snapshot(), &jws).to_vec();
    for part in parts {
        stream.extend(event::write(Kind::Part, &cursor, part));
    }
    Some(stream)
}

/// The first snapshot of a stream.
fn read(stream: &[u8], wanted: &Wanted<'_>) -> Result<(SnapshotClaims, Vec<Rule>), FeedError> {
    let (mut session, mut all) = (Session::new(None, 0), Vec::new());
    for event in Reader::default().push(stream)? {
        match session.take(&event, wanted)? {
            News::Part(rules) => all.extend(rules),
            News::Whole(claims, rules) => {
                all.extend(rules);
                let is_known =
                    |rule: &Rule| wanted.view.epoch() == Some(claims.epoch) && rule.position <= wanted.view.position();
                all.retain(|rule| !is_known(rule) && rule.position > Position::START);
                return Ok((*claims, all));
            }
            _ => {}
        }
    }
    Err(FeedError::Ended)
}

/// Whatever is believed of a stream, the view never moves back within an epoch, and rules come in order.
fn follow(stream: &[u8], wanted: &Wanted<'_>, now: UnixTime) {
    let (view, mut session, mut refill) = (wanted.view, Session::new(None, 0), None);
    let Ok(events) = Reader::default().push(stream) else { return };
    for event in events {
        let before = (view.epoch(), view.position());
        match session.take(&event, wanted) {
            Ok(News::Begin(epoch, position)) => {
                assert!(!session.is_live());
                refill = Some(view.begin(epoch, position).expect("what is admitted is begun"));
            }
            Ok(News::Part(rules)) => refill.as_mut().expect("a part of what was begun").add(&rules, now),
            Ok(News::Whole(claims, rules)) => {
                let begin = || view.begin(claims.epoch, claims.position).expect("what is admitted is begun");
                let mut whole = refill.take().unwrap_or_else(begin);
                whole.add(&rules, now);
                view.finish(whole, now).expect("what was begun is taken");
                assert!(session.is_live());
            }
            Ok(News::Rules(rules)) => {
                assert!(rules.windows(2).all(|pair| pair[0].position < pair[1].position));
                view.apply(&rules, rules.last().expect("at least one").position, now);
            }
            Ok(News::Beat(position, now_ms)) => {
                assert!(position >= view.position() && now_ms <= wanted.now_ms + 5000);
                view.said_to_reach(position);
            }
            Ok(News::Keys(_) | News::Nothing) => {}
            Err(_) => return,
        }
        assert!(before.0 != view.epoch() || before.1 <= view.position());
        assert!(session.place().is_none() || session.is_live());
    }
}

/// What is believed becomes the view: no rule of it is lost, and the same snapshot again says nothing new.
fn apply(stream: &[u8]) {
    let view = View::new();
    let now = UnixTime::from_secs(NOW);
    let keys = [(key().kid().clone(), key().public().clone())];
    let wanted = Wanted {
        issuer: ISSUER,
        audience: None,
        now_ms: NOW * 1000,
        skew: Duration::from_secs(5),
        max_staleness: std::time::Duration::from_secs(10),
        max_rules: 1 << 20,
        keys: &keys,
        view: &view,
    };
    follow(stream, &Wanted { view: &View::new(), ..wanted }, now);
    let Ok((claims, rules)) = read(stream, &wanted) else { return };
    assert_eq!(claims.iss, ISSUER);
    assert!(claims.iat.secs() <= NOW + 5 && claims.audience.is_none());
    assert!(claims.kids.contains(key().kid()));
    // Rules at the start of the log are none.
    assert!(rules.len() as u64 <= claims.count);
    assert!(rules.iter().all(|rule| rule.position <= claims.position));
    view.replace(claims.epoch, claims.position, &rules, now).expect("a first view is never behind");
    assert_eq!((view.epoch(), view.position()), (Some(claims.epoch), claims.position));
    let held = view.rules();
    let is_live = |rule: &&Rule| rule.kind == RuleKind::Key || !rule.is_past(now, View::MARGIN);
    for rule in rules.iter().filter(is_live) {
        let covers = |held: &Rule| match rule.kind {
            RuleKind::Key => held.kind == RuleKind::Key && held.digest == rule.digest,
            RuleKind::All => held.kind == RuleKind::All && held.position >= rule.position,
            // A digest is the name's, whatever kind a part calls it.
            _ => held.digest == rule.digest && held.position >= rule.position,
        };
        assert!(held.iter().any(covers), "{rule:?} is lost");
    }
    assert!(view.len() <= rules.len());
    if !view.ends_key(key().kid().as_str()) {
        let (_, again) = read(stream, &wanted).expect("the same is believed again");
        assert!(again.is_empty(), "what is known is told again");
    } else {
        assert!(read(stream, &wanted).is_err(), "a revoked key signs the view");
    }
}
