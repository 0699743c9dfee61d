//! `jitney man`: the manual pages, made of the very help that the commands print.
//!
//! Owns how a page is laid out. Never has words of its own about a command.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::policy::closest;

use super::args::{Cli, ManArgs};
use super::{Failure, output};

const SOURCE: &str = concat!("jitney ", env!("CARGO_PKG_VERSION"));

/// Prints the main page, or writes a page for each command.
///
/// # Errors
/// [`Failure`] where a page cannot be written.
pub fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    // What `help` says of a command is its page.
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    match &args.dir {
        None => output::raw(&page(named(&all, &args.of)?)?)?,
        Some(dir) => {
            let count = write(&all, dir).map_err(|error| unwritten(dir, &error))?;
            output::line(format_args!("{} written to {}", output::counted(count, "page"), dir.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that these words name.
fn named<'a>(all: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    let mut command = all;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let near = closest(word, command.get_subcommands().map(Command::get_name));
            let meant = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
            Failure::usage(
                format!("{} has no command `{word}`{meant}", command.get_bin_name().unwrap_or("jitney")),
                "name a command as its help does: jitney man lease revoke",
            )
        })?;
    }
    Ok(command)
}

/// Writes the page of a command and those of the commands below it; says how many.
fn write(command: &Command, dir: &Path) -> io::Result<usize> {
    fs::create_dir_all(dir)?;
    put(&dir.join(format!("{}.1", name(command))), &page(command)?)?;
    let below = command.get_subcommands().map(|command| write(command, dir));
    below.sum::<io::Result<usize>>().map(|count| count + 1)
}

/// Puts a page there in one step. A link of its name is replaced, and what it leads to stays as it is.
fn put(path: &Path, page: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("1.new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(&aside)?.write_all(page)?;
    fs::rename(&aside, path)
}

fn unwritten(dir: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("the pages cannot be written to {}: {error}", dir.display()),
        "name a folder that you may write to: jitney man --dir DIR",
    )
}

/// `jitney-lease-list`
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let bare = command.clone().after_help(None::<&str>).after_long_help(None::<&str>);
    let mut page = Vec::new();
    Man::new(bare).source(SOURCE).manual("jitney").render(&mut page)?;
    let mut rest = more(&help(command));
    if let Some((above, _)) = name(command).rsplit_once('-') {
        rest.control("SH", ["SEE ALSO"]).text([bold(above), roman("(1)")]);
    }
    let rest = rest.render();
    // How an apostrophe is set has been said at the top.
    page.extend_from_slice(
        rest.split_once("\n.SH ").map_or_else(String::new, |(_, rest)| format!(".SH {rest}")).as_bytes(),
    );
    Ok(plain(&String::from_utf8_lossy(&page)).into_bytes())
}

/// `text` in ASCII alone, with roff's names for other characters: without a preprocessor it reads no others.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => plain.push(c),
            false => plain.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    plain
}

fn help(command: &Command) -> String {
    command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string).unwrap_or_default()
}

/// What stands under a help: its examples as they are, and its prose, of which the page breaks the lines.
fn more(help: &str) -> Roff {
    let mut roff = Roff::default();
    let is_example = |part: &&str| part.starts_with("Example");
    let parts: Vec<&str> = help.split("\n\n").map(|part| part.trim_end()).filter(|part| !part.is_empty()).collect();
    let (examples, notes): (Vec<&str>, Vec<&str>) = parts.into_iter().partition(is_example);
    if !notes.is_empty() {
        roff.control("SH", ["NOTES"]);
    }
    for note in notes {
        roff.control("PP", []);
        prose(&mut roff, note);
    }
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
    }
    for lines in examples {
        roff.control("PP", []).control("nf", []);
        for line in lines.lines().skip(1) {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    roff
}

/// Prose: an indented line stands by itself, the rest is filled.
fn prose(roff: &mut Roff, text: &str) {
    let mut before = "";
    for line in text.lines() {
        if line.starts_with(' ') || before.starts_with(' ') {
            roff.text([Inline::LineBreak]);
        }
        roff.text([roman(line)]);
        before = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_ascii() {
        assert_eq!(plain("--reason \u{2026}, Gr\u{f6}\u{df}e"), "--reason \\[u2026], Gr\\[u00F6]\\[u00DF]e");
    }

    #[test]
    fn examples_stand_as_they_are_behind_the_prose() {
        let page = more("Examples:\n  jitney a\n  jitney b   two\n\nFirst,\nand on.\n  a table's row\nLast.").to_roff();
        let (notes, examples) = page.split_once(".SH EXAMPLES\n").unwrap();
        assert!(notes.contains("First,\nand on.\n") && notes.contains("table"), "{page}");
        assert!(examples.contains(".nf\njitney a\njitney b   two\n.fi"), "{page}");
    }
}
