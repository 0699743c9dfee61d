//! What a change does to one workload and one scope, and the order in which that is found out: by form, by trial, by a solver.

use std::collections::{BTreeSet, HashMap};

use super::concern::Index;
use super::row::{Access, Row, Turn, Width, lines};
use crate::governance::logic::concern::{Asked, with_what_is_written};
use crate::governance::logic::request::Request;
use crate::governance::logic::sides::{Stand, questions};
use crate::governance::logic::solve::Solving;
use crate::governance::logic::witness::{self, Place};
use crate::policy::What;

/// A verdict, and the request that shows it.
type Verdict = (Width, Option<Request>);

/// Weighs pairs of stands, each kind once: thousands of workloads may share one.
pub(super) struct Scale<'a> {
    base: &'a Index<'a>,
    head: &'a Index<'a>,
    now: u64,
    solving: &'a mut Solving,
    known: HashMap<(Stand, Stand), Verdict>,
}

impl<'a> Scale<'a> {
    pub fn new(base: &'a Index<'a>, head: &'a Index<'a>, now: u64, solving: &'a mut Solving) -> Self {
        Self { base, head, now, solving, known: HashMap::new() }
    }

    /// A row for each scope that is not the same for `workload` as before.
    pub fn rows(&mut self, workload: &str, asked: &BTreeSet<Asked>) -> Vec<Row> {
        let all = with_what_is_written(workload, asked, &[self.base.set, self.head.set]);
        all.iter().filter_map(|(audience, what)| self.row(workload, audience, what)).collect()
    }

    fn row(&mut self, workload: &str, audience: &str, what: &What) -> Option<Row> {
        let before = Stand::of(self.base.set, &self.base.rules, workload, audience, what);
        let after = Stand::of(self.head.set, &self.head.rules, workload, audience, what);
        if (before.is_empty() && after.is_empty()) || is_alike(&before, &after) {
            return None;
        }
        let (width, request) = self.weigh(workload, (audience, what), &before, &after);
        let turn = match (before.is_empty(), after.is_empty()) {
            (true, _) => Turn::Gains,
            (_, true) => Turn::Loses,
            _ => Turn::Changes,
        };
        // The same in other words.
        if width == Width::NotWider && turn == Turn::Changes && questions(&before, &after).iter().all(|q| q.is_plain())
        {
            return None;
        }
        // What could never be had is not gained.
        if width == Width::NotWider && turn == Turn::Gains {
            return None;
        }
        let (What::Named(scope) | What::AnyOther(scope)) = what;
        Some(Row {
            access: Access::Grant,
            turn,
            width,
            workloads: vec![workload.to_owned()],
            audience: Some(audience.to_owned()),
            scope: Some(scope.to_string()),
            before: lines(&before),
            after: lines(&after),
            policies: after.permits.iter().map(|permit| permit.id.clone()).collect(),
            request,
            proof: None,
            stated: None,
        })
    }

    fn weigh(&mut self, workload: &str, (audience, what): (&str, &What), before: &Stand, after: &Stand) -> Verdict {
        let key = (before.clone(), after.clone());
        if let Some((width, request)) = self.known.get(&key) {
            let as_here = request.clone().map(|request| Request {
                workload: workload.into(),
                audience: audience.into(),
                scope: scope_as(&request.scope, what),
                ..request
            });
            match as_here {
                None => return (*width, None),
                Some(request) if request.gains(self.head.set, self.base.set) => return (*width, Some(request)),
                // Another scope, or another way to prove itself: it is tried anew.
                Some(_) => {}
            }
        }
        let verdict = self.found_out(workload, (audience, what), before, after);
        self.known.insert(key, verdict.clone());
        verdict
    }

    fn found_out(&mut self, workload: &str, (audience, what): (&str, &What), before: &Stand, after: &Stand) -> Verdict {
        let open: Vec<_> = questions(after, before).into_iter().filter(|question| !question.is_plain()).collect();
        if open.is_empty() {
            return (Width::NotWider, None);
        }
        let sets = (self.head.set, self.base.set);
        if let Some(known) = self.head.set.workload(workload) {
            let place = Place { workload: known, audience, what, now: self.now, tries: self.solving.tries };
            if let Some(request) = witness::of_gain(&place, (after, before), sets) {
                return (Width::Wider, Some(request));
            }
        }
        let mut width = Width::NotWider;
        for question in &open {
            match self.solving.answer(question) {
                Ok(None) => {}
                Ok(Some(shown)) => {
                    let request = shown.request(workload, audience, what);
                    let is_sure = request.as_ref().is_some_and(|request| request.gains(sets.0, sets.1));
                    return (if is_sure { Width::Wider } else { Width::MayBeWider }, request.filter(|_| is_sure));
                }
                Err(_) => width = Width::MayBeWider,
            }
        }
        (width, None)
    }
}

/// The scope that is asked for here, in place of another: that one, where it is an instance of what is open here.
fn scope_as(other: &str, what: &What) -> String {
    match what {
        What::Named(name) => name.to_string(),
        What::AnyOther(open) => {
            let head = open.strip_suffix('*').unwrap_or(open);
            let is_one = other.len() > head.len() && other.starts_with(head) && !other.ends_with('*');
            if is_one { other.to_owned() } else { format!("{head}7f3a") }
        }
    }
}

/// Whether the same conditions oblige to the same, whatever the policies are called.
fn is_alike(one: &Stand, other: &Stand) -> bool {
    let holds = |one: &[_], other: &[_]| {
        let same = |a: &crate::governance::logic::sides::Standing, b: &crate::governance::logic::sides::Standing| {
            a.left == b.left && a.reach == b.reach
        };
        one.iter().all(|a| other.iter().any(|b| same(a, b)))
    };
    holds(&one.permits, &other.permits)
        && holds(&other.permits, &one.permits)
        && holds(&one.forbids, &other.forbids)
        && holds(&other.forbids, &one.forbids)
}
