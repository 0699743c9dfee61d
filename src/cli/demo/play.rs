//! The story that the demo plays: each step is done for real, and each outcome is what it must be, or the demo fails.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::broker::Broker;
use super::stage::Stage;
use crate::audit;
use crate::cli::Failure;
use crate::cli::admin::{explain, text};
use crate::cli::output::{self, paint, style};
use crate::client::admin::{AdminAddress, AdminClient, Revoke};
use crate::client::{ClientError, Identity, Token, TokenAsk, TokenClient};
use crate::model::{AudienceUri, RuleKind, ScopeSet, TaskId};
use crate::verifier::{Expect, Invalid, Verifier, VerifierOptions};

/// What the demo's workload may do, and what it may not.
const MAY: &str = "orders:read";
const MAY_NOT: &str = "orders:read orders:delete";
/// How long a revocation may take to reach it, many times over.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Who plays.
struct Cast {
    workload: TokenClient,
    server: Verifier,
    operator: AdminClient,
    audience: AudienceUri,
}

/// Plays all of it.
pub(super) async fn play(broker: &Broker) -> Result<(), Failure> {
    let cast = Cast::gather(broker).await?;
    let mut stage = Stage::default();
    output::line(format_args!(
        "{} {}\n",
        paint(style::STRONG, "The life of a token,"),
        format_args!("played against a broker of its own at {}", setting(broker, "JITNEY_URL")?),
    ))?;
    let first = completed_task(&cast, &mut stage).await?;
    cast.refused(&mut stage, &first, RuleKind::Task).await?;
    let second = revoked_task(&cast, &mut stage).await?;
    cast.refused(&mut stage, &second, RuleKind::Workload).await?;
    audited(&cast, &mut stage).await
}

/// Steps one to four: granted, valid, too much refused, completed.
async fn completed_task(cast: &Cast, stage: &mut Stage) -> Result<Token, Failure> {
    stage.step("A workload asks for a token, for one task")?;
    let (token, took) = cast.granted("build-1").await?;
    stage.yes(format_args!("granted: {} at {}", token.scopes, cast.audience), took)?;
    stage.why(format_args!(
        "it proved itself with its own key; a policy permits it; good for {} s, or until the task ends",
        token.expires_in.as_secs()
    ))?;

    stage.step("The resource server verifies it, without asking the broker")?;
    cast.valid(stage, &token)?;
    stage.why("signature, issuer, audience, times, scope and the list of revocations, all from memory")?;

    stage.step("The workload asks for more than its policies grant")?;
    let since = Instant::now();
    match cast.workload.token(&cast.ask("build-1", MAY_NOT)?).await {
        Err(ClientError::Refused(refused)) if refused.error == "invalid_scope" => {
            stage.no(format_args!("refused: {}", refused.error), since.elapsed())?;
            stage.why(&refused.description)?;
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::unexpected("a scope was granted that no policy grants")),
    }

    stage.step("The work is done: the workload completes the task")?;
    let since = Instant::now();
    cast.workload.complete(&task("build-1")?).await?;
    stage.yes("completed", since.elapsed())?;
    stage.why("every token of the task ends now, by one rule in the revocation log; a late retry gets no new one")?;
    Ok(token)
}

/// A second task, which an operator ends.
async fn revoked_task(cast: &Cast, stage: &mut Stage) -> Result<Token, Failure> {
    stage.step("Another task of the same workload")?;
    let (token, took) = cast.granted("build-2").await?;
    stage.yes(format_args!("granted: {}", token.scopes), took)?;
    cast.valid(stage, &token)?;

    stage.step("An operator ends everything this workload holds")?;
    let since = Instant::now();
    let workload = cast.workload.identity().workload().cloned();
    let what = Revoke::Workload(workload.ok_or_else(|| Failure::unexpected("the demo's workload has no name"))?);
    let outcome = cast.operator.revoke(&what, "jitney demo", false).await.map_err(explain)?;
    let took = since.elapsed();
    stage.yes(format_args!("revoked: {}", crate::cli::lease::positions(&outcome)), took)?;
    stage.why("one rule, however many tokens there are; what is granted after it is not touched")?;
    Ok(token)
}

