//! The report as a comment on a pull request: one table of who gains what, and below it what narrows.
//!
//! What comes from files (names, conditions, reasons) is data here: it can neither end a cell nor put a link or an image there.

use std::fmt::Write as _;

use super::Report;
use super::row::{Access, Row, Turn, Width};
use crate::model::is_hidden;

/// So many workloads are named in a row at first sight.
const NAMED: usize = 5;
/// What helps where nothing shows that an invariant holds.
const IN_DOUBT: &str = "No request was found that breaks it, and nothing proves that there is none: narrow or simplify the \
                        condition of the permit that is named, or have a solver prove it.";
/// So many rows are shown; a comment has its bounds.
const SHOWN: usize = 200;

pub(super) fn of(report: &Report) -> String {
    let mut out = format!("### What changes from {} to {}\n\n", code(&report.base), code(&report.head));
    if report.is_first {
        out.push_str("There was no such folder before: all of it is new.\n\n");
    }
    wrong(&mut out, report);
    invariants(&mut out, report);
    let (wider, other): (Vec<&Row>, Vec<&Row>) = report.rows.iter().partition(|row| row.widens());
    let _ = writeln!(out, "{}\n", verdict(report, &wider));
    if !wider.is_empty() {
        out.push_str(
            "| who | gains what | before | now | a request that shows it | stated |\n|---|---|---|---|---|---|\n",
        );
        wider.iter().take(SHOWN).for_each(|row| widening(&mut out, row));
        rest(&mut out, wider.len());
    }
    if !other.is_empty() {
        out.push_str("\nNot wider:\n\n| who | what | before | now |\n|---|---|---|---|\n");
        other.iter().take(SHOWN).for_each(|row| narrowing(&mut out, row));
        rest(&mut out, other.len());
    }
    if let Some(why) = &report.unproven {
        let _ = writeln!(out, "\nWhat is in doubt has not been proven: {}.", plain(why));
    }
    out
}

/// What is wrong with the change's own words, each with its place and its mend.
fn wrong(out: &mut String, report: &Report) {
    let parts = [
        ("**What this change states is not what widens:**", &report.findings),
        ("**An invariant cannot be read, or names what is gone, so nothing is held against it:**", &report.unread),
        ("Statements that do not count:", &report.notes),
    ];
    for (head, findings) in parts.into_iter().filter(|(_, findings)| !findings.is_empty()) {
        let _ = writeln!(out, "{head}\n");
        for finding in findings {
            let place = code(&format!("{}:{}:{}", finding.file, finding.line, finding.column));
            let mend =
                finding.help.as_deref().map_or_else(String::new, |mend| format!(". {}", plain(&first_upper(mend))));
            let _ = writeln!(out, "- {place}: {}{mend}", plain(&finding.message));
        }
        out.push('\n');
    }
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn invariants(out: &mut String, report: &Report) {
    for breach in &report.breaches {
        // As code, not as text: who copies a name of it must not copy what keeps text from becoming markup.
        let (name, told) = (code(&breach.invariant), breach.told_as(code, code));
        let _ = match &breach.request {
            Some(request) if breach.is_of_base => writeln!(
                out,
                "**The invariant {name} of the tree before is broken**, by the change that takes it away: {told}: {}\n",
                code(&request.to_string())
            ),
            Some(request) => {
                writeln!(out, "**The invariant {name} is broken**: {told}: {}\n", code(&request.to_string()))
            }
            None if breach.is_as_before => {
                writeln!(out, "The invariant {name} is not shown to hold, as before this change: {told}.\n")
            }
            None => {
                let of = if breach.is_of_base { " of the tree before" } else { "" };
                writeln!(out, "**The invariant {name}{of} is not shown to hold**: {told}. {IN_DOUBT}\n")
            }
        };
    }
    for each in &report.dropped {
        let _ = writeln!(out, "**The invariant {} {each}.**\n", code(&each.id));
    }
}

fn verdict(report: &Report, wider: &[&Row]) -> String {
    let open = report.open().count();
    match (report.rows.is_empty(), wider.len(), open) {
        (true, ..) if report.dropped.is_empty() => "**No access changes.**".into(),
        (true, ..) => "**No access changes now, but less is held against the changes to come.**".into(),
        (_, 0, _) => "**Nothing widens.**".into(),
        (_, _, 0) => "**Access widens, as this change states.**".into(),
        (_, all, open) => format!(
            "**Access widens, and this change does not say so**: {open} of {all} {} below.",
            if all == 1 { "row" } else { "rows" }
        ),
    }
}

fn widening(out: &mut String, row: &Row) {
    let request = match (&row.request, &row.proof) {
        (Some(request), _) => code(&request.to_string()),
        (None, Some(proof)) => code(&proof.to_string()),
        _ if row.width == Width::MayBeWider => "none was found; nothing proves that there is none".into(),
        _ => String::new(),
    };
    let stated = row.stated.as_deref().map_or_else(|| "**no**".to_owned(), plain);
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {request} | {stated} |",
        who(row),
        what(row),
        lines(&row.before, "nothing"),
        lines(&row.after, "nothing")
    );
}

