//! `jitney demo`: the whole life of a token, over real HTTP, against a broker of its own.
//!
//! Owns the broker's process and folder, and takes both away however it ends. The story itself: `play`.

mod broker;
mod play;
mod stage;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::args::DemoArgs;
use super::output::{self, paint, style};
use broker::Broker;

/// Plays.
///
/// # Errors
/// [`Failure`] where any step went otherwise than it must.
pub async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut broker = tokio::select! {
        started = Broker::start() => started?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    let played = tokio::select! {
        played = whole(&mut broker, args.keep) => played,
        _ = interrupt.recv() => Ok(ExitCode::from(if args.keep { 0 } else { 130 })),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    };
    broker.stop().await;
    played
}

async fn whole(broker: &mut Broker, keep: bool) -> Result<ExitCode, Failure> {
    play::play(broker).await?;
    if keep {
        paste(broker)?;
        broker.ended().await;
        return Err(Failure::new("the demo's broker ended by itself", "jitney serve --dev shows what a broker says"));
    }
    output::line(paint(
        style::DIM,
        "The broker ends here, and its folder goes with it. One of your own: jitney serve --dev",
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn paste(broker: &Broker) -> Result<(), Failure> {
    output::line(format_args!(
        "The broker runs until Ctrl-C. In another terminal:\n\n\
         \x20 . {}\n\
         \x20 jitney token --task mine --audience \"$JITNEY_AUDIENCE\" --scope orders:read > token\n\
         \x20 jitney verify --token-file token\n\
         \x20 jitney complete --task mine\n\
         \x20 jitney verify --token-file token\n\
         \x20 jitney lease list; jitney status",
        broker.settings_file().display(),
    ))
}
