//! What was found out about a request, for people.

use super::super::output::style::{BAD, DIM, GOOD, STRONG, WARN};
use super::super::{Failure, output};
use crate::governance::explain::Quarantine;
use crate::model::Reason;
use crate::model::time::format_span;
use crate::policy::{Explanation, Outcome, PolicyExplained, Question};

pub(super) fn told(question: &Question, explained: &Explanation, quarantine: &Quarantine) -> Result<(), Failure> {
    let default = || format!("no ttl asked (the default is {})", format_span(question.limits.default_ttl));
    let ttl = question.ttl.map_or_else(default, |ttl| format!("ttl {}", format_span(ttl)));
    let task = match &question.open_task {
        Some(template) => format!("the task that the platform names by {template}"),
        None => format!("task {}", question.task),
    };
    let asked = format!(
        "{} for {} at {}, {task}, {ttl}, proven by {}",
        question.scopes,
        question.workload,
        question.audience,
        question.identity.kind.as_str()
    );
    let asked = output::plain(&asked);
    match &explained.decided {
        Ok(grant) => {
            let by = format!("by {}, for {} s", grant.policies().join(", "), grant.ttl().as_secs());
            output::line(format_args!("{} {asked}\n  {}", output::paint(GOOD, "allowed"), output::plain(&by)))?;
        }
        Err(denial) => {
            let refusal = &denial.refusal;
            let why = format!("{}: {}", refusal.reason.as_str(), refusal.description);
            output::line(format_args!("{} {asked}\n  {}", output::paint(BAD, "refused"), output::plain(&why)))?;
        }
    }
    for scope in &explained.scopes {
        let outcome = match scope.outcome {
            Some(Outcome::Permitted) => output::paint(GOOD, "permitted"),
            Some(Outcome::NotPermitted) => output::paint(BAD, "not permitted"),
            Some(Outcome::Forbidden) => output::paint(BAD, "forbidden"),
            None => output::paint(BAD, "not declared"),
        };
        output::line(format_args!("\n{} {outcome}", output::paint(STRONG, output::plain(&scope.scope))))?;
        if scope.policies.is_empty() && scope.outcome.is_some() {
            output::line("  no policy speaks of it")?;
        }
        scope.policies.iter().try_for_each(policy)?;
    }
    let is_told = matches!(&explained.decided, Err(denial) if denial.refusal.reason == Reason::Quarantined);
    if let Some(shut) = quarantine.told(question).filter(|_| !is_told) {
        output::line(format_args!("\n{}", output::paint(BAD, output::plain(&shut))))?;
    }
    changes(explained)?;
    if let Quarantine::NotLookedAt(why) = quarantine {
        let told = format!("quarantine was not looked at, and who is in it gets nothing: {why}");
        output::line(format_args!("\n{}", output::paint(WARN, output::plain(&told))))?;
    }
    Ok(())
}

fn policy(policy: &PolicyExplained) -> Result<(), Failure> {
    let does = match (policy.permits, policy.applies) {
        (true, true) => output::paint(GOOD, "permits it"),
        (true, false) => output::paint(WARN, "would permit it, but not so"),
        (false, true) => output::paint(BAD, "forbids it"),
        (false, false) => output::paint(DIM, "forbids, but not this"),
    };
    let place = format!("({}:{})", policy.file, policy.line);
    output::line(format_args!("  policy {} {} {does}", output::plain(&policy.id), output::plain(&place)))?;
    for part in &policy.parts {
        let mark = match part.holds {
            Some(true) => output::paint(GOOD, "holds"),
            Some(false) => output::paint(BAD, "fails"),
            None if part.is_open => output::paint(WARN, "open "),
            None => output::paint(BAD, "cannot be evaluated"),
        };
        let values: Vec<String> = part.values.iter().map(|(name, value)| format!("{name} is {value}")).collect();
        let values = if values.is_empty() { String::new() } else { format!("   ({})", values.join(", ")) };
        output::line(format_args!(
            "    {mark}  {}{}",
            output::plain(&part.text),
            output::paint(DIM, output::plain(&values))
        ))?;
    }
    Ok(())
}

fn changes(explained: &Explanation) -> Result<(), Failure> {
    if explained.changes.is_empty() {
        return Ok(());
    }
    output::line(format_args!("\n{}", output::paint(STRONG, "what would have to be different")))?;
    for (number, change) in (1..).zip(&explained.changes) {
        let tried = if change.proven { "" } else { "  (not tried)" };
        output::line(format_args!("  {number}. {}{}", output::plain(&change.text), output::paint(DIM, tried)))?;
        if let Some((file, text)) = &change.paste {
            output::line(format_args!("\n     {}", output::paint(DIM, format_args!("# {}", output::plain(file)))))?;
            text.lines().try_for_each(|line| output::line(format_args!("     {}", output::plain(line))))?;
            output::line("")?;
        }
    }
    Ok(())
}
