//! `jitney policy test`: cases that a set must decide as they say, and which policies they have put to work.
//!
//! Owns running them and what is said of it. What a case may say is in [`read`]; the decision is the policy room's own.

mod read;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::model::{Reason, UnixTime};
use crate::policy::{
    Ask, Denial, Diagnostic, Diagnostics, Grant, Limits, Links, Outcome, PolicySet, Read, Severity, SourceFile,
};
use read::Case;

/// What came of all cases.
#[derive(Debug)]
pub struct Run {
    /// The directory, as it was named.
    pub dir: String,
    /// Each case, in the order of files.
    pub cases: Vec<Outcomes>,
    /// What is wrong in the files of cases: such a file is not run.
    pub findings: Vec<Diagnostic>,
    /// Every policy, and whether a case has put it to work.
    pub policies: Vec<Covered>,
}

/// What came of one case.
#[derive(Debug)]
pub struct Outcomes {
    /// Its name.
    pub name: String,
    /// Its file, and its line.
    pub file: String,
    /// The line of its name.
    pub line: usize,
    /// What it expects, and what was decided, in words.
    pub expected: String,
    /// What was decided.
    pub decided: String,
    /// Where it differs; none where it does not.
    pub failure: Option<Diagnostic>,
    policies: Vec<Arc<str>>,
    reason: Option<Reason>,
}

/// One policy.
#[derive(Debug)]
pub struct Covered {
    /// Its `@id`.
    pub id: Arc<str>,
    /// Its file, and its line.
    pub file: String,
    /// The line.
    pub line: usize,
    /// Whether some case's decision hung on it.
    pub is_covered: bool,
}

/// Runs the cases under `dir`, those without a moment of their own as if they were asked at `now`.
///
/// # Errors
/// What is wrong with the set: one that does not load decides nothing.
pub fn run(dir: &Path, now: UnixTime) -> Result<Run, Diagnostics> {
    let links = Links::of(dir);
    let linked: Vec<_> = links.findings().into_iter().filter(|each| each.severity == Severity::Error).collect();
    if !linked.is_empty() {
        return Err(Diagnostics(linked));
    }
    let (set, _) = Read::of(dir, &links, now).loaded?;
    let (cases, findings) = read::all(dir, now);
    let mut worked: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(cases.len());
    let mut wrong = findings;
    for case in &cases {
        match case.identity_used(&set) {
            Ok(identity) => outcomes.push(decide(case, &set, &identity, &mut worked)),
            Err(finding) => wrong.push(*finding),
        }
    }
    let place = |file: &SourceFile, span| Diagnostic::of(Severity::Note, "policy", "").at(file, span);
    let covered = |rule: crate::policy::RuleView<'_>| {
        let Diagnostic { file, line, .. } = place(rule.file, rule.span);
        Covered { id: rule.id.clone(), file, line, is_covered: worked.contains(rule.id) }
    };
    let policies = set.rule_views().map(covered).collect();
    Ok(Run { dir: dir.to_string_lossy().into_owned(), cases: outcomes, findings: wrong, policies })
}

/// What is wrong in a file of cases; with a set, also those that cannot be asked of it.
pub(super) fn wrong(file: &SourceFile, set: Option<&PolicySet>, now: UnixTime) -> Vec<Diagnostic> {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    read::of_file(file, now, &mut cases, &mut findings);
    for (case, set) in set.into_iter().flat_map(|set| cases.iter().map(move |case: &Case| (case, set))) {
        findings.extend(case.identity_used(set).err().map(|finding| *finding));
    }
    findings
}

fn decide(
    case: &Case,
    set: &PolicySet,
    identity: &crate::policy::IdentityUsed,
    worked: &mut BTreeSet<Arc<str>>,
) -> Outcomes {
    let asked = Ask {
        workload: &case.workload,
        audience: &case.audience,
        scopes: &case.scopes,
        task: &case.task,
        ttl: case.ttl,
        identity,
        now: case.now,
        limits: Limits::default(),
        renews: None,
    };
    let decided = set.decide(&asked);
    let (policies, reason) = match &decided {
        Ok(grant) => (grant.policies().to_vec(), None),
        Err(denial) => (determined(denial), Some(denial.refusal.reason)),
    };
    worked.extend(policies.iter().cloned());
    let failure = case.differs(&policies, reason).map(|(span, what)| {
        let told = format!("case `{}`: {what}", case.name);
        Diagnostic::of(Severity::Error, "case", told)
            .at(&case.file, span)
            .help(format!("it was {}", in_words(&decided)))
    });
    let place = Diagnostic::of(Severity::Note, "case", "").at(&case.file, case.span.clone());
    Outcomes {
        name: case.name.clone(),
        file: place.file,
        line: place.line,
        expected: case.expected(),
        decided: in_words(&decided),
        failure,
        policies,
        reason,
    }
}

/// The policies that a refusal hung on: forbids that applied, and the permit whose limit was passed.
fn determined(denial: &Denial) -> Vec<Arc<str>> {
    let forbidden = denial.considered.iter().filter(|each| each.outcome == Outcome::Forbidden);
    let mut all: Vec<Arc<str>> = denial.policies.clone();
    for policy in forbidden.flat_map(|each| &each.policies) {
        if !all.contains(policy) {
            all.push(policy.clone());
        }
    }
    all
}

fn in_words(decided: &Result<Grant, Denial>) -> String {
    match decided {
        Ok(grant) => format!("allowed by {}, for {} s", grant.policies().join(", "), grant.ttl().as_secs()),
        Err(denial) => format!("denied ({}): {}", denial.refusal.reason.as_str(), denial.refusal.description),
    }
}

impl Run {
    /// How many cases differ from what they say.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.failure.is_some()).count()
    }

    /// The policies that no case has put to work.
    pub fn uncovered(&self) -> impl Iterator<Item = &Covered> {
        self.policies.iter().filter(|policy| !policy.is_covered)
    }

    /// Whether there are cases, and all of them are as they say.
    pub fn passed(&self) -> bool {
        !self.cases.is_empty() && self.findings.is_empty() && self.failed() == 0
    }

    /// The document for programs; `docs/policies.md` says what its fields mean.
    pub fn json(&self) -> Value {
        let cases = self.cases.iter().map(|case| {
            json!({
                "name": case.name, "file": case.file, "line": case.line, "passed": case.failure.is_none(),
                "expected": case.expected, "decided": case.decided, "policies": case.policies,
                "reason": case.reason.map(Reason::as_str),
            })
        });
        let findings = self.findings.iter().map(|finding| {
            json!({"message": finding.message, "mend": finding.help, "file": finding.file, "line": finding.line,
                "column": finding.column})
        });
        let uncovered = self.uncovered().map(|each| json!({"id": each.id, "file": each.file, "line": each.line}));
        let (failed, uncovered) = (self.failed(), uncovered.collect::<Vec<_>>());
        json!({
            "version": 1, "dir": self.dir, "passed": self.passed(),
            "counts": {"passed": self.cases.len() - failed, "failed": failed, "invalid": self.findings.len()},
            "cases": cases.collect::<Vec<_>>(), "findings": findings.collect::<Vec<_>>(),
            "coverage": {"policies": self.policies.len(), "covered": self.policies.len() - uncovered.len(), "uncovered": uncovered},
        })
    }
}
