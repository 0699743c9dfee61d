//! `jitney guard` as one more judge beside the live verifiers: a process that is killed, put to sleep and cut off as they are, and
//! one whose own clock steps.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::guard_process::Guard;
use super::history::{Micros, Verdict, What};
use super::proxy::Proxy;
use super::verifiers::{SKEW, head};
use super::world::{Held, World};
use crate::common::{API, Chance, ISSUER, Request};

/// The age that it bears.
const MAX_STALENESS: Duration = Duration::from_secs(2);
/// Its number among the verifiers of a history.
const NUMBER: usize = 10;

/// A guard's place: whatever process stands there.
pub struct Post<'a> {
    world: &'a World,
    way: &'a Proxy,
    /// What it is started with besides.
    settings: Vec<(&'static str, String)>,
    /// Whether its clock is its own: then what it says of times may be wrong.
    has_a_clock: bool,
    guard: Mutex<Guard>,
}

impl<'a> Post<'a> {
    /// Behind this way, with these settings: those of a clock of its own, or none.
    pub fn new(world: &'a World, way: &'a Proxy, settings: Vec<(&'static str, String)>) -> Self {
        let guard = Mutex::new(start(way, &settings));
        Self { world, way, has_a_clock: !settings.is_empty(), settings, guard }
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap()
    }

    /// Kills it, and starts another in its place.
    pub fn is_killed(&self, chance: &mut Chance) {
        let pause = Duration::from_millis(chance.below(300));
        self.world.lasts("guard killed", pause, |on| match on {
            true => self.guard().kill(),
            false => *self.guard() = start(self.way, &self.settings),
        });
    }

    /// It sleeps, longer than its bound at times: what it says when it wakes must be true then.
    pub fn is_asleep(&self, chance: &mut Chance) {
        let time = Duration::from_millis(200 + chance.below(3500));
        self.world.lasts("guard asleep", time, |on| match on {
            true => self.guard().sleeps(),
            false => self.guard().signal(Signal::CONT),
        });
    }

    /// Shows it tokens all the while, and all of them once more when everything is healed.
    pub fn run(&self, mut chance: Chance) {
        while self.world.goes_on() {
            self.way.lead_to(self.world.seat(&mut chance).address());
            for held in self.world.some(8, &mut chance).iter().filter(|held| is_meant(held)) {
                self.judge(held, Some(bound()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.way.lead_to(self.world.seats[0].address());
        self.way.cut();
        if self.catches_up() {
            for held in self.world.all().iter().filter(|held| is_meant(held)) {
                self.judge(held, None);
            }
        }
    }

    fn judge(&self, held: &Held, bound: Option<Micros>) {
        let (start, jti) = (self.world.history.now(), held.facts.jti.clone());
        // Its address is taken down first: nobody is kept from killing it while it answers.
        let address = self.guard().address;
        let asked = crate::common::Http::tcp(address)
            .and_then(|mut guard| guard.ask(&Request::get("/v1/forward-auth").bearer(&held.token.text)));
        let Ok(answer) = asked else { return };
        let why = answer.header("www-authenticate").unwrap_or_default();
        let verdict = match answer.status {
            200 => Verdict::Good { within: bound.unwrap_or(0) },
            503 if bound.is_some() => Verdict::Stale,
            503 => Verdict::BadInPeace("the view's age"),
            _ if why.contains("revoked") => Verdict::Ended,
            // Of a key that was just published or left, and of a brief token, all may be said while something is broken.
            _ if bound.is_some() || self.has_a_clock || is_over(held) => return,
            _ => Verdict::BadInPeace("another reason"),
        };
        self.world.history.add("guard", start, What::Said { verifier: NUMBER, jti, verdict });
    }

    /// Waits until it is where the log ends.
    fn catches_up(&self) -> bool {
        let (start, deadline) = (self.world.history.now(), Instant::now() + Duration::from_secs(30));
        while Instant::now() < deadline {
            let position = head(self.world).map(|head| head.number("position"));
            let figures = self.guard().get("/metrics").text();
            let is_ready = self.guard().get("/readyz").status == 200;
            let stands = |line: &str| line.strip_prefix("jitney_guard_log_position ")?.trim().parse::<u64>().ok();
            if is_ready && figures.lines().find_map(stands).zip(position).is_some_and(|(stands, ends)| stands >= ends) {
                self.world.history.add("guard", start, What::CaughtUp { verifier: NUMBER });
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

fn start(way: &Proxy, settings: &[(&'static str, String)]) -> Guard {
    let url = format!("http://{}", way.address());
    let mut environment = vec![("JITNEY_URL", url.as_str()), ("JITNEY_ISSUER", ISSUER)];
    environment.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let staleness = format!("{}s", MAX_STALENESS.as_secs());
    Guard::run(&["guard", "--listen", "127.0.0.1:0", "--audience", API, "--max-staleness", &staleness], &environment)
}

/// The age that it bears, what clocks may differ by for it, and what they do here.
fn bound() -> Micros {
    Micros::try_from((MAX_STALENESS + SKEW + Duration::from_secs(5)).as_micros()).unwrap()
}

fn is_meant(held: &Held) -> bool {
    held.facts.audience == API
}

fn is_over(held: &Held) -> bool {
    held.facts.exp <= crate::common::now() + 1
}
