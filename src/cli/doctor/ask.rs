//! What the broker makes of this workload: asked once, read five times.
//!
//! It asks by a probe, of which no token is made. A broker that knows none makes one all the same: it is never shown, and its
//! task, which nobody else has, is completed at once.

use super::super::fresh;
use super::finding::Outcome;
use super::identity::Source;
use super::mend;
use super::scene::Scene;
use super::told::{self, Told};
use crate::client::{ClientError, Identity, Probed, Refused, TokenAsk, TokenClient};
use crate::model::{ScopeSet, TaskId, WorkloadId};
use crate::policy::{closest, meant_by};

/// The questions a broker asks itself, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Authentication,
    Workload,
    Audience,
    Scope,
    Policy,
}

/// What came of asking, and of which task.
pub(super) struct Answered {
    task: TaskId,
    verdict: Verdict,
}

enum Verdict {
    /// There would be a token; and where there is one, what came of completing its task.
    Granted(Box<Probed>, Result<(), ClientError>),
    /// Only who asks was asked.
    Known,
    /// The broker said no at this question.
    Refused(Stage, Box<Refused>),
    /// No answer of use.
    NoAnswer(ClientError),
}

impl Stage {
    /// At which question a broker said this.
    fn of(refused: &Refused) -> Self {
        match refused.error.as_str() {
            "unauthorized_client" => Self::Workload,
            "invalid_target" => Self::Audience,
            "invalid_scope" if refused.description.starts_with("unknown scope") => Self::Scope,
            "invalid_scope" | "invalid_grant" | "invalid_request" => Self::Policy,
            _ => Self::Authentication,
        }
    }
}

impl Answered {
    pub(super) fn left_behind(&self) -> String {
        match &self.verdict {
            Verdict::Granted(probed, _) if !probed.is_token => format!(
                "it was asked what a token of the task {} would be, and none was made: a line in the audit log remains, marked as a \
                 probe",
                self.task
            ),
            Verdict::Granted(..) => format!(
                "a token was asked for, of the task {}: its lease, now ended, and lines in the audit log remain",
                self.task
            ),
            _ => format!("the broker was asked, of the task {}: lines in its audit log remain", self.task),
        }
    }
}

/// Whether the broker knows who asks. Asks; the checks behind this one read the same answer.
pub(super) async fn authentication(scene: &mut Scene) -> Outcome {
    if scene.no_ask {
        return Outcome::skipped("left out by --no-ask");
    }
    match ask(scene).await {
        Ok(answered) => scene.answered = Some(answered),
        Err(why) => return Outcome::fail(why, "give a shorter --task"),
    }
    if let Some(Answered { verdict: Verdict::Refused(Stage::Authentication, _), .. }) = &scene.answered {
        scene.meant = meant(scene).await;
    }
    if let Some(Answered { task, verdict: Verdict::Refused(stage, refused) }) = &scene.answered {
        scene.told = Told::of(scene, *stage, task, refused).await;
    }
    judge(scene, Stage::Authentication, "the broker knows the workload by its proof")
}

/// The workload that was probably meant, where there is none of this name. A broker tells a stranger nothing of it: where its
/// operators' socket is here and open to this user, that is asked; else the name of the key's file may say it.
async fn meant(scene: &Scene) -> Option<String> {
    let id = WorkloadId::parse(&scene.setting("JITNEY_WORKLOAD")?).ok()?;
    match (by_operators(scene, &id).await, &scene.source) {
        (Some(said), _) => said,
        (None, Some(Source::Platform(_)) | None) => None,
        (None, Some(Source::Key(path))) => {
            let stem = path.file_stem()?.to_str().filter(|stem| *stem != id.as_str())?;
            closest(id.as_str(), [stem]).map(str::to_owned)
        }
    }
}

/// What the broker's operators are told of the name; none where they cannot be asked.
async fn by_operators(scene: &Scene, id: &WorkloadId) -> Option<Option<String>> {
    match told::operators(scene).await?.workload(id).await {
        Ok(_) => Some(None),
        Err(ClientError::Refused(refused)) if refused.status == 404 => {
            Some(meant_by(&refused.description).map(str::to_owned))
        }
        Err(_) => None,
    }
}

/// Whether the workload may ask for anything.
pub(super) async fn workload(scene: &mut Scene) -> Outcome {
    if scene.ask.is_none() {
        return Outcome::skipped("not asked: add --audience and --scope");
    }
    judge(scene, Stage::Workload, "it is governed, has not expired and is not in quarantine")
}

