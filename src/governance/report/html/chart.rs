//! Charts as inline SVG. Every length begins at nought, every number stands beside its length, and no colour alone says anything.

use super::markup::Markup;
use crate::governance::report::page::{Bars, Columns};
use crate::governance::report::sections::thousands;

/// The width that everything is drawn for; the page scales it.
const WIDTH: f64 = 900.0;

/// Heights over time: a panel for each series, each with its own scale, which is written beside it.
pub(super) fn columns(out: &mut Markup, columns: &Columns) {
    const PANEL: f64 = 96.0;
    const TOP: f64 = 22.0;
    const LEFT: f64 = 4.0;
    let count = columns.labels.len().max(1) as f64;
    let step = (WIDTH - 2.0 * LEFT) / count;
    let height = PANEL * columns.series.len() as f64 + 20.0;
    open(out, columns.title, height);
    for (at, (name, values)) in columns.series.iter().enumerate() {
        let base = PANEL * (at as f64 + 1.0) - 6.0;
        let most = values.iter().copied().max().unwrap_or(0);
        let room = PANEL - TOP - 10.0;
        out.raw("<text class=\"name\" x=\"").number(LEFT).raw("\" y=\"").number(base - room - 8.0).raw("\">").raw(name);
        out.raw(": ").text(&thousands(values.iter().sum())).raw("; at most ").text(&thousands(most));
        out.raw(if columns.labels.first().is_some_and(|label| label.len() > 7) { " a day" } else { " a month" });
        out.raw("</text>\n<line class=\"axis\" x1=\"").number(LEFT).raw("\" y1=\"").number(base).raw("\" x2=\"");
        out.number(WIDTH - LEFT).raw("\" y2=\"").number(base).raw("\"/>\n");
        for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            // What is there at all is seen.
            let tall = (room * *value as f64 / most.max(1) as f64).max(1.0);
            out.raw("<rect class=\"a\" x=\"").number(LEFT + step * at as f64 + step * 0.1).raw("\" y=\"");
            out.number(base - tall).raw("\" width=\"").number((step * 0.8).clamp(0.8, 40.0)).raw("\" height=\"");
            out.number(tall).raw("\"><title>").text(columns.labels.get(at).map_or("", String::as_str)).raw(": ");
            out.text(&thousands(*value)).raw("</title></rect>\n");
        }
    }
    let ends = [(columns.labels.first(), LEFT, "start"), (columns.labels.last(), WIDTH - LEFT, "end")];
    // One label at each end, where there are two.
    for (label, x, anchor) in ends.into_iter().take(columns.labels.len()) {
        out.raw("<text class=\"label\" x=\"").number(x).raw("\" y=\"").number(height - 8.0).raw("\" text-anchor=\"");
        out.raw(anchor).raw("\">").text(label.map_or("", String::as_str)).raw("</text>\n");
    }
    out.raw("</svg></figure>\n");
}

/// Lengths side by side, the longest as long as there is room.
pub(super) fn bars(out: &mut Markup, bars: &Bars) {
    const ROW: f64 = 22.0;
    const NAME: f64 = 260.0;
    const NUMBER: f64 = 110.0;
    if bars.rows.is_empty() {
        return;
    }
    let most = bars.rows.iter().map(|(_, [a, b])| a + b).max().unwrap_or(0).max(1) as f64;
    let room = WIDTH - NAME - NUMBER;
    open(out, bars.title, ROW * bars.rows.len() as f64 + 6.0);
    for (at, (name, [a, b])) in bars.rows.iter().enumerate() {
        let y = ROW * at as f64 + 4.0;
        let (first, second) = (room * *a as f64 / most, room * *b as f64 / most);
        out.raw("<text class=\"label\" x=\"").number(NAME - 8.0).raw("\" y=\"").number(y + 12.0);
        out.raw("\" text-anchor=\"end\">").text(&cut(name)).raw("</text>\n");
        for (class, x, width) in [("a", NAME, first), ("b", NAME + first, second)] {
            if width > 0.0 {
                out.raw("<rect class=\"")
                    .raw(class)
                    .raw("\" x=\"")
                    .number(x)
                    .raw("\" y=\"")
                    .number(y)
                    .raw("\" width=\"");
                out.number(width.max(1.0)).raw("\" height=\"15\"/>\n");
            }
        }
        out.raw("<text class=\"label\" x=\"")
            .number(NAME + first + second + 6.0)
            .raw("\" y=\"")
            .number(y + 12.0)
            .raw("\">");
        out.text(&thousands(*a));
        if !bars.parts[1].is_empty() {
            out.raw(" / ").text(&thousands(*b));
        }
        out.raw("</text>\n");
    }
    out.raw("</svg>");
    caption(out, bars);
    out.raw("</figure>\n");
}

fn caption(out: &mut Markup, bars: &Bars) {
    let [first, second] = bars.parts;
    out.raw("<p class=\"legend\"><span class=\"key a\"></span> ").raw(first);
    if !second.is_empty() {
        out.raw(" <span class=\"key b\"></span> ").raw(second);
    }
    if bars.more > 0 {
        out.raw(". ").text(&thousands(bars.more as u64)).raw(" more are not drawn; the table has all");
    }
    out.raw("</p>");
}

fn open(out: &mut Markup, title: &'static str, height: f64) {
    out.raw("<figure><figcaption>").raw(title).raw("</figcaption>\n<svg role=\"img\" aria-label=\"").raw(title);
    out.raw("\" viewBox=\"0 0 ")
        .number(WIDTH)
        .raw(" ")
        .number(height)
        .raw("\" preserveAspectRatio=\"xMinYMin meet\">\n");
}

/// A name that fits beside its bar.
fn cut(name: &str) -> String {
    const MOST: usize = 36;
    match name.chars().count() {
        ..=MOST => name.to_owned(),
        _ => name.chars().take(MOST - 1).chain(['…']).collect(),
    }
}
