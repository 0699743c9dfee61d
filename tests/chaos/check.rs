//! The invariants, held against a recorded history and what was left behind: audit lines and leases.
//!
//! Owns what counts as a violation. Knows the contract and nothing of how a run was made.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::history::{End, Event, Facts, Judge, Micros, SECOND, What};
use super::verdicts;

/// What a run left behind.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The lines of all audit logs.
    pub lines: Vec<Value>,
    /// What the store says of each lease at the end, by its id: `live`, `ended`, `expired`.
    pub leases: HashMap<String, String>,
    /// The keys that count at the end.
    pub kids: HashSet<String>,
    /// When that was asked.
    pub asked: Micros,
    /// The same by the wall clock, Unix seconds.
    pub wall: u64,
}

/// How long an ended task takes no lease, as the brokers here are set.
const CLOSED_FOR: Micros = 600 * SECOND;
/// An end that failed may be carried out this much later: what it was sent to was asleep.
const LATE: Micros = 20 * SECOND;
/// A line that nobody waits for is written this soon after its end, if the broker lives so long.
const FOLLOWS: Micros = SECOND;
/// A broker finds back by itself in this time, on a busy machine.
const RECOVERS: Micros = 15 * SECOND;

/// What is wrong with a run: the invariant, and what happened, with the ids.
pub fn violations(events: &[Event], evidence: &Evidence) -> Vec<String> {
    let run = Run::of(events, evidence);
    let mut found = Vec::new();
    for event in events {
        match &event.what {
            What::Granted { token, renews, .. } => {
                found.extend(run.recorded(event, token));
                found.extend(run.not_forbidden(event, token, renews.as_deref()));
            }
            What::Judged { jti, by, good: true, .. } => found.extend(run.not_ended(event, jti, *by)),
            What::Said { verifier, jti, verdict } => {
                found.extend(verdicts::wrong(&run, event, *verifier, jti, *verdict))
            }
            What::Refused { op, decision, known: true, .. } => found.extend(run.refusal_line(event, op, decision)),
            What::Ended { end, decision, .. } => found.extend(run.end_line(event, end, decision.as_deref())),
            _ => {}
        }
    }
    found.extend(run.once());
    found.extend(run.came_back());
    found.extend(verdicts::left_behind(&run));
    found
}

/// A history, looked up by what is asked of it.
pub struct Run<'a> {
    pub events: &'a [Event],
    evidence: &'a Evidence,
    granted: HashMap<&'a str, (&'a Event, &'a Facts)>,
    renews: HashMap<&'a str, &'a str>,
    acknowledged: HashMap<&'a End, Vec<(Micros, Micros)>>,
    tried: HashMap<&'a End, Vec<Micros>>,
    begun: HashMap<&'a End, Micros>,
    released: HashMap<&'a str, Vec<Micros>>,
    lost: Vec<(Micros, Micros)>,
    /// When writes of the store's were broken off in the middle.
    halved: Vec<Micros>,
    away: Vec<(Micros, Micros)>,
    killed: Vec<Micros>,
    decisions: HashSet<&'a str>,
    leases_told: HashSet<&'a str>,
    ends_told: HashSet<(&'a str, &'a str, &'a str)>,
}

impl<'a> Run<'a> {
    fn of(events: &'a [Event], evidence: &'a Evidence) -> Self {
        let mut run = Self {
            events,
            evidence,
            granted: HashMap::new(),
            renews: HashMap::new(),
            acknowledged: HashMap::new(),
            tried: HashMap::new(),
            begun: HashMap::new(),
            released: HashMap::new(),
            lost: Vec::new(),
            halved: Vec::new(),
            away: Vec::new(),
            killed: Vec::new(),
            decisions: HashSet::new(),
            leases_told: HashSet::new(),
            ends_told: HashSet::new(),
        };
        for event in events {
            match &event.what {
                What::Granted { token, renews, .. } => {
                    run.granted.insert(&token.jti, (event, token));
                    run.renews.extend(renews.as_deref().map(|renewed| (token.jti.as_str(), renewed)));
                }
                What::Tried { end } => run.tried.entry(end).or_default().push(event.end),
                What::Released { workload } => run.released.entry(workload).or_default().push(event.start),
                What::StoreLost => run.lost.push((event.start, event.end)),
                What::HalfWritten => run.halved.push(event.start),
                What::AuditAway => run.away.push((event.start, event.end)),
                What::Killed { .. } => run.killed.push(event.start),
                _ => {}
            }
        }
        for event in events {
            if let What::Ended { end, .. } | What::Tried { end } = &event.what {
                let first = run.begun.entry(end).or_insert(event.start);
                *first = event.start.min(*first);
            }
            if let What::Ended { end, .. } = &event.what {
                run.acknowledged.entry(end).or_default().push((event.start, event.end));
            }
        }
        for line in &evidence.lines {
            let member = |name: &str| line[name].as_str().unwrap_or_default();
            run.decisions.insert(member("decision_id"));
            match (member("event"), member("outcome")) {
                ("mint" | "renew", "granted") => drop(run.leases_told.insert(member("lease"))),
                ("complete", "done") => drop(run.ends_told.insert(("task", member("workload"), member("task")))),
                ("revoke", "done") => drop(run.ends_told.insert(("lease", "", member("lease")))),
                _ => {}
            }
        }
        run
    }

