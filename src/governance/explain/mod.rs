//! `jitney policy explain`: one request held against a set, with what would have to be different.
//!
//! Owns how such a request is described, and the proof of a policy that is told to be added: the set is loaded with it and
//! asked again. What policies say is the policy room's own.

mod beside;
mod document;
pub mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

pub use beside::Quarantine;
pub use document::{json, told};

use crate::model::time::parse_span;
use crate::model::{Clock, InvalidName, Reason, Refusal, ScopeSet, TaskId, UnixTime, WorkloadId};
use crate::policy::{
    Change, Denial, Diagnostics, Explanation, IdentityKind, IdentityUsed, Limits, PolicySet, Question, Read,
    TaskTemplate,
};

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
        Ok(Self { set: PolicySet::load_at(dir, Clock::system().now())?.0 })
    }

    /// The set that a broker has in use, from the files that it was made from; `dir` is where they were read.
    ///
    /// # Errors
    /// What is wrong with it: a broker of another version may take what this one does not.
    pub fn of_files(dir: &Path, files: impl IntoIterator<Item = (String, String)>) -> Result<Self, Diagnostics> {
        Ok(Self { set: Read::of_files(dir, files, Clock::system().now())?.0 })
    }

    /// Explains what is decided on `question`; what is to be added to the set is tried, and not told where it does not do, or does more
    /// than that.
    pub fn explain(&self, question: &Question) -> Explanation {
        let mut explained = self.set.explain(question);
        for change in &mut explained.changes {
            if let Some((file, text)) = &change.paste {
                change.proven = self.allows_only(file, text, change.with.as_ref().unwrap_or(question));
                change.paste = change.paste.take().filter(|_| change.proven);
            }
        }
        self.weigh_proof(question, &mut explained);
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

    /// Makes it count that the workload has no identity that shows what the question says: it would not come to the policies.
    fn weigh_proof(&self, question: &Question, explained: &mut Explanation) {
        if self.set.workload(question.workload.as_str()).is_none() || self.set.can_prove(question) {
            return;
        }
        if let Some(templates) = self.set.attested_tasks(question) {
            explained.changes.insert(0, leave_the_task_out(&templates));
            let all = templates.iter().map(|template| format!("`{template}`")).collect::<Vec<_>>().join(" or ");
            let text = format!("the platform names its tasks, {all}: none is called {}", question.task);
            let refusal = Refusal::new(Reason::InvalidRequest, text);
            explained.decided = Err(Denial { refusal, policies: Vec::new(), considered: Vec::new() });
            return;
        }
        let ways = self.set.ways_to_prove(&question.workload);
        let told = |used: &IdentityUsed| match used.claims.get("iss") {
            Some(issuer) => format!("{} of {issuer}", used.kind.as_str()),
            None => used.kind.as_str().to_owned(),
        };
        let has: Vec<String> = ways.iter().map(told).collect();
        let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
        let works = ways
            .iter()
            .find(|used| self.set.decide(&Question { identity: (*used).clone(), ..question.clone() }.ask()).is_ok());
        let text = match works {
            Some(used) => format!("prove it by {}", told(used)),
            None => format!("prove it by what workloads/{}.toml has: {has}", question.workload),
        };
        explained.changes.insert(0, Change { proven: works.is_some(), ..Change::told(text) });
        let text =
            format!("{} cannot prove itself so: its file has {has}, and not with such claims", question.workload);
        let refusal = Refusal::new(Reason::InvalidClient, text);
        explained.decided = Err(Denial { refusal, policies: Vec::new(), considered: Vec::new() });
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
        let task = TaskId::parse(described.task.as_deref().unwrap_or("explain")).map_err(name("task"))?;
        let task = match described.task {
            Some(_) => task,
            None => self.set.usual_task(&described.workload, &identity, task),
        };
        Ok(Question {
            workload: WorkloadId::parse(&described.workload).map_err(name("workload"))?,
            audience: described.audience.clone(),
            scopes: ScopeSet::parse(&described.scope).map_err(name("scope"))?,
            task,
            ttl,
            identity,
            now,
            limits,
        })
    }
}

fn leave_the_task_out(templates: &[Arc<TaskTemplate>]) -> Change {
    let like = templates.iter().find_map(|template| template.example());
    let like = like.map_or_else(String::new, |like| format!(", or ask for a child of it, as {like}/STEP"));
    Change::told(format!("leave the task out, and the platform names it{like}"))
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
