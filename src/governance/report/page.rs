//! A report laid out: sections of text, figures, tables and charts, before anybody has decided how they are written.
//!
//! Owns the shapes that Markdown and HTML both write. All text in them is plain: whoever writes it escapes it.

use super::Report;
use super::controls::Controls;
use super::sections;

/// A whole report.
pub(super) struct Page {
    pub title: String,
    pub subtitle: Vec<(&'static str, String)>,
    /// What makes all of it doubtful, told before anything else.
    pub alarms: Vec<String>,
    pub sections: Vec<Section>,
}

/// One section.
pub(super) struct Section {
    pub id: &'static str,
    pub title: &'static str,
    /// What it shows, in a sentence or two.
    pub about: &'static str,
    pub controls: Option<&'static Controls>,
    pub blocks: Vec<Block>,
}

/// A part of a section.
pub(super) enum Block {
    /// A paragraph.
    Text(String),
    /// What somebody should look at.
    Warning(String),
    /// Numbers with their names.
    Figures(Vec<(String, &'static str)>),
    Table(Table),
    /// Text that is pasted, or given to a program.
    Code(String),
    /// Heights over time, a panel a series, each from nought.
    Columns(Columns),
    /// Lengths side by side, from nought.
    Bars(Bars),
}

/// Rows under headings.
pub(super) struct Table {
    pub headings: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
    /// What is said where there is no row.
    pub nothing: &'static str,
}

/// One cell.
pub(super) enum Cell {
    Text(String),
    /// A number, right-aligned.
    Number(u64),
    /// A name or a text for machines.
    Code(String),
    /// A word about a state, and whether it is a good one.
    Mark(String, Tone),
    /// Several lines: the first is what the row is about, the rest says more of it.
    Lines(Vec<String>),
    /// Several short lines of one weight, none of them broken.
    Short(Vec<String>),
}

/// How a state is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Look,
    Bad,
}

/// Heights over time.
pub(super) struct Columns {
    pub title: &'static str,
    /// Days, or months.
    pub labels: Vec<String>,
    /// A name and a height for each label.
    pub series: Vec<(&'static str, Vec<u64>)>,
}

/// Lengths side by side.
pub(super) struct Bars {
    pub title: &'static str,
    /// What the two parts of a length are.
    pub parts: [&'static str; 2],
    pub rows: Vec<(String, [u64; 2])>,
    /// So many rows more there would be.
    pub more: usize,
}

/// Lays a report out.
pub(super) fn of(report: &Report) -> Page {
    let subtitle = vec![
        ("period", format!("{} to {}", second(&report.period.since), second(&report.period.until))),
        ("made", format!("{} by jitney {}", second(&report.generated_at), report.version)),
        ("policies", format!("{} ({})", report.policies.dir, short(&report.policies.digest))),
    ];
    let alarms = sections::alarms(report);
    Page { title: "Access of workloads".into(), subtitle, alarms, sections: sections::all(report) }
}

/// A moment to the second.
pub(super) fn second(moment: &str) -> String {
    match moment.get(..19) {
        Some(second) => format!("{second}Z").replace('T', " "),
        None => moment.to_owned(),
    }
}

/// The beginning of a hash.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
