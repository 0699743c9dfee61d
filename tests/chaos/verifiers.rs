//! What may happen between verifiers and brokers: connections cut, silent or refused, brokers killed, asleep, exchanged for
//! one another, with clocks that step. Each verifier is `jitney::verifier` as resource servers link it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jitney::model::AudienceUri;
use jitney::verifier::{Expect, Invalid, Verifier, VerifierOptions};

use super::clock::{own_clock, stepped, with_a_clock};
use super::guards;
use super::history::{History, Micros, Verdict, What};
use super::process::{asleep, killed};
use super::proxy::Proxy;
use super::run::{hold, play, seed};
use super::world::{Held, World};
use crate::common::{API, Broker, Chance, ISSUER, Redis, Request, SECOND, Setup, Token, now};

/// How far clocks may differ for a verifier here.
pub const SKEW: Duration = Duration::from_secs(1);
/// The bound of each, and its filter: one hears of everything.
const VERIFIERS: [(Duration, Option<&str>); 3] =
    [(Duration::from_millis(1500), Some(API)), (Duration::from_secs(3), None), (Duration::from_secs(6), Some(SECOND))];

/// A verifier's place, and the way from there to a broker.
struct Post<'a> {
    world: &'a World,
    number: usize,
    max_staleness: Duration,
    audience: Option<&'static str>,
    way: &'a Proxy,
}

#[test]
fn whatever_happens_between_verifiers_and_brokers() {
    let redis = Redis::start();
    let brokers: Vec<Broker> = (0..2).map(|_| Setup::default().start_on(Some(redis.url()))).collect();
    let world = World::new("verifiers", seed("verifiers"), Arc::new(History::new()), brokers);
    followed(&world, Vec::new(), |ways, guard, chance| {
        let a_while = Duration::from_millis(50 + chance.below(700));
        let seat = usize::try_from(chance.below(2)).unwrap();
        let way = chance.pick(ways);
        match chance.below(24) {
            20 | 21 => guard.is_killed(chance),
            22 | 23 => guard.is_asleep(chance),
            0..4 => world.lasts("feed cut", Duration::ZERO, |on| {
                if on {
                    way.cut()
                }
            }),
            4..8 => world.lasts("feed silent", 5 * a_while, |on| way.silence(on)),
            8..10 => world.lasts("feed refused", 3 * a_while, |on| way.refuse(on)),
            10..13 => killed(&world, seat),
            13..16 => asleep(&world, seat, 4 * a_while),
            16 => world.lasts("Redis killed", a_while, |on| if on { redis.kill() } else { redis.restart() }),
            17 => world.lasts("Redis asleep", 3 * a_while, |on| if on { redis.pause() } else { redis.resume() }),
            _ => {
                // Some or all come back to the other broker, which may lag.
                world.lasts("feeds moved", Duration::ZERO, |on| {
                    if on {
                        ways.iter().for_each(Proxy::cut);
                    }
                });
            }
        }
        std::thread::sleep(Duration::from_millis(chance.below(400)));
    });
}

#[test]
fn whatever_the_clock_of_a_verifier_s_broker_says() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let (broker, file) = with_a_clock(Some(redis.url()), folder.path());
    let brokers = vec![broker, Setup::default().start_on(Some(redis.url()))];
    let world = World::new("verifiers-clock", seed("verifiers-clock"), Arc::new(History::new()), brokers);
    followed(&world, Vec::new(), |ways, _, chance| {
        if chance.below(2) == 0 {
            // It comes back while the clock is wrong, or soon after.
            chance.pick(ways).cut();
        }
        stepped(&world, &file, chance);
    });
}

#[test]
fn whatever_the_clock_of_a_guard_says() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let brokers = vec![Setup::default().start_on(Some(redis.url()))];
    let world = World::new("guard-clock", seed("guard-clock"), Arc::new(History::new()), brokers);
    let (file, settings) = own_clock(folder.path());
    followed(&world, settings, |ways, guard, chance| {
        match chance.below(6) {
            0 => ways[VERIFIERS.len()].cut(),
            1 => guard.is_killed(chance),
            _ => {}
        }
        stepped(&world, &file, chance);
    });
}

