//! One Cedar policy as jitney uses it: its id, what it obliges, where it stands.
//!
//! Owns the annotations. What a policy says beyond them is Cedar's.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Effect, Policy, PolicyId};

use super::condition::{Condition, Kept, placeless};
use super::depth;
use super::diagnostic::{Diagnostic, Severity, SourceFile};
use super::grant::SingleUse;
use super::schema::Words;
use crate::model::time::parse_span;

/// A policy of the set.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its `@id`, unique in the set.
    pub id: Arc<str>,
    /// The policy, under that id.
    pub policy: Policy,
    /// What it says behind its head, where it says anything.
    pub body: Option<Condition>,
    /// The longest a token it permits may live.
    pub max_ttl: Option<Duration>,
    /// The longest a chain of renewals it permits may live.
    pub max_lifetime: Option<Duration>,
    /// How far one platform token goes under it.
    pub single_use: Option<SingleUse>,
    /// The file it stands in.
    pub file: SourceFile,
    /// Where in the file.
    pub span: Range<usize>,
}

impl Rule {
    /// Whether it permits, rather than forbids.
    pub fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }
}

/// Named in the contract, built later: refused by name, so that nobody relies on them.
const LATER: &[&str] = &["approval"];

/// What may stand before a policy.
const KNOWN: &[&str] = &["id", "max_ttl", "max_lifetime", "single_use"];

/// Reads all policy files; what is wrong goes to `findings`, and a file with an error of syntax gives no rules.
pub(super) fn read(files: &[SourceFile], words: &Words, findings: &mut Vec<Diagnostic>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for file in files {
        if let Some(finding) = depth::check(file) {
            findings.push(finding);
            continue;
        }
        match cedar_policy::PolicySet::from_str(&file.text) {
            Ok(set) => rules.extend(read_file(file, &set, words, findings)),
            Err(errors) => findings
                .extend(errors.iter().map(|error| Diagnostic::of_cedar(Severity::Error, "cedar-syntax", file, error))),
        }
    }
    ready(unique(rules, findings))
}

/// Makes the rules ready to be weighed, now that nobody asks for places within their policies any more.
fn ready(mut rules: Vec<Rule>) -> Vec<Rule> {
    let mut kept = Kept::default();
    for rule in &mut rules {
        rule.policy = placeless(&rule.policy);
        rule.body = kept.body(&rule.policy);
    }
    rules
}

fn read_file(
    file: &SourceFile,
    set: &cedar_policy::PolicySet,
    words: &Words,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Rule> {
    for template in set.templates() {
        let span = template.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end());
        let finding = Diagnostic::error("cedar-syntax", "templates are not used here").at(file, span);
        findings.push(finding.help("name the principal and the resource instead of ?principal and ?resource"));
    }
    let rules: Vec<Rule> = set.policies().filter_map(|policy| Annotated { file, policy }.rule(findings)).collect();
    // Validated under their own names, for Cedar's messages say them. A repeated one is reported by `unique`.
    let mut seen = HashSet::new();
    let named = rules.iter().filter(|rule| seen.insert(rule.id.clone())).map(|rule| rule.policy.clone());
    match cedar_policy::PolicySet::from_policies(named) {
        Ok(named) => words.validate(file, &named, findings),
        Err(error) => findings.push(Diagnostic::error("policy-id", error.to_string()).at(file, 0..0)),
    }
    rules
}

/// Leaves out, with a finding, each rule whose id another has already.
fn unique(rules: Vec<Rule>, findings: &mut Vec<Diagnostic>) -> Vec<Rule> {
    let mut seen: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut kept: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in rules {
        let Some(first) = seen.get(&rule.id) else {
            seen.insert(rule.id.clone(), kept.len());
            kept.push(rule);
            continue;
        };
        // Places are told only here: each counts the lines before it.
        let placed = |text: &str, rule: &Rule| {
            Diagnostic::error("policy-id", text).at(&rule.file, rule.span.clone()).about(&rule.id)
        };
        let first = placed("", &kept[*first]);
        let finding = placed(&format!("policy id `{}` is taken", rule.id), &rule);
        findings.push(finding.help(format!("the other one stands at {}:{}", first.file, first.line)));
    }
    kept
}

