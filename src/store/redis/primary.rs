//! Whether the Redis that answers is still the one that takes the writes.
//!
//! A primary that was demoted goes on to answer questions, with a log that no longer grows: what it says of the head is
//! worth nothing. So it is asked on the same connection, right behind the reading.

use super::line::unavailable;
use super::safety;
use super::shared::Shared;
use crate::store::{Head, StoreError};

/// A replica that has said nothing for longer follows another primary, perhaps.
const LAG: u64 = 3;

/// Reads the head, and then whether it was the primary that told it.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn head(shared: &Shared) -> Result<Head, StoreError> {
    let (live, _permit) = shared.main.get()?;
    let answer = shared.check(&live.connection).await.inspect_err(|_| shared.main.drop_connection(live.number))?;
    if answer.word != "OK" {
        shared.lost();
        return Err(unavailable("the tail of the log was lost, a new epoch begins"));
    }
    let mut command = redis::cmd("INFO");
    command.arg("replication");
    let info = match shared.command_on(&shared.main, &live, &command).await {
        Ok(value) => safety::text(&value),
        Err(StoreError::Unavailable(why)) if safety::refused(&why) => None,
        Err(error) => return Err(error),
    };
    match info.as_deref() {
        Some(info) => {
            is_primary(info, shared.min_replicas).inspect_err(|_| shared.main.drop_connection(live.number))?
        }
        // It will not say what it is: a replica takes no write.
        None => {
            shared.probe().await;
            shared.writable()?;
        }
    }
    shared.absorb(&answer.seen);
    Ok(answer.seen.head())
}

/// Reads what Redis says of its replication.
///
/// # Errors
/// [`StoreError::Unavailable`] where it is a replica, or those that must hold an end are silent: they may follow another.
fn is_primary(info: &str, min_replicas: u32) -> Result<(), StoreError> {
    let field = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    if field("role") != Some("master") {
        return Err(unavailable("Redis is a replica by now"));
    }
    let follows = |line: &&str| {
        let part = |name: &str| line.split([',', ':']).find_map(|part| part.strip_prefix(name));
        let lag = part("lag=").and_then(|lag| lag.parse::<u64>().ok());
        line.starts_with("slave") && part("state=") == Some("online") && lag.is_some_and(|lag| lag <= LAG)
    };
    let following = info.lines().filter(follows).count();
    match following >= usize::try_from(min_replicas).unwrap_or(usize::MAX) {
        true => Ok(()),
        false => Err(unavailable(format!("{following} of {min_replicas} replicas are heard"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_and_a_primary_that_nobody_follows_are_told_apart() {
        let told = |role: &str, lag: u64, state: &str| {
            format!(
                "# Replication\r\nrole:{role}\r\nconnected_slaves:2\r\n\
                 slave0:ip=10.0.0.2,port=6379,state={state},offset=15,lag={lag}\r\n\
                 slave1:ip=10.0.0.3,port=6379,state=online,offset=15,lag=0\r\nmaster_failover_state:no-failover\r\n"
            )
        };
        for (info, min_replicas, is_good) in [
            (told("master", 0, "online"), 0, true),
            (told("master", 1, "online"), 2, true),
            (told("master", 9, "online"), 2, false),
            (told("master", 9, "online"), 1, true),
            (told("master", 0, "wait_bgsave"), 2, false),
            (told("slave", 0, "online"), 0, false),
            (String::new(), 0, false),
        ] {
            assert_eq!(is_primary(&info, min_replicas).is_ok(), is_good, "{info} {min_replicas}");
        }
    }
}
