//! One finding, and the report that holds them all: as people read it, as JSON, and as what [`super::sarif`] makes of it.
//!
//! Owns the order of findings and the document. Never decides what is wrong.

use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use super::rules::{self, Rule};
use crate::policy::{Diagnostic, PolicySet, Severity, SourceFile};

/// What one rule found at one place.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What is wrong, where, and the mend.
    pub diagnostic: Diagnostic,
    /// Its file, relative to the directory that was checked.
    pub path: String,
    /// The workload, policy or audience that it is about; empty where it is about a file.
    pub subject: String,
    /// By which entry of `check.toml` it passes.
    pub suppressed: Option<Suppressed>,
}

/// Why a finding passes for now.
#[derive(Debug, Clone)]
pub struct Suppressed {
    /// The reason given.
    pub reason: String,
    /// The last day it passes.
    pub until: String,
}

/// All findings of one check.
#[derive(Debug)]
pub struct Report {
    /// The directory, as it was named.
    pub dir: String,
    /// Every finding, in the order of files and places.
    pub findings: Vec<Finding>,
    /// What was checked; none where a broker would not load it.
    pub counts: Option<Counts>,
    /// How many files were searched for secrets.
    pub files: usize,
}

/// How much a set that loads holds.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Workloads.
    pub workloads: usize,
    /// Audiences.
    pub audiences: usize,
    /// Policies.
    pub policies: usize,
}

impl Report {
    /// Those that do not pass.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.suppressed.is_none())
    }

    /// How many of `severity` do not pass.
    pub fn count(&self, severity: Severity) -> usize {
        self.open().filter(|finding| finding.diagnostic.severity == severity).count()
    }

    /// How many pass by an entry of `check.toml`.
    pub fn suppressed(&self) -> usize {
        self.findings.len() - self.open().count()
    }

    /// Whether none of `deny` or worse stands open. What a broker would not load never passes.
    pub fn passes(&self, deny: Severity) -> bool {
        self.counts.is_some() && self.open().all(|finding| finding.diagnostic.severity < deny)
    }

    /// The document for programs; `docs/policy-check.md` says what its fields mean.
    pub fn json(&self, deny: Severity) -> Value {
        let checked = self.counts.map(
            |counts| json!({"workloads": counts.workloads, "audiences": counts.audiences, "policies": counts.policies}),
        );
        json!({
            "version": 1,
            "dir": self.dir,
            "loads": self.counts.is_some(),
            "checked": checked,
            "files": self.files,
            "deny": deny.as_str(),
            "passed": self.passes(deny),
            "counts": {
                "error": self.count(Severity::Error),
                "warning": self.count(Severity::Warning),
                "note": self.count(Severity::Note),
                "suppressed": self.suppressed(),
            },
            "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
        })
    }
}

impl Finding {
    /// Whether it is of this level, or worse.
    pub fn is_at_least(&self, severity: Severity) -> bool {
        self.diagnostic.severity >= severity
    }

    /// For people: called as `check.toml` names it, by its rule, and by its own code where that is finer.
    pub fn told(&self) -> String {
        let (rule, code) = (self.rule.code, self.diagnostic.code);
        self.diagnostic.shown_as(&if rule == code { rule.to_owned() } else { format!("{rule}/{code}") })
    }

    fn json(&self) -> Value {
        let Diagnostic { severity, code, message, help, file, line, column, .. } = &self.diagnostic;
        let end = self.diagnostic.end();
        let suppressed = self.suppressed.as_ref().map(|why| json!({"reason": why.reason, "until": why.until}));
        let subject = (!self.subject.is_empty()).then_some(&self.subject);
        json!({
            "code": code, "rule": self.rule.code, "severity": severity.as_str(), "message": message, "mend": help,
            "file": file, "line": line, "column": column, "end_line": end.0, "end_column": end.1, "subject": subject,
            "owasp_nhi": self.rule.owasp, "nist": self.rule.nist, "docs": self.rule.docs(), "suppressed": suppressed,
        })
    }
}

/// The findings so far.
pub(super) struct Findings {
    dir: String,
    pub all: Vec<Finding>,
}

impl Findings {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_string_lossy().into_owned(), all: Vec::new() }
    }

    /// What the load told. Its own words on gaps of governance are left out: the lints say them one by one.
    pub fn load(&mut self, told: &[Diagnostic]) {
        for diagnostic in told.iter().filter(|each| each.code != "governance") {
            let path = self.relative(&diagnostic.file);
            let rule = rules::of_load(diagnostic.code, diagnostic.severity);
            let (diagnostic, subject) = (diagnostic.clone(), diagnostic.policy().unwrap_or_default().to_owned());
            self.all.push(Finding { rule, diagnostic, path, subject, suppressed: None });
        }
    }

    /// Adds what `rule` found about `subject` at `span` of `file`.
    pub fn at(
        &mut self,
        rule: &'static Rule,
        (file, span): (&SourceFile, Range<usize>),
        subject: &str,
        (message, mend): (String, String),
    ) {
        let diagnostic = Diagnostic::of(rule.severity, rule.code, message).at(file, span).help(mend);
        self.add(rule, diagnostic, subject);
    }

    pub fn add(&mut self, rule: &'static Rule, diagnostic: Diagnostic, subject: &str) {
        let path = self.relative(&diagnostic.file);
        self.all.push(Finding { rule, diagnostic, path, subject: subject.to_owned(), suppressed: None });
    }

    /// The directory that is checked.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    fn relative(&self, file: &str) -> String {
        let bare = Path::new(file).strip_prefix(&self.dir).unwrap_or_else(|_| Path::new(file));
        bare.to_string_lossy().into_owned()
    }

    pub fn report(mut self, set: Option<&PolicySet>, files: usize) -> Report {
        self.all.sort_by(|a, b| {
            let key = |each: &Finding| (each.diagnostic.line, each.diagnostic.column, each.diagnostic.code);
            a.path.cmp(&b.path).then_with(|| key(a).cmp(&key(b)))
        });
        let counts = set.map(|set| Counts {
            workloads: set.workloads().len(),
            audiences: set.audiences().len(),
            policies: set.policy_count(),
        });
        Report { dir: self.dir, findings: self.all, counts, files }
    }
}
