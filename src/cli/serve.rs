//! `jitney serve`: the one place that knows every concrete part, and puts them together.

mod dev;
mod own;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{Failure, ServeArgs, no_event_loop, output, private};
use crate::config::{Config, ConfigError, Place, StoreUrl};
use crate::telemetry;

/// Runs the broker until it is told to stop.
pub fn run(args: ServeArgs) -> ExitCode {
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What is served, and from which folder where it is `--dev`.
struct Setup {
    config: Config,
    dev: Option<PathBuf>,
}

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let setup = set_up(args)?;
    let telemetry = &setup.config.telemetry;
    telemetry::init(&telemetry.log, telemetry.format).map_err(|error| Failure::unexpected(error.to_string()))?;
    if let Err(error) = private::no_core() {
        tracing::warn!(%error, "the limit on core files cannot be set to nothing");
    }
    let runtime = event_loop().enable_all().build().map_err(|error| no_event_loop(&error))?;
    let outcome = runtime.block_on(wire::serve(&setup));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// A clock that nobody sets, and that goes on while the machine sleeps.
pub(super) fn since_boot() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// A thread for each core. Where there is one, tasks are handed to nobody, and what that takes is saved.
pub(super) fn event_loop() -> tokio::runtime::Builder {
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// The configuration: a file's, or what `--dev` stands for. Flags outweigh the environment, as it does the file.
fn set_up(args: &ServeArgs) -> Result<Setup, Failure> {
    let options = [("JITNEY_SERVER_LISTEN", "--listen", &args.listen), ("JITNEY_STORE_URL", "--store", &args.store)];
    let given = |(name, option, value): (&'static str, &'static str, &Option<String>)| {
        value.clone().map(|value| (name, option, value))
    };
    let given: Vec<_> = options.into_iter().filter_map(given).collect();
    let settings = std::env::vars().chain(given.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())));
    let wrong = |mut error: ConfigError| {
        for problem in &mut error.problems {
            let typed = |(name, ..): &&(&str, &str, String)| problem.place == Place::Env((*name).to_owned());
            if let Some((_, option, _)) = given.iter().find(typed) {
                problem.place = Place::Option(option);
            }
        }
        let is_in_file = error.problems.iter().any(|each| matches!(each.place, Place::File { .. } | Place::Whole(_)));
        let whole = args.config.as_deref().filter(|file| is_in_file && file.is_relative()).and_then(|file| {
            let whole = std::path::absolute(file).ok()?;
            Some(format!("\n({} is {})", file.display(), whole.display()))
        });
        let is_typed = error.problems.iter().any(|problem| matches!(problem.place, Place::Option(_)));
        let told = if is_typed { Failure::usage } else { Failure::new };
        let why = error.to_string() + &whole.unwrap_or_default();
        told(why, "correct what is named, then start again; docs/configuration.md has every setting")
    };
    if args.store.as_deref().is_some_and(holds_password) {
        return Err(Failure::usage(
            "a password is never an argument: others on this machine see those",
            "JITNEY_STORE_URL='redis://…' jitney serve --dev",
        ));
    }
    if !args.dev {
        let mut config = Config::load(args.config.as_deref(), settings).map_err(wrong)?;
        make_whole(&mut config);
        return Ok(Setup { config, dev: None });
    }
    let dir = dev::folder(args.data.as_deref())?;
    let config = Config::dev(&dir, settings).map_err(wrong)?;
    dev::prepare(&dir, &config)?;
    Ok(Setup { config, dev: Some(dir) })
}

/// Makes all paths whole, so that what is said of one later, by whomever, names a place that a person finds.
fn make_whole(config: &mut Config) {
    /// No system takes a longer path for a socket; a relative one may be short where the whole one is not.
    const LONGEST_SOCKET: usize = 100;
    let own = [&mut config.policies.dir, &mut config.audit.path, &mut config.keys.dir];
    let store = match &mut config.store.url {
        StoreUrl::Embedded(folder) => Some(folder),
        StoreUrl::Redis(_) => None,
    };
    let certificates = [config.store.ca_file.as_mut(), config.federation.ca_file.as_mut(), store];
    let tls = config.server.tls.as_mut().map(|files| [&mut files.cert, &mut files.key]);
    for path in own.into_iter().chain(certificates.into_iter().flatten()).chain(tls.into_iter().flatten()) {
        if let Ok(whole) = std::path::absolute(&*path) {
            *path = whole;
        }
    }
    match std::path::absolute(&config.admin.socket) {
        Ok(whole) if whole.as_os_str().len() <= LONGEST_SOCKET => config.admin.socket = whole,
        _ => {}
    }
}

/// Whether a store's URL brings a password.
fn holds_password(url: &str) -> bool {
    let authority =
        url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    // A password may hold a `/` that was not encoded: what stands before the last `@` decides then.
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.or_else(|| url.rsplit_once('@').map(|(before, _)| before)).is_some_and(|user| user.contains(':'))
}

/// Says on standard output where the broker listens, and in `--dev` what to paste.
fn announce(url: &str, dev: Option<&dev::Pasted>) -> Result<(), Failure> {
    output::line(format!("listening on {url}"))?;
    match dev {
        Some(pasted) => output::line(pasted),
        None => Ok(()),
    }
}
