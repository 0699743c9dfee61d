//! The one task beside the calls: it connects what is down and reads the log's head, on a hint and five times a second.
//!
//! Never decides anything: what it finds goes through the same judgement as every call.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::connect;
use super::line::Line;
use super::shared::Shared;
use crate::store::StoreError;

/// The head is read at least so often, hint or not.
const TURN: Duration = Duration::from_millis(200);
/// A flood of hints costs one reading in this time.
const PAUSE: Duration = Duration::from_millis(2);
/// Idle connections are tried so often, so that a dead one, or a Redis that takes no writes, is found before a mint finds it.
const PING: Duration = Duration::from_secs(5);
/// One that takes no writes is tried so often, so that a broker is ready again soon after.
const AGAIN: Duration = Duration::from_secs(1);
/// A Redis that comes and goes is told of so often at most.
const TELL: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub(super) async fn keep(shared: Arc<Shared>) {
    let (mut tried, mut told, mut was_up, mut was_writable) = (None::<Instant>, None::<Instant>, true, true);
    loop {
        let _ = tokio::time::timeout(TURN, shared.wake.notified()).await;
        tokio::time::sleep(PAUSE).await;
        let (main, ends, watch) = tokio::join!(
            restore(&shared, &shared.main, false),
            restore(&shared, &shared.ends, false),
            restore(&shared, &shared.watch, true)
        );
        let up = main && ends && watch;
        if up != was_up && told.is_none_or(|told| told.elapsed() >= TELL) {
            match up {
                true => tracing::info!("connected to Redis again"),
                false => tracing::warn!("no connection to Redis: nothing is issued until it is back"),
            }
            (was_up, told) = (up, Some(Instant::now()));
        }
        read_head(&shared).await;
        let every = if shared.writable().is_ok() { PING } else { AGAIN };
        if tried.is_none_or(|tried| tried.elapsed() >= every) {
            tried = Some(Instant::now());
            tokio::join!(shared.probe(), ping(&shared.ends));
        }
        was_writable = tell(was_writable, shared.writable());
    }
}

/// Says once that Redis takes no writes any more, and once that it does again; whether it takes them.
fn tell(was_writable: bool, writable: Result<(), StoreError>) -> bool {
    match &writable {
        Err(error) if was_writable => {
            tracing::warn!(%error, "Redis refuses writes: nothing is issued until it takes them again");
        }
        Ok(()) if !was_writable => tracing::info!("Redis takes writes again"),
        _ => {}
    }
    writable.is_ok()
}

/// Connects a line where it is down; whether it is up then.
async fn restore(shared: &Arc<Shared>, line: &Arc<Line>, listens: bool) -> bool {
    if !line.is_down() {
        return true;
    }
    let connected = connect(shared, line, listens).await;
    if let Err(error) = &connected {
        tracing::debug!(line = line.name, %error, "no connection to Redis");
    }
    connected.is_ok()
}

async fn read_head(shared: &Shared) {
    let Ok((live, _permit)) = shared.watch.get() else { return };
    match shared.check(&live.connection).await {
        Ok(answer) if answer.word == "OK" => shared.absorb(&answer.seen),
        // The connection leads to a store that lost something: all are made anew, and the first begins the epoch.
        Ok(_) => shared.lost(),
        Err(_) => shared.watch.drop_connection(live.number),
    }
}

async fn ping(line: &Line) {
    let Ok((live, _permit)) = line.get() else { return };
    if let Err(error) = live.connection.clone().send_packed_command(&redis::cmd("PING")).await {
        line.failed(live.number, &error);
    }
}
