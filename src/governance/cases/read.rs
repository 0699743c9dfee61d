//! `policies/tests/*.toml`: what a case may say, and what is wrong in it.
//!
//! Strict, as all files of a set: a case whose field is misspelt would pass for the wrong reason.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::model::time::parse_span;
use crate::model::{Reason, ScopeSet, TaskId, UnixTime, WorkloadId};
use crate::policy::{Diagnostic, IdentityKind, IdentityUsed, PolicySet, Proof, Severity, SourceFile, text_in};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    now: Option<Spanned<Datetime>>,
    #[serde(default)]
    case: Vec<Spanned<RawCase>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: Option<Spanned<String>>,
    expect: Option<Spanned<String>>,
    by: Option<Spanned<OneOrMany>>,
    because: Option<Spanned<String>>,
    workload: Option<Spanned<String>>,
    audience: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
    task: Option<Spanned<String>>,
    ttl: Option<Spanned<String>>,
    now: Option<Spanned<Datetime>>,
    identity: Option<Spanned<RawIdentity>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIdentity {
    r#type: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// One case, whole.
#[derive(Debug)]
pub(super) struct Case {
    pub name: String,
    pub file: SourceFile,
    /// Where its name stands.
    pub span: Range<usize>,
    allow: Spanned<bool>,
    by: Option<Spanned<Vec<String>>>,
    because: Option<Spanned<Reason>>,
    pub workload: WorkloadId,
    pub audience: String,
    pub scopes: ScopeSet,
    pub task: TaskId,
    pub ttl: Option<Duration>,
    pub now: UnixTime,
    identity: Option<Spanned<RawIdentity>>,
}

/// All cases under `dir`, in the order of their files, and what is wrong in those files.
pub(super) fn all(dir: &Path, now: UnixTime) -> (Vec<Case>, Vec<Diagnostic>) {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    let entries = fs::read_dir(dir.join("tests")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".toml") && !name.starts_with('.')
    });
    paths.sort();
    for path in paths {
        let shown = path.to_string_lossy().into_owned();
        match text_in(dir, &path) {
            Ok(text) => {
                of_file(&SourceFile { path: shown.as_str().into(), text: text.into() }, now, &mut cases, &mut findings)
            }
            Err(error) => {
                let told = format!("cannot read {shown}: {error}");
                findings.push(Diagnostic::of(Severity::Error, "case", told).in_file(&shown));
            }
        }
    }
    (cases, findings)
}

/// The cases of one file, and what is wrong in it.
pub(super) fn of_file(file: &SourceFile, now: UnixTime, cases: &mut Vec<Case>, findings: &mut Vec<Diagnostic>) {
    let raw: RawFile = match toml::from_str(&file.text) {
        Ok(raw) => raw,
        Err(error) => return findings.push(Diagnostic::of_toml(file, &error)),
    };
    let now = match raw.now.map(|at| moment(file, &at)).transpose() {
        Ok(at) => at.unwrap_or(now),
        Err(finding) => return findings.push(*finding),
    };
    for raw in raw.case {
        let span = raw.span();
        match (Reading { file, span }).case(raw.into_inner(), now) {
            Ok(case) => cases.push(case),
            Err(finding) => findings.push(*finding),
        }
    }
}

fn wrong(file: &SourceFile, span: Range<usize>, told: impl Into<String>, mend: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::of(Severity::Error, "case", told).at(file, span).help(mend))
}

/// A day's first second, or a moment with its offset.
fn moment(file: &SourceFile, at: &Spanned<Datetime>) -> Result<UnixTime, Box<Diagnostic>> {
    let written = match at.get_ref() {
        Datetime { date: Some(_), time: None, offset: None } => format!("{}T00:00:00Z", at.get_ref()),
        whole => whole.to_string(),
    };
    let parsed = time::OffsetDateTime::parse(&written, &time::format_description::well_known::Rfc3339).ok();
    let secs = parsed.and_then(|moment| u64::try_from(moment.unix_timestamp()).ok());
    secs.map(UnixTime::from_secs).ok_or_else(|| {
        wrong(file, at.span(), "`now` is a day, or a moment with its offset", "write now = 2026-11-25T02:00:00Z")
    })
}

struct Reading<'a> {
    file: &'a SourceFile,
    span: Range<usize>,
}

