//! Declared invariants: whether what must never be possible is possible, by which request, or not shown to be impossible.
//!
//! Owns the order: scope by scope, by form, by trial, and a solver last. An invariant is a forbid in `invariants/*.cedar`; it
//! holds where nothing that it forbids is permitted without it. `docs/policy-diff.md`.

use std::collections::BTreeSet;

use cedar_policy_core::ast::Expr;
use serde_json::{Value, json};

use crate::governance::logic::concern::{Asked, covered_by, what, with_what_is_written};
use crate::governance::logic::question::Question;
use crate::governance::logic::request::Request;
use crate::governance::logic::sides::{Stand, questions};
use crate::governance::logic::solve::Solving;
use crate::governance::logic::witness::{self, Place};
use crate::policy::{Identity, Invariant, PolicySet, Proof, RuleView, What, Workload, is};

/// Where an invariant does not hold, or is not shown to.
#[derive(Debug, Clone)]
pub struct Breach {
    /// Its `@id`.
    pub invariant: String,
    /// Those that it is about, alike.
    pub workloads: Vec<String>,
    /// The audience's URI.
    pub audience: String,
    /// The scope, or the open scope whose instances it is about.
    pub scope: String,
    /// The permits that can speak there.
    pub permits: Vec<String>,
    /// A request that must not be possible, and is. None where nobody has shown that there is none.
    pub request: Option<Request>,
    /// Whether the change that breaks it takes it away as well, or has it say something else.
    pub is_of_base: bool,
    /// Whether it was in doubt before just so: what a change has nothing to do with is not held against it.
    pub is_as_before: bool,
}

/// Asks every invariant of every workload and scope that it speaks of. `before` is what the set was, where the invariants stood
/// beside that already.
pub(crate) fn breaches(
    set: &PolicySet,
    invariants: &[Invariant],
    before: Option<&PolicySet>,
    now: u64,
    solving: &mut Solving,
) -> Vec<Breach> {
    if invariants.is_empty() {
        return Vec::new();
    }
    let rules: Vec<RuleView<'_>> = set.rule_views().collect();
    let before: Option<Before<'_>> = before.map(|set| (set, set.rule_views().collect()));
    let mut found: Vec<Breach> = Vec::new();
    for invariant in invariants {
        let mut asked = BTreeSet::new();
        covered_by(&invariant.policy, set, &mut asked);
        let written = invariant.policy.entity_literals();
        asked.extend(written.iter().filter_map(|uid| {
            let (audience, name) = uid.id().unescaped().split_once(' ')?;
            (!name.ends_with(":*")).then(|| (audience.to_owned(), what(name)))
        }));
        let weighing = Weighing { set, rules: &rules, before: before.as_ref(), invariant, now };
        for workload in set.workloads() {
            for breach in weighing.of(workload, &asked, solving) {
                add(&mut found, breach);
            }
        }
    }
    found
}

/// Workloads that break it alike are told together.
fn add(found: &mut Vec<Breach>, breach: Breach) {
    let alike = |other: &&mut Breach| {
        other.invariant == breach.invariant
            && (&other.audience, &other.scope) == (&breach.audience, &breach.scope)
            && other.permits == breach.permits
            && other.request.is_some() == breach.request.is_some()
            && other.is_as_before == breach.is_as_before
    };
    match found.iter_mut().find(alike) {
        Some(other) => other.workloads.extend(breach.workloads),
        None => found.push(breach),
    }
}

/// A set as it was, and its policies.
type Before<'a> = (&'a PolicySet, Vec<RuleView<'a>>);

struct Weighing<'a> {
    set: &'a PolicySet,
    rules: &'a [RuleView<'a>],
    before: Option<&'a Before<'a>>,
    invariant: &'a Invariant,
    now: u64,
}

impl Breach {
    /// The same of an invariant that stands in BASE alone.
    pub(crate) fn of_base(self) -> Self {
        Self { is_of_base: true, ..self }
    }

    /// Whether nothing shows that it holds, and that is this change's doing.
    pub fn is_new_doubt(&self) -> bool {
        self.request.is_none() && !self.is_as_before
    }

    /// What is possible that must not be, in a sentence.
    pub fn told(&self) -> String {
        self.told_as(|workload| format!("`{workload}`"), str::to_owned)
    }

