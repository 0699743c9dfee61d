//! `jitney policy diff`: what a change does to access, for a pull request or for programs.

use std::process::ExitCode;

use super::args::{DiffArgs, DiffFormat};
use super::{Failure, output};
use crate::governance::diff::{self, Effort, Report, Tree, TreeError};
use crate::model::Clock;
use crate::policy::{Diagnostic, Severity};

/// Access widens, and the change does not say so.
const WIDENS: u8 = 3;

/// Compares two trees and prints what changes.
///
/// # Errors
/// [`Failure`] where a tree cannot be read, or what the change states is wrong.
pub fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let now = Clock::system().now();
    let read = |name: &str, must_be| Tree::read(name, &args.dir, must_be, now).map_err(|error| unread(&error));
    let (base, head) = (read(&args.base, false)?, read(&args.head, true)?);
    let effort = Effort::within(args.budget, args.cache.as_deref());
    let report = diff::diff(&base, &head, now, effort).map_err(|error| {
        Failure::new(format!("the comparison cannot be run: {error}"), "free some memory, then try again")
    })?;
    match args.format {
        DiffFormat::Markdown => output::raw(report.markdown().as_bytes())?,
        DiffFormat::Json => output::json(&report.json())?,
    }
    answer(&report)
}

fn answer(report: &Report) -> Result<ExitCode, Failure> {
    report.notes.iter().for_each(|note| output::line_of_error(&shown(note)));
    for each in &report.dropped {
        output::line_of_error(&output::plain(&format!("warning: invariant {} {each}", each.id)));
    }
    if !report.unread.is_empty() {
        report.unread.iter().for_each(|finding| output::line_of_error(&shown(finding)));
        let told = "an invariant cannot be read, or names what is gone, so nothing is held against it";
        return Err(Failure::new(told, "mend what is shown, then compare again"));
    }
    if !report.findings.is_empty() {
        report.findings.iter().for_each(|finding| output::line_of_error(&shown(finding)));
        let told = "what this change states in widenings/ is not what widens";
        return Err(Failure::new(told, "mend what is shown: state what widens, all of it and nothing else"));
    }
    if report.broken().next().is_some() {
        let told = "an invariant is broken: what must never be possible is possible";
        return Err(Failure::new(told, "correct the policy that the broken one names; no statement covers this"));
    }
    if report.is_in_new_doubt() {
        let told = "an invariant is not shown to hold over what this change touches";
        let next = "narrow the condition of the permit that is named, or compare with a jitney that has `prove`, and a solver: \
                    no statement covers this";
        return Err(Failure::new(told, next));
    }
    if report.passes() {
        return Ok(ExitCode::SUCCESS);
    }
    let next = "take back what is not meant, or state the rest in widenings/NAME.toml; docs/policy-diff.md shows how";
    output::error(&Failure::new("access widens, and this change does not state it", next));
    Ok(ExitCode::from(WIDENS))
}

fn unread(error: &TreeError) -> Failure {
    match error {
        TreeError::NoGit(_) => Failure::new(error.to_string(), "install git, or name two folders"),
        TreeError::Revision { .. } => Failure::new(
            error.to_string(),
            "name a folder, or a revision that this clone has: CI may have fetched one only",
        ),
        TreeError::Neither { near: Some(near), .. } => Failure::new(error.to_string(), format!("did you mean {near}?")),
        TreeError::Neither { .. } => Failure::new(
            error.to_string(),
            "name a folder as it is seen from here, or a revision that this clone has: CI may have fetched one only",
        ),
        TreeError::NotAFolder(_) => {
            Failure::new(error.to_string(), "name the folder that holds workloads/ and audiences/")
        }
        TreeError::Ambiguous(name) => {
            Failure::new(error.to_string(), format!("write ./{name} for the folder, or refs/heads/… for the branch"))
        }
        TreeError::NoFolder { .. } => Failure::new(error.to_string(), "name the folder with --dir, seen from here"),
        TreeError::LinkedAt { revision, path } => {
            let next = format!(
                "put the file itself in its place; where BASE has the link already: `git worktree add ../before {revision}`, `cp \
                 -rL` the folder of policies from it, see that the copy is what you know, and name it as BASE"
            );
            Failure::new(format!("{path} is a link, or another repository"), next)
        }
        TreeError::Linked { findings, .. } => {
            findings.0.iter().for_each(|finding| output::line_of_error(&shown(finding)));
            Failure::new(error.to_string(), "put the file itself there; `cp -rL` makes such a copy of a mounted folder")
        }
        TreeError::Unloadable { name, findings } => {
            let errors = findings.0.iter().filter(|each| each.severity == Severity::Error);
            errors.for_each(|finding| output::line_of_error(&shown(finding)));
            let told = format!("{name} does not load, so there is nothing to compare");
            Failure::new(told, "mend what is shown; `jitney policy check` has all of it")
        }
        TreeError::Unreadable { .. } => Failure::new(error.to_string(), "see that this user may read it"),
        TreeError::Git { .. } => Failure::new(error.to_string(), "see what git says to the same, in this folder"),
    }
}

/// A file's words could move a terminal's cursor.
fn shown(finding: &Diagnostic) -> String {
    finding.to_string().lines().map(output::plain).collect::<Vec<_>>().join("\n") + "\n"
}