    /// All that would end a token.
    fn selectors(&self, token: &Facts) -> Vec<End> {
        let (task, workload) = (&token.task, &token.workload);
        let lineage = task.match_indices('/').map(|(at, _)| &task[..at]).chain([task.as_str()]);
        let mut ends: Vec<End> =
            lineage.map(|task| End::Task { workload: workload.clone(), task: task.to_owned() }).collect();
        let mut next = Some(token.jti.as_str());
        while let Some(jti) = next {
            ends.push(End::Lease(jti.to_owned()));
            next = self.renews.get(jti).copied();
        }
        ends.extend([End::Workload(workload.clone()), End::Quarantine(workload.clone())]);
        ends.extend([End::Audience(token.audience.clone()), End::Key(token.kid.clone()), End::All]);
        ends
    }

    fn acks(&self, end: &End) -> &[(Micros, Micros)] {
        self.acknowledged.get(end).map_or(&[], Vec::as_slice)
    }

    /// Whether the store was lost at some time between these two.
    fn lost_between(&self, from: Micros, to: Micros) -> bool {
        self.lost.iter().any(|(start, end)| from <= *end && to >= *start)
    }

    /// Whether a token's epoch is over by the end, and a write that was broken off by then may be why.
    fn fell_with_its_epoch(&self, token: &Facts, by: Micros) -> bool {
        !self.evidence.kids.contains(&token.kid) && self.halved.iter().any(|at| *at <= by)
    }

    /// I1: a token that was handed out has a line, and a lease that stands unless somebody tried to end it.
    fn recorded(&self, event: &Event, token: &Facts) -> Vec<String> {
        let mut found = Vec::new();
        let jti = &token.jti;
        if !self.leases_told.contains(jti.as_str()) {
            found.push(format!("I1/I3: token {jti}, handed out at {}, has no line in the audit log", event.end));
        }
        if token.exp <= self.evidence.wall + 1 || self.lost_between(event.start, self.evidence.asked) {
            return found;
        }
        let was_tried = self.selectors(token).iter().any(|end| {
            let later = |at: &Micros| at + LATE >= event.start;
            self.acks(end).iter().any(|(_, ack)| later(ack))
                || self.tried.get(end).is_some_and(|tries| tries.iter().any(later))
        });
        match self.evidence.leases.get(jti).map(String::as_str) {
            None if self.fell_with_its_epoch(token, self.evidence.asked) => {}
            None => found.push(format!("I1: token {jti}, handed out at {}, has no lease in the store", event.end)),
            Some("live") => {}
            Some(state) if !was_tried => {
                found.push(format!("I1: the lease of token {jti} is {state}, and nobody tried to end it"));
            }
            Some(_) => {}
        }
        found
    }

    /// I2: no token for a task that was closed or a workload that was shut out before it was asked for.
    fn not_forbidden(&self, event: &Event, token: &Facts, renews: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        for end in self.selectors(token) {
            for (start, ack) in self.acks(&end).iter().filter(|(_, ack)| *ack <= event.start) {
                let forbids = match &end {
                    End::Task { .. } => event.start < ack + CLOSED_FOR,
                    End::Key(_) => true,
                    End::Lease(jti) => renews == Some(jti.as_str()),
                    End::Quarantine(workload) => {
                        let released = |at: &Micros| *at >= *start && *at <= event.end;
                        !self.released.get(workload.as_str()).is_some_and(|all| all.iter().any(released))
                    }
                    _ => false,
                };
                if forbids && !self.lost_between(*ack, event.end) {
                    let (jti, asked) = (&token.jti, event.start);
                    found.push(format!(
                        "I2: token {jti}, asked for at {asked}, though {end:?} was acknowledged at {ack}"
                    ));
                }
            }
        }
        found
    }

    /// I2: no token accepted behind an acknowledged end plus the stated bound. I1: nor one whose store is lost.
    fn not_ended(&self, event: &Event, jti: &str, by: Judge) -> Vec<String> {
        let bound = if by == Judge::Live { 10 * SECOND } else { 0 };
        // A token that the end of its task has ended may complete that task again; it ends nothing.
        let again = by == Judge::Bearer
            && self.granted.get(jti).is_some_and(|(_, token)| {
                self.selectors(token).iter().any(|end| matches!(end, End::Task { .. }) && self.begun.contains_key(end))
            });
        if again { Vec::new() } else { self.accepted(event, jti, &format!("{by:?}"), bound) }
    }

