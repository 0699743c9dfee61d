//! `widenings/*.toml`: what a change states to widen, and why. It covers what it names and nothing else.
//!
//! Only a statement that the change itself adds counts: one that BASE has already was about another change. One that names
//! what does not widen is wrong, so nobody states more than is there, to be on the safe side.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::row::{Access, Row};
use super::trees::Tree;
use crate::governance::check::{TELLING, is_vague};
use crate::policy::{Diagnostic, Severity, SourceFile, closest};

/// All workloads that gain the same.
const ALL: &str = "*";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    widens: Vec<Spanned<Raw>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    access: Option<Spanned<String>>,
    workload: Option<Spanned<OneOrMany>>,
    audience: Option<Spanned<String>>,
    scope: Option<Spanned<OneOrMany>>,
    why: Option<Spanned<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A name, and where it stands.
#[derive(Debug, Clone)]
struct Word {
    text: String,
    at: Range<usize>,
}

/// What one statement names, once for each workload and scope.
#[derive(Debug, Clone)]
struct Named {
    access: Access,
    workload: Option<Word>,
    audience: Option<Word>,
    scope: Option<Word>,
}

/// What is said about statements.
#[derive(Default)]
pub(super) struct Told {
    /// What is wrong with them.
    pub findings: Vec<Diagnostic>,
    /// Those that would cover what widens, were they this change's own.
    pub notes: Vec<Diagnostic>,
}

/// Marks the rows that are stated, and says what is wrong with the statements.
pub(super) fn apply(rows: &mut Vec<Row>, base: &Tree, head: &Tree) -> Told {
    let (mut findings, mut before, mut older) = (Vec::new(), Vec::new(), Vec::new());
    for file in files(base) {
        // What was wrong before is no matter of this change.
        before.extend(read(file, &mut Vec::new()).into_iter().map(|(_, raw)| raw));
    }
    for file in files(head) {
        for (span, raw) in read(file, &mut findings) {
            if before.contains(&raw) {
                older.push((file, span, raw));
                continue;
            }
            match named(&raw) {
                Ok((all, why)) => mark(rows, &all, &why, (file, span), &mut findings),
                Err(fault) => findings.push(fault.told(file, span)),
            }
        }
    }
    // Whoever repeats one believes that it covers this change too.
    let covers = |raw: &Raw| {
        named(raw)
            .is_ok_and(|(all, _)| all.iter().any(|named| rows.iter().any(|row| row.is_open() && named.is_about(row))))
    };
    let notes = older.into_iter().filter(|(.., raw)| covers(raw)).map(|(file, span, _)| {
        let told = "this statement does not count: BASE has it already, word for word, so it was about another change";
        let mend = "write a statement of its own for this change, with its own why";
        Diagnostic::of(Severity::Note, "widening", told).at(file, span).help(mend)
    });
    Told { notes: notes.collect(), findings }
}

/// What is wrong in a file of statements, whatever widens.
pub(in crate::governance) fn wrong_in(file: &SourceFile) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (span, raw) in read(file, &mut findings) {
        if let Err(fault) = named(&raw) {
            findings.push(fault.told(file, span));
        }
    }
    findings
}

fn files(tree: &Tree) -> impl Iterator<Item = &SourceFile> {
    tree.beside.iter().filter(|(path, _)| path.starts_with("widenings/")).map(|(_, file)| file)
}

fn read(file: &SourceFile, findings: &mut Vec<Diagnostic>) -> Vec<(Range<usize>, Raw)> {
    match toml::from_str::<RawFile>(&file.text) {
        Ok(raw) => raw.widens.into_iter().map(|raw| (raw.span(), raw.into_inner())).collect(),
        Err(error) => {
            findings.push(Diagnostic::of_toml(file, &error));
            Vec::new()
        }
    }
}

/// What is wrong with a statement.
struct Wrong {
    what: String,
    mend: String,
    /// Where, if not at the whole of it.
    at: Option<Range<usize>>,
}

impl Wrong {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into(), at: None }
    }

    fn at(self, at: Range<usize>) -> Self {
        Self { at: Some(at), ..self }
    }

    fn told(self, file: &SourceFile, whole: Range<usize>) -> Diagnostic {
        Diagnostic::of(Severity::Error, "widening", self.what).at(file, self.at.unwrap_or(whole)).help(self.mend)
    }
}

fn named(raw: &Raw) -> Result<(Vec<Named>, String), Wrong> {
    let why = why(raw)?;
    let accesses = [Access::Grant, Access::Identity, Access::Expiry, Access::Introspection];
    let wanted = raw.access.as_ref().map_or("grant", |access| access.get_ref());
    let access = accesses.into_iter().find(|access| access.as_str() == wanted);
    let access = access.ok_or_else(|| {
        let mend = "write access = \"identity\", \"expiry\" or \"introspection\"; without it, it is about a grant";
        let wrong = Wrong::new("this statement is about no access that there is", mend);
        Wrong { at: raw.access.as_ref().map(Spanned::span), ..wrong }
    })?;
    let (workloads, scopes) = (words(raw.workload.as_ref()), words(raw.scope.as_ref()));
    let audience = raw.audience.as_ref().map(|uri| Word { text: uri.get_ref().clone(), at: uri.span() });
    let of = |workload: Option<&Word>, scope: Option<&Word>| Named {
        access,
        workload: workload.cloned(),
        audience: audience.clone(),
        scope: scope.cloned(),
    };
    let all = match (access, workloads.is_empty(), &audience, scopes.is_empty()) {
        (Access::Grant, false, Some(_), false) => {
            workloads.iter().flat_map(|who| scopes.iter().map(move |what| of(Some(who), Some(what)))).collect()
        }
        (Access::Identity | Access::Expiry, false, None, true) => {
            workloads.iter().map(|workload| of(Some(workload), None)).collect()
        }
        (Access::Introspection, true, Some(_), true) => vec![of(None, None)],
        _ => {
            let mend =
                "a grant has workload, audience and scope; identity and expiry a workload; introspection an audience";
            return Err(Wrong::new("this statement does not name exactly what it is about", mend));
        }
    };
    Ok((all, why))
}