/// A policy as Cedar read it, not yet checked.
struct Annotated<'a> {
    file: &'a SourceFile,
    policy: &'a Policy,
}

impl Annotated<'_> {
    /// The whole policy's place.
    fn span(&self) -> Range<usize> {
        self.policy.as_ref().loc().map_or(0..0, |loc| loc.start()..loc.end())
    }

    /// One annotation's place.
    fn span_of(&self, name: &str) -> Range<usize> {
        self.policy
            .as_ref()
            .annotations()
            .find(|(key, _)| key.as_ref() == name)
            .and_then(|(_, annotation)| annotation.loc.as_ref())
            .map_or_else(|| self.span(), |loc| loc.start()..loc.end())
    }

    fn error(&self, code: &'static str, at: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).at(self.file, self.span_of(at))
    }

    fn rule(&self, findings: &mut Vec<Diagnostic>) -> Option<Rule> {
        self.unknown(findings);
        let max_ttl = self.span_in("max_ttl", findings);
        let max_lifetime = self.span_in("max_lifetime", findings);
        let single_use = self.single_use(findings);
        let id = match self.id() {
            Ok(id) => id,
            Err(finding) => {
                findings.push(finding);
                return None;
            }
        };
        let policy = self.policy.new_id(PolicyId::new(&*id));
        Some(Rule {
            id,
            policy,
            body: None,
            max_ttl,
            max_lifetime,
            single_use,
            file: self.file.clone(),
            span: self.span(),
        })
    }

    fn id(&self) -> Result<Arc<str>, Diagnostic> {
        let Some(id) = self.policy.annotation("id") else {
            let finding = Diagnostic::error("policy-id", "a policy needs its @id").at(self.file, self.span());
            return Err(finding.help("write @id(\"what-it-allows\") before it: refusals and the audit log name it"));
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'-');
        if (1..=128).contains(&id.len()) && id.bytes().all(fits) {
            return Ok(id.into());
        }
        let finding = self.error("policy-id", "id", format!("`{id}` cannot name a policy"));
        Err(finding.help("1 to 128 characters of A-Z a-z 0-9 . _ : / -"))
    }

    fn unknown(&self, findings: &mut Vec<Diagnostic>) {
        for (name, _) in self.policy.annotations() {
            if LATER.contains(&name) {
                let finding = self.error("annotation", name, format!("@{name} is not built yet"));
                findings.push(finding.help("what is not built obliges nobody: leave it out"));
            } else if !KNOWN.contains(&name) {
                let finding = self.error("annotation", name, format!("unknown annotation @{name}"));
                findings.push(finding.suggest(name, KNOWN.iter().copied()));
            }
        }
    }

    /// `@single_use`, on a permit.
    fn single_use(&self, findings: &mut Vec<Diagnostic>) -> Option<SingleUse> {
        let raw = self.policy.annotation("single_use")?;
        let read = match raw {
            _ if self.policy.effect() == Effect::Forbid => None,
            "lease" => Some(SingleUse::Lease),
            "task" => Some(SingleUse::Task),
            _ => None,
        };
        if read.is_none() {
            let what = match self.policy.effect() {
                Effect::Forbid => "@single_use obliges only where a policy permits",
                Effect::Permit => "@single_use binds a platform's token to one lease or to one task",
            };
            let finding = self.error("annotation", "single_use", what);
            findings.push(finding.help("write @single_use(\"lease\") or @single_use(\"task\") before a permit"));
        }
        read
    }

    /// An annotation that is a span of time, on a permit.
    fn span_in(&self, name: &str, findings: &mut Vec<Diagnostic>) -> Option<Duration> {
        let raw = self.policy.annotation(name)?;
        if self.policy.effect() == Effect::Forbid {
            let finding = self.error("annotation", name, format!("@{name} obliges only where a policy permits"));
            findings.push(finding.help("write a condition on context.ttl instead"));
            return None;
        }
        match parse_span(raw) {
            Ok(span) => Some(span),
            Err(why) => {
                findings.push(self.error("annotation", name, format!("@{name}: {why}")));
                None
            }
        }
    }
}
