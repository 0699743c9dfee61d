//! What stands in each section of a report.

use std::collections::BTreeMap;
use std::time::Duration;

use super::controls;
use super::page::{Bars, Block, Cell, Columns, Section, Table, Tone, second, short};
use super::{Counts, LogView, Report, Workload};
use crate::model::time::format_span;

mod activity;
mod changes;

/// So many rows of a chart: what is behind them stands in the table.
const CHART_ROWS: usize = 30;

/// All sections, in their order.
pub(super) fn all(report: &Report) -> Vec<Section> {
    vec![
        section("summary", "Summary", "What the rest of this page says, in figures.", summary(report)),
        section(
            "inventory",
            "Inventory",
            "Every workload: who answers for it, why it exists, until when, how it proves itself, and whether it is used.",
            inventory(report),
        ),
        section(
            "grants",
            "What each may ask for, and asked for",
            "Computed from the policies, not declared: each scope that some policy could permit, its limits and conditions, and \
             how many tokens of the period used it.",
            grants(report),
        ),
        section(
            "standing",
            "Standing access and its review",
            "Tasks that may be renewed for 8 hours or longer, and the day on which somebody looks at them again.",
            activity::standing(report),
        ),
        section(
            "unused",
            "Grants that nobody used",
            "What could be asked for and was not. The patch removes the policies that no token of the period rests on.",
            activity::unused(report),
        ),
        section(
            "ends",
            "Ends, and how fast they took",
            "Tokens that were ended before their time. The time is that from the request to the store's word that the end is held, \
             as the broker measured it; from then on no broker takes the token.",
            activity::ends(report),
        ),
        section(
            "refusals",
            "Refusals",
            "Requests that got nothing, by reason. Callers that proved nothing are counted together.",
            activity::refusals(report),
        ),
        section(
            "changes",
            "Changes of access",
            "What changed who may have what: policies that came into force, quarantines, revocations, keys.",
            changes::changes(report),
        ),
        section(
            "evidence",
            "The evidence",
            "The audit logs behind this page. Each line holds the hash of the one before it: keep the head, and later check that \
             it still stands in the log.",
            changes::evidence(report),
        ),
    ]
}

fn section(id: &'static str, title: &'static str, about: &'static str, blocks: Vec<Block>) -> Section {
    Section { id, title, about, controls: controls::of(id), blocks }
}

fn summary(report: &Report) -> Vec<Block> {
    let state = |wanted: &str| report.workloads.iter().filter(|each| each.declared.state == wanted).count() as u64;
    let figures: [(u64, &str); 8] = [
        (report.workloads.len() as u64, "workloads"),
        (state("ok"), "may get tokens now"),
        (report.audiences.len() as u64, "audiences"),
        (report.unused.grants as u64, "grants"),
        (
            report.unused.unused.len() as u64,
            if report.unread.is_empty() { "grants not used" } else { "grants not seen in use" },
        ),
        (report.total.granted, "tokens granted"),
        (report.total.refused, "requests refused"),
        (report.total.ended, "ends"),
    ];
    let figures = figures.map(|(count, name)| (thousands(count), if count == 1 { one_of(name) } else { name }));
    let mut blocks = vec![Block::Figures(figures.into())];
    blocks.extend(warnings(report).into_iter().map(Block::Warning));
    blocks.extend(over_time(&report.days).map(Block::Columns));
    blocks
}

