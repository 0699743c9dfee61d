//! `widenings/*.toml`: what a change states to widen, and why. It covers what it names and nothing else.
//!
//! Only a statement that the change itself adds counts: one that BASE has already was about another change. One that names
//! what does not widen is wrong, so nobody states more than is there, to be on the safe side.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::row::{Access, Row};
use super::trees::Tree;
use crate::governance::check::is_vague;
use crate::policy::{Diagnostic, Severity, SourceFile};

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
    access: Option<String>,
    workload: Option<OneOrMany>,
    audience: Option<String>,
    scope: Option<OneOrMany>,
    why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// What one statement names, once for each workload and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    access: Access,
    workload: Option<String>,
    audience: Option<String>,
    scope: Option<String>,
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
                Err((what, mend)) => findings.push(wrong(file, span, what, mend)),
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
        if let Err((what, mend)) = named(&raw) {
            findings.push(wrong(file, span, what, mend));
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

fn wrong(file: &SourceFile, span: Range<usize>, what: impl Into<String>, mend: &str) -> Diagnostic {
    Diagnostic::of(Severity::Error, "widening", what).at(file, span).help(mend)
}

type Wrong = (&'static str, &'static str);

fn named(raw: &Raw) -> Result<(Vec<Named>, String), Wrong> {
    let why = raw.why.clone().filter(|why| !is_vague(why));
    let why =
        why.ok_or(("this statement does not say why", "write why = \"…\": the reason, for whoever reads it later"))?;
    let accesses = [Access::Grant, Access::Identity, Access::Expiry, Access::Introspection];
    let wanted = raw.access.as_deref().unwrap_or("grant");
    let access = accesses.into_iter().find(|access| access.as_str() == wanted);
    let access = access.ok_or((
        "this statement is about no access that there is",
        "write access = \"identity\", \"expiry\" or \"introspection\"; without it, it is about a grant",
    ))?;
    let workloads = raw.workload.clone().map(OneOrMany::all).unwrap_or_default();
    let scopes = raw.scope.clone().map(OneOrMany::all).unwrap_or_default();
    let named = |workload: Option<&String>, audience: Option<&String>, scope: Option<&String>| Named {
        access,
        workload: workload.cloned(),
        audience: audience.cloned(),
        scope: scope.cloned(),
    };
    let all = match (access, workloads.is_empty(), &raw.audience, scopes.is_empty()) {
        (Access::Grant, false, Some(audience), false) => {
            let of = |workload| scopes.iter().map(move |scope| (workload, scope));
            workloads
                .iter()
                .flat_map(of)
                .map(|(workload, scope)| named(Some(workload), Some(audience), Some(scope)))
                .collect()
        }
        (Access::Identity | Access::Expiry, false, None, true) => {
            workloads.iter().map(|workload| named(Some(workload), None, None)).collect()
        }
        (Access::Introspection, true, Some(audience), true) => vec![named(None, Some(audience), None)],
        _ => {
            return Err((
                "this statement does not name exactly what it is about",
                "a grant has workload, audience and scope; identity and expiry a workload; introspection an audience",
            ));
        }
    };
    Ok((all, why))
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
                Some(one) if one != ALL && row.workloads.len() > 1 => {
                    row.workloads.retain(|workload| workload != one);
                    let mut part = Row { workloads: vec![one.clone()], stated: Some(why.to_owned()), ..row.clone() };
                    part.request = part.request.filter(|request| request.workload == *one);
                    split.push(part);
                }
                _ => row.stated = Some(why.to_owned()),
            }
        }
        rows.extend(split);
        if !is_of_use {
            let told = format!("this statement names what does not widen: {}", named.told());
            let mend = "state what widens in this change, and nothing else; `jitney policy diff` shows it";
            findings.push(wrong(file, span.clone(), told, mend));
        }
    }
}

impl Named {
    fn is_about(&self, row: &Row) -> bool {
        let is_whom = match &self.workload {
            Some(all) if all == ALL => !row.workloads.is_empty(),
            Some(one) => row.workloads.contains(one),
            None => true,
        };
        self.access == row.access
            && is_whom
            && (row.access == Access::Grant || row.access == Access::Introspection || self.audience.is_none())
            && (self.audience.is_none() || self.audience == row.audience)
            && (self.scope.is_none() || self.scope == row.scope)
    }

    fn told(&self) -> String {
        let parts = [&self.workload, &self.audience, &self.scope];
        let told: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        format!("{} of {}", self.access.as_str(), told.join(" "))
    }
}