fn why(raw: &Raw) -> Result<String, Wrong> {
    let Some(why) = raw.why.as_ref().filter(|why| !why.get_ref().trim().is_empty()) else {
        let mend = "write why = \"…\": the reason, for whoever reads it later";
        return Err(Wrong::new("this statement does not say why", mend));
    };
    if is_vague(why.get_ref()) {
        let told = format!("the why of this statement is too vague: `{}`", why.get_ref());
        let mend = format!("write {TELLING}: who needs it, and for what");
        return Err(Wrong::new(told, mend).at(why.span()));
    }
    Ok(why.get_ref().clone())
}

fn words(spoken: Option<&Spanned<OneOrMany>>) -> Vec<Word> {
    let Some(spoken) = spoken else { return Vec::new() };
    spoken.get_ref().all().iter().map(|text| Word { text: text.clone(), at: spoken.span() }).collect()
}

/// Marks what is named; a row of which a part is named is split.
fn mark(
    rows: &mut Vec<Row>,
    all: &[Named],
    why: &str,
    (file, span): (&SourceFile, Range<usize>),
    findings: &mut Vec<Diagnostic>,
) {
    for named in all {
        let mut is_of_use = false;
        let mut split = Vec::new();
        for row in rows.iter_mut().filter(|row| row.is_open() && named.is_about(row)) {
            is_of_use = true;
            match &named.workload {
                Some(one) if one.text != ALL && row.workloads.len() > 1 => {
                    row.workloads.retain(|workload| *workload != one.text);
                    let workloads = vec![one.text.clone()];
                    let mut part = Row { workloads, stated: Some(why.to_owned()), ..row.clone() };
                    part.request = part.request.filter(|request| request.workload == one.text);
                    split.push(part);
                }
                _ => row.stated = Some(why.to_owned()),
            }
        }
        rows.extend(split);
        if !is_of_use {
            findings.push(named.idle(rows).told(file, span.clone()));
        }
    }
}

impl Named {
    fn is_about(&self, row: &Row) -> bool {
        self.access == row.access
            && (row.access == Access::Grant || row.access == Access::Introspection || self.audience.is_none())
            && self.parts().into_iter().all(|part| part.fits(row))
    }

    fn parts(&self) -> [Part<'_>; 3] {
        [
            Part::Workload(self.workload.as_ref()),
            Part::Audience(self.audience.as_ref()),
            Part::Scope(self.scope.as_ref()),
        ]
    }

    /// It is about no row: the first name with which none is left is the wrong one.
    fn idle(&self, rows: &[Row]) -> Wrong {
        let told = format!("this statement names what does not widen: {}", self.told());
        let mend = "state what widens in this change, and nothing else; `jitney policy diff` shows it";
        let mut left: Vec<&Row> = rows.iter().filter(|row| row.widens() && row.access == self.access).collect();
        if left.is_empty() {
            return Wrong::new(told, mend);
        }
        for part in self.parts() {
            let fitting: Vec<&Row> = left.iter().copied().filter(|row| part.fits(row)).collect();
            let (true, Some(word)) = (fitting.is_empty(), part.word()) else {
                left = fitting;
                continue;
            };
            let near = closest(&word.text, left.iter().flat_map(|row| part.names(row)));
            let mend = near.map_or_else(|| mend.to_owned(), |near| format!("did you mean `{near}`?"));
            return Wrong::new(told, mend).at(word.at.clone());
        }
        Wrong::new(told, mend)
    }

    fn told(&self) -> String {
        let parts = self.parts();
        let told: Vec<&str> = parts.iter().filter_map(Part::word).map(|word| &*word.text).collect();
        format!("{} of {}", self.access.as_str(), told.join(" "))
    }
}

/// One thing that a statement names, or leaves open.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Workload(Option<&'a Word>),
    Audience(Option<&'a Word>),
    Scope(Option<&'a Word>),
}

impl<'a> Part<'a> {
    const fn word(&self) -> Option<&'a Word> {
        let (Self::Workload(word) | Self::Audience(word) | Self::Scope(word)) = self;
        *word
    }

    /// What a row has there.
    fn names<'r>(&self, row: &'r Row) -> Vec<&'r str> {
        match self {
            Self::Workload(_) => row.workloads.iter().map(String::as_str).collect(),
            Self::Audience(_) => row.audience.as_deref().into_iter().collect(),
            Self::Scope(_) => row.scope.as_deref().into_iter().collect(),
        }
    }

    fn fits(&self, row: &Row) -> bool {
        let Some(word) = self.word() else { return true };
        let is_all = matches!(self, Self::Workload(_)) && word.text == ALL;
        if is_all { !row.workloads.is_empty() } else { self.names(row).contains(&&*word.text) }
    }
}
