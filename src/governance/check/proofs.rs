//! `permit-never`, `permit-shadowed`, `condition-fails` by proof, and `proof-missing`: what form alone does not tell.
//!
//! A policy that some request puts to work is left alone at once. Only what none is found for goes to a solver.

use std::collections::BTreeSet;

use cedar_policy_core::ast::Expr;

use super::finding::Findings;
use super::tree::Tree;
use super::what;
use crate::governance::logic::concern::{Asked, covered_by, with_what_is_written};
use crate::governance::logic::question::{Question, Side, cannot_fail};
use crate::governance::logic::request::Request;
use crate::governance::logic::sides::{Stand, Standing};
use crate::governance::logic::solve::Solving;
use crate::governance::logic::witness::{self, Place};
use crate::policy::{PolicySet, RuleView, What};

/// What came of one policy, over all workloads and scopes that it can speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// For every request its condition fails.
    Fails,
    /// For none does it hold.
    Never,
    /// Where it holds, a forbid does too.
    Shadowed,
    /// Nobody knows.
    Unknown,
    /// It applies to some request.
    Lives,
}

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings, solving: &mut Solving) {
    let Some(set) = tree.set else { return };
    let told: BTreeSet<String> = findings
        .all
        .iter()
        .filter(|finding| ["permit-never", "permit-shadowed"].contains(&finding.rule.code))
        .map(|finding| finding.subject.clone())
        .collect();
    let asking = Asking { set, rules: &tree.rules, now: tree.now.secs(), tries: solving.tries };
    for rule in tree.rules.iter().filter(|rule| !told.contains(&**rule.id)) {
        let is_odd = rule.body.is_some_and(|body| !cannot_fail(body));
        if !rule.permits && !is_odd {
            continue;
        }
        let id = rule.id;
        let kind = if rule.permits { "permit" } else { "forbid" };
        let (rule_of, told, mend) = match asking.fate(rule, solving) {
            Fate::Lives => continue,
            Fate::Fails if rule.permits => (
                what::condition_fails(),
                format!("the condition of permit `{id}` fails for every request, so it grants nothing"),
                "correct the sum that overflows, or what else fails",
            ),
            Fate::Fails => (
                what::condition_fails(),
                format!(
                    "the condition of forbid `{id}` fails for every request, so it forbids all that its head names"
                ),
                "correct the sum that overflows, or what else fails; leave the condition out where all is to be forbidden",
            ),
            // A forbid without effect forbids nothing, which is told where it is meant to.
            _ if !rule.permits => continue,
            Fate::Never => (
                what::permit_never(),
                format!("permit `{id}` can never apply: it is proven that its condition holds for no request"),
                "correct the condition, or delete the policy",
            ),
            Fate::Shadowed => (
                what::permit_shadowed(),
                format!("permit `{id}` gives nothing: it is proven that forbids take all of it away"),
                "delete the permit, or narrow the forbid with `unless`",
            ),
            Fate::Unknown => (
                what::proof_missing(),
                format!("no request was found to which {kind} `{id}` applies, and nothing shows that there is none"),
                "say it in a plainer way, or give the solver more time with --budget",
            ),
        };
        findings.at(rule_of, (rule.file, rule.span.clone()), id, (told, mend.into()));
    }
}

struct Asking<'a> {
    set: &'a PolicySet,
    rules: &'a [RuleView<'a>],
    now: u64,
    tries: usize,
}

impl Asking<'_> {
    /// The best that any workload and scope makes of it.
    fn fate(&self, rule: &RuleView<'_>, solving: &mut Solving) -> Fate {
        let mut asked = BTreeSet::new();
        covered_by(rule.policy, self.set, &mut asked);
        let named = super::shadow::principal(rule);
        let workloads = self
            .set
            .workloads()
            .filter(|workload| named.as_ref().is_none_or(|uid| uid.id().unescaped() == workload.id.as_str()));
        let mut fate = None;
        for workload in workloads {
            for (audience, what) in with_what_is_written(workload.id.as_str(), &asked, &[self.set]) {
                let here = self.at(rule, workload.id.as_str(), &(audience, what), solving);
                if here == Some(Fate::Lives) {
                    return Fate::Lives;
                }
                fate = fate.max(here);
            }
        }
        // Whom it names is not there: that is told by others.
        fate.unwrap_or(Fate::Lives)
    }

    fn at(&self, rule: &RuleView<'_>, workload: &str, (audience, what): &Asked, solving: &mut Solving) -> Option<Fate> {
        let stand = Stand::of(self.set, self.rules, workload, audience, what);
        let all = if rule.permits { &stand.permits } else { &stand.forbids };
        let own = &all.iter().find(|standing| *standing.id == **rule.id)?.left;
        if rule.permits && self.is_put_to_work(rule, workload, (audience, what), &stand) {
            return Some(Fate::Lives);
        }
        let forbids: Vec<Expr> = stand.forbids.iter().map(|forbid| forbid.left.clone()).collect();
        let mut is_empty = |permit: Expr, forbids: Vec<Expr>| {
            let head = Side { permits: vec![permit], forbids, cuts: Vec::new() };
            let question = Question { head, base: Side::default() };
            if question.is_plain() { Some(true) } else { solving.answer(&question).ok().map(|shown| shown.is_none()) }
        };
        if rule.permits {
            match is_empty(own.clone(), forbids) {
                Some(true) => {}
                Some(false) => return Some(Fate::Lives),
                None => return Some(Fate::Unknown),
            }
        }
        let never = is_empty(own.clone(), Vec::new());
        Some(match never {
            Some(true) if cannot_fail(own) => Fate::Never,
            Some(true) => match is_empty(Expr::not(own.clone()), Vec::new()) {
                Some(true) => Fate::Fails,
                _ => Fate::Never,
            },
            Some(false) if !rule.permits => Fate::Lives,
            Some(false) => Fate::Shadowed,
            None if rule.permits => Fate::Shadowed,
            None => Fate::Unknown,
        })
    }

    fn is_put_to_work(
        &self,
        rule: &RuleView<'_>,
        workload: &str,
        (audience, what): (&str, &What),
        stand: &Stand,
    ) -> bool {
        let Some(workload) = self.set.workload(workload) else { return false };
        let place = Place { workload, audience, what, now: self.now, tries: self.tries };
        let all = || stand.permits.iter().chain(&stand.forbids);
        let conditions: Vec<&Expr> = all().map(|standing: &Standing| &standing.left).collect();
        let limits: Vec<u64> = all().map(|standing| standing.reach[0]).collect();
        let works = |request: &Request| {
            request.decided(self.set).is_some_and(|grant| grant.policies().iter().any(|id| id == rule.id))
        };
        witness::find(&place, &conditions, &limits, works).is_some()
    }
}
