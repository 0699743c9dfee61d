//! `jitney guard`: the verifier as a process beside a resource server. Puts its parts together and keeps them running.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::args::GuardArgs;
use super::serve::{event_loop, since_boot};
use super::{Failure, no_event_loop, output, private};
use crate::client::BrokerAddress;
use crate::guard::{Guard, Later, Proxy, Rules, Served};
use crate::model::{AudienceUri, Clock};
use crate::net::{self, Limits, OpenConnections, Shutdown, Supervisor};
use crate::telemetry::{self, GuardMetrics};
use crate::verifier::{ConnectError, FeedError, Verifier, VerifierOptions};

/// How soon the broker is asked again where it gave no first view.
const AGAIN: Duration = Duration::from_secs(1);
/// How long requests in flight may take once the end has begun.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the guard until it is told to stop.
pub fn run(args: &GuardArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start(args: &GuardArgs) -> Result<(), Failure> {
    let broker = BrokerAddress::from_settings(|name| std::env::var(name).ok())?;
    let rules = rules(args)?;
    let audiences = audiences(args, rules.as_ref())?;
    log()?;
    if let Err(error) = private::no_core() {
        tracing::warn!(%error, "the limit on core files cannot be set to nothing");
    }
    let runtime = event_loop().enable_all().build().map_err(|error| no_event_loop(&error))?;
    let outcome = runtime.block_on(serve(args, &broker, rules, audiences));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn rules(args: &GuardArgs) -> Result<Option<Rules>, Failure> {
    let Some(file) = &args.rules else { return Ok(None) };
    if args.proxy == Proxy::None {
        return Err(Failure::usage(
            "rules are by path, and without --proxy nothing says what was asked of the proxy",
            format!("name the proxy: --proxy {}", Proxy::NAMES[..Proxy::NAMES.len() - 1].join(", or ")),
        ));
    }
    Rules::load(file).map(Some).map_err(|error| {
        let next = match error.line {
            Some(_) => "correct the file, then start again; docs/verify.md shows the form of the rules",
            None => "name a file that is there and that this user may read; docs/verify.md shows the form of the rules",
        };
        Failure::new(error.to_string(), next)
    })
}

/// Whom it guards: what is named on the command line, and what the rules name.
fn audiences(args: &GuardArgs, rules: Option<&Rules>) -> Result<Vec<AudienceUri>, Failure> {
    let next = "name it: --audience https://api.example.com, or JITNEY_AUDIENCE";
    let mut all = args.audiences.clone();
    if all.is_empty() && rules.is_some_and(Rules::leaves_audience_open) {
        return Err(Failure::usage("a rule has no `audience`, and no --audience says for whom tokens must be", next));
    }
    for audience in rules.into_iter().flat_map(Rules::audiences) {
        if !all.contains(audience) {
            all.push(audience.clone());
        }
    }
    if all.is_empty() {
        return Err(Failure::usage("a guard must know its resource server: a token for another may not pass", next));
    }
    Ok(all)
}

/// The log, by the settings that a broker's is set up by too.
fn log() -> Result<(), Failure> {
    let setting = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let wrong = |name: &str, why: String| Failure::usage(format!("{name}: {why}"), "correct it, or leave it out");
    let format = setting("JITNEY_TELEMETRY_FORMAT").map_or(Ok(telemetry::Format::Text), |format| format.parse());
    let format = format.map_err(|why| wrong("JITNEY_TELEMETRY_FORMAT", why))?;
    let level = setting("JITNEY_TELEMETRY_LOG").unwrap_or_else(|| "info".into());
    telemetry::init(&level, format).map_err(|error| wrong("JITNEY_TELEMETRY_LOG", error.to_string()))
}

async fn serve(
    args: &GuardArgs,
    broker: &BrokerAddress,
    rules: Option<Rules>,
    audiences: Vec<AudienceUri>,
) -> Result<(), Failure> {
    let shutdown = Shutdown::new(DRAIN);
    let signals =
        shutdown.on_signals().map_err(|error| Failure::unexpected(format!("no signal can be taken: {error}")))?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        let next = "stop what listens there, or choose another address with --listen";
        Failure::new(format!("cannot listen on {}: {error}", args.listen), next)
    })?;
    let address = listener.local_addr().map_err(|error| Failure::unexpected(error.to_string()))?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            listen = %address,
            "other machines may reach this guard, and it tells whoever asks which tokens are good: let the proxy alone reach it"
        );
    }
    let options = VerifierOptions {
        issuer: broker.issuer().to_owned(),
        audience: own_filter(&audiences),
        max_staleness: args.max_staleness,
        max_rules: args.max_rules,
        clock: Clock::steady(since_boot),
        ..VerifierOptions::new(broker.url())
    };
    let (judge, metrics, limits) = (Arc::new(Later::default()), Arc::new(GuardMetrics::new()), Limits::default());
    let guarded: Vec<_> = audiences.iter().map(AudienceUri::as_str).collect();
    tracing::info!(
        listen = %address, broker = broker.url(), audiences = guarded.join(" "), proxy = %args.proxy,
        rules = args.rules.is_some(), "guarding"
    );
    let guard = Guard::new(judge.clone(), audiences, rules, args.proxy).counted(metrics.clone());
    let mut tasks = Supervisor::new(shutdown.clone());
    tasks.spare("signals", signals);
    tasks.spare("view", first_view(options, judge, shutdown.clone()));
    tasks.spare("connections", count(metrics, limits.open.clone(), shutdown.clone()));
    tasks.essential("door", net::serve(listener, None, Served(Arc::new(guard)), limits, shutdown));
    output::line(format!("listening on http://{address}"))?;
    tasks.run().await.map_err(|died| {
        Failure::new(died.to_string(), "start it again, as systemd does; the log above says why it died")
    })
}