/// A run with verifiers and a guard with these settings, each behind a way that can be broken; the guard's is the last.
fn followed(
    world: &World,
    settings: Vec<(&'static str, String)>,
    mut inject: impl FnMut(&[Proxy], &guards::Post<'_>, &mut Chance),
) {
    let way = || Proxy::plain(world.seats[0].address(), Arc::clone(&world.history));
    let ways: Vec<Proxy> = (0..=VERIFIERS.len()).map(|_| way()).collect();
    let mut chance = Chance::seeded(world.seed);
    let guard = guards::Post::new(world, &ways[VERIFIERS.len()], settings);
    std::thread::scope(|threads| {
        let (guard, own) = (&guard, chance.fork());
        threads.spawn(move || guard.run(own));
        for (number, ((max_staleness, audience), way)) in VERIFIERS.into_iter().zip(&ways).enumerate() {
            let (post, chance) = (Post { world, number, max_staleness, audience, way }, chance.fork());
            threads.spawn(move || post.run(chance));
        }
        play(world, |chance| inject(&ways, guard, chance));
    });
    hold(world);
}

impl Post<'_> {
    fn options(&self) -> VerifierOptions {
        VerifierOptions {
            issuer: ISSUER.to_owned(),
            audience: self.audience.map(|audience| AudienceUri::parse(audience).unwrap()),
            max_staleness: self.max_staleness,
            skew: SKEW,
            timeout: Duration::from_secs(2),
            start_within: Duration::from_secs(5),
            ..VerifierOptions::new(format!("http://{}", self.way.address()))
        }
    }

    /// Follows all the while, judges, and judges everything once more when all is healed.
    fn run(&self, mut chance: Chance) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let Some(verifier) = self.connects(&runtime, &mut chance) else { return };
        while self.world.goes_on() {
            self.leads_somewhere(&mut chance);
            for held in self.world.some(8, &mut chance).into_iter().filter(|held| self.is_meant(held)) {
                self.judge(&runtime, &verifier, &held, Some(self.bound()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.way.lead_to(self.world.seats[0].address());
        self.way.cut();
        if self.catches_up(&verifier) {
            for held in self.world.all().iter().filter(|held| self.is_meant(held)) {
                self.judge(&runtime, &verifier, held, None);
            }
        }
    }

    /// The age that it bears, and what clocks may differ by.
    fn bound(&self) -> Micros {
        Micros::try_from((self.max_staleness + SKEW).as_micros()).unwrap()
    }

    fn is_meant(&self, held: &Held) -> bool {
        self.audience.is_none_or(|audience| held.facts.audience == audience)
    }

    /// New connections go to a broker as it is now: each life has another address.
    fn leads_somewhere(&self, chance: &mut Chance) {
        self.way.lead_to(self.world.seat(chance).address());
    }

    fn connects(&self, runtime: &tokio::runtime::Runtime, chance: &mut Chance) -> Option<Verifier> {
        while self.world.goes_on() {
            self.leads_somewhere(chance);
            if let Ok(verifier) = runtime.block_on(Verifier::connect(self.options())) {
                return Some(verifier);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    /// Shows it a token. Without a bound all is healed: what it says then is the last word.
    fn judge(&self, runtime: &tokio::runtime::Runtime, verifier: &Verifier, held: &Held, bound: Option<Micros>) {
        let Held { facts, token } = held;
        let start = self.world.history.now();
        let told = runtime.block_on(verifier.verify(&token.text, &Expect::default()));
        let verdict = match told {
            Ok(_) => Verdict::Good { within: bound.unwrap_or(0) },
            Err(Invalid::Revoked(_)) => Verdict::Ended,
            Err(Invalid::Stale) if bound.is_some() => Verdict::Stale,
            // While something is broken, its keys may be out of reach; and clocks make tokens of yesterday and tomorrow.
            Err(_) if bound.is_some() || facts.exp < now() + 5 || token.number("iat") > now() => return,
            Err(Invalid::Key) => Verdict::BadInPeace("its key"),
            Err(Invalid::Expired) => Verdict::BadInPeace("its time"),
            Err(Invalid::Stale) => Verdict::BadInPeace("the view's age"),
            Err(_) => Verdict::BadInPeace("another reason"),
        };
        let (verifier, jti) = (self.number, facts.jti.clone());
        self.world.history.add(&format!("verifier-{verifier}"), start, What::Said { verifier, jti, verdict });
    }

    /// Waits until it is where the log ends. That it does not come there, the history tells.
    fn catches_up(&self, verifier: &Verifier) -> bool {
        let (start, deadline) = (self.world.history.now(), Instant::now() + Duration::from_secs(30));
        while Instant::now() < deadline {
            if verifier.is_fresh() && head(self.world).is_some_and(|head| self.is_at(verifier, &head)) {
                self.world.history.add("verifier", start, What::CaughtUp { verifier: self.number });
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn is_at(&self, verifier: &Verifier, head: &Token) -> bool {
        let view = verifier.view();
        let same = view.epoch().is_some_and(|epoch| epoch.to_string() == head.claim("epoch"));
        same && view.position().get() >= head.number("position")
    }
}

/// The claims of a snapshot: where the log ends.
pub fn head(world: &World) -> Option<Token> {
    let answer = world.seats[0].ask(&Request::get("/v1/revocations?once=1")).ok()?;
    let text = answer.text();
    let jws = text.lines().find_map(|line| line.strip_prefix("data: "))?;
    (answer.status == 200).then(|| Token::read(jws))
}
