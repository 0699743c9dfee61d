//! What stands for one workload and one scope in one set: the policies that can speak, what is left of them, and to what they
//! oblige; and the questions by which two of these are compared.

use std::time::Duration;

use cedar_policy_core::ast::{Expr, Var};

use super::question::{Question, Side};
use crate::policy::{Audience, PolicySet, RuleView, SingleUse, What, is};

/// How far a token goes: seconds of its life, seconds of its chain of renewals, and leases and tasks of one platform token.
/// Smaller is stricter; what nobody limits is [`FREE`].
pub type Reach = [u64; PLACES];

/// Not limited by the set.
pub const FREE: u64 = u64::MAX;

/// How many places a [`Reach`] has.
const PLACES: usize = 3;

/// The place of a token's life.
const TTL: usize = 0;

/// A permit or a forbid where it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Its `@id`.
    pub id: String,
    /// What is left of its condition.
    pub left: Expr,
    /// How far what it permits goes, with the audience's own limits; free for a forbid.
    pub reach: Reach,
}

/// Everything that can speak for one workload and one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Stand {
    /// Those that may permit.
    pub permits: Vec<Standing>,
    /// Those that may forbid.
    pub forbids: Vec<Standing>,
}

impl Stand {
    /// What stands in `set`; nothing where the workload gets nothing at all, or the scope is not declared.
    pub fn of(set: &PolicySet, rules: &[RuleView<'_>], workload: &str, audience: &str, what: &What) -> Self {
        let mut stand = Self::default();
        let is_governed = set.workload(workload).is_some_and(|workload| workload.gaps().is_empty());
        let (Some(seat), Some(declared), true) =
            (set.seat(workload, audience, what), set.audience(audience), is_governed)
        else {
            return stand;
        };
        for residual in seat.residuals() {
            let rule = &rules[residual.rule];
            let reach = if rule.permits { reach(rule, declared) } else { [FREE; PLACES] };
            let standing = Standing { id: rule.id.to_string(), left: residual.left, reach };
            if rule.permits { stand.permits.push(standing) } else { stand.forbids.push(standing) }
        }
        // A forbid that always applies leaves nothing.
        if stand.forbids.iter().any(|forbid| is(&forbid.left, true)) {
            stand.permits.clear();
        }
        stand
    }

    /// As a side of a question about tokens that go further than `cut` says.
    pub fn side(&self, cut: Option<(usize, u64)>) -> Side {
        let goes_on = |standing: &&Standing| cut.is_none_or(|(place, limit)| standing.reach[place] > limit);
        let left = |standing: &Standing| standing.left.clone();
        // No token lives longer than was asked.
        let asked = |standing: &Standing| match cut {
            Some((TTL, limit)) => Expr::and(is_beyond(limit), standing.left.clone()),
            _ => standing.left.clone(),
        };
        Side {
            permits: self.permits.iter().filter(goes_on).map(asked).collect(),
            forbids: self.forbids.iter().map(left).collect(),
            cuts: self.permits.iter().filter(|standing| !goes_on(standing)).map(left).collect(),
        }
    }

    /// Whether nothing can be permitted.
    pub fn is_empty(&self) -> bool {
        self.permits.is_empty()
    }
}

/// All questions that together ask whether `head` allows more than `base`: first whether it allows what `base` does not,
/// then, for each limit of `base`, whether it lets more go beyond it.
pub fn questions(head: &Stand, base: &Stand) -> Vec<Question> {
    let mut cuts = vec![None];
    for place in 0..PLACES {
        let farthest = head.permits.iter().map(|permit| permit.reach[place]).max().unwrap_or(0);
        let mut limits: Vec<u64> = base.permits.iter().map(|permit| permit.reach[place]).collect();
        limits.sort_unstable();
        limits.dedup();
        cuts.extend(limits.into_iter().filter(|limit| *limit < farthest).map(|limit| Some((place, limit))));
    }
    cuts.into_iter().map(|cut| Question { head: head.side(cut), base: base.side(cut) }).collect()
}

/// `context.ttl > limit`.
fn is_beyond(limit: u64) -> Expr {
    let ttl = Expr::get_attr(Expr::var(Var::Context), "ttl".into());
    Expr::greater(ttl, Expr::val(i64::try_from(limit).unwrap_or(i64::MAX)))
}

fn reach(rule: &RuleView<'_>, audience: &Audience) -> Reach {
    let shorter = |one: Option<Duration>, other: Option<Duration>| {
        let both = one.into_iter().chain(other);
        both.map(|span| span.as_secs()).min().unwrap_or(FREE)
    };
    let uses = match rule.single_use {
        Some(SingleUse::Lease) => 0,
        Some(SingleUse::Task) => 1,
        _ => FREE,
    };
    let ttl = shorter(rule.max_ttl, audience.max_ttl);
    [ttl, shorter(rule.max_lifetime, audience.max_lifetime), uses]
}
