//! What happens to leases, live, for operators: this broker's audit lines, and the ends that other brokers of the store made,
//! as the shared log tells them. Each end once.
//!
//! The log is its own buffer: however slowly somebody reads, no end of another broker's is missed. Of audit lines some
//! thousands wait, and who is further behind is cut off.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::model::{AudienceUri, Epoch, KeyId, Position, RuleDigest, RuleKind, UnixTime, WorkloadId};
use crate::store::{Head, LogEntry, StoreError};

use super::ends::{Ends, KEPT, Watching};
use super::{Broker, OperatorRefusal};

/// The log is read so often at most, and so often in any case.
const APART: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(500);
/// So many entries are read at once.
const PAGE: usize = 1024;

/// Lines for one who watches.
pub struct Watcher<'a> {
    broker: &'a Broker,
    lines: broadcast::Receiver<Bytes>,
    moved: watch::Receiver<u64>,
    over: watch::Receiver<bool>,
    tick: Interval,
    /// Where the log has been told up to.
    told: Head,
    /// What was there before this watcher came.
    missed: Missed,
    read: Instant,
    _watching: Watching<'a>,
}

/// The ends of between where one who comes back was, and where the log ended when he came. This broker's own are told from
/// the log too, for most of their lines were written when he did not listen; the last ones' lines may yet come.
#[derive(Debug, Default)]
struct Missed {
    /// Up to here.
    upto: Position,
    /// The places that audit lines told.
    heard: BTreeSet<Position>,
    /// The places that were told from the log.
    told: BTreeSet<Position>,
}

/// What an audit line says of an end.
#[derive(Deserialize)]
struct EndLine {
    event: String,
    position: Option<Position>,
}

impl Missed {
    /// Whether a line is to be told, of an end that the log has not told.
    fn is_news(&mut self, line: &[u8]) -> bool {
        if self.upto == Position::START {
            return true;
        }
        let Some(at) = place_of_end(line).filter(|at| *at <= self.upto) else { return true };
        if self.told.contains(&at) {
            return false;
        }
        self.heard.insert(at);
        true
    }

    /// Whether an entry of the log is to be told.
    fn tells(&mut self, position: Position, ends: &Ends) -> bool {
        if position > self.upto {
            return !ends.is_own(position);
        }
        let line = ends.told_at(position).unwrap_or(position);
        if self.heard.contains(&line) {
            return false;
        }
        self.told.insert(position);
        if self.told.len() > KEPT {
            self.told.pop_first();
        }
        true
    }
}

/// Where in the log an end stands that this audit line tells of.
fn place_of_end(line: &[u8]) -> Option<Position> {
    let line: EndLine = serde_json::from_slice(line).ok()?;
    line.position.filter(|_| matches!(&*line.event, "complete" | "revoke" | "quarantine"))
}

/// An end of another broker's, as a line. What it was is known from its digest alone: a workload, an audience or a key that
/// this broker knows has its name back, a task or a lease has not.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u8,
    time: String,
    broker: &'a str,
    event: &'static str,
    outcome: &'static str,
    kind: RuleKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<WorkloadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<AudienceUri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<KeyId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audiences: &'a [AudienceUri],
    digest: String,
    epoch: Epoch,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<UnixTime>,
}

/// What one who watches is told.
#[derive(Debug)]
pub enum Told {
    /// Lines, each with its newline.
    Lines(Bytes),
    /// It was too slow: so many lines are lost, and this is the last that it hears.
    Cut(u64),
    /// This broker ends.
    Over,
}

impl Broker {
    /// Follows what happens from now on; the ends in the log from behind `after`, where that is given and of this epoch.
    ///
    /// # Errors
    /// [`OperatorRefusal`]: the store cannot be read, or too many watch.
    pub async fn watch(&self, after: Option<Head>) -> Result<Watcher<'_>, OperatorRefusal> {
        let watching = self.ends.watch().ok_or(OperatorRefusal::Busy("watchers"))?;
        // Before the head is read: what ends behind it is told by its audit line or by its entry.
        let lines = self.parts.audit.subscribe();
        let moved = self.parts.store.moved();
        let head = self.parts.store.head().await?;
        let told = match after {
            None => head,
            Some(after) if after.epoch == head.epoch => after,
            Some(_) => Head { position: Position::START, ..head },
        };
        // Those in another life of the log are told from its beginning.
        let missed =
            Missed { upto: if after.is_some() { head.position } else { Position::START }, ..Missed::default() };
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let over = self.ends.over();
        Ok(Watcher { broker: self, lines, moved, over, tick, told, missed, read: Instant::now(), _watching: watching })
    }
}

