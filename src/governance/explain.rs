//! `jitney policy explain`: one request held against a set, with what would have to be different.
//!
//! Owns how such a request is described, and the proof of a policy that is told to be added: the set is loaded with it and
//! asked again. What policies say is the policy room's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::time::parse_span;
use crate::model::{Clock, InvalidName, ScopeSet, TaskId, UnixTime, WorkloadId};
use crate::policy::{
    Diagnostics, Explanation, IdentityKind, IdentityUsed, Limits, PolicySet, Proof, Question, Read, SourceFile,
};

/// A set with the files it was made from.
pub struct Basis {
    /// The set.
    pub set: PolicySet,
    files: BTreeMap<String, SourceFile>,
}

/// A request as somebody describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Who asks.
    pub workload: String,
    /// The resource server.
    pub audience: String,
    /// What is asked, a space between two.
    pub scope: String,
    /// The task; `explain` where none is given.
    pub task: Option<String>,
    /// Seconds, or a span like `5m`.
    #[serde(default)]
    pub ttl: Option<Span>,
    /// When, RFC 3339; now where it is not given.
    pub now: Option<String>,
    /// How the workload proves itself; by the first way that it has where it is not given.
    #[serde(default)]
    pub identity: Proven,
}

/// Seconds, or a span like `5m`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Span {
    /// Seconds.
    Seconds(u64),
    /// A span.
    Text(String),
}

/// How a workload proves itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// `oidc` or `private_key_jwt`.
    pub r#type: Option<String>,
    /// What policies see of the platform's token; of an assertion `kid` alone.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

/// A description that is none.
#[derive(Debug, thiserror::Error)]
pub enum Undescribed {
    /// A name that is none.
    #[error("{name}: {error}")]
    Name {
        /// Which.
        name: &'static str,
        /// Why not.
        error: InvalidName,
    },
    /// A span or moment that is none.
    #[error("{name}: {why}")]
    Value {
        /// Which.
        name: &'static str,
        /// Why not.
        why: String,
    },
    /// No JSON of such a request.
    #[error("it is no request in JSON: {0}")]
    Json(String),
}

impl Basis {
    /// The set under `dir`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(dir: &Path) -> Result<Self, Diagnostics> {
        let Read { loaded, files } = Read::of(dir, Clock::system().now());
        Ok(Self { set: loaded?.0, files })
    }

    /// Explains what is decided on `question`; what is to be added to the set is tried.
    pub fn explain(&self, question: &Question) -> Explanation {
        let mut explained = self.set.explain(question);
        for change in &mut explained.changes {
            if let Some((file, text)) = &change.paste {
                change.proven = self.allows_with(file, text, question);
            }
        }
        explained
    }

    fn allows_with(&self, file: &str, text: &str, question: &Question) -> bool {
        let files = self.files.iter().map(|(path, file)| (path.clone(), Arc::clone(&file.text)));
        let files = files.chain([(file.to_owned(), Arc::from(text))]);
        let with = PolicySet::from_sources(files, question.now);
        with.is_ok_and(|(set, _)| set.decide(&question.ask()).is_ok())
    }

    /// How a workload proves itself: as it is said, else by the first way it has.
    pub fn proven(&self, workload: &str, said: &Proven) -> IdentityUsed {
        let identities = self.set.workload(workload).map_or(&[][..], |workload| &workload.identities);
        let kind = said.r#type.as_deref();
        let chosen = identities.iter().find(|identity| kind.is_none_or(|kind| kind == identity.kind().as_str()));
        match (chosen.map(|identity| &identity.proof), kind) {
            (Some(Proof::Oidc(oidc)), _) => {
                let claims = said.claims.iter().filter(|(name, _)| *name != "iss");
                let issuer = said.claims.get("iss").map_or(&*oidc.issuer, String::as_str);
                IdentityUsed::oidc(issuer, claims.map(|(name, value)| (name.clone(), value.clone())))
            }
            (None, Some(kind)) if kind == IdentityKind::Oidc.as_str() => {
                IdentityUsed { kind: IdentityKind::Oidc, claims: Arc::new(said.claims.clone()) }
            }
            _ => IdentityUsed::private_key_jwt(said.claims.get("kid").map(String::as_str)),
        }
    }

    /// The question that is described.
    ///
    /// # Errors
    /// [`Undescribed`].
    pub fn question(&self, described: &Described, limits: Limits) -> Result<Question, Undescribed> {
        let name = |name| move |error| Undescribed::Name { name, error };
        let ttl = described.ttl.as_ref().map(Span::read).transpose()?;
        let now = described.now.as_deref().map_or_else(|| Ok(Clock::system().now()), moment)?;
        let task = described.task.as_deref().unwrap_or("explain");
        Ok(Question {
            workload: WorkloadId::parse(&described.workload).map_err(name("workload"))?,
            audience: described.audience.clone(),
            scopes: ScopeSet::parse(&described.scope).map_err(name("scope"))?,
            task: TaskId::parse(task).map_err(name("task"))?,
            ttl,
            identity: self.proven(&described.workload, &described.identity),
            now,
            limits,
        })
    }
}

