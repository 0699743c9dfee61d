//! What a request is held against: the set that the running broker has in use, or a folder's, and the broker's word on quarantine.
//!
//! A broker goes on with the set before where its folder does not load, and so does an explanation. What the folder holds instead is
//! told beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::super::admin::{self, explain as explain_client};
use super::super::{Failure, output};
use super::undescribed;
use crate::client::ClientError;
use crate::client::admin::AdminClient;
use crate::governance::explain::{Basis, Described, Quarantine};
use crate::model::UnixTime;
use crate::policy::{Diagnostics, Explanation, Limits, Question};

/// Which policies, under which limits, and whom to ask for more.
pub(in crate::cli) struct Grounds {
    basis: Basis,
    limits: Limits,
    dir: PathBuf,
    /// Whether it is the set that the broker has in use; none where no broker said.
    is_in_use: Option<bool>,
    /// What somebody has to know of the folder.
    warning: Option<String>,
    /// The broker, or why none is asked.
    broker: Result<AdminClient, String>,
}

/// A request held against them.
pub(in crate::cli) struct Weighed {
    pub(in crate::cli) question: Question,
    pub(in crate::cli) explained: Explanation,
    pub(in crate::cli) quarantine: Quarantine,
    /// What is said of the request and was not looked at.
    pub(super) passed_over: Vec<String>,
}

impl Grounds {
    /// Those of the folder that is named, else those of the broker.
    ///
    /// # Errors
    /// [`Failure`] where there is neither a folder that loads nor a broker.
    pub(in crate::cli) async fn find(named: Option<&Path>, at: Option<&str>) -> Result<Self, Failure> {
        match named {
            Some(dir) => Self::of_folder(dir, at).await,
            None => Self::of_broker(at).await,
        }
    }

    async fn of_folder(dir: &Path, at: Option<&str>) -> Result<Self, Failure> {
        let basis = Basis::load(dir).map_err(|findings| does_not_load(dir, &findings))?;
        // Whoever names a folder needs no broker. Where there is one, its word on quarantine counts.
        let (broker, is_in_use) = match reach(at).await {
            Ok((client, status)) => {
                (Ok(client), Some(status["policies"]["digest"].as_str() == Some(basis.set.digest())))
            }
            Err(why) => (Err(why), None),
        };
        let warning = (is_in_use == Some(false)).then(|| {
            format!("what lies in {} is another set than the broker has in use; see `jitney status`", dir.display())
        });
        Ok(Self { basis, limits: Limits::default(), dir: dir.to_owned(), is_in_use, warning, broker })
    }

    async fn of_broker(at: Option<&str>) -> Result<Self, Failure> {
        let client = admin::connect(at)?;
        let status = client.status().await.map_err(explain_client)?;
        let dir = PathBuf::from(status["policies"]["dir"].as_str().unwrap_or_default());
        let limits = limits_of(&status);
        if let Some(basis) = in_use(&client, &dir).await {
            let warning = beside(&dir, &basis);
            return Ok(Self { basis, limits, dir, is_in_use: Some(true), warning, broker: Ok(client) });
        }
        // A broker of another version may not hand out its set: then the folder has to do.
        if dir.as_os_str().is_empty() {
            return Err(Failure::new("the broker does not say where its policies are", "name them: --policies DIR"));
        }
        let basis = Basis::load(&dir).map_err(|findings| does_not_load(&dir, &findings))?;
        let is_in_use = status["policies"]["digest"].as_str() == Some(basis.set.digest());
        let warning = (!is_in_use).then(|| {
            let dir = dir.display();
            format!("what lies in {dir} is another set than the broker has in use, which cannot be had from it")
        });
        Ok(Self { basis, limits, dir, is_in_use: Some(is_in_use), warning, broker: Ok(client) })
    }

    /// Holds a request against them, and the broker's word on quarantine against what comes out.
    ///
    /// # Errors
    /// [`Failure`] where it is no request.
    pub(in crate::cli) async fn weigh(&self, described: &Described) -> Result<Weighed, Failure> {
        let question = self.basis.question(described, self.limits).map_err(undescribed)?;
        let mut explained = self.basis.explain(&question);
        let quarantine = self.quarantine(&question).await;
        quarantine.weigh(&question, &mut explained);
        let passed_over = self.basis.passed_over(described, &question);
        Ok(Weighed { question, explained, quarantine, passed_over })
    }

