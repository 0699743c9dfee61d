//! `check.toml`: what passes for now, why, and until when. An entry that does not say so is a finding itself.
//!
//! One file, and no comments beside what they excuse: so its owners can be asked for every change of it.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::expiry::first_second;
use super::finding::{Finding, Findings, Suppressed};
use super::tree::{Text, Tree};
use super::{rules, vague, what};
use crate::model::UnixTime;

/// The file, in the folder of the set.
const FILE: &str = "check.toml";
/// No entry lets anything pass for longer.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    allow: Vec<Spanned<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    code: Option<Spanned<String>>,
    file: Option<String>,
    subject: Option<String>,
    until: Option<Spanned<Datetime>>,
    reason: Option<Spanned<String>>,
}

/// Lets pass what an entry names.
pub(super) fn apply(tree: &Tree<'_>, findings: &mut Findings) {
    let Some(text) = tree.walk.files.iter().find(|text| text.path == FILE) else { return };
    let raw: Raw = match toml::from_str(&text.file.text) {
        Ok(raw) => raw,
        Err(error) => {
            let told = error.message().lines().next().unwrap_or_default().to_owned();
            let mend = "write [[allow]] with code, file or subject, until, and reason".to_owned();
            return findings.at(what::suppression(), (&text.file, error.span().unwrap_or(0..0)), "", (told, mend));
        }
    };
    for spanned in raw.allow {
        let span = spanned.span();
        let entry = spanned.into_inner();
        match entry.judged(tree.now, &span) {
            Ok(why) => let_pass(&entry, &why, (text, span), findings),
            Err((at, told, mend)) => findings.at(what::suppression(), (&text.file, at), "", (told, mend)),
        }
    }
}

fn let_pass(entry: &Entry, why: &Suppressed, (text, span): (&Text, Range<usize>), findings: &mut Findings) {
    let mut is_of_use = false;
    for finding in findings.all.iter_mut().filter(|finding| finding.rule.may_pass && entry.names(finding)) {
        finding.suppressed = Some(why.clone());
        is_of_use = true;
    }
    if !is_of_use {
        let told = "this entry lets nothing pass: what it names is not found".to_owned();
        let mend = "delete it: what was mended may come back unseen".to_owned();
        findings.at(what::suppression(), (&text.file, span), "", (told, mend));
    }
}

/// The rule that a code names, and the finer code behind it.
fn rule_of(code: &str) -> (&str, Option<&str>) {
    code.split_once('/').map_or((code, None), |(rule, finer)| (rule, Some(finer)))
}

impl Entry {
    /// Why and until when it lets pass; else where it is wrong, how, and the mend.
    fn judged(&self, now: UnixTime, whole: &Range<usize>) -> Result<Suppressed, (Range<usize>, String, String)> {
        let wrong = |at: Range<usize>, told: &str, mend: &str| Err((at, told.to_owned(), mend.to_owned()));
        let Some(code) = &self.code else {
            return wrong(whole.clone(), "this entry names no rule", "write code = \"…\", as findings show it");
        };
        match rules::find(rule_of(code.get_ref()).0) {
            None => {
                let told = format!("there is no rule `{}`", code.get_ref());
                let mend =
                    "write a code as findings show it: `rule`, or `rule/finer-code`; docs/policy-check.md has both";
                let rule = rules::FINER.iter().find(|(finer, _)| *finer == code.get_ref());
                let mend = rule.map_or_else(|| mend.into(), |(finer, rule)| {
                    format!("`{finer}` is a finer code of the rule `{rule}`: write code = \"{rule}\", or \"{rule}/{finer}\"")
                });
                return Err((code.span(), told, mend));
            }
            Some(rule) if !rule.may_pass => {
                let told = format!("nothing lets `{}` pass", code.get_ref());
                return Err((code.span(), told, "mend what it finds".into()));
            }
            Some(_) => {}
        }
        if self.file.is_none() && self.subject.is_none() {
            let mend = "write file = \"workloads/….toml\", or subject = \"…\": a workload, a policy or an audience";
            return wrong(whole.clone(), "this entry would let a whole rule pass", mend);
        }
        let Some(reason) = self.reason.as_ref().filter(|reason| !vague::is_vague(reason.get_ref())) else {
            let at = self.reason.as_ref().map_or(whole.clone(), Spanned::span);
            return wrong(
                at,
                "this entry has no reason that tells anything",
                "write reason = \"…\": why it may pass for now",
            );
        };
        let day = self.until.as_ref().and_then(|until| Some((until, first_second(until.get_ref())?)));
        let Some((until, start)) = day else {
            return wrong(
                whole.clone(),
                "this entry has no end",
                "write until = 2027-06-30: the last day it lets pass",
            );
        };
        if start.plus(Duration::from_secs(86_400)) <= now {
            return wrong(
                until.span(),
                "this entry is past its end, and lets nothing pass",
                "mend what it let pass, and delete it",
            );
        }
        if start.since(now) > LONGEST {
            return wrong(until.span(), "this entry's end is more than 400 days away", "name an earlier day");
        }
        Ok(Suppressed { reason: reason.get_ref().clone(), until: until.get_ref().to_string() })
    }

    fn names(&self, finding: &Finding) -> bool {
        let is_code = |code: &str| {
            let (rule, finer) = rule_of(code);
            rule == finding.rule.code && finer.is_none_or(|finer| finer == finding.diagnostic.code)
        };
        self.code.as_ref().is_some_and(|code| is_code(code.get_ref()))
            && self.file.as_ref().is_none_or(|file| *file == finding.path)
            && self.subject.as_ref().is_none_or(|subject| *subject == finding.subject)
    }
}
