//! A report as Markdown, for a pull request, a wiki or a mail.
//!
//! Owns Markdown's escapes: names and reasons come from callers and operators, and must not become markup.

use std::fmt::Write as _;

use super::controls::Control;
use super::page::{Bars, Block, Cell, Columns, Page, Section, Table, Tone};
use crate::model::is_hidden;

/// Writes the page.
pub(super) fn write(page: &Page) -> String {
    let mut out = format!("# {}\n\n", text(&page.title));
    for (name, value) in &page.subtitle {
        let _ = writeln!(out, "- {name}: {}", text(value));
    }
    for alarm in &page.alarms {
        let _ = writeln!(out, "\n> **Do not rely on this report:** {}", text(alarm));
    }
    page.sections.iter().for_each(|section| write_section(&mut out, section));
    out
}

fn write_section(out: &mut String, section: &Section) {
    let _ = write!(out, "\n## {}\n\n{}\n", section.title, section.about);
    if let Some(controls) = section.controls {
        let list = |controls: &[Control]| controls.iter().map(|each| each.id).collect::<Vec<_>>().join(", ");
        let [owasp, csf, zero_trust] = [controls.owasp_nhi, controls.nist_csf, controls.sp_800_207].map(list);
        let _ = write!(out, "\n*Serves OWASP {owasp}; NIST CSF {csf}; SP 800-207 {zero_trust}.*\n");
    }
    for block in &section.blocks {
        out.push('\n');
        write_block(out, block);
    }
}

fn write_block(out: &mut String, block: &Block) {
    let _ = match block {
        Block::Text(words) => writeln!(out, "{}", text(words)),
        Block::Warning(words) => writeln!(out, "> **Look here:** {}", text(words)),
        Block::Figures(figures) => {
            let told: Vec<String> = figures.iter().map(|(count, name)| format!("**{}** {name}", text(count))).collect();
            writeln!(out, "{}", told.join(" · "))
        }
        Block::Table(table) => write_table(out, table),
        Block::Code(code) => {
            let fence = fence(code);
            writeln!(out, "{fence}\n{}\n{fence}", code.trim_end())
        }
        Block::Columns(columns) => write_columns(out, columns),
        Block::Bars(bars) => write_bars(out, bars),
    };
}

/// Longer than any run of backticks within.
fn fence(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn write_table(out: &mut String, table: &Table) -> std::fmt::Result {
    if table.rows.is_empty() {
        return writeln!(out, "{}", table.nothing);
    }
    let rules: Vec<&str> = (0..table.headings.len())
        .map(|at| if table.rows.iter().all(|row| matches!(row.get(at), Some(Cell::Number(_)))) { "--:" } else { "---" })
        .collect();
    writeln!(out, "| {} |\n| {} |", table.headings.join(" | "), rules.join(" | "))?;
    table.rows.iter().try_for_each(|row| writeln!(out, "| {} |", row.iter().map(cell).collect::<Vec<_>>().join(" | ")))
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(words) | Cell::Code(words) => text(words),
        Cell::Number(number) => number.to_string(),
        Cell::Mark(word, Tone::Good) => text(word),
        Cell::Mark(word, _) => format!("**{}**", text(word)),
        Cell::Lines(lines) | Cell::Short(lines) => lines.iter().map(|line| text(line)).collect::<Vec<_>>().join("<br>"),
    }
}

/// A chart's numbers: of more days than a month has, those of months.
fn write_columns(out: &mut String, columns: &Columns) -> std::fmt::Result {
    let months = by_month(columns).filter(|_| columns.labels.len() > 31);
    let columns = months.as_ref().unwrap_or(columns);
    let headings = std::iter::once("when").chain(columns.series.iter().map(|(name, _)| *name)).collect::<Vec<_>>();
    let rules = vec!["--:"; columns.series.len()];
    writeln!(out, "| {} |\n| --- | {} |", headings.join(" | "), rules.join(" | "))?;
    for (at, label) in columns.labels.iter().enumerate() {
        let numbers: Vec<String> =
            columns.series.iter().map(|(_, values)| values.get(at).copied().unwrap_or(0).to_string()).collect();
        writeln!(out, "| {} | {} |", text(label), numbers.join(" | "))?;
    }
    Ok(())
}

/// Sums of days; none where the labels are no days.
fn by_month(columns: &Columns) -> Option<Columns> {
    let mut labels: Vec<String> = Vec::new();
    let mut series: Vec<_> = columns.series.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for (at, day) in columns.labels.iter().enumerate() {
        let month = day.get(..7).filter(|_| day.len() == 10)?;
        if labels.last().is_none_or(|last| last != month) {
            labels.push(month.to_owned());
            series.iter_mut().for_each(|(_, sums)| sums.push(0));
        }
        for ((_, sums), (_, values)) in series.iter_mut().zip(&columns.series) {
            if let Some(sum) = sums.last_mut() {
                *sum += values.get(at).copied().unwrap_or(0);
            }
        }
    }
    Some(Columns { title: columns.title, labels, series })
}

fn write_bars(out: &mut String, bars: &Bars) -> std::fmt::Result {
    if bars.rows.is_empty() {
        return Ok(());
    }
    let [first, second] = bars.parts;
    let is_one = second.is_empty();
    match is_one {
        true => writeln!(out, "| {} | {first} |\n| --- | --: |", bars.title)?,
        false => writeln!(out, "| {} | {first} | {second} |\n| --- | --: | --: |", bars.title)?,
    }
    for (name, [a, b]) in &bars.rows {
        match is_one {
            true => writeln!(out, "| {} | {a} |", text(name))?,
            false => writeln!(out, "| {} | {a} | {b} |", text(name))?,
        }
    }
    if bars.more > 0 {
        writeln!(out, "\n{} more are not shown here.", bars.more)?;
    }
    Ok(())
}

/// Plain text as Markdown writes it: no markup, no link, no HTML, one line.
fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len() + 8);
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A code host turns a bare name into a mention, and a number into a link.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => out.extend(['\\', c]),
            c if is_hidden(c) => {
                let _ = write!(out, "\\\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    // A bare address becomes a link.
    out.replace("://", ":&#47;/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_no_markup() {
        for (written, told) in [
            ("a|b\nc", r"a\|b\\u{a}c"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("[x](https://evil)", r"\[x\](https:&#47;/evil)"),
            ("**b** `c` _d_ ~e~", r"\*\*b\*\* \`c\` \_d\_ \~e\~"),
            ("@team #12", "&#64;team &#35;12"),
            ("a\u{202e}b", r"a\\u{202e}b"),
        ] {
            assert_eq!(text(written), told);
        }
        let days = |labels: [&str; 3]| Columns {
            title: "t",
            labels: labels.map(str::to_owned).into(),
            series: vec![("a", vec![1, 2, 4])],
        };
        let months = by_month(&days(["2026-09-29", "2026-09-30", "2026-10-01"])).unwrap();
        assert_eq!(
            (months.labels, &months.series[0].1),
            (vec!["2026-09".to_owned(), "2026-10".to_owned()], &vec![3, 4])
        );
        assert!(by_month(&days(["2026-09", "2026-10", "2026-11"])).is_none());
        assert_eq!(fence("a ``` b"), "````");
        assert_eq!(fence("plain"), "```");
    }
}
