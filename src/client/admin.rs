//! A broker's admin API, version 1, over its Unix socket: one method an endpoint, documents as the broker words them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::ClientError;
use crate::fetch::unix::{Lines, UnixFetch};
use crate::fetch::{Answer, FetchError};
use crate::model::{AudienceUri, KeyId, LeaseId, TaskId, WorkloadId};

/// A revocation of a million leases is one append, and a page of leases one read: longer than this is a fault.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A million leases are counted page by page, with rests between them.
const COUNTING: Duration = Duration::from_secs(300);

/// Where an admin API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAddress(PathBuf);

impl AdminAddress {
    /// The socket at a path.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Reads `unix:PATH`, as `JITNEY_ADMIN` has it.
    ///
    /// # Errors
    /// [`ClientError::Setting`] for anything else.
    pub fn parse(raw: &str) -> Result<Self, ClientError> {
        match raw.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            Some(path) => Ok(Self::unix(path)),
            None => Err(ClientError::Setting { name: "JITNEY_ADMIN", rule: "must be `unix:PATH`".into(), mend: None }),
        }
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.0.display())
    }
}

/// Which leases are listed; what is absent does not narrow.
#[derive(Debug, Clone, Default)]
pub struct LeaseQuery {
    /// Of this workload.
    pub workload: Option<WorkloadId>,
    /// For this resource server.
    pub audience: Option<AudienceUri>,
    /// Of this task and its children.
    pub task: Option<TaskId>,
    /// `live` or `ended`.
    pub state: Option<&'static str>,
}

/// What a revocation ends.
#[derive(Debug, Clone)]
pub enum Revoke {
    /// One lease and those that renewed it.
    Lease(LeaseId),
    /// A task and its children; of a named workload, or of the only one that runs such a task.
    Task(TaskId, Option<WorkloadId>),
    /// All of a workload.
    Workload(WorkloadId),
    /// All for a resource server.
    Audience(AudienceUri),
    /// All under a signing key, which never signs again.
    Key(KeyId),
    /// Everything.
    All,
}

/// One operator's connection to a broker.
#[derive(Debug)]
pub struct AdminClient {
    fetch: UnixFetch,
    address: AdminAddress,
}

impl AdminClient {
    /// A client of the broker at `address`; connects with each request.
    pub fn new(address: AdminAddress) -> Self {
        Self { fetch: UnixFetch::new(address.path()).with_timeout(TIMEOUT), address }
    }

    /// The same, that asks nobody but this user's processes and root's.
    #[must_use]
    pub fn of(self, uid: u32) -> Self {
        Self { fetch: self.fetch.of(uid), ..self }
    }

    /// The broker's store, keys, policy set, audit log.
    ///
    /// # Errors
    /// [`ClientError`], as for every call below.
    pub async fn status(&self) -> Result<Value, ClientError> {
        self.get("status").await
    }