/// The name of a figure that is one.
fn one_of(name: &'static str) -> &'static str {
    match name {
        "workloads" => "workload",
        "audiences" => "audience",
        "grants" => "grant",
        "grants not used" => "grant not used",
        "grants not seen in use" => "grant not seen in use",
        "tokens granted" => "token granted",
        "requests refused" => "request refused",
        "ends" => "end",
        other => other,
    }
}

/// What makes all of the report doubtful.
pub(super) fn alarms(report: &Report) -> Vec<String> {
    let told = |log: &LogView| {
        let fault = log.fault.as_deref().unwrap_or("not checked");
        format!("The audit log {} is not as it was written ({fault}): what is counted here proves nothing.", log.file)
    };
    report.logs.iter().filter(|log| !log.intact).map(told).collect()
}

/// What a reader has to know before believing the rest.
fn warnings(report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    match report.logs_begin() {
        _ if report.logs.is_empty() => found.push("No audit log was read: nothing is known of what was used.".into()),
        Some(first) if !report.covers_its_period() => found.push(format!(
            "The audit log begins at {}, after the period does: what happened before is not counted.",
            second(first)
        )),
        // Of one that is not intact nothing is known, and that has been said.
        None if report.logs.iter().any(|log| !log.intact) => {}
        None => found.push("The audit log has no line: nothing is known of what was used.".into()),
        Some(_) => {}
    }
    if !report.unread.is_empty() {
        let (log, of) = if report.unread.len() == 1 { ("log", "broker") } else { ("logs", "brokers") };
        found.push(format!(
            "Not read: the {log} of {of} {}, on the same store. What was granted there is not counted, and no grant is known to be \
             unused.",
            report.unread.join(", ")
        ));
    }
    if let Some(why) = &report.policies.does_not_load {
        found.push(format!(
            "The folder {} does not load ({why}). This page tells of the policies that the broker has in use; what is missing: a \
             patch for grants that nobody used. Findings and commits are those of the folder.",
            report.policies.dir
        ));
    }
    if let Some(broker) = report.broker.as_ref().filter(|broker| broker.digest != report.policies.digest) {
        found.push(format!(
            "The broker {} has other policies in force ({}) than this page tells of ({}).",
            broker.name,
            short(&broker.digest),
            short(&report.policies.digest)
        ));
    }
    let open = |level| report.policies.findings.get(level).copied().unwrap_or(0);
    if open("error") + open("warning") > 0 {
        found.push(format!(
            "`jitney policy check` finds something in these policies: errors {}, warnings {}.",
            open("error"),
            open("warning")
        ));
    }
    if !report.undeclared.is_empty() {
        let names: Vec<&str> = report.undeclared.keys().take(10).map(String::as_str).collect();
        found.push(format!(
            "Named in the audit log and declared by no file any more: {}{}.",
            names.join(", "),
            report
                .undeclared
                .len()
                .checked_sub(names.len())
                .filter(|more| *more > 0)
                .map_or_else(String::new, |more| format!(" and {more} more"))
        ));
    }
    found
}

/// By day, or by month where there are too many days to tell apart.
fn over_time(days: &BTreeMap<String, Counts>) -> Option<Columns> {
    const MOST: usize = 100;
    let mut spans: BTreeMap<String, Counts> = BTreeMap::new();
    for (day, counts) in every_day(days) {
        let label = if days_between(days) > MOST { day.get(..7).unwrap_or(&day).to_owned() } else { day };
        let sum = spans.entry(label).or_default();
        sum.granted += counts.granted;
        sum.refused += counts.refused;
        sum.ended += counts.ended;
    }
    if spans.is_empty() {
        return None;
    }
    let of = |pick: fn(&Counts) -> u64| spans.values().map(pick).collect();
    Some(Columns {
        title: "Tokens granted, requests refused, ends",
        series: vec![("granted", of(|c| c.granted)), ("refused", of(|c| c.refused)), ("ended", of(|c| c.ended))],
        labels: spans.into_keys().collect(),
    })
}

fn date(day: &str) -> Option<time::Date> {
    let number = |range: std::ops::Range<usize>| day.get(range)?.parse::<i32>().ok();
    let month = time::Month::try_from(u8::try_from(number(5..7)?).ok()?).ok()?;
    time::Date::from_calendar_date(number(0..4)?, month, u8::try_from(number(8..10)?).ok()?).ok()
}

fn days_between(days: &BTreeMap<String, Counts>) -> usize {
    let ends = days.keys().next().and_then(|day| date(day)).zip(days.keys().next_back().and_then(|day| date(day)));
    ends.map_or(0, |(first, last)| usize::try_from((last - first).whole_days() + 1).unwrap_or(usize::MAX))
}

/// Days on which nothing happened are days too: a chart without them would lie.
fn every_day(days: &BTreeMap<String, Counts>) -> Vec<(String, Counts)> {
    let Some(mut at) = days.keys().next().and_then(|day| date(day)) else { return Vec::new() };
    let mut all = Vec::new();
    // Ten years, whatever a line's moment says.
    for _ in 0..days_between(days).min(3660) {
        let name = format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day());
        all.push((name.clone(), days.get(&name).copied().unwrap_or_default()));
        let Some(next) = at.next_day() else { break };
        at = next;
    }
    all
}

fn inventory(report: &Report) -> Vec<Block> {
    let rows = report.workloads.iter().map(|workload| {
        let view = &workload.declared;
        let proofs = view.identities.iter().map(|each| match &each.issuer {
            Some(issuer) => format!("{} of {issuer}", each.kind),
            None => each.kind.to_owned(),
        });
        vec![
            named(&view.id, &view.purpose, &view.owner),
            state(workload),
            Cell::Short(dates(workload)),
            Cell::Lines(proofs.collect()),
            last(workload),
            Cell::Number(workload.activity.granted),
        ]
    });
    let table = Table {
        headings: vec!["workload", "state", "dates", "proves itself by", "last token", "tokens"],
        rows: rows.collect(),
        nothing: "The policies declare no workload.",
    };
    let audiences = report.audiences.iter().map(|audience| {
        vec![
            named(&audience.id, &audience.purpose, &audience.owner),
            Cell::Lines(audience.scopes.iter().map(|(scope, about)| format!("{scope}: {about}")).collect()),
            at_most(audience.max_ttl, audience.max_lifetime),
        ]
    });
    let audiences = Table {
        headings: vec!["audience", "scopes", "at most"],
        rows: audiences.collect(),
        nothing: "The policies declare no audience.",
    };
    let mut soon: Vec<(String, [u64; 2])> = report
        .workloads
        .iter()
        .filter_map(|each| {
            let days = u64::try_from(each.declared.expires_in_days?).unwrap_or(0);
            Some((each.declared.id.clone(), [days, 0]))
        })
        .collect();
    soon.sort_by_key(|(_, [days, _])| *days);
    let more = soon.len().saturating_sub(CHART_ROWS);
    soon.truncate(CHART_ROWS);
    let left = Bars { title: "Days until each workload expires", parts: ["days left", ""], rows: soon, more };
    vec![Block::Table(table), Block::Bars(left), Block::Table(audiences)]
}

