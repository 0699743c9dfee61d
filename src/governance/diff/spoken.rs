//! Whether an invariant still speaks of what it spoke of: of something at all, and of an audience that is only spelled otherwise.
//!
//! Looks at what workloads and scopes settle of its condition, whatever form it has. Never says whether it holds. Sets of many
//! thousands are not gone through to their end: what was not looked at counts as spoken of.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::governance::logic::concern::{Asked, covered_by};
use cedar_policy_core::ast::PatternElem;

use crate::governance::logic::facts::{BUDGET, Facts, Test};
use crate::policy::{Invariant, PolicySet, What, Workload, is};

/// So many pairs of workload and scope are looked at in one set.
const MOST: usize = 20_000;

/// Of what an invariant does not speak any more, for people: `written` as it stands in `base`, `now` as it reads in `head`. Only
/// workloads count that are in both as they were: who goes, or gets another owner, is no matter of the invariant's words.
pub(super) fn silenced(base: &PolicySet, head: &PolicySet, written: &Invariant, now: &Invariant) -> Option<String> {
    let is_in_both = |old: &&Arc<Workload>| head.workload(old.id.as_str()).is_some_and(|new| is_as_it_was(old, new));
    let workloads: Vec<&str> = base.workloads().filter(is_in_both).map(|workload| workload.id.as_str()).collect();
    let (mut before, mut after) = (Look::at(base, written), Look::at(head, now));
    match respelled(&workloads, &mut before, &mut after) {
        None => altogether(&workloads, &mut before, &mut after),
        found => found,
    }
}

/// An audience that it was about, and by its other spelling is not.
fn respelled(workloads: &[&str], before: &mut Look<'_>, after: &mut Look<'_>) -> Option<String> {
    let other = |uri: &str| after.set.audience(uri).map(|twin| twin.id.as_str()).filter(|twin| *twin != uri);
    let of_those = before.asked.iter().filter_map(|(uri, what)| Some((uri.clone(), other(uri)?, what.clone())));
    for (uri, twin, what) in of_those.collect::<Vec<_>>() {
        for of in workloads {
            let stands = after.set.seat(of, twin, &what).is_some();
            if stands && before.speaks(of, &uri, &what)? && !after.speaks(of, twin, &what)? {
                return Some(format!("{}, which is `{twin}` by now", told(of, &uri, &what)));
            }
        }
    }
    None
}

/// The first that it was about, where all that it was about is nothing now.
fn altogether(workloads: &[&str], before: &mut Look<'_>, after: &mut Look<'_>) -> Option<String> {
    let mut first = None;
    for of in workloads {
        let Some(place) = before.first(of)? else { continue };
        if after.first(of)?.is_some() {
            return None;
        }
        first.get_or_insert(place);
    }
    first
}

fn told(workload: &str, audience: &str, what: &What) -> String {
    let (What::Named(name) | What::AnyOther(name)) = what;
    format!("`{workload}` and `{name}` at `{audience}`")
}

fn is_as_it_was(old: &Workload, new: &Workload) -> bool {
    (&old.owner, &old.purpose) == (&new.owner, &new.purpose)
}

struct Look<'a> {
    set: &'a PolicySet,
    invariant: &'a Invariant,
    /// What its head can be.
    asked: BTreeSet<Asked>,
    left: usize,
}

impl<'a> Look<'a> {
    fn at(set: &'a PolicySet, invariant: &'a Invariant) -> Self {
        let mut asked = BTreeSet::new();
        covered_by(&invariant.policy, set, &mut asked);
        Self { set, invariant, asked, left: MOST }
    }

    /// Whether there may be a request of this workload for this that it is about; none where too much was looked at already.
    fn speaks(&mut self, workload: &str, audience: &str, what: &What) -> Option<bool> {
        self.left = self.left.checked_sub(1)?;
        let Some(seat) = self.set.seat(workload, audience, what) else { return Some(false) };
        let left = seat.left_of(&self.invariant.policy);
        let mut facts = Facts::default();
        if let What::AnyOther(open) = what {
            let letters = open.strip_suffix('*').unwrap_or(open).chars().map(PatternElem::Char);
            let is_instance = letters.chain([PatternElem::Wildcard]).collect::<Vec<_>>().into();
            facts.must("resource.name", Test::Like(is_instance, true));
            facts.is("resource.audience.id", audience);
        }
        Some(!is(&left, false) && facts.can_hold(&[(&left, true)], &mut BUDGET.clone()))
    }

    /// The first of this workload, for people.
    fn first(&mut self, workload: &str) -> Option<Option<String>> {
        for (audience, what) in self.asked.clone() {
            if self.speaks(workload, &audience, &what)? {
                return Some(Some(told(workload, &audience, &what)));
            }
        }
        Some(None)
    }
}