impl Reading<'_> {
    fn case(&self, raw: RawCase, now: UnixTime) -> Result<Case, Box<Diagnostic>> {
        let name = self.needed("name", raw.name)?;
        let expect = self.needed("expect", raw.expect)?;
        let allow = match expect.get_ref().as_str() {
            "allow" => true,
            "deny" => false,
            _ => return Err(self.wrong(expect.span(), "a case expects `allow` or `deny`", "write expect = \"allow\"")),
        };
        let workload = self.needed("workload", raw.workload)?;
        let scope = self.needed("scope", raw.scope)?;
        let task = self.needed("task", raw.task)?;
        let rule = |what: &str| format!("this names no {what}");
        Ok(Case {
            file: self.file.clone(),
            span: name.span(),
            name: name.into_inner(),
            allow: Spanned::new(expect.span(), allow),
            by: raw.by.map(|by| {
                let span = by.span();
                match by.into_inner() {
                    OneOrMany::One(id) => Spanned::new(span, vec![id]),
                    OneOrMany::Many(ids) => Spanned::new(span, ids),
                }
            }),
            because: raw.because.map(|because| self.because(&because, allow)).transpose()?,
            audience: self.needed("audience", raw.audience)?.into_inner(),
            workload: WorkloadId::parse(workload.get_ref())
                .map_err(|error| self.wrong(workload.span(), rule("workload"), error.rule))?,
            scopes: ScopeSet::parse(scope.get_ref())
                .map_err(|error| self.wrong(scope.span(), rule("scope"), error.rule))?,
            task: TaskId::parse(task.get_ref()).map_err(|error| self.wrong(task.span(), rule("task"), error.rule))?,
            ttl: raw
                .ttl
                .map(|ttl| parse_span(ttl.get_ref()).map_err(|why| self.wrong(ttl.span(), why, "write ttl = \"5m\"")))
                .transpose()?,
            now: raw.now.map(|at| moment(self.file, &at)).transpose()?.unwrap_or(now),
            identity: raw.identity,
        })
    }

    fn because(&self, because: &Spanned<String>, allow: bool) -> Result<Spanned<Reason>, Box<Diagnostic>> {
        if allow {
            return Err(self.wrong(
                because.span(),
                "only a refusal has a reason",
                "leave `because` out, or expect \"deny\"",
            ));
        }
        let known = Reason::all().find(|reason| reason.as_str() == because.get_ref());
        known.map(|reason| Spanned::new(because.span(), reason)).ok_or_else(|| {
            let told = format!("there is no reason `{}`", because.get_ref());
            self.wrong(
                because.span(),
                told,
                "write one as the audit log has it: denied_scope, expired, unknown_audience",
            )
        })
    }

    fn needed<T>(&self, what: &str, raw: Option<Spanned<T>>) -> Result<Spanned<T>, Box<Diagnostic>> {
        let mend = "a case has name, expect, workload, audience, scope and task";
        raw.ok_or_else(|| self.wrong(self.span.clone(), format!("this case has no `{what}`"), mend))
    }

    fn wrong(&self, span: Range<usize>, told: impl Into<String>, mend: impl Into<String>) -> Box<Diagnostic> {
        wrong(self.file, span, told, mend)
    }
}

impl Case {
    /// What it expects, in words.
    pub fn expected(&self) -> String {
        let by = self.by.as_ref().map_or(String::new(), |by| format!(" by {}", by.get_ref().join(", ")));
        let because = self.because.as_ref().map_or(String::new(), |why| format!(" ({})", why.get_ref().as_str()));
        format!("{}{because}{by}", if *self.allow.get_ref() { "allowed" } else { "denied" })
    }

    /// Where a decision differs from what it expects, and how.
    pub fn differs(&self, policies: &[Arc<str>], reason: Option<Reason>) -> Option<(Range<usize>, String)> {
        let is_allowed = reason.is_none();
        if *self.allow.get_ref() != is_allowed {
            let told =
                if is_allowed { "it should be denied, and is allowed" } else { "it should be allowed, and is denied" };
            return Some((self.allow.span(), told.into()));
        }
        if let (Some(expected), Some(found)) = (&self.because, reason)
            && *expected.get_ref() != found
        {
            let [expected_is, found] = [*expected.get_ref(), found].map(Reason::as_str);
            return Some((
                expected.span(),
                format!("it should be denied by reason of {expected_is}, and is by {found}"),
            ));
        }
        let by = self.by.as_ref()?;
        let mut expected: Vec<&str> = by.get_ref().iter().map(String::as_str).collect();
        let mut found: Vec<&str> = policies.iter().map(|id| &**id).collect();
        expected.sort_unstable();
        found.sort_unstable();
        let names = |ids: &[&str]| if ids.is_empty() { "no policy".to_owned() } else { ids.join(", ") };
        (expected != found)
            .then(|| (by.span(), format!("it should hang on {}, and hangs on {}", names(&expected), names(&found))))
    }

    /// How the workload proves itself in it: as it says, else by the first way that the workload has.
    pub fn identity_used(&self, set: &PolicySet) -> Result<IdentityUsed, Box<Diagnostic>> {
        let identities = set.workload(self.workload.as_str()).map_or(&[][..], |workload| &workload.identities);
        let asked = self.identity.as_ref().map(Spanned::get_ref);
        let span = self.identity.as_ref().map_or(self.span.clone(), Spanned::span);
        let kind = asked.and_then(|identity| identity.r#type.as_deref());
        if let Some(Err(why)) = kind.map(IdentityKind::parse) {
            return Err(wrong(&self.file, span, why, "name a type that the workload's file has"));
        }
        let chosen = identities.iter().find(|identity| kind.is_none_or(|kind| kind == identity.kind().as_str()));
        let claims = asked.map(|identity| identity.claims.clone()).unwrap_or_default();
        let Some(chosen) = chosen else {
            // Nobody of that name: the decision says so.
            return match kind {
                Some(kind) if !identities.is_empty() => {
                    let told = format!("workload `{}` has no identity of type `{kind}`", self.workload);
                    Err(wrong(&self.file, span, told, "name a type that its file has"))
                }
                _ => Ok(IdentityUsed { kind: IdentityKind::PrivateKeyJwt, claims: Arc::new(claims) }),
            };
        };
        match &chosen.proof {
            Proof::Oidc(oidc) => {
                if let Some(stranger) = claims.keys().find(|name| !oidc.keep.iter().any(|kept| **kept == ***name)) {
                    let told = format!("no identity of workload `{}` keeps the claim `{stranger}`", self.workload);
                    return Err(wrong(&self.file, span, told, "policies see what `keep` names, and `iss`, alone"));
                }
                Ok(IdentityUsed::oidc(&oidc.issuer, claims.into_iter()))
            }
            _ => {
                if let Some(stranger) = claims.keys().find(|name| *name != "kid") {
                    let told = format!("a `private_key_jwt` assertion gives policies no claim `{stranger}`");
                    return Err(wrong(&self.file, span, told, "it gives `kid` alone"));
                }
                Ok(IdentityUsed::private_key_jwt(claims.get("kid").map(String::as_str)))
            }
        }
    }
}
