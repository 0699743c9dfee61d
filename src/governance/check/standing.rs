//! `standing-access`: a task that can be renewed through a working day or longer, with no day on which somebody looks at it.

use std::collections::HashMap;
use std::time::Duration;

use super::finding::Findings;
use super::shadow::{Shadows, principal};
use super::tree::Tree;
use super::ttl::audience_of;
use super::what;
use crate::model::time::format_span;
use crate::policy::{PolicySet, RuleView};

/// From here on a chain of renewals counts as standing.
const STANDING: Duration = Duration::from_secs(8 * 3600);

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let Some(set) = tree.set else { return };
    let shadows = Shadows::of(tree);
    let mut of_one: HashMap<String, (&RuleView<'_>, Duration)> = HashMap::new();
    let mut of_all: Option<(&RuleView<'_>, Duration)> = None;
    for permit in tree.rules.iter().filter(|rule| rule.permits && shadows.over(rule).is_none()) {
        let chain = longest_chain(permit, set);
        if chain < STANDING {
            continue;
        }
        match principal(permit) {
            None => of_all = of_all.filter(|(_, known)| *known >= chain).or(Some((permit, chain))),
            Some(uid) => {
                let known = of_one.entry(uid.id().unescaped().to_owned()).or_insert((permit, chain));
                if known.1 < chain {
                    *known = (permit, chain);
                }
            }
        }
    }
    for doc in tree.workloads.iter().filter(|doc| doc.field("review").is_none()) {
        let Some((permit, chain)) = of_one.get(&doc.id).copied().or(of_all) else { continue };
        let long = match chain {
            Duration::MAX => {
                "as long as the broker's configuration lets it, for neither permit nor audience has a limit".into()
            }
            chain => format!("for {}", format_span(chain)),
        };
        let told = format!(
            "a task of workload `{}` can be renewed {long} (permit `{}`), and no review is set",
            doc.id, permit.id
        );
        let mend = "set `review` to the day on which its owner looks at it again, or shorten @max_lifetime".to_owned();
        findings.at(what::standing_access(), (doc.file, 0..0), &doc.id, (told, mend));
    }
}

/// How long one task may be renewed under this permit.
fn longest_chain(permit: &RuleView<'_>, set: &PolicySet) -> Duration {
    let audience = audience_of(permit).and_then(|id| set.audience(&id).and_then(|each| each.max_lifetime));
    permit.max_lifetime.into_iter().chain(audience).min().unwrap_or(Duration::MAX)
}