fn narrowing(out: &mut String, row: &Row) {
    let (before, after) = (lines(&row.before, "nothing"), lines(&row.after, "nothing"));
    let _ = writeln!(out, "| {} | {} | {before} | {after} |", who(row), what(row));
}

fn rest(out: &mut String, count: usize) {
    if count > SHOWN {
        let _ = writeln!(out, "\n{} more rows: `--format json` has them all.", count - SHOWN);
    }
}

fn who(row: &Row) -> String {
    match row.workloads.is_empty() {
        true => "whoever holds such a proof".into(),
        false => names(&row.workloads),
    }
}

/// A few of them at once, the others where somebody opens them: a reviewer can see all.
fn names(workloads: &[String]) -> String {
    let told = |some: &[String]| some.iter().map(|workload| code(workload)).collect::<Vec<_>>().join(", ");
    match workloads.split_at_checked(NAMED) {
        Some((first, more)) if !more.is_empty() => {
            let (first, count, more) = (told(first), more.len(), told(more));
            format!("{first}<details><summary>and {count} more</summary>{more}</details>")
        }
        _ => told(workloads),
    }
}

fn what(row: &Row) -> String {
    let audience = row.audience.as_deref().map(code).unwrap_or_default();
    let scope = row.scope.as_deref().map(code).unwrap_or_default();
    let is_less = row.width == Width::NotWider && row.turn == Turn::Changes;
    let told = match row.access {
        Access::Grant => format!("{scope} at {audience}"),
        Access::Identity if row.turn == Turn::Loses => "can be proven by nothing".into(),
        Access::Identity if is_less => "may be proven in fewer ways".into(),
        Access::Expiry if is_less => "ends sooner".into(),
        Access::Introspection if is_less => format!("may ask about tokens as {audience}, by fewer proofs"),
        Access::Identity => "may be proven in another way".into(),
        Access::Expiry => "lasts longer".into(),
        Access::Introspection => format!("may ask about tokens as {audience}"),
    };
    match (row.width, row.turn) {
        (Width::MayBeWider, _) => format!("{told} (may widen)"),
        (_, Turn::Loses) => format!("{told} (gone)"),
        _ => told,
    }
}

fn lines(lines: &[String], none: &str) -> String {
    if lines.is_empty() {
        none.to_owned()
    } else {
        lines.iter().map(|line| code(line)).collect::<Vec<_>>().join("<br>")
    }
}

/// As code that stays within its cell, whatever it holds.
fn code(text: &str) -> String {
    let text = printable(text).replace('`', "'").replace('|', "\\|");
    format!("`{text}`")
}

/// As text of which nothing is markup.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    for c in printable(text).chars() {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | ':' | ';' | '/' | '-' | '(' | ')' | '\'' | '"' | '?') {
            shown.push('\\');
        }
        shown.push(c);
        // Neither a mention nor a reference.
        if matches!(c, '@' | '#') {
            shown.push('\u{200b}');
        }
    }
    // Nor a link of its own accord.
    shown.replace("://", ":\u{200b}//")
}

/// A line break is a space here; what would turn or hide what stands around it is shown as what it is.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => shown.push(' '),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_hides_text_is_shown_as_what_it_is() {
        assert_eq!(code("nightly\u{202e}x\u{200b}\ny"), r"`nightly\u{202e}x\u{200b} y`");
        assert_eq!(plain("a\u{202e}b"), r"a\\u\{202e\}b");
    }
}
