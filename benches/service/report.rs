//! Tells what was measured: tables in Markdown, to be read in a terminal as they are and pasted into a page, and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::bout::{Comparison, Goal, Outcome, Side};
use super::measure::{Spread, Turn};

/// A column of the first table.
type Column = (&'static str, fn(&Turn) -> f64);

const COLUMNS: [Column; 6] = [
    ("CPU µs", Turn::cpu_us),
    ("p50 µs", Turn::p50_us),
    ("p99 µs", Turn::p99_us),
    ("requests/s", Turn::rate),
    ("core busy %", Turn::busy),
    ("load's CPU µs", Turn::load_us),
];

/// All of it as text: what each side took, and each ratio beside its goal.
pub fn text(outcomes: &[Outcome]) -> String {
    let mut out = String::from("Medians of rounds, and the least and most of them.\n\n");
    for outcome in outcomes {
        let (bout, (rounds, requests)) = (outcome.bout, outcome.size());
        let connections = bout.connections;
        let _ = writeln!(out, "{}, {connections} connections, {rounds} rounds of {requests} requests:\n", bout.name);
        sides(&mut out, outcome);
    }
    let _ = writeln!(out, "| measure | beside | ratio | goal | |\n|---|---|---|---|---|");
    for (outcome, comparison) in compared(outcomes) {
        ratio(&mut out, outcome, comparison);
    }
    out
}

fn sides(out: &mut String, outcome: &Outcome) {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(out, "| a request | {} |\n|---|{}", names.join(" | "), "---|".repeat(COLUMNS.len()));
    for side in outcome.sides() {
        let cells = COLUMNS.iter().filter_map(|(_, of)| outcome.figure(side, of)).map(|figure| shown(figure, 0));
        let _ = writeln!(out, "| {} | {} |", name(side), cells.collect::<Vec<_>>().join(" | "));
    }
    out.push('\n');
}

fn ratio(out: &mut String, outcome: &Outcome, comparison: &Comparison) {
    let (figure, one, other, goal) = comparison;
    let (measured, verdict) = match outcome.ratio(comparison) {
        Some(ratio) => (shown(ratio, 2), if goal.is_met(ratio.median) { "met" } else { "NOT met" }),
        None => ("–".to_owned(), "not measured"),
    };
    let _ = writeln!(
        out,
        "| {}: {}, {} connections | {} | {measured} | {} | {verdict} |",
        figure.name(),
        name(*one),
        outcome.bout.connections,
        name(*other),
        bound(*goal),
    );
}

/// Each comparison of each bout.
pub fn compared(outcomes: &[Outcome]) -> impl Iterator<Item = (&Outcome, &Comparison)> {
    outcomes.iter().flat_map(|outcome| outcome.bout.comparisons.iter().map(move |comparison| (outcome, comparison)))
}

/// Who is asked, and for what.
pub fn name(Side(party, kind): Side) -> String {
    format!("{}, {}", kind.name(), party.name())
}

/// A goal as a reader takes it.
pub fn bound(goal: Goal) -> String {
    match goal {
        Goal::AtMost(most) => format!("≤ {most} ×"),
        Goal::AtLeast(least) => format!("≥ {least} ×"),
    }
}

fn shown(figure: Spread, digits: usize) -> String {
    let Spread { least, median, most } = figure;
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

/// The same for programs.
pub fn json(outcomes: &[Outcome]) -> Value {
    let sides = outcomes.iter().flat_map(|outcome| outcome.sides().map(move |side| (outcome, side)));
    let sides = sides.map(|(outcome, side)| {
        let figures = COLUMNS.iter().map(|(name, of)| ((*name).to_owned(), json!(outcome.figure(side, of))));
        json!({
            "bout": outcome.bout.name,
            "connections": outcome.bout.connections,
            "rounds": outcome.size().0,
            "requests": outcome.size().1,
            "asked": side.0.name(),
            "for": side.1.name(),
            "figures": figures.collect::<serde_json::Map<_, _>>(),
        })
    });
    let ratios = compared(outcomes).map(|(outcome, comparison)| {
        let (figure, one, other, goal) = comparison;
        let ratio = outcome.ratio(comparison);
        let goal_of = |goal: Goal| match goal {
            Goal::AtMost(most) => json!({ "at_most": most }),
            Goal::AtLeast(least) => json!({ "at_least": least }),
        };
        json!({
            "bout": outcome.bout.name,
            "figure": figure.name(),
            "measure": name(*one),
            "beside": name(*other),
            "ratio": ratio,
            "goal": goal_of(*goal),
            "met": ratio.map(|ratio| goal.is_met(ratio.median)),
        })
    });
    json!({
        "sides": sides.collect::<Vec<_>>(),
        "ratios": ratios.collect::<Vec<_>>(),
    })
}
