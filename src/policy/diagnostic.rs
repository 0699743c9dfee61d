//! What is wrong in a set of policies, where, and the mend: one value, printed the way rustc prints its own.
//!
//! Owns the excerpt and the "did you mean". Never decides whether a set loads.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// How bad it is. What stands between a set and its load is an error; the checks before a review have errors of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing. No load gives one.
    Note,
    /// It loads; somebody should look.
    Warning,
    /// It does not load, or must not be merged.
    Error,
}

impl Severity {
    /// As people and programs read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of finding, in kebab case, stable.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The file, as it was opened.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Whether the text it points at may be a secret that somebody put there by mistake: it is never shown.
    is_withheld: bool,
    excerpt: Option<Box<Excerpt>>,
}

#[derive(Debug, Clone)]
struct Excerpt {
    source: Arc<str>,
    span: Range<usize>,
    label: Option<String>,
    policy: Option<Box<str>>,
}

/// A file's name and text, shared by all findings in it.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// As it is shown to people.
    pub path: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl Diagnostic {
    pub(super) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A finding of `severity` that nobody's load gives.
    pub(crate) fn of(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(severity, code, message.into())
    }

    pub(super) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Self {
        Self {
            severity,
            code,
            message,
            help: None,
            file: String::new(),
            line: 1,
            column: 1,
            is_withheld: false,
            excerpt: None,
        }
    }

    /// Points without showing: the text may be a secret, and findings end up in logs.
    pub(crate) fn withheld(mut self) -> Self {
        self.is_withheld = true;
        self
    }

    /// Points at `span` (bytes) of `file`; a span outside the text is drawn back into it.
    pub(crate) fn at(mut self, file: &SourceFile, span: Range<usize>) -> Self {
        let floor = |mut at: usize| {
            at = at.min(file.text.len());
            while !file.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        let end = floor(span.end).max(start);
        (self.line, self.column) = place(&file.text, start);
        self.file = file.path.to_string();
        let excerpt = Excerpt { source: file.text.clone(), span: start..end, label: None, policy: None };
        self.excerpt = (!self.is_withheld).then(|| Box::new(excerpt));
        self
    }

    /// The line and the column behind what it points at; where it begins, where nothing of it is shown.
    pub fn end(&self) -> (usize, usize) {
        let behind = |excerpt: &Excerpt| place(&excerpt.source, excerpt.span.end);
        self.excerpt.as_deref().map_or((self.line, self.column), behind)
    }

    /// Takes the excerpt away: what stands around the place may be a secret.
    pub(crate) fn withhold(&mut self) {
        self.is_withheld = true;
        self.excerpt = None;
    }

    /// Takes away whatever may be words of the file: the excerpt, and what a parser or a check quotes. Kind and place stay. What
    /// governance misses is told in words of our own.
    pub(super) fn conceal(&mut self) {
        self.withhold();
        if self.code == "governance" {
            return;
        }
        let what = match self.code {
            "toml" => "this file is not the TOML that it should be",
            "cedar-syntax" => "this file is no Cedar",
            "cedar-schema" => "a policy does not fit the schema",
            _ => "something is wrong here",
        };
        self.message =
            format!("{what}; its words are not shown, for a link that leads out of the folder leads to them");
        self.help = Some("put the file itself there, in place of the link, and what is wrong in it is shown".into());
    }

    /// Names a file without an excerpt, where there is no text to show.
    pub(crate) fn in_file(mut self, path: &str) -> Self {
        path.clone_into(&mut self.file);
        self
    }

    /// Names the policy it is about, once it points into its text.
    pub(super) fn about(mut self, policy: &str) -> Self {
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.policy = Some(policy.into());
        }
        self
    }

    /// The policy it is about, where that is known.
    pub(crate) fn policy(&self) -> Option<&str> {
        self.excerpt.as_deref()?.policy.as_deref()
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The mend `did you mean …`, where one of `candidates` is close.
    pub(super) fn suggest<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(word, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        if let Some(excerpt) = &mut self.excerpt {
            excerpt.label = Some(label.into());
        }
        self
    }

    /// A finding of toml's, which knows its place; an unknown field gets the nearest known one.
    pub(crate) fn of_toml(file: &SourceFile, error: &toml::de::Error) -> Self {
        let message = error.message();
        let span = error.span().unwrap_or(0..0);
        let found = Self::error("toml", message.lines().next().unwrap_or(message)).at(file, span);
        // serde: "unknown field `ownr`, expected one of `owner`, `purpose`"
        let mut quoted = message.split('`').skip(1).step_by(2);
        match quoted.next() {
            Some(unknown) if message.starts_with("unknown field") => found.suggest(unknown, quoted),
            _ if message.contains("expected a TOML datetime") => found.help("write the day without quotes: 2027-06-30"),
            _ => found,
        }
    }

    /// A finding of Cedar's, placed by its first label.
    pub(super) fn of_cedar(
        severity: Severity,
        code: &'static str,
        file: &SourceFile,
        error: &dyn miette::Diagnostic,
    ) -> Self {
        let mut found = Self::new(severity, code, error.to_string());
        let label = error.labels().and_then(|mut labels| labels.next());
        let span = label.as_ref().map_or(0..0, |label| label.offset()..label.offset() + label.len());
        found = found.at(file, span);
        if let Some(text) = label.as_ref().and_then(|label| label.label()) {
            found = found.label(text);
        }
        match error.help() {
            Some(help) => found.help(help.to_string()),
            None => found,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown_as(self.code))
    }
}

impl Diagnostic {
    /// As rustc prints: title, place, excerpt, help; without colours. It is called `id`.
    pub(crate) fn shown_as(&self, id: &str) -> String {
        let level = match self.severity {
            Severity::Note => Level::NOTE,
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let title = level.primary_title(&self.message).id(id);
        let mut group = match self.excerpt.as_deref() {
            Some(Excerpt { source, span, label, .. }) => {
                let mark = AnnotationKind::Primary.span(span.clone()).label(label.as_deref());
                title.element(Snippet::source(&**source).path(&self.file).annotation(mark))
            }
            None if self.file.is_empty() => Group::with_title(title),
            None if self.is_withheld => {
                title.element(Origin::path(&self.file).line(self.line).char_column(self.column))
            }
            None => title.element(Origin::path(&self.file)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }

    /// Its place, and what is wrong there.
    pub fn in_one_line(&self) -> String {
        match self.file.as_str() {
            "" => self.message.clone(),
            file => format!("{file}:{}:{}: {}", self.line, self.column, self.message),
        }
    }
}

/// Why a set was refused: every finding in it, warnings included, in the order of files.
#[derive(Debug, Clone)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// One line for the first error: a warning in front of it is not why the set was refused.
    pub fn first_error(&self) -> String {
        let first = self.0.iter().find(|finding| finding.severity == Severity::Error).or_else(|| self.0.first());
        first.map_or_else(String::new, Diagnostic::in_one_line)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, each) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            each.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

/// The line, and the column in characters, of a byte that begins one; both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The candidate nearest to `word`, where it is near enough to be a slip: a third of the letters at most.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters were added, dropped, replaced, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> SourceFile {
        SourceFile { path: "policies/a.toml".into(), text: "ä = 1\nownr = \"x\"\n".into() }
    }

    #[test]
    fn a_finding_prints_file_line_column_excerpt_and_mend() {
        let found =
            Diagnostic::error("toml", "unknown field `ownr`").at(&file(), 7..11).suggest("ownr", ["owner", "id"]);
        assert_eq!((found.line, found.column), (2, 1));
        let text = found.to_string();
        for part in
            ["error[toml]: unknown field `ownr`", "policies/a.toml:2:1", "ownr = \"x\"", "did you mean `owner`?"]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn columns_count_characters_and_wild_spans_are_drawn_in() {
        let found = Diagnostic::error("x", "y").at(&file(), 2..3);
        assert_eq!((found.line, found.column), (1, 2));
        let found = Diagnostic::error("x", "y").at(&file(), 1..999);
        assert_eq!((found.line, found.column), (1, 1));
        assert!(!found.to_string().is_empty());
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(closest("nighly-report", ["nightly-report", "payments"]), Some("nightly-report"));
        assert_eq!(closest("orders", ["payments"]), None);
        assert_eq!((distance("kitten", "sitting"), distance("alhpa", "alpha")), (3, 1));
    }
}