    /// What is wrong with it that `by` accepted a token then, who may be late by `bound`.
    pub fn accepted(&self, event: &Event, jti: &str, by: &str, bound: Micros) -> Vec<String> {
        let Some((granted, token)) = self.granted.get(jti) else {
            return vec![format!("I1: {by} accepted {jti} at {}, which was never handed out", event.start)];
        };
        let mut found = Vec::new();
        for end in &self.selectors(token) {
            let is_before = |start: &Micros| granted.end <= *start || matches!(end, End::Key(_));
            let passed = self.acks(end).iter().find(|(start, ack)| is_before(start) && ack + bound <= event.start);
            if let Some((_, ack)) = passed.filter(|(_, ack)| !self.lost_between(*ack, event.start)) {
                let at = event.start;
                found.push(format!("I2: {by} accepted {jti} at {at}, though {end:?} was acknowledged at {ack}"));
            }
        }
        if self.lost.iter().any(|(start, end)| granted.end <= *start && end + bound <= event.start) {
            found.push(format!("I1: {by} accepted {jti} at {}, whose store was lost before", event.start));
        }
        found
    }

    /// Whether anybody had tried by then to end a token, or its store was lost.
    pub fn may_be_ended(&self, event: &Event, jti: &str) -> bool {
        let Some((granted, token)) = self.granted.get(jti) else { return true };
        let tried = |end: &End| self.begun.get(end).is_some_and(|begun| *begun <= event.end);
        let is_lost = self.lost_between(granted.start, event.end) || self.fell_with_its_epoch(token, event.end);
        is_lost || self.selectors(token).iter().any(tried)
    }

    /// I3: a refusal of a known caller has its line, unless none could be written then.
    fn refusal_line(&self, event: &Event, op: &str, decision: &str) -> Option<String> {
        let excused = decision.is_empty() || self.decisions.contains(decision) || self.was_away(event);
        (!excused).then(|| format!("I3: the refusal {decision} of a {op} at {} is not in the audit log", event.end))
    }

    fn was_away(&self, event: &Event) -> bool {
        self.away.iter().any(|(start, end)| event.end >= *start && event.start <= end + SECOND)
    }

    /// I3: an acknowledged end has its line, unless its broker was killed before the line could follow.
    fn end_line(&self, event: &Event, end: &End, decision: Option<&str>) -> Option<String> {
        let told = match (decision, end) {
            (Some(decision), _) => self.decisions.contains(decision),
            (None, End::Task { workload, task }) => self.ends_told.contains(&("task", workload, task)),
            // Of a token whose store, or epoch, is lost, nobody knows anything: to end it is no error, and nothing is done.
            (None, End::Lease(jti)) => {
                let fell = || {
                    self.granted.get(jti.as_str()).is_some_and(|(_, token)| self.fell_with_its_epoch(token, event.end))
                };
                self.ends_told.contains(&("lease", "", jti)) || self.lost_between(0, event.end) || fell()
            }
            _ => true,
        };
        let killed = |at: &Micros| *at + SECOND >= event.end && *at <= event.end + FOLLOWS;
        (!told && !self.killed.iter().any(killed))
            .then(|| format!("I3: {end:?}, acknowledged at {} ({decision:?}), is not in the audit log", event.end))
    }

    /// I5: an assertion counts once, unless the store that remembered it was lost.
    fn once(&self) -> Vec<String> {
        let mut counted: HashMap<u64, Vec<Micros>> = HashMap::new();
        for event in self.events {
            let used = match event.what {
                What::Granted { assertion, .. } => Some(assertion),
                What::Ended { assertion, .. } | What::Judged { assertion, .. } => assertion,
                _ => None,
            };
            if let Some(used) = used {
                counted.entry(used).or_default().push(event.end);
            }
        }
        counted.values_mut().for_each(|times| times.sort_unstable());
        let again = |pair: &[Micros]| !self.lost_between(pair[0], pair[1]);
        let twice = counted.into_iter().filter(|(_, times)| times.windows(2).any(again));
        twice.map(|(assertion, times)| format!("I5: assertion {assertion} counted at each of {times:?}")).collect()
    }

    /// I4: after the last fault a token was handed out, soon.
    fn came_back(&self) -> Vec<String> {
        let faults = self.events.iter().filter(|event| matches!(event.what, What::Fault { .. }));
        let last = faults.map(|event| event.end).max().unwrap_or_default();
        let recovered: Vec<_> = self.events.iter().filter(|event| matches!(event.what, What::Recovered)).collect();
        let mut found = Vec::new();
        if !recovered.iter().any(|event| event.start >= last) {
            found.push(format!("I4: no token was handed out after the last fault, which was lifted at {last}"));
        }
        for event in recovered.iter().filter(|event| event.end - event.start > RECOVERS) {
            found.push(format!("I4: it took from {} to {} to hand out a token again", event.start, event.end));
        }
        found
    }
}
