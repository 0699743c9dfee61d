//! Standing access, what was not used, ends, refusals.

use super::{CHART_ROWS, span, thousands, took};
use crate::governance::report::page::{Bars, Block, Cell, Table, Tone};
use crate::governance::report::{Quantiles, Report};

pub(super) fn standing(report: &Report) -> Vec<Block> {
    let rows = report.standing.iter().map(|each| {
        let review = match (&each.review, each.review_in_days) {
            (None, _) => Cell::Mark("no review set".into(), Tone::Bad),
            (Some(day), Some(..=0)) => Cell::Mark(format!("due since {day}"), Tone::Look),
            (Some(day), _) => Cell::Mark(format!("on {day}"), Tone::Good),
        };
        vec![
            Cell::Text(each.workload.clone()),
            Cell::Text(each.audience.clone()),
            Cell::Code(each.policy.clone()),
            Cell::Text(span(each.max_lifetime)),
            Cell::Number(each.renewed),
            review,
        ]
    });
    let table = Table {
        headings: vec!["workload", "audience", "by policy", "longest chain", "renewals of the workload", "review"],
        rows: rows.collect(),
        nothing: "No task may be renewed for 8 hours or longer.",
    };
    vec![Block::Table(table)]
}

/// What nobody could say who would have to know the other brokers.
const ONLY_THESE: &str = "No broker was asked, so it is not known whether others share its store. The patch holds where the logs of all of \
                          them were read.";

pub(super) fn unused(report: &Report) -> Vec<Block> {
    let unused = &report.unused;
    let rows = unused.unused.iter().map(|grant| {
        let whole = match (unused.policies.contains(&grant.policy), report.unread.is_empty()) {
            (true, _) => "the policy",
            (false, true) => "this part of it",
            (false, false) => "it may have been used elsewhere",
        };
        vec![
            Cell::Text(grant.workload.clone()),
            Cell::Lines(vec![grant.scope.clone(), format!("at {}", grant.audience)]),
            Cell::Code(grant.policy.clone()),
            Cell::Text(whole.into()),
        ]
    });
    let table = Table {
        headings: vec![
            "workload",
            "might have asked for",
            "by policy",
            if report.unread.is_empty() { "nobody used" } else { "not seen in these logs" },
        ],
        rows: rows.collect(),
        nothing: "Every grant was used.",
    };
    let mut blocks = vec![Block::Table(table)];
    let text = match (&unused.patch, report.total.granted, report.covers_its_period()) {
        _ if !report.unread.is_empty() => {
            "None of these is known to be unused: a broker of the same store has a log that was not read. So there is no patch. Name \
             the logs of all brokers, with --audit for each."
        }
        (_, 0, _) => "No token was granted in the period, so there is nothing to judge by, and no patch.",
        (None, ..) => "Every policy was used, at least in a part: there is nothing to remove whole.",
        (Some(_), _, true) => {
            "In the policies' folder: save the patch, look at it with the owners, then `patch -p1 < FILE` and `jitney policy check`. \
             A case in tests/ that puts a removed policy to work goes with it."
        }
        (Some(_), _, false) => {
            "The audit log holds only a part of the period: a policy may have been used before. Look at the patch with the owners, \
             then `patch -p1 < FILE` in the policies' folder and `jitney policy check`."
        }
    };
    blocks.push(Block::Text(text.into()));
    if unused.patch.is_some() && report.broker.is_none() {
        blocks.push(Block::Text(ONLY_THESE.into()));
    }
    blocks.extend(unused.patch.clone().map(Block::Code));
    blocks
}

pub(super) fn ends(report: &Report) -> Vec<Block> {
    let row = |name: String, each: &Quantiles| {
        let mut row = vec![Cell::Text(name), Cell::Number(each.count)];
        row.extend([each.p50_us, each.p95_us, each.max_us].map(|us| Cell::Text(took(us))));
        row
    };
    let rows = report.ends.iter().map(|(kind, each)| row((*kind).to_owned(), each));
    let table = Table {
        headings: vec!["what", "how often", "half of them within", "95 of 100 within", "the slowest"],
        rows: rows.collect(),
        nothing: "Nothing was ended in the period.",
    };
    let mut blocks = vec![Block::Table(table)];
    let held = &report.held;
    if held.measured > 0 {
        blocks.push(Block::Text(format!(
            "Of {} completed tasks it is known when they had their first token: half of them held access for no longer than {}, \
             95 of 100 for no longer than {}.",
            thousands(held.measured),
            took(held.p50_us),
            took(held.p95_us)
        )));
    }
    blocks
}

pub(super) fn refusals(report: &Report) -> Vec<Block> {
    let mut reasons: Vec<(&String, &u64)> = report.refusals.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let bars = Bars {
        title: "Requests refused, by reason",
        parts: ["requests", ""],
        rows: reasons.iter().take(CHART_ROWS).map(|(reason, count)| ((*reason).clone(), [**count, 0])).collect(),
        more: reasons.len().saturating_sub(CHART_ROWS),
    };
    let mut refused: Vec<_> = report
        .workloads
        .iter()
        .map(|each| (each.declared.id.as_str(), &each.activity))
        .chain(report.undeclared.iter().map(|(name, activity)| (name.as_str(), activity)))
        .filter(|(_, activity)| activity.refused > 0)
        .collect();
    refused.sort_by_key(|(_, activity)| std::cmp::Reverse(activity.refused));
    let rows = refused.iter().map(|(name, activity)| {
        vec![Cell::Text((*name).to_owned()), Cell::Number(activity.refused), Cell::Number(activity.granted)]
    });
    let table = Table {
        headings: vec!["workload", "refused", "granted"],
        rows: rows.collect(),
        nothing: "No workload that proved itself was refused anything.",
    };
    let mut blocks = Vec::new();
    if !bars.rows.is_empty() {
        blocks.push(Block::Bars(bars));
    }
    blocks.push(Block::Table(table));
    blocks.extend(probes(report));
    blocks
}

/// Who asked what would be granted. It is no use; but who asks much wants to know what a credential opens.
fn probes(report: &Report) -> Vec<Block> {
    let total = report.probes;
    if total.granted + total.refused == 0 {
        return Vec::new();
    }
    let declared = report.workloads.iter().map(|each| (each.declared.id.as_str(), &each.activity));
    let all = declared.chain(report.undeclared.iter().map(|(name, activity)| (name.as_str(), activity)));
    let mut rows: Vec<(&str, u64)> =
        all.filter(|(_, each)| each.probes > 0).map(|(name, each)| (name, each.probes)).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told = format!(
        "Probes, as `jitney doctor` makes them, are counted apart: {} would have got a token, {} would have been refused. No token \
         was made, so they are neither use nor refusals.",
        thousands(total.granted),
        thousands(total.refused)
    );
    let table = Table {
        headings: vec!["workload", "probes"],
        rows: rows.iter().map(|(name, count)| vec![Cell::Text((*name).to_owned()), Cell::Number(*count)]).collect(),
        nothing: "",
    };
    vec![Block::Text(told), Block::Table(table)]
}