impl Watcher<'_> {
    /// What comes next; nothing at times, so that a reader who is gone is noticed.
    pub async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                line = self.lines.recv() => return match line {
                    Ok(line) if !self.missed.is_news(&line) => continue,
                    Ok(line) => Told::Lines([&line[..], b"\n"].concat().into()),
                    Err(broadcast::error::RecvError::Lagged(count)) => Told::Cut(count),
                    Err(broadcast::error::RecvError::Closed) => Told::Over,
                },
                () = is_true(&mut self.over) => return Told::Over,
                Ok(()) = self.moved.changed() => tokio::time::sleep_until(self.read + APART).await,
                _ = self.tick.tick() => {}
            }
            match self.others().await {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Told::Lines(lines.into()),
                Err(error) => tracing::debug!(%error, "the log cannot be read for those who watch"),
            }
        }
    }

    /// The ends that others made since the last look.
    async fn others(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut lines = Vec::new();
        let page = self.broker.parts.store.log(self.told.position, PAGE).await?;
        self.read = Instant::now();
        if page.head.epoch != self.told.epoch {
            self.told = Head { epoch: page.head.epoch, position: Position::START };
            self.missed = Missed::default();
            self.tick.reset_immediately();
            return Ok(lines);
        }
        if !page.entries.is_empty() {
            self.broker.ends.settled().await;
        }
        let time = self.broker.parts.clock.now_ms();
        for entry in &page.entries {
            if !self.missed.tells(entry.rule.position, &self.broker.ends) {
                continue;
            }
            if let Ok(line) = serde_json::to_vec(&self.line(entry, time)) {
                lines.extend_from_slice(&line);
                lines.push(b'\n');
            }
        }
        self.told.position = page.upto;
        if page.upto < page.head.position {
            self.tick.reset_immediately();
        }
        Ok(lines)
    }

    fn line<'a>(&'a self, entry: &'a LogEntry, time: u64) -> Line<'a> {
        let rule = &entry.rule;
        let is = |name: &str| RuleDigest::of(rule.kind, &[name]) == rule.digest;
        let set = self.broker.parts.policies.current();
        let of = |kind| rule.kind == kind;
        Line {
            v: 1,
            time: crate::audit::time(time),
            broker: &self.broker.options.name,
            event: "end",
            outcome: "done",
            kind: rule.kind,
            workload: set
                .workloads()
                .map(|each| &each.id)
                .find(|id| of(RuleKind::Workload) && is(id.as_str()))
                .cloned(),
            audience: set
                .audiences()
                .map(|each| &each.id)
                .find(|id| of(RuleKind::Audience) && is(id.as_str()))
                .cloned(),
            kid: of(RuleKind::Key).then(|| self.broker.key_named(&is)).flatten(),
            audiences: &entry.audiences,
            digest: rule.digest.to_base64(),
            epoch: self.told.epoch,
            position: rule.position,
            until: rule.until,
        }
    }
}

impl Broker {
    /// A published key by its name; one that was ended may have left already.
    fn key_named(&self, is: &dyn Fn(&str) -> bool) -> Option<KeyId> {
        self.parts.keys.list().into_iter().map(|key| key.kid).find(|kid| is(kid.as_str()))
    }
}

async fn is_true(flag: &mut watch::Receiver<bool>) {
    // Its sender is the broker's, which is there.
    let _ = flag.wait_for(|flag| *flag).await.map(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: u64) -> Position {
        Position::new(at)
    }

    fn line(event: &str, at: u64) -> Vec<u8> {
        format!(r#"{{"v":1,"event":"{event}","outcome":"done","position":{at}}}"#).into_bytes()
    }

    #[test]
    fn of_what_was_missed_each_end_is_told_once_by_its_line_or_by_the_log() {
        let ends = Ends::default();
        ends.made_for_tests(&[3, 4]);
        ends.made_for_tests(&[6]);
        ends.made_for_tests(&[9]);
        let mut missed = Missed { upto: place(7), ..Missed::default() };
        assert!(missed.is_news(&line("complete", 4)), "it was on its way");
        assert!(missed.is_news(&line("mint", 6)), "a grant names the place that it was granted at");
        let told: Vec<u64> = (1..=9).filter(|at| missed.tells(place(*at), &ends)).collect();
        assert_eq!(told, [1, 2, 5, 6, 7, 8], "two by that line, and what comes later by the rule of who made it");
        assert!(!missed.is_news(&line("revoke", 6)), "the log was first");
        assert!(missed.is_news(&line("revoke", 9)) && missed.is_news(b"no line"));
        let mut none = Missed::default();
        assert!(none.is_news(&line("revoke", 1)) && !none.tells(place(9), &ends));
    }
}
