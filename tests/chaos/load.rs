//! What workloads, resource servers and operators do all the while, each answer taken down.

use std::time::Duration;

use serde_json::json;

use super::history::{End, Judge, What};
use super::world::{Held, Seat, World};
use crate::common::{API, Ask, Chance, Request, SECOND, clean, complete_path};

/// Assertions that were shown once, kept to be shown again.
const SHOWN: usize = 40;

/// One of those who ask.
pub struct Client<'a> {
    pub world: &'a World,
    pub name: String,
    pub chance: Chance,
    /// Whether it is the one who puts workloads in quarantine.
    pub quarantines: bool,
    shown: Vec<(u64, String)>,
}

impl<'a> Client<'a> {
    pub fn new(world: &'a World, number: usize, chance: Chance) -> Self {
        Self { world, name: format!("client-{number}"), chance, quarantines: number == 0, shown: Vec::new() }
    }

    /// Asks until the run ends, some forty times a second.
    pub fn run(mut self) {
        while self.world.goes_on() {
            match self.chance.below(100) {
                0..30 => self.mint(),
                30..55 => self.introspect(),
                55..65 => self.complete(),
                65..73 => self.renew(),
                73..81 => self.revoke(),
                81..87 => self.show_again(),
                87..92 => self.complete_by_bearer(),
                92..97 => self.end_as_operator(),
                97..98 => self.end_by_command(),
                _ if self.quarantines => self.quarantine(),
                _ => self.end_much(),
            }
            std::thread::sleep(Duration::from_millis(5 + self.chance.below(20)));
        }
    }

