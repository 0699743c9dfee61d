//! Changes of access, and the logs behind a report.

use super::thousands;
use crate::governance::report::Report;
use crate::governance::report::page::{Block, Cell, Table, Tone, second, short};

pub(super) fn changes(report: &Report) -> Vec<Block> {
    let rows = report.changes.iter().map(|change| {
        let of = match change.what.starts_with("policies") {
            true => short(&change.of).to_owned(),
            false => change.of.clone(),
        };
        vec![
            Cell::Text(second(&change.at)),
            Cell::Text(change.what.clone()),
            Cell::Code(of),
            Cell::Text(at_least(change.leases, change.more)),
            Cell::Text(change.by.clone().unwrap_or_default()),
            Cell::Text(change.why.clone().unwrap_or_default()),
        ]
    });
    let table = Table {
        headings: vec!["when", "what", "of", "leases ended", "by", "why"],
        rows: rows.collect(),
        nothing: "The audit log has no change of access in the period.",
    };
    let mut blocks = vec![Block::Table(table)];
    if report.more_changes > 0 {
        blocks.push(Block::Text(format!("{} more stand in the audit log.", thousands(report.more_changes))));
    }
    match &report.commits {
        None => blocks.push(Block::Text(
            "The policies' folder has no history of git here: who wrote which change is not known.".into(),
        )),
        Some(commits) => {
            let rows = commits.iter().map(|each| {
                vec![
                    Cell::Text(second(&each.commit.at.rfc3339())),
                    Cell::Code(short(&each.commit.id).to_owned()),
                    Cell::Text(each.commit.author.clone()),
                    Cell::Text(each.commit.subject.clone()),
                    Cell::Lines(each.files.iter().take(8).cloned().chain(more(each.files.len())).collect()),
                ]
            });
            blocks.push(Block::Table(Table {
                headings: vec!["when", "commit", "author", "subject", "files"],
                rows: rows.collect(),
                nothing: "No commit of the period touched the policies.",
            }));
        }
    }
    blocks
}

/// How many leases: whoever ends a great many does not wait for the count.
fn at_least(leases: Option<u64>, more: bool) -> String {
    match (leases, more) {
        (None, false) => String::new(),
        (None, true) => "not counted".into(),
        (Some(count), false) => thousands(count),
        (Some(count), true) => format!("at least {}", thousands(count)),
    }
}

fn more(files: usize) -> Option<String> {
    files.checked_sub(8).filter(|more| *more > 0).map(|more| format!("and {more} more"))
}

pub(super) fn evidence(report: &Report) -> Vec<Block> {
    let rows = report.logs.iter().map(|log| {
        let is_intact = match (&log.fault, log.intact) {
            (_, true) if log.checkpoints > 0 => {
                Cell::Mark(format!("intact; {} checkpoints fit, by the keys beside them", log.checkpoints), Tone::Good)
            }
            (_, true) => Cell::Mark("intact".into(), Tone::Good),
            (fault, false) => Cell::Mark(fault.clone().unwrap_or_else(|| "not checked".into()), Tone::Bad),
        };
        let moment = |moment: &Option<String>| Cell::Text(moment.as_deref().map_or_else(|| "-".into(), second));
        vec![
            Cell::Code(log.file.clone()),
            is_intact,
            Cell::Number(log.lines),
            moment(&log.first),
            moment(&log.last),
            Cell::Code(log.head.clone().unwrap_or_else(|| "-".into())),
        ]
    });
    let table = Table {
        headings: vec!["log", "as it was written", "lines", "from", "to", "head"],
        rows: rows.collect(),
        nothing: "No audit log was read.",
    };
    let mut blocks = vec![Block::Table(table)];
    let commands: Vec<String> = report
        .logs
        .iter()
        .filter_map(|log| {
            Some(format!("jitney audit verify --file {} --head {}", quoted(&log.file), log.head.as_ref()?))
        })
        .collect();
    if !commands.is_empty() {
        blocks.push(Block::Code(commands.join("\n")));
    }
    let rows = report.controls.iter().map(|each| {
        let list = |controls: &[crate::governance::report::Control]| {
            Cell::Lines(controls.iter().map(|control| format!("{} {}", control.id, control.name)).collect())
        };
        vec![Cell::Text(each.section.to_owned()), list(each.owasp_nhi), list(each.nist_csf), list(each.sp_800_207)]
    });
    blocks.push(Block::Text("Which requirements each section is evidence for:".into()));
    blocks.push(Block::Table(Table {
        headings: vec!["section", "OWASP NHI Top 10 (2025)", "NIST CSF 2.0", "NIST SP 800-207"],
        rows: rows.collect(),
        nothing: "",
    }));
    blocks
}

/// A path as a shell reads it back.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.chars().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
