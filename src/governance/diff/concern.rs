//! Which workloads, audiences and scopes a change concerns at all: only these are weighed.
//!
//! Sound by construction: a rule that is the same in both trees, weighed among entities that are the same in both, decides the
//! same. Whatever may break this counts as concerned.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use cedar_policy::{EntityUid, PrincipalConstraint};
use cedar_policy_core::ast::{Expr, ExprKind, Var};

use crate::governance::logic::concern::{Asked, all_of, covered_by};
use crate::policy::{Audience, PolicySet, RuleView, SingleUse, Workload};

/// A rule, as far as it can make a difference.
type Key<'a> = (&'a str, Option<Duration>, Option<Duration>, Option<SingleUse>);

/// One tree's rules, by the workload they name.
pub(super) struct Index<'a> {
    pub set: &'a PolicySet,
    pub rules: Vec<RuleView<'a>>,
    own: HashMap<String, Vec<usize>>,
    shared: Vec<usize>,
}

impl<'a> Index<'a> {
    pub fn of(set: &'a PolicySet) -> Self {
        let rules: Vec<RuleView<'a>> = set.rule_views().collect();
        let (mut own, mut shared): (HashMap<String, Vec<usize>>, Vec<usize>) = (HashMap::new(), Vec::new());
        for (at, rule) in rules.iter().enumerate() {
            match rule.policy.principal_constraint() {
                PrincipalConstraint::Eq(uid) => own.entry(uid.id().unescaped().to_owned()).or_default().push(at),
                _ => shared.push(at),
            }
        }
        Self { set, rules, own, shared }
    }

    fn own(&self, workload: &str) -> &[usize] {
        self.own.get(workload).map_or(&[], Vec::as_slice)
    }

    /// The rules that may speak of a workload.
    pub fn of_workload(&self, workload: &str) -> impl Iterator<Item = &RuleView<'a>> {
        self.own(workload).iter().chain(&self.shared).map(|at| &self.rules[*at])
    }

    fn key(&self, at: usize) -> Key<'_> {
        let rule = &self.rules[at];
        let text = rule.file.text.get(rule.span.clone()).unwrap_or_default();
        (text, rule.max_ttl, rule.max_lifetime, rule.single_use)
    }

    fn keys(&self) -> HashSet<Key<'_>> {
        (0..self.rules.len()).map(|at| self.key(at)).collect()
    }

    /// Every scope that a rule's head can be.
    fn covered(&self, at: usize, found: &mut BTreeSet<Asked>) {
        covered_by(self.rules[at].policy, self.set, found);
    }
}

/// What must be weighed, by workload.
pub(super) fn concerned(base: &Index<'_>, head: &Index<'_>) -> BTreeMap<String, BTreeSet<Asked>> {
    let (audiences, mut changed) = changed_audiences(base.set, head.set);
    let workloads = changed_workloads(base.set, head.set);
    changed.extend(workloads.iter().cloned());
    let differing = Differing::of(base, head, &changed);
    let mut shared = audiences;
    for (index, rules) in [(base, &differing.base), (head, &differing.head)] {
        index.shared.iter().filter(|at| rules.contains(at)).for_each(|at| index.covered(*at, &mut shared));
    }
    let names = base.set.workloads().chain(head.set.workloads()).map(|workload| workload.id.as_str());
    let mut all: BTreeMap<String, BTreeSet<Asked>> = BTreeMap::new();
    for name in names.collect::<BTreeSet<_>>() {
        let mut asked = shared.clone();
        for (index, rules) in [(base, &differing.base), (head, &differing.head)] {
            let own = index.own(name).iter();
            own.filter(|at| rules.contains(at)).for_each(|at| index.covered(*at, &mut asked));
            if workloads.contains(name) {
                index.own(name).iter().chain(&index.shared).for_each(|at| index.covered(*at, &mut asked));
            }
        }
        if !asked.is_empty() {
            all.insert(name.to_owned(), asked);
        }
    }
    all
}

/// The rules that are not the same in both trees, and those that write out what is not.
struct Differing {
    base: HashSet<usize>,
    head: HashSet<usize>,
}

impl Differing {
    fn of(base: &Index<'_>, head: &Index<'_>, changed: &HashSet<String>) -> Self {
        let (before, after) = (base.keys(), head.keys());
        let of = |index: &Index<'_>, other: &HashSet<Key<'_>>| -> HashSet<usize> {
            let differs = |at: &usize| !other.contains(&index.key(*at)) || writes(&index.rules[*at], changed);
            (0..index.rules.len()).filter(differs).collect()
        };
        Self { base: of(base, &after), head: of(head, &before) }
    }
}

/// Whether a rule writes out an entity that changed. Its head speaks of who and what is weighed anyhow.
fn writes(rule: &RuleView<'_>, changed: &HashSet<String>) -> bool {
    !changed.is_empty()
        && rule.body.is_some()
        && rule.policy.entity_literals().iter().any(|uid: &EntityUid| changed.contains(uid.id().unescaped()))
}

/// The scopes of audiences that changed, and the audiences' names.
fn changed_audiences(base: &PolicySet, head: &PolicySet) -> (BTreeSet<Asked>, HashSet<String>) {
    let (mut found, mut names) = (BTreeSet::new(), HashSet::new());
    for audience in base.audiences().chain(head.audiences()) {
        let uri = audience.id.as_str();
        let (before, after) = (exact(base, uri), exact(head, uri));
        if before.zip(after).is_some_and(|(before, after)| is_same(before, after)) {
            continue;
        }
        names.insert(uri.to_owned());
        before.into_iter().chain(after).for_each(|audience| all_of(audience, &mut found));
        // What was an instance may be a declared scope now, and the other way round.
        names.extend(before.into_iter().chain(after).flat_map(|each| {
            let uri = each.id.clone();
            each.scopes.iter().map(move |scope| format!("{uri} {}", scope.name))
        }));
    }
    (found, names)
}

fn exact<'a>(set: &'a PolicySet, uri: &str) -> Option<&'a Audience> {
    set.audience(uri).filter(|audience| audience.id.as_str() == uri).map(|audience| &**audience)
}

fn is_same(one: &Audience, other: &Audience) -> bool {
    let names = |audience: &Audience| -> BTreeSet<String> {
        audience.scopes.iter().map(|scope| scope.name.to_string()).collect()
    };
    one.owner == other.owner
        && one.max_ttl == other.max_ttl
        && one.max_lifetime == other.max_lifetime
        && names(one) == names(other)
}

fn changed_workloads(base: &PolicySet, head: &PolicySet) -> HashSet<String> {
    let all = base.workloads().chain(head.workloads()).map(|workload| workload.id.as_str());
    let differs = |id: &&str| match (base.workload(id), head.workload(id)) {
        (Some(before), Some(after)) => !is_alike(before, after),
        _ => true,
    };
    all.filter(differs).map(str::to_owned).collect()
}

/// As policies see it, and as far as it gets anything.
fn is_alike(one: &Workload, other: &Workload) -> bool {
    one.owner == other.owner && one.purpose == other.purpose && one.gaps() == other.gaps()
}

/// Whether a condition looks at the proof of who asks.
pub(super) fn looks_at_proof(expr: &Expr) -> bool {
    let (mut whole, mut parts) = (0_usize, 0_usize);
    for each in expr.subexpressions() {
        match each.expr_kind() {
            ExprKind::Var(Var::Context) => whole += 1,
            ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
                if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
                    if attr == "identity" {
                        return true;
                    }
                    parts += 1;
                }
            }
            _ => {}
        }
    }
    whole != parts
}
