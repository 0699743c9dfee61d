//! `jitney policy explain`: one request held against a set, with what would have to be different.
//!
//! Owns how such a request is described, and the proof of a policy that is told to be added: the set is loaded with it and
//! asked again. What policies say is the policy room's own.

mod beside;
mod document;
mod held;
mod proof;
pub mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

pub use beside::Quarantine;
pub use document::{json, told};
use held::Held;

use crate::model::time::parse_span;
use crate::model::{Clock, InvalidName, Refusal, ScopeSet, TaskId, UnixTime, WorkloadId};
use crate::policy::{Diagnostics, Explanation, IdentityKind, Limits, PolicySet, Question, Read};

/// An instance that nobody asks for, beside the one that somebody did.
const OTHER_INSTANCE: &str = "another-than-asked";
/// A task that nobody asks for.
const ANOTHER_TASK: &str = "another.than.asked";
/// So many other workloads are tried.
const MOST_WORKLOADS: usize = 1000;

/// A set that requests are held against.
#[derive(Debug)]
pub struct Basis {
    /// The set.
    pub set: PolicySet,
    /// What must never be possible.
    held: Held,
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
    /// A span, moment or word that is none.
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
        Ok(Self::of(dir, PolicySet::load_at(dir, Clock::system().now())?.0))
    }

    /// With the invariants that lie in `dir`: no broker weighs these, nor hands them out.
    fn of(dir: &Path, set: PolicySet) -> Self {
        let held = Held::beside(dir, &set);
        Self { set, held }
    }

    /// The set that a broker has in use, from the files that it was made from; `dir` is where they were read.
    ///
    /// # Errors
    /// What is wrong with it: a broker of another version may take what this one does not.
    pub fn of_files(dir: &Path, files: impl IntoIterator<Item = (String, String)>) -> Result<Self, Diagnostics> {
        Ok(Self::of(dir, Read::of_files(dir, files, Clock::system().now())?.0))
    }

    /// Explains what is decided on `question`; what is to be added to the set is tried, and not told where it does not do, does more
    /// than that, or is what an invariant forbids.
    pub fn explain(&self, question: &Question) -> Explanation {
        let question = &self.set.fitting(question);
        let mut explained = self.set.explain(question);
        for change in &mut explained.changes {
            if let Some((file, text)) = &change.paste {
                change.proven = self.allows_only(file, text, change.with.as_ref().unwrap_or(question));
                change.paste = change.paste.take().filter(|_| change.proven);
            }
        }
        self.held.weigh(&self.set, question, &mut explained.changes);
        self.weigh_proof(question, &mut explained);
        if let (Some(template), Err(denial)) = (&question.open_task, &mut explained.decided) {
            // What stands in for the task is nobody's name of one.
            let (stands_in, told) = (format!("task {}", question.task), format!("task {template}"));
            let refusal = &mut denial.refusal;
            *refusal = Refusal::new(refusal.reason, refusal.description.replace(&stands_in, &told));
        }
        explained
    }

    /// Whether the set with this file allows the question, and otherwise what it allows without it.
    fn allows_only(&self, file: &str, text: &str, question: &Question) -> bool {
        let files = self.set.files().iter().map(|(path, file)| (path.clone(), Arc::clone(&file.text)));
        let files = files.chain([(file.to_owned(), Arc::from(text))]);
        let Ok((with, _)) = PolicySet::from_sources(files, question.now) else { return false };
        let decides_alike =
            |probe: &Question| with.decide(&probe.ask()).is_ok() == self.set.decide(&probe.ask()).is_ok();
        let other = TaskId::parse(ANOTHER_TASK).ok().filter(|_| text.contains("context.task"));
        let other = other.map(|task| Question { task, ..question.clone() });
        with.decide(&question.ask()).is_ok() && self.besides(question).iter().chain(&other).all(decides_alike)
    }

    /// Requests beside the asked one, which a policy for it is none of: each other scope, another instance, and other workloads.
    fn besides(&self, question: &Question) -> Vec<Question> {
        let Some(audience) = self.set.audience(&question.audience) else { return Vec::new() };
        let names =
            audience.scopes.iter().map(|scope| match scope.name.strip_suffix('*').filter(|_| scope.is_open()) {
                Some(head) => format!("{head}{OTHER_INSTANCE}"),
                None => scope.name.to_string(),
            });
        let others = names.filter_map(|name| ScopeSet::parse(&name).ok());
        let others =
            others.filter(|scopes| question.scopes.iter().all(|asked| scopes.iter().all(|each| each != asked)));
        let workloads = self.set.workloads().filter(|workload| workload.id != question.workload).take(MOST_WORKLOADS);
        others
            .map(|scopes| Question { scopes, ..question.clone() })
            .chain(workloads.map(|workload| Question { workload: workload.id.clone(), ..question.clone() }))
            .collect()
    }

    /// What is said of the proof and nothing looks at, as a sentence each.
    pub fn passed_over(&self, described: &Described, question: &Question) -> Vec<String> {
        let said = &described.identity.claims;
        let all = self.set.passed_over(&described.workload, &question.identity, said);
        let told = all.into_iter().map(|(name, near)| {
            let meant = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!(
                "not looked at: the claim {name}, of which workloads/{}.toml says nothing, so that a broker passes over it{meant}",
                described.workload
            )
        });
        told.collect()
    }

    /// The question that is described.
    ///
    /// # Errors
    /// [`Undescribed`].
    pub fn question(&self, described: &Described, limits: Limits) -> Result<Question, Undescribed> {
        let name = |name| move |error| Undescribed::Name { name, error };
        let ttl = described.ttl.as_ref().map(Span::read).transpose()?;
        let now = described.now.as_deref().map_or_else(|| Ok(Clock::system().now()), moment)?;
        let Proven { r#type, claims } = &described.identity;
        // A misspelt word is no identity of another kind.
        let unknown = |why| Undescribed::Value { name: "identity", why };
        r#type.as_deref().map(IdentityKind::parse).transpose().map_err(unknown)?;
        let identity = self.set.used(&described.workload, r#type.as_deref(), claims);
        let asked = described.task.as_deref().map(TaskId::parse).transpose().map_err(name("task"))?;
        let template = self.set.task_by_platform(&described.workload, &identity);
        let attested = template.as_ref().and_then(|template| template.fill_said(claims));
        let is_task_said = asked.is_some() || attested.is_some();
        let open_task = template.filter(|_| !is_task_said);
        let example = || open_task.as_ref().and_then(|template| template.example(claims));
        let task = match asked.or_else(|| attested.clone()).or_else(example) {
            Some(task) => task,
            None => TaskId::parse("explain").map_err(name("task"))?,
        };
        Ok(Question {
            workload: WorkloadId::parse(&described.workload).map_err(name("workload"))?,
            audience: described.audience.clone(),
            scopes: ScopeSet::parse(&described.scope).map_err(name("scope"))?,
            task,
            is_task_said,
            attested,
            open_task,
            ttl,
            identity,
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
    // A day is its first second, as in the cases.
    let ms = crate::audit::moment(text).or_else(|| crate::audit::moment(&format!("{text}T00:00:00Z")));
    let why = || Undescribed::Value { name: "now", why: "write a day, or a moment like 2026-11-28T14:00:00Z".into() };
    ms.map(|ms| UnixTime::from_secs(ms / 1000)).ok_or_else(why)
}

#[cfg(test)]
mod tests;