/// One resource server asks for the rules that can concern it. For several, one view of all rules: each would hold those
/// on workloads and keys once more, and a token shown would have to be tried against one after the other.
fn own_filter(audiences: &[AudienceUri]) -> Option<AudienceUri> {
    match audiences {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// Asks the broker until it gives a first view. Until then nobody is let through, and `/readyz` says so.
async fn first_view(options: VerifierOptions, judge: Arc<Later>, shutdown: Shutdown) {
    let ask = async {
        let mut said = String::new();
        loop {
            match Verifier::connect(options.clone()).await {
                Ok(verifier) => {
                    tracing::info!("the first view of revocations is there");
                    return judge.set(verifier);
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != said {
                        tracing::warn!(
                            error = why,
                            next = mend(&error),
                            "there is no view of revocations yet, so nobody is let through; it is asked for again each second"
                        );
                        said = why;
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = shutdown.wait() => {}
        () = ask => {}
    }
}

/// What helps where there is no first view.
fn mend(error: &ConnectError) -> String {
    match error {
        ConnectError::Feed(FeedError::Issuer(issuer)) => {
            format!("if that is the broker meant, reached under another name, set JITNEY_ISSUER={issuer}")
        }
        ConnectError::Feed(FeedError::TooMany { .. }) => {
            "set --max-rules higher, and see that there is memory for it".into()
        }
        ConnectError::Feed(FeedError::Future(_) | FeedError::Ahead(_)) => {
            "set this machine's clock, or the broker's".into()
        }
        _ => "see that the broker of JITNEY_URL is up and can be reached from here".into(),
    }
}

async fn count(metrics: Arc<GuardMetrics>, open: OpenConnections, shutdown: Shutdown) {
    let mut tick = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = tick.tick() => metrics.set_connections(open.get() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> AudienceUri {
        AudienceUri::parse(text).unwrap()
    }

    #[test]
    fn one_resource_server_asks_for_its_own_rules_and_several_for_all() {
        assert_eq!(own_filter(&[uri("https://a")]), Some(uri("https://a")));
        assert_eq!(own_filter(&[uri("https://a"), uri("https://b")]), None);
    }

    #[test]
    fn whom_it_guards_must_be_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Rules::load(&file).unwrap()
        };
        let args = |audiences: &[&str]| GuardArgs {
            listen: "127.0.0.1:0".parse().unwrap(),
            audiences: audiences.iter().map(|text| uri(text)).collect(),
            max_staleness: Duration::from_secs(10),
            max_rules: 1000,
            proxy: Proxy::Nginx,
            rules: None,
        };
        let open = load("[[rule]]\nprefix = \"/\"\n");
        let named = load("[[rule]]\nprefix = \"/\"\naudience = \"https://b\"\n");
        let told = |given: &[&str], rules| audiences(&args(given), rules).map_err(|failure| failure.message);
        assert!(told(&[], None).unwrap_err().contains("must know its resource server"));
        assert!(told(&[], Some(&open)).unwrap_err().contains("no --audience"));
        assert_eq!(told(&[], Some(&named)), Ok(vec![uri("https://b")]));
        assert_eq!(told(&["https://a"], Some(&open)), Ok(vec![uri("https://a")]));
        assert_eq!(told(&["https://a", "https://b"], Some(&named)), Ok(vec![uri("https://a"), uri("https://b")]));
    }
}
