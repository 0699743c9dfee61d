//! Those who check tokens beside the broker: by a snapshot fetched each time, and by `jitney::verifier`.

use std::time::Duration;

use jitney::verifier::{Expect, Verifier, VerifierOptions};

use super::history::{Judge, What};
use super::world::{Seat, World};
use crate::common::{Chance, Feed, ISSUER, Jwks, Request, now};

/// Fetches keys and rules again and again and holds tokens against them, sharing no code with the broker.
pub fn offline(world: &World, mut chance: Chance) {
    while world.goes_on() {
        let seat = world.seat(&mut chance);
        let held = world.some(20, &mut chance);
        let start = world.history.now();
        match fetch(seat) {
            Err(why) => world.history.add("offline", start, What::Silent { op: "snapshot", why }),
            Ok((keys, feed)) => {
                for each in held {
                    let kid_counts = feed.kids().contains(&each.facts.kid);
                    let signed = keys.check(&each.token.text, "at+jwt").is_ok();
                    let good = kid_counts && signed && feed.ends(&each.token).is_none() && each.facts.exp > now();
                    let jti = each.facts.jti;
                    world.history.add(
                        "offline",
                        start,
                        What::Judged { jti, by: Judge::Offline, good, assertion: None },
                    );
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100 + chance.below(200)));
    }
}

fn fetch(seat: &Seat) -> Result<(Jwks, Feed), String> {
    let get = |path: &str| {
        let answer = seat.ask(&Request::get(path)).map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{} {}", answer.status, answer.text())) }
    };
    let keys = Jwks::read(&get("/oauth2/jwks")?.json());
    let feed = Feed::read(&keys, &get("/v1/revocations?once=1")?)?;
    Ok((keys, feed))
}

/// Checks tokens by the verifier that resource servers link, with its usual options; a new one for each of a broker's lives.
pub fn live(world: &World, seat: &Seat, mut chance: Chance) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        while world.goes_on() {
            let address = seat.address();
            let options =
                VerifierOptions { issuer: ISSUER.to_owned(), ..VerifierOptions::new(format!("http://{address}")) };
            let Ok(verifier) = Verifier::connect(options).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            while world.goes_on() && seat.address() == address {
                for held in world.some(5, &mut chance) {
                    let (start, jti) = (world.history.now(), held.facts.jti);
                    let good = verifier.verify(&held.token.text, &Expect::default()).await.is_ok();
                    world.history.add("live", start, What::Judged { jti, by: Judge::Live, good, assertion: None });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
}