    /// The same, with workloads and other names as these write them.
    pub fn told_as(&self, workload: impl Fn(&str) -> String, name: impl Fn(&str) -> String) -> String {
        const NAMED: usize = 3;
        let named: Vec<String> = self.workloads.iter().take(NAMED).map(|each| workload(each)).collect();
        let more = match self.workloads.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let verb = if self.request.is_some() { "can mint" } else { "may be able to mint" };
        let (scope, audience) = (name(&self.scope), name(&self.audience));
        let permits = self.permits.iter().map(|permit| name(permit)).collect::<Vec<_>>().join(", ");
        format!("{}{more} {verb} {scope} at {audience}, by {permits}", named.join(", "))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "invariant": self.invariant, "is_broken": self.request.is_some(), "is_of_base": self.is_of_base,
            "is_as_before": self.is_as_before, "workloads": self.workloads,
            "audience": self.audience, "scope": self.scope, "permits": self.permits,
            "request": self.request.as_ref().map(Request::json),
        })
    }
}

impl Weighing<'_> {
    fn of(&self, workload: &Workload, asked: &BTreeSet<Asked>, solving: &mut Solving) -> Vec<Breach> {
        let all = with_what_is_written(workload.id.as_str(), asked, &[self.set]);
        all.iter().filter_map(|(audience, what)| self.at(workload, audience, what, solving)).collect()
    }

    fn at(&self, workload: &Workload, audience: &str, what: &What, solving: &mut Solving) -> Option<Breach> {
        let stand = Stand::of(self.set, self.rules, workload.id.as_str(), audience, what);
        if stand.is_empty() {
            return None;
        }
        let forbidden = self.set.seat(workload.id.as_str(), audience, what)?.left_of(&self.invariant.policy);
        if is(&forbidden, false) {
            return None;
        }
        let head = stand.side(None);
        let mut base = head.clone();
        base.forbids.push(forbidden.clone());
        let question = Question { head, base };
        if question.is_plain() {
            return None;
        }
        let place = Place { workload, audience, what, now: self.now, tries: solving.tries };
        let is_one = |request: &Request| request.decided(self.set).is_some() && request.meets(self.invariant, self.set);
        let request = match self.tried(&place, &stand, &forbidden, is_one) {
            Some(request) => Some(request),
            None => match solving.answer(&question) {
                Ok(None) => return None,
                Ok(Some(shown)) => shown.request(workload.id.as_str(), audience, what).filter(is_one),
                Err(_) => None,
            },
        };
        let is_as_before = request.is_none() && self.was_so(workload, (audience, what), &stand, &forbidden);
        let (What::Named(scope) | What::AnyOther(scope)) = what;
        Some(Breach {
            invariant: self.invariant.id.to_string(),
            workloads: vec![workload.id.to_string()],
            audience: audience.to_owned(),
            scope: scope.to_string(),
            permits: stand.permits.into_iter().map(|permit| permit.id).collect(),
            request,
            is_of_base: false,
            is_as_before,
        })
    }

    /// Whether all that is in doubt here was before: the same is forbidden, by the form of the conditions no more is permitted,
    /// and the workload proves itself by nothing else.
    fn was_so(&self, workload: &Workload, (audience, what): (&str, &What), stand: &Stand, forbidden: &Expr) -> bool {
        let Some((set, rules)) = self.before else { return false };
        let id = workload.id.as_str();
        let is_alike = set.workload(id).is_some_and(|old| proves_no_more(workload, old));
        let is_forbidden =
            set.seat(id, audience, what).is_some_and(|seat| seat.left_of(&self.invariant.policy) == *forbidden);
        let old = Stand::of(set, rules, id, audience, what);
        is_alike && is_forbidden && (*stand == old || questions(stand, &old).iter().all(Question::is_plain))
    }

    fn tried(
        &self,
        place: &Place<'_>,
        stand: &Stand,
        forbidden: &Expr,
        is_one: impl Fn(&Request) -> bool,
    ) -> Option<Request> {
        let standing = stand.permits.iter().chain(&stand.forbids).map(|standing| &standing.left);
        let conditions: Vec<&Expr> = standing.chain([forbidden]).collect();
        let limits: Vec<u64> = stand.permits.iter().map(|permit| permit.reach[0]).collect();
        witness::find(place, &conditions, &limits, is_one)
    }
}

/// Whether all that `new` can say of itself `old` could as well. Keys say nothing: who changes one changes no condition.
fn proves_no_more(new: &Workload, old: &Workload) -> bool {
    let is_same = |one: &Identity, other: &Identity| match (&one.proof, &other.proof) {
        (Proof::Oidc(one), Proof::Oidc(other)) => {
            one.issuer == other.issuer && one.claims == other.claims && one.keep == other.keep
        }
        _ => one.kind() == other.kind(),
    };
    new.identities.iter().all(|one| old.identities.iter().any(|other| is_same(one, other)))
}