    fn workload(&mut self) -> &'static str {
        if self.chance.below(3) == 0 { "other" } else { "demo" }
    }

    /// A task that is being worked on, one that has just ended perhaps, a new one, or a child of one.
    fn task(&mut self) -> String {
        use std::sync::atomic::Ordering::SeqCst;
        let newest = match self.chance.below(3) {
            0 => self.world.task.fetch_add(1, SeqCst),
            _ => self.world.task.load(SeqCst),
        };
        let task = newest.saturating_sub(self.chance.below(8));
        match self.chance.below(4) {
            0 => format!("t-{task}/child"),
            _ => format!("t-{task}"),
        }
    }

    fn mint(&mut self) {
        let (workload, task) = (self.workload(), self.task());
        let audience = if self.chance.below(4) == 0 { SECOND } else { API };
        let (number, text) = self.world.assertion(workload);
        let scope = if self.chance.below(12) == 0 { "orders:purge" } else { "orders:read" };
        let ask = Ask::of(workload).task(&task).with("resource", audience).with("scope", scope).assertion(&text);
        self.keep(number, text);
        self.mint_by(&ask, number);
    }

    fn keep(&mut self, number: u64, text: String) {
        if self.shown.len() == SHOWN {
            self.shown.remove(0);
        }
        self.shown.push((number, text));
    }

    fn mint_by(&mut self, ask: &Ask, number: u64) {
        let start = self.world.history.now();
        let answer = self.world.seat(&mut self.chance).ask(&ask.request());
        if let Some(answer) = self.world.told(&self.name, "mint", start, answer) {
            let held = self.world.granted(&self.name, start, &answer, number, None);
            self.world.hold(held, &mut self.chance);
        }
    }

    /// An assertion that was shown before: whatever became of it then, it counts once.
    fn show_again(&mut self) {
        if self.shown.is_empty() {
            return;
        }
        let (number, text) = self.chance.pick(&self.shown).clone();
        let task = self.task();
        let ask = Ask::of("demo").task(&task).assertion(text);
        self.mint_by(&ask, number);
    }

    fn renew(&mut self) {
        let Some(Held { facts, .. }) = self.world.any(&mut self.chance) else { return };
        let (number, text) = self.world.assertion(&facts.workload);
        self.keep(number, text.clone());
        let start = self.world.history.now();
        let request = Ask::bare(&facts.workload).assertion(text).at(&format!("/v1/leases/{}/renew", facts.jti));
        let answer = self.world.seat(&mut self.chance).ask(&request);
        if let Some(answer) = self.world.told(&self.name, "renew", start, answer) {
            let held = self.world.granted(&self.name, start, &answer, number, Some(facts.jti));
            self.world.hold(held, &mut self.chance);
        }
    }

    fn introspect(&mut self) {
        let Some(held) = self.world.any(&mut self.chance) else { return };
        introspect(self.world, self.world.seat(&mut self.chance), &self.name, &held);
    }

    fn complete(&mut self) {
        let (workload, task) = (self.workload(), self.task());
        let (number, text) = self.world.assertion(workload);
        self.keep(number, text.clone());
        let request = Ask::bare(workload).assertion(text).at(&complete_path(&task));
        let end = End::Task { workload: workload.to_owned(), task };
        self.end("complete", end, Some(number), |seat| seat.ask(&request));
    }

    fn revoke(&mut self) {
        let Some(Held { facts, token }) = self.world.any(&mut self.chance) else { return };
        let (number, text) = self.world.assertion(&facts.workload);
        self.keep(number, text.clone());
        let request = Ask::bare(&facts.workload).with("token", &token.text).assertion(text).at("/oauth2/revoke");
        self.end("revoke", End::Lease(facts.jti), Some(number), |seat| seat.ask(&request));
    }

    /// A completion by a token is a judgement of it. That it ends the task is not counted on: where the task's own end
    /// had ended the token, it ends nothing.
    fn complete_by_bearer(&mut self) {
        let Some(Held { facts, token }) = self.world.any(&mut self.chance) else { return };
        let request = Request::new("POST", &complete_path(&facts.task)).bearer(&token.text);
        let start = self.world.history.now();
        let answer = self.world.seat(&mut self.chance).ask(&request);
        let refused = answer.as_ref().is_ok_and(|answer| answer.status == 401);
        let accepted = self.world.told(&self.name, "bearer", start, answer).is_some();
        if accepted || refused {
            let judged = What::Judged { jti: facts.jti, by: Judge::Bearer, good: accepted, assertion: None };
            self.world.history.add(&self.name, start, judged);
        }
        if !refused {
            let end = End::Task { workload: facts.workload, task: facts.task };
            self.world.history.add(&self.name, start, What::Tried { end });
        }
    }

    fn end_as_operator(&mut self) {
        let Some(Held { facts, .. }) = self.world.any(&mut self.chance) else { return };
        let (end, selector) = match self.chance.below(10) {
            0 => (End::Workload("other".into()), json!({"workload": "other"})),
            1 => (End::Audience(SECOND.into()), json!({"audience": SECOND})),
            2..5 => {
                let selector = json!({"task": facts.task, "workload": facts.workload});
                (End::Task { workload: facts.workload, task: facts.task }, selector)
            }
            _ => (End::Lease(facts.jti.clone()), json!({"lease": facts.jti})),
        };
        self.operate(end, "/admin/v1/revocations", selector);
    }

    fn operate(&mut self, end: End, path: &str, mut body: serde_json::Value) {
        body["reason"] = json!("chaos");
        let request = Request::json(path, &body);
        self.end("operator", end, None, |seat| seat.admin(&request));
    }

    /// Now and then a signing key, and all there is.
    fn end_much(&mut self) {
        let Some(Held { facts, .. }) = self.world.any(&mut self.chance) else { return };
        match self.chance.below(20) {
            0 => self.operate(End::All, "/admin/v1/revocations", json!({"all": true})),
            1 | 2 => self.operate(End::Key(facts.kid.clone()), "/admin/v1/revocations", json!({"key": facts.kid})),
            _ => self.introspect(),
        }
    }

    fn quarantine(&mut self) {
        let end = End::Quarantine("other".into());
        self.operate(end, "/admin/v1/workloads/other/quarantine", json!({}));
        std::thread::sleep(Duration::from_millis(self.chance.below(100)));
        self.release();
    }

    /// Until it is done: nobody else lets the workload out.
    fn release(&mut self) {
        while self.world.goes_on() {
            let start = self.world.history.now();
            let request = Request::json("/admin/v1/workloads/other/release", &json!({"reason": "chaos"}));
            let answer = self.world.seat(&mut self.chance).admin(&request);
            let done = self.world.told(&self.name, "release", start, answer).is_some();
            self.world.history.add(&self.name, start, What::Released { workload: "other".into() });
            if done {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn end_by_command(&mut self) {
        let Some(Held { facts, .. }) = self.world.any(&mut self.chance) else { return };
        let start = self.world.history.now();
        let socket = format!("unix:{}", self.world.seat(&mut self.chance).admin_path().display());
        let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
        command.env("JITNEY_ADMIN", socket).args(["lease", "revoke", "--lease", &facts.jti, "--reason", "chaos"]);
        let done = command.output().unwrap().status.success();
        let end = End::Lease(facts.jti);
        let what = if done { What::Ended { end, decision: None, assertion: None } } else { What::Tried { end } };
        self.world.history.add(&self.name, start, what);
    }

    /// Ends something, and takes down whether that was acknowledged.
    fn end(
        &mut self,
        op: &'static str,
        end: End,
        assertion: Option<u64>,
        ask: impl FnOnce(&Seat) -> std::io::Result<crate::common::Answer>,
    ) {
        let start = self.world.history.now();
        let answer = ask(self.world.seat(&mut self.chance));
        match self.world.told(&self.name, op, start, answer) {
            None => self.world.history.add(&self.name, start, What::Tried { end }),
            Some(answer) => {
                let decision = Some(answer.field("decision_id")).filter(|id| !id.is_empty());
                self.world.history.add(&self.name, start, What::Ended { end: end.clone(), decision, assertion });
                self.look_at_once(&end);
            }
        }
    }

    /// Shows what was just ended, at every broker: an acknowledgement counts from its first moment.
    fn look_at_once(&mut self, end: &End) {
        for held in self.world.ended_by(end).iter().take(2) {
            for seat in &self.world.seats {
                introspect(self.world, seat, &self.name, held);
            }
        }
    }
}

/// Asks a broker about a token, as the resource server it is meant for.
pub fn introspect(world: &World, seat: &Seat, by: &str, held: &Held) {
    let (audience, jti) = (&held.facts.audience, held.facts.jti.clone());
    let start = world.history.now();
    let answer = seat.ask(&Ask::bare(audience).with("token", &held.token.text).at("/oauth2/introspect"));
    if let Some(answer) = world.told(by, "introspect", start, answer) {
        let good = answer.json()["active"] == true;
        world.history.add(by, start, What::Judged { jti, by: Judge::Introspection, good, assertion: None });
    }
}