/// Whether there is such an audience.
pub(super) async fn audience(scene: &mut Scene) -> Outcome {
    let told = scene.ask.as_ref().map(|(audience, _)| audience.to_string()).unwrap_or_default();
    judge(scene, Stage::Audience, &told)
}

/// Whether the audience declares the scopes.
pub(super) async fn scope(scene: &mut Scene) -> Outcome {
    let told = scene.ask.as_ref().map(|(_, scopes)| scopes.to_string()).unwrap_or_default();
    judge(scene, Stage::Scope, &told)
}

/// Whether policies permit it.
pub(super) async fn policy(scene: &mut Scene) -> Outcome {
    match scene.answered.as_ref() {
        Some(Answered { task, verdict: Verdict::Granted(_, Err(error)) }) => Outcome::fail(
            format!("a token was granted, but its task {task} could not be completed: {error}"),
            format!("jitney complete --task {task}"),
        ),
        Some(Answered { task, verdict: Verdict::Granted(probed, Ok(())) }) => {
            // Whether it has got that already is told to nobody before it asks in earnest.
            let bound = probed.single_use.as_deref().map_or_else(String::new, |how_far| {
                let once = if how_far == "lease" { "one lease" } else { "leases of one task" };
                format!("; this platform token gets {once} (@single_use): if it got that before, a fresh one is needed")
            });
            let made = if probed.is_token { ", and completed" } else { "; no token was made" };
            Outcome::pass(format!(
                "granted {} for {} s as {task}{made}{bound}",
                probed.scopes,
                probed.expires_in.as_secs()
            ))
        }
        _ => judge(scene, Stage::Policy, ""),
    }
}

fn judge(scene: &Scene, stage: Stage, pass: &str) -> Outcome {
    match scene.answered.as_ref().map(|answered| &answered.verdict) {
        None => Outcome::skipped("not asked"),
        Some(Verdict::Refused(at, refused)) if *at <= stage => {
            Outcome::fail(refused.to_string(), scene.told.beside(mend::of(scene, *at, refused)))
        }
        Some(Verdict::NoAnswer(error)) => {
            let mend = error.next_step();
            Outcome::fail(error.to_string(), mend)
        }
        Some(_) => Outcome::pass(pass),
    }
}

/// Asks what a token would be; or, where no audience is named, completes a task that never was. Where the
/// platform names the task, a child of that one is asked for, and nothing done to the run's own.
async fn ask(scene: &Scene) -> Result<Answered, String> {
    let answered = ask_below(scene, scene.below.as_ref()).await?;
    let run = match &answered.verdict {
        Verdict::Refused(_, refused) if scene.below.is_none() => mend::attested(&refused.description),
        _ => None,
    };
    match run.and_then(|run| TaskId::parse(run).ok()) {
        Some(run) => ask_below(scene, Some(&run)).await,
        None => Ok(answered),
    }
}

async fn ask_below(scene: &Scene, parent: Option<&TaskId>) -> Result<Answered, String> {
    let name = format!("doctor-{}", fresh::name());
    let name = parent.map_or_else(|| name.clone(), |task| format!("{task}/{name}"));
    let task = TaskId::parse(&name).map_err(|error| format!("{name} names no {error}"))?;
    let verdict = match &scene.ask {
        Some((audience, scopes)) => {
            let ask = TokenAsk {
                task: Some(task.clone()),
                audience: audience.clone(),
                scopes: ScopeSet::clone(scopes),
                ttl: scene.ttl,
            };
            token(scene, &task, &ask).await
        }
        None => known(scene, &task).await,
    };
    Ok(Answered { task, verdict: verdict.unwrap_or_else(refused) })
}

async fn connect(scene: &Scene) -> Result<TokenClient, ClientError> {
    TokenClient::connect(Identity::from_settings(|name| scene.setting(name))?).await
}

async fn token(scene: &Scene, task: &TaskId, ask: &TokenAsk) -> Result<Verdict, ClientError> {
    let client = connect(scene).await?;
    let probed = client.probe(ask).await?;
    let completed = if probed.is_token { client.complete(task).await } else { Ok(()) };
    Ok(Verdict::Granted(Box::new(probed), completed))
}

async fn known(scene: &Scene, task: &TaskId) -> Result<Verdict, ClientError> {
    connect(scene).await?.complete(task).await?;
    Ok(Verdict::Known)
}

fn refused(error: ClientError) -> Verdict {
    match error {
        ClientError::Refused(refused) => Verdict::Refused(Stage::of(&refused), refused),
        other => Verdict::NoAnswer(other),
    }
}