    /// A page of the leases that have not expired, ended ones too: `{"leases":[…],"next":…}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leases(&self, query: &LeaseQuery, limit: usize, cursor: Option<&str>) -> Result<Value, ClientError> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.append_pair("limit", &limit.to_string());
        let narrowed = [
            ("workload", query.workload.as_ref().map(WorkloadId::as_str)),
            ("audience", query.audience.as_ref().map(AudienceUri::as_str)),
            ("task", query.task.as_ref().map(TaskId::as_str)),
            ("state", query.state),
            ("cursor", cursor),
        ];
        for (name, value) in narrowed {
            if let Some(value) = value {
                text.append_pair(name, value);
            }
        }
        self.get(&format!("leases?{}", text.finish())).await
    }

    /// One lease.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lease(&self, id: LeaseId) -> Result<Value, ClientError> {
        self.get(&format!("leases/{id}")).await
    }

    /// Ends what `what` selects, or only counts it.
    ///
    /// # Errors
    /// [`ClientError`]; a task of several workloads is refused as `ambiguous_task`, with their names.
    pub async fn revoke(&self, what: &Revoke, reason: &str, dry_run: bool) -> Result<Value, ClientError> {
        let mut body = match what {
            Revoke::Lease(id) => json!({"lease": id}),
            Revoke::Task(task, None) => json!({"task": task}),
            Revoke::Task(task, Some(workload)) => json!({"task": task, "workload": workload}),
            Revoke::Workload(workload) => json!({"workload": workload}),
            Revoke::Audience(audience) => json!({"audience": audience}),
            Revoke::Key(kid) => json!({"key": kid}),
            Revoke::All => json!({"all": true}),
        };
        body["reason"] = reason.into();
        body["dry_run"] = dry_run.into();
        let timeout = if dry_run { COUNTING } else { TIMEOUT };
        let fetch = self.fetch.clone().with_timeout(timeout);
        self.document(fetch.post_json("/admin/v1/revocations", &body).await)
    }

    /// The events of leases as they happen, one JSON line each; the ends of the log from behind a position of an epoch, where
    /// that is given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch(&self, after: Option<(u64, &str)>) -> Result<Watch, ClientError> {
        let query = after.map_or_else(String::new, |(position, epoch)| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("after", &position.to_string()).append_pair("epoch", epoch);
            format!("?{}", query.finish())
        });
        Ok(Watch(self.fetch.lines(&format!("/admin/v1/watch{query}")).await?))
    }

    /// The inventory: `{"workloads":[…]}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn workloads(&self) -> Result<Value, ClientError> {
        self.get("workloads").await
    }

    /// One workload.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn workload(&self, id: &WorkloadId) -> Result<Value, ClientError> {
        self.get(&format!("workloads/{id}")).await
    }

    /// Shuts a workload out and ends all its leases.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn quarantine(&self, id: &WorkloadId, reason: &str) -> Result<Value, ClientError> {
        self.post(&format!("workloads/{id}/quarantine"), &json!({"reason": reason})).await
    }

    /// Lifts a quarantine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release(&self, id: &WorkloadId, reason: &str) -> Result<Value, ClientError> {
        self.post(&format!("workloads/{id}/release"), &json!({"reason": reason})).await
    }

    /// The audiences: `{"audiences":[…]}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audiences(&self) -> Result<Value, ClientError> {
        self.get("audiences").await
    }

    /// One audience.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audience(&self, id: &AudienceUri) -> Result<Value, ClientError> {
        let encoded: String = form_urlencoded::byte_serialize(id.as_str().as_bytes()).collect();
        self.get(&format!("audiences/{encoded}")).await
    }

    /// The policies in use: `{"digest":…,"dir":…,"files":{path: text}}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policies(&self) -> Result<Value, ClientError> {
        self.get("policies").await
    }

    /// The published keys: `{"keys":[…]}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn keys(&self) -> Result<Value, ClientError> {
        self.get("keys").await
    }

    /// Switches to the next key; `now`: before verifiers have had time to fetch it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate(&self, now: bool) -> Result<Value, ClientError> {
        self.post("keys/rotate", &json!({"now": now})).await
    }

    async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.document(self.fetch.get(&format!("/admin/v1/{path}")).await)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.document(self.fetch.post_json(&format!("/admin/v1/{path}"), body).await)
    }

    fn document(&self, answer: Result<Answer, FetchError>) -> Result<Value, ClientError> {
        let answer = answer?;
        let at = self.address.to_string();
        if !answer.status.is_success() {
            return Err(ClientError::refusal(&at, &answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| ClientError::Answer { at, why: error.to_string() })
    }
}

/// Events as they happen.
#[derive(Debug)]
pub struct Watch(Lines);

impl Watch {
    /// The next event, one JSON object; none where the broker ended the stream.
    ///
    /// # Errors
    /// [`ClientError`] where the connection broke.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            match self.0.next().await? {
                // It only says that the broker is there.
                Some(line) if line.is_empty() => {}
                line => return Ok(line),
            }
        }
    }
}
