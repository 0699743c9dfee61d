//! The only place that writes to standard output and standard error.
//!
//! Colours appear on a terminal alone. What comes from elsewhere (a reason, an owner) loses its control characters
//! before a person sees it. Never prints a secret, but for the token that `jitney token` was asked for.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use serde_json::Value;

use super::Failure;
use super::admin::pasted;
use crate::model::{is_hidden, without_credentials};

/// The colours, by what they mean.
pub mod style {
    use super::{AnsiColor, Style};

    /// It went well.
    pub const GOOD: Style = AnsiColor::Green.on_default().bold();
    /// It was refused, or ended.
    pub const BAD: Style = AnsiColor::Red.on_default().bold();
    /// Look here.
    pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
    /// What may be passed over.
    pub const DIM: Style = Style::new().dimmed();
    /// A heading.
    pub const STRONG: Style = Style::new().bold();
}

/// `text` in a style; the stream drops the style where it is no terminal.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes a line to standard output.
///
/// # Errors
/// [`Failure`] where it cannot be written.
pub fn line(text: impl Display) -> Result<(), Failure> {
    Ok(writeln!(anstream::stdout().lock(), "{text}")?)
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// [`Failure`] where they cannot be written.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Standard output, for whoever writes much to it.
pub fn stream() -> impl Write {
    io::stdout().lock()
}

/// Writes a document as JSON, for programs.
///
/// # Errors
/// [`Failure`] where it cannot be written.
pub fn json(document: &Value) -> Result<(), Failure> {
    raw(format!("{document:#}\n").as_bytes())
}

/// Writes a table with a heading a column; says `nothing` where it has no rows.
///
/// # Errors
/// [`Failure`] where it cannot be written.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return line(paint(style::DIM, nothing));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    line(table.trim_fmt())
}

/// Writes what belongs to one thing, a line a field, the names aligned.
///
/// # Errors
/// [`Failure`] where it cannot be written.
pub fn fields(fields: &[(&str, String)]) -> Result<(), Failure> {
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in fields {
        line(format_args!("{}  {}", paint(style::DIM, format_args!("{name:<width$}")), plain(value)))?;
    }
    Ok(())
}

/// Writes `warning: …` to standard error. Where even that fails, there is nobody to tell.
pub fn warning(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{}: {text}", paint(style::WARN, "warning"));
}

/// Writes `error: …` and the next step to standard error. Where even that fails, there is nobody to tell.
pub fn error(failure: &Failure) {
    let mut err = anstream::stderr().lock();
    // A token or key given in the wrong place, a password in a URL: what quotes it must not show it.
    let _ = writeln!(err, "{}: {}", paint(style::BAD, "error"), without_secrets(&failure.message));
    let _ = writeln!(err, "  {} {}", paint(style::STRONG, "next:"), without_secrets(&pasted(&failure.next)));
}

/// Shows how far a long work is, on one line of a terminal's standard error that the next word of it takes the place of; an
/// empty one leaves no trace.
pub fn progress(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = write!(err, "\r\x1b[K{text}");
    let _ = err.flush();
}

/// A text for standard error, as it is.
pub fn line_of_error(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", text.trim_end());
}

/// `text` without credentials, and without the user and password of any URL in it.
pub fn without_secrets(text: &str) -> String {
    let text = without_credentials(text);
    let mut rest: &str = &text;
    let mut shown = String::with_capacity(rest.len());
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        shown.push_str(before);
        // A password may hold a `/`, `?` or `#` that was not encoded, or a quote. So all up to the last `@` of the word is
        // hidden: what is shown less than could be harms nobody.
        let word = behind.find(char::is_whitespace).unwrap_or(behind.len());
        rest = match behind[..word].rfind('@') {
            Some(end) => {
                shown.push_str("[redacted]");
                &behind[end..]
            }
            None => behind,
        };
    }
    shown + rest
}

/// `1 error`, `2 errors`, `1 policy`, `2 policies`.
pub fn counted(count: impl Display, what: &str) -> String {
    let count = count.to_string();
    match (count.as_str(), what.strip_suffix('y')) {
        ("1", _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// `text` without characters that could move a terminal's cursor over what stands there, or turn its direction.
pub fn plain(text: &str) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_hidden(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_credential_that_is_quoted_is_not_shown() {
        for (text, shown) in [
            ("https://u:pw@x/a is no URL, http://y:1 is", "https://[redacted]@x/a is no URL, http://y:1 is"),
            ("redis://:p@ss@h:1", "redis://[redacted]@h:1"),
            ("'redis://u:p/a?s#s@host/1' is", "'redis://[redacted]@host/1' is"),
            ("'https://a' and 'redis://u:p'q@h'", "'https://a' and 'redis://[redacted]@h'"),
            ("a 'eyJhbGciOiJFUzI1NiJ9.e30.AAAA' b", "a [redacted] b"),
            ("you@example.com of https://x", "you@example.com of https://x"),
            ("x -----BEGIN PRIVATE KEY-----\nMIG", "x [redacted]"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_url_s_password_is_shown(
            user in "[a-z]{0,5}", before in "[!-IK-~]{0,8}", behind in "[!-IK-~]{0,8}", host in "[a-z]{1,5}", tail in "[/?#a-z0-9]{0,5}"
        ) {
            let text = format!("error at redis://{user}:{before}HUSH{behind}@{host}{tail}: and rediss://h is well");
            let shown = without_secrets(&text);
            prop_assert!(!shown.contains("HUSH") && shown.ends_with(": and rediss://h is well"), "{}", shown);
        }
    }

    #[test]
    fn one_is_one_and_not_many() {
        let told = [(0, "lease"), (1, "lease"), (2, "lease"), (1, "policy"), (2, "policy")];
        let words = ["0 leases", "1 lease", "2 leases", "1 policy", "2 policies"];
        assert_eq!(told.map(|(count, what)| counted(count, what)), words);
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(plain("left\u{1b}[2Aover\nnext"), "left\\u{1b}[2Aover\\nnext");
        assert_eq!(plain("Größe ok \u{202e}ko"), "Größe ok \\u{202e}ko");
    }
}
