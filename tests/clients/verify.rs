//! JWT libraries that verify by the published keys: what they take, what they refuse, and what they cannot know.

use serde_json::{Value, json};

use super::forged::{SignedBy, forged};
use super::world::{World, lend};
use crate::common::{Ask, Backing, Feed, Jwks, Program, SECOND, Token, eventually, now, on_both_stores};

on_both_stores!(jose, jsonwebtoken, pyjwt, joserfc);

fn jose(backing: &Backing) {
    verifies("verify-jose.mjs", backing);
}

fn jsonwebtoken(backing: &Backing) {
    verifies("verify-jsonwebtoken.mjs", backing);
}

fn pyjwt(backing: &Backing) {
    verifies("verify-pyjwt.py", backing);
}

fn joserfc(backing: &Backing) {
    verifies("verify-joserfc.py", backing);
}

fn verifies(program: &str, backing: &Backing) {
    let mut world = World::start(backing);
    let mut program = Program::start(program, &lend(&world.settings("ES256")));
    let good = world.mint("demo", &Ask::of("demo").task("report-1"));
    let brief = world.mint("demo", &Ask::of("demo").with("ttl", 1));
    let elsewhere = world.mint("demo", &Ask::of("demo").with("resource", SECOND));
    let snapshot = snapshot(&world);
    let key = SignedBy::find(&world, &good);

    let claims = accepted(&mut program, "good", &good.text);
    assert_eq!(claims, good.claims);

    // A token of a completed task is as good as before to who asks nobody.
    let ended = world.mint("demo", &Ask::of("demo").task("report-2"));
    assert!(world.stands(&ended));
    world.send("demo", "/v1/tasks/report-2/complete", &Ask::nobody()).expect(204);
    assert!(!world.stands(&ended));
    accepted(&mut program, "ended", &ended.text);

    // The next key was among those it fetched: after a rotation it needs no broker, were it gone.
    world.broker.operator("/admin/v1/keys/rotate", json!({"now": true})).expect(200);
    let rotated = world.mint("demo", &Ask::of("demo"));
    assert_ne!(rotated.kid(), good.kid());
    world.broker.stop();
    accepted(&mut program, "rotated", &rotated.text);
    accepted(&mut program, "good", &good.text);

    for (name, token) in forged(&good, &key) {
        refused(&mut program, name, &token);
    }
    refused(&mut program, "for-another-audience", &elsewhere.text);
    refused(&mut program, "the-feed-s-snapshot", &snapshot);
    refused(&mut program, "no-token", "x");
    eventually("the brief one is over", || (now() > brief.number("exp")).then_some(()));
    refused(&mut program, "expired", &brief.text);
    program.ends();
}

fn accepted(program: &mut Program, name: &str, token: &str) -> Value {
    program.tell(&format!("{name} {token}"));
    let said = program.says();
    assert_eq!((&said["name"], &said["accepted"]), (&json!(name), &json!(true)), "{said}");
    said["claims"].clone()
}

fn refused(program: &mut Program, name: &str, token: &str) {
    program.tell(&format!("{name} {token}"));
    let said = program.says();
    assert_eq!((&said["name"], &said["accepted"]), (&json!(name), &json!(false)), "{said}");
    assert!(!said["error"].as_str().unwrap().is_empty(), "{said}");
}

/// What else jitney signs, by the same key: the head of the revocation feed.
pub fn snapshot(world: &World) -> String {
    let feed = world.broker.get("/v1/revocations?once=1").expect(200).text();
    let text = feed.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    assert_eq!(Feed::fetch(&world.broker).claims["iss"], Token::read(&text).claims["iss"]);
    Jwks::fetch(&world.broker).check(&text, "revocations+jwt").unwrap();
    text
}
