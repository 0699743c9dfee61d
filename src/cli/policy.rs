//! `jitney policy …`: what a review asks of a policies directory, without a broker; why a request is refused, with one.

use std::process::ExitCode;

use super::args::{CheckArgs, CheckFormat, DenyLevel, Format, PolicyCommand, TestArgs};
use super::output::counted;
use super::{Failure, output};
use crate::governance::cases::{self, Run};
use crate::governance::check::{self, Proofs, Report};
use crate::model::Clock;
use crate::policy::{Diagnostic, Severity};

/// Does what one of `jitney policy …` says.
///
/// # Errors
/// [`Failure`] where a broker would not load the directory, something that is denied was found, or a case failed.
pub fn run(command: PolicyCommand, at: Option<&str>) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check(args) => check(&args),
        PolicyCommand::Diff(args) => super::diff::run(&args),
        PolicyCommand::Test(args) => test(&args),
        PolicyCommand::Explain(args) => super::wait_for(super::explain::run(*args, at)),
    }
}

impl From<DenyLevel> for Severity {
    fn from(level: DenyLevel) -> Self {
        match level {
            DenyLevel::Error => Self::Error,
            DenyLevel::Warning => Self::Warning,
            DenyLevel::Note => Self::Note,
        }
    }
}

fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let proofs = Proofs { prove: args.prove, budget: args.budget, cache: args.cache.clone() };
    let report = check::check(&args.dir, Clock::system().now(), &proofs);
    let deny = args.deny.into();
    match args.format {
        CheckFormat::Text => return print(&report, deny),
        CheckFormat::Json => output::json(&report.json(deny))?,
        CheckFormat::Sarif => output::json(&report.sarif())?,
    }
    if report.passes(deny) { Ok(ExitCode::SUCCESS) } else { Err(Failure::answered()) }
}

fn print(report: &Report, deny: Severity) -> Result<ExitCode, Failure> {
    // Those that stop it stand last, right above the line that says so.
    let (stop, pass): (Vec<_>, Vec<_>) = report.open().partition(|finding| finding.is_at_least(deny));
    pass.into_iter().chain(stop).try_for_each(|finding| print_plain(&finding.told()))?;
    let levels = [Severity::Error, Severity::Warning, Severity::Note];
    let mut found: Vec<String> = levels
        .into_iter()
        .filter(|level| *level == Severity::Warning || report.count(*level) > 0)
        .map(|level| counted(report.count(level), level.as_str()))
        .collect();
    if report.suppressed() > 0 {
        found.push(format!("{} let pass by check.toml", report.suppressed()));
    }
    let (dir, found) = (&report.dir, found.join(", "));
    let Some(counts) = report.counts else {
        let errors = counted(report.count(Severity::Error), "error");
        let told = format!("{errors} in {dir}: a broker does not load it");
        return Err(Failure::new(told, "mend what is shown, then check again"));
    };
    if !report.passes(deny) {
        // Some rules no entry of check.toml lets pass: it is not offered for those alone.
        let may_pass = report.open().any(|finding| finding.diagnostic.severity >= deny && finding.rule.may_pass);
        let or = if may_pass { ", or let it pass with a reason and an end in check.toml" } else { "" };
        let next = format!("mend what is shown{or}, then check again; docs/policy-check.md has a part for each code");
        return Err(Failure::new(format!("{found} in {dir}, and --deny {} is in force", deny.as_str()), next));
    }
    output::line(format_args!(
        "{} {dir}: {}, {}, {}, {found}",
        output::paint(output::style::GOOD, "ok"),
        counted(counts.workloads, "workload"),
        counted(counts.audiences, "audience"),
        counted(counts.policies, "policy"),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A finding with its excerpt. A file's words could move a terminal's cursor.
fn show(finding: &Diagnostic) -> Result<(), Failure> {
    print_plain(&finding.to_string())
}

fn print_plain(told: &str) -> Result<(), Failure> {
    let told: Vec<String> = told.lines().map(output::plain).collect();
    output::line(format_args!("{}\n", told.join("\n")))
}

fn test(args: &TestArgs) -> Result<ExitCode, Failure> {
    let dir = args.dir.display();
    let is_json = args.output.output == Format::Json;
    let run = cases::run(&args.dir, Clock::system().now()).or_else(|findings| {
        findings.0.iter().filter(|each| each.severity == Severity::Error && !is_json).try_for_each(show)?;
        let next = format!("mend what is shown; `jitney policy check {dir}` has all of it");
        Err(Failure::new(format!("{dir} does not load, so no case was run"), next))
    })?;
    if is_json {
        output::json(&run.json())?;
        return if run.passed() { Ok(ExitCode::SUCCESS) } else { Err(Failure::answered()) };
    }
    told(&run)?;
    if run.passed() {
        return Ok(ExitCode::SUCCESS);
    }
    if run.cases.is_empty() && run.findings.is_empty() {
        let next = "write tests/NAME.toml with a [[case]]; docs/policies.md shows one";
        return Err(Failure::new(format!("{dir} has no cases"), next));
    }
    let (failed, broken) = (counted(run.failed(), "case"), counted(run.findings.len(), "case"));
    let told = match (run.failed(), run.findings.len()) {
        (_, 0) => format!("{failed} of {} not decided as they say", run.cases.len()),
        (0, _) => format!("{broken} cannot be read"),
        _ => format!("{failed} not decided as they say, {broken} cannot be read"),
    };
    Err(Failure::new(told, "correct the policy, or the case where it asks for what is not wanted any more"))
}

fn told(run: &Run) -> Result<(), Failure> {
    run.findings.iter().try_for_each(show)?;
    run.cases.iter().filter_map(|case| case.failure.as_ref()).try_for_each(show)?;
    for case in run.cases.iter().filter(|case| case.failure.is_none()) {
        let good = output::paint(output::style::GOOD, "ok");
        output::line(format_args!("{good} {}", output::plain(&format!("{}:{}: {}", case.file, case.line, case.name))))?;
    }
    let uncovered = run.uncovered().count();
    for policy in run.uncovered() {
        let warn = output::paint(output::style::WARN, "not covered");
        output::line(format_args!(
            "{warn} {}",
            output::plain(&format!("{} ({}:{})", policy.id, policy.file, policy.line))
        ))?;
    }
    output::line(format_args!(
        "{} passed, {} failed; {} of {} covered",
        run.cases.len() - run.failed(),
        run.failed(),
        run.policies.len() - uncovered,
        counted(run.policies.len(), "policy"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_load_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("workloads")).unwrap();
        std::fs::write(dir.path().join("workloads/w.toml"), "ownr = 'x'\n").unwrap();
        let args = CheckArgs {
            dir: dir.path().to_owned(),
            format: CheckFormat::Text,
            deny: DenyLevel::Error,
            prove: false,
            budget: std::time::Duration::ZERO,
            cache: None,
        };
        let failure = check(&args).unwrap_err();
        assert!(failure.message.contains("a broker does not load it"), "{}", failure.message);
    }
}