/// A name, what it is for, and who answers for it.
fn named(id: &str, purpose: &Option<String>, owner: &Option<String>) -> Cell {
    let owner = owner.clone().unwrap_or_else(|| "nobody answers for it".into());
    Cell::Lines(std::iter::once(id.to_owned()).chain(purpose.clone()).chain([owner]).collect())
}

fn at_most(ttl: Option<u64>, lifetime: Option<u64>) -> Cell {
    Cell::Short(vec![format!("{} a token", span(ttl)), format!("{} a chain", span(lifetime))])
}

fn last(workload: &Workload) -> Cell {
    match &workload.activity.last_grant {
        None => Cell::Short(vec!["none in the log".into()]),
        Some(last) => Cell::Short(second(last).split(' ').map(str::to_owned).collect()),
    }
}

fn state(workload: &Workload) -> Cell {
    let tone = match workload.declared.state {
        "ok" => Tone::Good,
        "quarantined" => Tone::Bad,
        _ => Tone::Look,
    };
    Cell::Mark(workload.declared.state.to_owned(), tone)
}

fn dates(workload: &Workload) -> Vec<String> {
    let view = &workload.declared;
    let mut lines = Vec::new();
    let mut line = |name: &str, date: String| lines.push(format!("{name} {date}"));
    if let Some(story) = &workload.history {
        line("created", story.created.at.rfc3339().get(..10).unwrap_or_default().to_owned());
        line("changed", story.changed.at.rfc3339().get(..10).unwrap_or_default().to_owned());
    }
    line("expires", view.expires.clone().unwrap_or_else(|| "never set".into()));
    if let Some(review) = &view.review {
        let overdue = if view.review_in_days.is_some_and(|days| days <= 0) { " (due)" } else { "" };
        line("review", format!("{review}{overdue}"));
    }
    lines
}

fn grants(report: &Report) -> Vec<Block> {
    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for workload in &report.workloads {
        let used = workload.usage.iter().filter(|usage| usage.last.is_some()).count() as u64;
        bars.push((workload.declared.id.clone(), [used, workload.usage.len() as u64 - used]));
        for (grant, usage) in workload.declared.grants.iter().zip(&workload.usage) {
            let conditions = match grant.conditions.is_empty() {
                true => vec!["always".to_owned()],
                false => grant.conditions.clone(),
            };
            rows.push(vec![
                Cell::Text(workload.declared.id.clone()),
                Cell::Lines(vec![grant.scope.clone(), format!("at {}", grant.audience)]),
                at_most(grant.max_ttl, grant.max_lifetime),
                Cell::Lines(conditions),
                Cell::Lines(vec![grant.policy.clone(), format!("{}:{}", grant.file, grant.line)]),
                Cell::Number(usage.used),
            ]);
        }
    }
    // Those with the most unused first: that is where there is something to do.
    bars.sort_by_key(|(_, [_, unused])| std::cmp::Reverse(*unused));
    let more = bars.len().saturating_sub(CHART_ROWS);
    bars.truncate(CHART_ROWS);
    let table = Table {
        headings: vec!["workload", "may ask for", "at most", "where", "by policy", "tokens"],
        rows,
        nothing: "No policy grants anybody anything.",
    };
    let (title, not_used) = match report.unread.is_empty() {
        true => ("Grants used and not used in the period, by workload", "not used"),
        false => ("Grants used in the period, by the logs that were read", "not seen"),
    };
    vec![Block::Bars(Bars { title, parts: ["used", not_used], rows: bars, more }), Block::Table(table)]
}

/// A number of seconds as people say it.
fn span(secs: Option<u64>) -> String {
    secs.map_or_else(|| "no limit".into(), |secs| format_span(Duration::from_secs(secs)))
}

/// `1 234 567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped: Vec<String> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    grouped.join("\u{202f}")
}

/// Microseconds as people say them.
fn took(us: Option<u64>) -> String {
    match us {
        None => "not measured".into(),
        Some(us @ ..1000) => format!("{us} µs"),
        Some(us @ ..1_000_000) => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        Some(us @ ..120_000_000) => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        Some(us) => format!("{} min", us / 60_000_000),
    }
}