impl Described {
    /// Reads one in JSON.
    ///
    /// # Errors
    /// [`Undescribed::Json`].
    pub fn from_json(text: &str) -> Result<Self, Undescribed> {
        serde_json::from_str(text).map_err(|error| Undescribed::Json(error.to_string()))
    }
}

impl Span {
    fn read(&self) -> Result<std::time::Duration, Undescribed> {
        let why = |why| Undescribed::Value { name: "ttl", why };
        match self {
            Self::Seconds(0) => Err(why("a token lives a second at least".into())),
            Self::Seconds(secs) => Ok(std::time::Duration::from_secs(*secs)),
            Self::Text(text) => parse_span(text).map_err(why),
        }
    }
}

fn moment(text: &str) -> Result<UnixTime, Undescribed> {
    let ms = crate::audit::moment(text);
    let why = || Undescribed::Value { name: "now", why: "write a moment like 2026-11-28T14:00:00Z".into() };
    ms.map(|ms| UnixTime::from_secs(ms / 1000)).ok_or_else(why)
}

/// The document for programs; `docs/policies.md` says what its fields mean.
pub fn json(question: &Question, explained: &Explanation) -> Value {
    let scopes = explained.scopes.iter().map(|scope| {
        let policies = scope.policies.iter().map(|policy| {
            let parts = policy.parts.iter().map(|part| {
                let values: BTreeMap<_, _> = part.values.iter().cloned().collect();
                json!({"text": part.text, "holds": part.holds, "values": values})
            });
            json!({
                "id": policy.id, "effect": if policy.permits { "permit" } else { "forbid" }, "applies": policy.applies,
                "file": policy.file, "line": policy.line, "conditions": parts.collect::<Vec<_>>(),
            })
        });
        json!({
            "scope": scope.scope, "outcome": scope.outcome.map(crate::policy::Outcome::as_str),
            "policies": policies.collect::<Vec<_>>(),
        })
    });
    let changes = explained.changes.iter().map(|change| {
        let paste = change.paste.as_ref().map(|(file, text)| json!({"file": file, "text": text}));
        json!({"text": change.text, "proven": change.proven, "paste": paste})
    });
    let (policies, reason, why, ttl) = match &explained.decided {
        Ok(grant) => (grant.policies().to_vec(), None, None, Some(grant.ttl().as_secs())),
        Err(denial) => {
            let refusal = &denial.refusal;
            (denial.policies.clone(), Some(refusal.reason.as_str()), Some(refusal.description.to_string()), None)
        }
    };
    json!({
        "version": 1, "allowed": explained.decided.is_ok(), "policies": policies, "reason": reason, "why": why, "ttl": ttl,
        "request": {
            "workload": question.workload.as_str(), "audience": question.audience, "scope": question.scopes.to_string(),
            "task": question.task.as_str(), "ttl": question.ttl.map(|ttl| ttl.as_secs()), "now": question.now.rfc3339(),
            "identity": {"type": question.identity.kind.as_str(), "claims": *question.identity.claims},
        },
        "scopes": scopes.collect::<Vec<_>>(), "changes": changes.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures;

    fn basis(policies: &str) -> (tempfile::TempDir, Basis) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in fixtures::files(policies) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let basis = Basis::load(dir.path()).unwrap();
        (dir, basis)
    }

    #[test]
    fn what_is_to_be_added_was_tried() {
        let forbid =
            r#"@id("f") forbid(principal, action, resource == Jitney::Scope::"https://api.example.com orders:write");"#;
        let (_dir, basis) = basis(forbid);
        for (scope, proven) in [("orders:read", true), ("orders:write", false)] {
            let described = Described::from_json(&format!(
                r#"{{"workload": "alpha", "audience": "https://api.example.com", "scope": "{scope}", "ttl": "2m"}}"#
            ));
            let question = basis.question(&described.unwrap(), Limits::default()).unwrap();
            let explained = basis.explain(&question);
            let with: Vec<bool> =
                explained.changes.iter().filter(|change| change.paste.is_some()).map(|change| change.proven).collect();
            assert!(with.iter().all(|each| *each == proven) && (!proven || !with.is_empty()), "{scope}: {explained:?}");
            let document = json(&question, &explained);
            assert_eq!((&document["allowed"], &document["request"]["ttl"]), (&json!(false), &json!(120)));
        }
    }

    #[test]
    fn a_description_that_is_none_is_told() {
        let (_dir, basis) = basis("");
        for wrong in
            ["", "[]", r#"{"workload": "a"}"#, r#"{"workload": "a", "audience": "b", "scope": "c", "colour": 1}"#]
        {
            assert!(Described::from_json(wrong).is_err(), "{wrong}");
        }
        for (member, value) in [("ttl", "0"), ("ttl", "\"soon\""), ("now", "\"then\""), ("task", "\"a//b\"")] {
            let text = format!(r#"{{"workload": "a", "audience": "b", "scope": "c", "{member}": {value}}}"#);
            let described = Described::from_json(&text).unwrap();
            let error = basis.question(&described, Limits::default()).unwrap_err().to_string();
            assert!(error.starts_with(member), "{error}");
        }
    }
}
