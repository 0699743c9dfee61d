//! What the broker's operators are told and a workload is not: what its policies say of the request, and whether its folder loads.
//!
//! Only where their socket is here, is this broker's, and is open to this user.

use super::super::explain::{Grounds, Weighed};
use super::super::{admin, audit};
use super::ask::Stage;
use super::identity::Source;
use super::scene::Scene;
use crate::client::Refused;
use crate::client::admin::AdminClient;
use crate::governance::explain::{Described, Proven, Span};
use crate::model::{DecisionId, TaskId};
use crate::policy::{Explanation, IdentityKind, Outcome};

/// So many ways out are told; `policy explain` tells all.
const FEW: usize = 2;

/// What is known, where somebody could be asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What policies say of the request.
    pub policies: Option<String>,
    /// What the broker's log says of the refusal.
    pub reason: Option<String>,
    /// What has to be known of the policies' folder.
    warning: Option<String>,
}

impl Told {
    /// Asks, about a refusal at this question; `task` is the one that was asked for.
    pub(super) async fn of(scene: &Scene, stage: Stage, task: &TaskId, refused: &Refused) -> Self {
        if operators(scene).await.is_none() {
            return Self::default();
        }
        let decision = refused.decision_id.as_deref().and_then(|id| DecisionId::parse(id).ok());
        let reason = match decision.filter(|_| stage == Stage::Authentication) {
            Some(id) => audit::detail(&id).await,
            None => None,
        };
        let Ok(grounds) = Grounds::find(None, None).await else { return Self { reason, ..Self::default() } };
        let warning = grounds.warning().map(str::to_owned);
        let policies = match (stage, described(scene, task)) {
            (Stage::Policy, Some(described)) if is_for_policies(refused) => grounds.weigh(&described).await.ok(),
            _ => None,
        };
        Self { policies: policies.map(|weighed| said(&weighed, scene, task)), reason, warning }
    }

    /// A mend, with what has to be known of the folder beside it.
    pub(super) fn beside(&self, mend: String) -> String {
        self.warning.as_ref().map_or_else(|| mend.clone(), |warning| format!("{mend}; and {warning}"))
    }
}

/// This broker's operators' socket; none where there is none, or it is another broker's.
pub(super) async fn operators(scene: &Scene) -> Option<AdminClient> {
    let client = admin::connect(None).ok()?;
    let status = client.status().await.ok()?;
    (scene.broker.as_ref()?.issuer() == status["issuer"].as_str()?).then_some(client)
}

/// Whether policies, or what they are held beside, have refused it: an ended task is not theirs, nor a token that names no task.
fn is_for_policies(refused: &Refused) -> bool {
    match refused.error.as_str() {
        "invalid_request" => refused.description.starts_with("ttl of "),
        error => error != "invalid_grant",
    }
}

/// The request as policies are asked: for the task that was named, or that the platform names, not for the child of it that was
/// tried; with all that the platform's token says.
fn described(scene: &Scene, task: &TaskId) -> Option<Described> {
    let (audience, scopes) = scene.ask.as_ref()?;
    let (kind, claims) = match scene.source.as_ref()? {
        Source::Key(_) => (IdentityKind::PrivateKeyJwt, Default::default()),
        Source::Platform(said) => {
            (IdentityKind::Oidc, said.as_ref().map(|said| said.claims.clone()).unwrap_or_default())
        }
    };
    let parent = task.as_str().rsplit_once('/').map(|(parent, _)| parent.to_owned());
    Some(Described {
        workload: scene.setting("JITNEY_WORKLOAD")?,
        audience: audience.to_string(),
        scope: scopes.to_string(),
        task: scene.below.as_ref().map(ToString::to_string).or(parent),
        ttl: scene.ttl.map(|ttl| Span::Seconds(ttl.as_secs())),
        identity: Proven { r#type: Some(kind.as_str().to_owned()), claims },
        ..Described::default()
    })
}

fn said(weighed: &Weighed, scene: &Scene, task: &TaskId) -> String {
    let explained = &weighed.explained;
    if explained.decided.is_ok() {
        let of = scene.below.as_ref().map_or("such a task", TaskId::as_str);
        return format!("{of} itself would be granted it, and {task}, by which it was tried, is not");
    }
    let changes = explained.changes.iter().take(FEW).map(|change| match &change.paste {
        None => change.text.clone(),
        // Cedar takes a line as well, and a mend is one.
        Some((file, text)) => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")");
            format!("{}, in policies/{file}: {text}", change.text)
        }
    });
    let changes: Vec<String> = changes.collect();
    [&forbidding(explained)[..], &failing(explained), &[changes.join("; or ")]].concat().join("; ")
}

/// Which parts of the permits that speak of it fail.
fn failing(explained: &Explanation) -> Vec<String> {
    let scopes = explained.scopes.iter().filter(|scope| scope.outcome == Some(Outcome::NotPermitted));
    let permits = scopes.flat_map(|scope| &scope.policies).filter(|policy| policy.permits && !policy.applies);
    let failing = permits.map(|permit| {
        let parts = permit.parts.iter().filter(|part| part.holds != Some(true)).map(|part| part.text.as_str());
        let parts = parts.collect::<Vec<_>>().join("` and `");
        format!("policy {} ({}:{}) permits it, but for `{parts}`, which fails", permit.id, permit.file, permit.line)
    });
    failing.take(FEW).collect()
}

/// The policies that forbid it, and what of their conditions makes them.
fn forbidding(explained: &Explanation) -> Vec<String> {
    let policies = explained.scopes.iter().flat_map(|scope| &scope.policies);
    let forbids = policies.filter(|policy| !policy.permits && policy.applies).map(|forbid| {
        let parts: Vec<&str> = forbid.parts.iter().map(|part| part.text.as_str()).collect();
        let place = format!("{}:{}", forbid.file, forbid.line);
        match parts.is_empty() {
            true => format!("policy {} ({place}) forbids it", forbid.id),
            false => format!("policy {} ({place}) forbids it, for `{}` holds", forbid.id, parts.join("` and `")),
        }
    });
    let mut told: Vec<String> = forbids.collect();
    told.dedup();
    told.truncate(FEW);
    told
}
