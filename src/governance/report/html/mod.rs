//! A report as one HTML file: no script, no outside resource, good to print.
//!
//! Its own policy (CSP) allows the one style sheet by its hash, and nothing else. Whatever comes from a report goes through
//! [`Markup::text`]; what is written raw is known when jitney is built.

mod chart;
mod markup;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use self::markup::Markup;
use super::controls::Controls;
use super::page::{Block, Cell, Page, Section, Table, Tone};

const STYLE: &str = include_str!("style.css");

/// Writes the page.
pub(super) fn write(page: &Page) -> String {
    let mut out = Markup::default();
    out.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    out.text(&STANDARD.encode(digest(&SHA256, STYLE.as_bytes())));
    out.raw("'; base-uri 'none'; form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    out.text(&page.title);
    out.raw("</title>\n<style>");
    out.raw(STYLE);
    out.raw("</style>\n</head>\n<body>\n<header>\n<h1>");
    out.text(&page.title);
    out.raw("</h1>\n<dl>\n");
    for (name, value) in &page.subtitle {
        out.raw("<dt>").text(name).raw("</dt><dd>").text(value).raw("</dd>\n");
    }
    out.raw("</dl>\n");
    for alarm in &page.alarms {
        out.raw("<p class=\"warning alarm\" role=\"alert\"><b>Do not rely on this report:</b> ")
            .ticked(alarm)
            .raw("</p>\n");
    }
    out.raw("<nav><ol>\n");
    for section in &page.sections {
        out.raw("<li><a href=\"#").raw(section.id).raw("\">").raw(section.title).raw("</a></li>\n");
    }
    out.raw("</ol></nav>\n</header>\n<main>\n");
    page.sections.iter().for_each(|section| write_section(&mut out, section));
    out.raw("</main>\n</body>\n</html>\n");
    out.finish()
}

fn write_section(out: &mut Markup, section: &Section) {
    out.raw("<section id=\"").raw(section.id).raw("\">\n<h2>").raw(section.title).raw("</h2>\n<p class=\"about\">");
    out.raw(section.about).raw("</p>\n");
    if let Some(controls) = section.controls {
        write_controls(out, controls);
    }
    section.blocks.iter().for_each(|block| write_block(out, block));
    out.raw("</section>\n");
}

fn write_controls(out: &mut Markup, controls: &Controls) {
    out.raw("<p class=\"serves\">");
    for (name, list) in
        [("OWASP", controls.owasp_nhi), ("NIST CSF", controls.nist_csf), ("SP 800-207", controls.sp_800_207)]
    {
        out.raw("<span>").raw(name);
        for control in list {
            out.raw(" <abbr title=\"").raw(control.name).raw("\">").raw(control.id).raw("</abbr>");
        }
        out.raw("</span> ");
    }
    out.raw("</p>\n");
}

fn write_block(out: &mut Markup, block: &Block) {
    match block {
        Block::Text(words) => {
            out.raw("<p>").ticked(words).raw("</p>\n");
        }
        Block::Warning(words) => {
            out.raw("<p class=\"warning\">").ticked(words).raw("</p>\n");
        }
        Block::Figures(figures) => {
            out.raw("<ul class=\"figures\">\n");
            for (count, name) in figures {
                out.raw("<li><b>").text(count).raw("</b> ").raw(name).raw("</li>\n");
            }
            out.raw("</ul>\n");
        }
        Block::Table(table) => write_table(out, table),
        Block::Code(code) => {
            out.raw("<pre>").lines(code.trim_end()).raw("</pre>\n");
        }
        Block::Columns(columns) => chart::columns(out, columns),
        Block::Bars(bars) => chart::bars(out, bars),
    }
}

fn write_table(out: &mut Markup, table: &Table) {
    if table.rows.is_empty() {
        out.raw("<p class=\"nothing\">").raw(table.nothing).raw("</p>\n");
        return;
    }
    out.raw("<table>\n<thead><tr>");
    for (at, heading) in table.headings.iter().enumerate() {
        let is_number = table.rows.iter().all(|row| matches!(row.get(at), Some(Cell::Number(_))));
        out.raw(if is_number { "<th scope=\"col\" class=\"n\">" } else { "<th scope=\"col\">" })
            .raw(heading)
            .raw("</th>");
    }
    out.raw("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.raw("<tr>");
        row.iter().for_each(|cell| write_cell(out, cell));
        out.raw("</tr>\n");
    }
    out.raw("</tbody>\n</table>\n");
}

fn write_cell(out: &mut Markup, cell: &Cell) {
    match cell {
        Cell::Text(words) => {
            out.raw(open(&[words])).ticked(words).raw("</td>");
        }
        Cell::Number(number) => {
            out.raw("<td class=\"n\">").text(&super::sections::thousands(*number)).raw("</td>");
        }
        Cell::Code(words) => {
            out.raw(open(&[words])).raw("<code>").text(words).raw("</code></td>");
        }
        Cell::Mark(word, tone) => {
            let mark = match tone {
                Tone::Good => "<span class=\"good\">",
                Tone::Look => "<span class=\"look\">",
                Tone::Bad => "<span class=\"bad\">",
            };
            out.raw(open(&[word])).raw(mark).text(word).raw("</span></td>");
        }
        Cell::Lines(lines) => {
            out.raw(open(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
            for (at, line) in lines.iter().enumerate() {
                out.raw(if at == 0 { "<div>" } else { "<div class=\"more\">" }).ticked(line).raw("</div>");
            }
            out.raw("</td>");
        }
        Cell::Short(lines) => {
            out.raw("<td class=\"s\">");
            for line in lines {
                out.raw("<div>").ticked(line).raw("</div>");
            }
            out.raw("</td>");
        }
    }
}

/// A cell: one with a word that no column has room for may break it anywhere, a short one is never broken.
fn open(texts: &[&str]) -> &'static str {
    const ROOM: usize = 40;
    const SHORT: usize = 20;
    if texts.iter().all(|text| text.chars().count() <= SHORT) {
        return "<td class=\"s\">";
    }
    let is_long = texts.iter().any(|text| text.split_whitespace().any(|word| word.chars().count() > ROOM));
    if is_long { "<td class=\"u\">" } else { "<td>" }
}

#[cfg(test)]
mod tests;