    async fn quarantine(&self, question: &Question) -> Quarantine {
        let client = match &self.broker {
            Ok(client) => client,
            Err(why) => return Quarantine::NotLookedAt(why.clone()),
        };
        match client.workload(&question.workload).await {
            Ok(view) if view["quarantine"].is_null() => Quarantine::No,
            Ok(view) => {
                let quarantine = &view["quarantine"];
                let since = quarantine["since"].as_u64().map(UnixTime::from_secs).map(UnixTime::rfc3339);
                let since = since.unwrap_or_else(|| admin::text(quarantine, "since"));
                let [actor, reason] = ["actor", "reason"].map(|name| admin::text(quarantine, name));
                Quarantine::Yes { since, actor, reason }
            }
            Err(ClientError::Refused(refused)) if refused.status == 404 => {
                Quarantine::NotLookedAt(format!("the running broker has no workload {}", question.workload))
            }
            Err(error) => Quarantine::NotLookedAt(error.to_string()),
        }
    }

    /// What somebody has to know of the folder.
    pub(in crate::cli) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Says what somebody has to know of the folder.
    pub(super) fn warn(&self) {
        if let Some(warning) = &self.warning {
            output::warning(output::plain(warning));
        }
    }

    /// Whose policies these are.
    pub(super) fn named(&self) -> String {
        match self.is_in_use {
            Some(true) => format!("the policies that the broker has in use ({})", self.dir.display()),
            _ => format!("the policies in {}", self.dir.display()),
        }
    }

    /// With what is known of them added.
    pub(super) fn document(&self, mut document: Value) -> Value {
        document["policies_dir"] = self.dir.display().to_string().into();
        document["digest"] = self.basis.set.digest().into();
        document["is_in_use"] = self.is_in_use.into();
        document["warnings"] = self.warning.iter().cloned().collect();
        document
    }
}

/// A broker that answers, and how it does; else why there is none.
async fn reach(at: Option<&str>) -> Result<(AdminClient, Value), String> {
    let client = admin::connect(at).map_err(|failure| failure.message)?;
    let status = client.status().await.map_err(|error| explain_client(error).message)?;
    Ok((client, status))
}

/// The set that a broker has in use; none where it cannot be had from it.
pub(in crate::cli) async fn in_use(client: &AdminClient, dir: &Path) -> Option<Basis> {
    let told = client.policies().await.ok()?;
    let files = told["files"].as_object()?.iter();
    let files = files.map(|(path, text)| Some((path.clone(), text.as_str()?.to_owned())));
    let basis = Basis::of_files(dir, files.collect::<Option<Vec<_>>>()?).ok()?;
    (told["digest"].as_str() == Some(basis.set.digest())).then_some(basis)
}

/// What has to be known of the folder beside the set in use.
fn beside(dir: &Path, basis: &Basis) -> Option<String> {
    if dir.as_os_str().is_empty() {
        return None;
    }
    let shown = dir.display();
    match Basis::load(dir) {
        Ok(folder) if folder.set.digest() == basis.set.digest() => None,
        Ok(_) => Some(format!(
            "{shown} holds another set than the broker has in use, which is explained here: it was changed just now; \
             `--policies {shown}` explains by it"
        )),
        Err(findings) => Some(format!(
            "{shown} does not load ({}); the broker goes on with the set before, which is explained here; mend it: \
             jitney policy check {shown}",
            findings.first_error()
        )),
    }
}

fn does_not_load(dir: &Path, findings: &Diagnostics) -> Failure {
    let (dir, why) = (dir.display(), findings.first_error());
    Failure::new(format!("{dir} does not load: {why}"), format!("mend it; `jitney policy check {dir}` has all of it"))
}

fn limits_of(status: &Value) -> Limits {
    let default = Limits::default();
    let span = |name: &str, default| status["tokens"][name].as_u64().map_or(default, Duration::from_secs);
    Limits {
        default_ttl: span("default_ttl", default.default_ttl),
        max_ttl: span("max_ttl", default.max_ttl),
        max_lifetime: span("max_lifetime", default.max_lifetime),
    }
}