/// The audit log holds all of it, unbroken.
async fn audited(cast: &Cast, stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Every decision is in the audit log, each line bound to the one before")?;
    let status = cast.operator.status().await.map_err(explain)?;
    let path = text(&status["audit"], "path");
    let since = Instant::now();
    let summary = audit::verify(path.as_ref()).map_err(|broken| Failure::unexpected(format!("{path}: {broken}")))?;
    stage.yes(format_args!("{}, the chain is whole", output::counted(summary.lines, "line")), since.elapsed())?;
    output::line("")
}

impl Cast {
    async fn gather(broker: &Broker) -> Result<Self, Failure> {
        let audience = AudienceUri::parse(&setting(broker, "JITNEY_AUDIENCE")?);
        let audience = audience.map_err(|error| Failure::unexpected(error.to_string()))?;
        let options = VerifierOptions {
            audience: Some(audience.clone()),
            ..VerifierOptions::new(setting(broker, "JITNEY_URL")?)
        };
        Ok(Self {
            workload: TokenClient::connect(Identity::from_settings(|name| broker.setting(name))?).await?,
            server: Verifier::connect(options).await.map_err(|error| Failure::unexpected(error.to_string()))?,
            operator: AdminClient::new(AdminAddress::parse(&setting(broker, "JITNEY_ADMIN")?)?),
            audience,
        })
    }

    fn ask(&self, name: &str, scopes: &str) -> Result<TokenAsk, Failure> {
        let scopes = ScopeSet::parse(scopes).map_err(|error| Failure::unexpected(error.to_string()))?;
        Ok(TokenAsk { task: Some(task(name)?), audience: self.audience.clone(), scopes, ttl: None })
    }

    async fn granted(&self, task: &str) -> Result<(Token, Duration), Failure> {
        let ask = self.ask(task, MAY)?;
        let since = Instant::now();
        let token = self.workload.token(&ask).await?;
        Ok((token, since.elapsed()))
    }

    /// The resource server's verdict on a token that stands.
    fn valid(&self, stage: &Stage, token: &Token) -> Result<(), Failure> {
        let since = Instant::now();
        match self.check(token) {
            Ok(()) => stage.yes("valid", since.elapsed()),
            Err(invalid) => Err(Failure::unexpected(format!("a token that stands is not valid: {invalid}"))),
        }
    }

    /// The next step: the token is not valid any more, as soon as the resource server has heard of its end.
    async fn refused(&self, stage: &mut Stage, token: &Token, kind: RuleKind) -> Result<(), Failure> {
        let since = Instant::now();
        stage.step("The resource server verifies the token once more")?;
        while self.check(token).is_ok() {
            if since.elapsed() > HEARD_WITHIN {
                return Err(Failure::unexpected(format!(
                    "a token is still valid, {} s after its end",
                    HEARD_WITHIN.as_secs()
                )));
            }
            sleep(Duration::from_millis(1)).await;
        }
        let heard = since.elapsed();
        match self.check(token) {
            Err(Invalid::Revoked(by)) if by == kind => {
                stage.no(format_args!("not valid: {}", Invalid::Revoked(by)), heard)?;
                stage.why("signature and expiry are still good; the broker's feed told it of the end")
            }
            Err(other) => Err(Failure::unexpected(format!("expected a rule on its {}, not: {other}", kind.as_str()))),
            Ok(()) => Err(Failure::unexpected("a token that was revoked is valid again")),
        }
    }

    fn check(&self, token: &Token) -> Result<(), Invalid> {
        let scopes = [MAY];
        let expect = Expect { audience: Some(self.audience.as_str()), scopes: &scopes, task: None };
        self.server.check(token.text.expose(), &expect).map(drop)
    }
}

fn task(name: &str) -> Result<TaskId, Failure> {
    TaskId::parse(name).map_err(|error| Failure::unexpected(error.to_string()))
}

fn setting(broker: &Broker, name: &str) -> Result<String, Failure> {
    broker.setting(name).ok_or_else(|| Failure::unexpected(format!("the demo's broker wrote no {name}")))
}
