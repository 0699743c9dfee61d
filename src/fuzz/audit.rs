//! The audit log: read back as anybody may have bent it, and written with whatever words come.

use serde_json::Value;

use super::shared::cut;
use crate::audit::chain::{Chain, Hex, MAX_LINE};
use crate::audit::{AuditRecord, Event, Filter, Outcome, Summary, verify_text};
use crate::model::{AudienceUri, Reason, ScopeSet, TaskId, WorkloadId};

/// A log as it lies; or, behind an `S`, lines that are given their sums here; or, behind a `W`, words that are written.
pub fn audit(data: &[u8]) {
    match data {
        [b'S', rest @ ..] => check(&summed(rest)),
        [b'W', rest @ ..] => write(rest),
        _ => check(data),
    }
}

/// A log that passes is summed up right, and fails as soon as something is taken out of it or put into it.
fn check(log: &[u8]) {
    for line in log.split(|byte| *byte == b'\n') {
        let _ = Filter { event: Some("mint".into()), ..Filter::default() }.selects(line);
    }
    let verified = verify_text(log, None, || false);
    match verify_text(log, None, || true) {
        // Half a last line is forgiven while a broker is writing.
        Ok(summary) if verified.is_err() => assert!(!log.ends_with(b"\n") && summary.lines == newlines(log)),
        being_written => assert_eq!(being_written, verified),
    }
    let Ok(summary) = verified else { return };
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(summary.lines, lines.len() as u64);
    let head = lines.last().map_or("0".repeat(64), |last| hash(&last[..last.len() - 1]).as_str().to_owned());
    assert_eq!(summary.head, head);
    if lines.is_empty() {
        return;
    }
    bent(log, &lines, &summary);
}

fn hash(text: &[u8]) -> Hex {
    Hex::from(ring::digest::digest(&ring::digest::SHA256, text))
}

fn newlines(log: &[u8]) -> u64 {
    log.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn bent(log: &[u8], lines: &[&[u8]], summary: &Summary) {
    // Which place is bent follows from the log itself, so that a finding repeats.
    let chance = usize::from_str_radix(&summary.head[..8], 16).unwrap_or_default();
    let mut changed = log.to_vec();
    let at = chance % changed.len();
    changed[at] ^= 1 << (chance % 8);
    assert!(verify_text(&changed[..], None, || false).is_err(), "a changed byte passes");
    let here = chance % lines.len();
    let without: Vec<u8> =
        lines.iter().enumerate().filter(|(at, _)| *at != here).flat_map(|(_, line)| line.to_vec()).collect();
    let is_last = here + 1 == lines.len();
    // Without its first line, a log may still be one that goes on from another file; without its last, it is as it was.
    let is_whole = is_last || here == 0;
    assert!(verify_text(&without[..], None, || false).is_err() || is_whole, "a dropped line passes");
    let twice = [log, lines[here]].concat();
    assert!(verify_text(&twice[..], None, || false).is_err(), "a line passes twice");
}

/// Each line with the sum that its text has; where it says `PREV`, the hash of the line before.
fn summed(data: &[u8]) -> Vec<u8> {
    let mut log = Vec::new();
    let mut prev = "0".repeat(64);
    for line in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(text) = std::str::from_utf8(line) else { continue };
        let body = text.replace("PREV", &prev);
        let sum = hash(body.as_bytes());
        let line = format!("{body},\"sum\":\"{}\"}}", &sum.as_str()[..16]);
        prev = hash(line.as_bytes()).as_str().to_owned();
        log.extend_from_slice(line.as_bytes());
        log.push(b'\n');
    }
    log
}

/// Words of a caller's end in one line that passes, however they are meant: one line, JSON, no control character.
fn write(data: &[u8]) {
    let (first, rest) = cut(data, 0);
    let (second, third) = cut(rest, 0);
    let [first, second, third] = [first, second, third].map(|words| String::from_utf8_lossy(words).into_owned());
    let (mut chain, mut log) = (Chain::START, Vec::new());
    for words in [&first, &second, &third] {
        let mut record = AuditRecord::refused(Event::Mint, Reason::InvalidRequest).detail(words).reason(&first);
        record = record.actor(&second).identity(&third);
        if let Ok(id) = WorkloadId::parse(words) {
            record = record.workload(id);
        }
        if let Ok(uri) = AudienceUri::parse(words) {
            record = record.audience(uri);
        }
        if let Ok(task) = TaskId::parse(words) {
            record = record.task(task);
        }
        if let Ok(scopes) = ScopeSet::parse(words) {
            record = record.scopes(scopes);
        }
        let before = log.len();
        chain.push(&mut log, "b1", 1_790_000_000_000, &record);
        let line = std::str::from_utf8(&log[before..]).expect("a line is UTF-8");
        assert!(line.len() <= MAX_LINE && line.ends_with('\n') && line.matches('\n').count() == 1);
        assert!(!line.trim_end_matches('\n').contains(char::is_control));
        let told: Value = serde_json::from_str(line).expect("a line is JSON");
        for text in ["detail", "reason", "actor", "identity"].map(|name| told[name].as_str().unwrap_or_default()) {
            // What looks like a token or a key is not kept in free text.
            assert!(!text.contains("-----BEGIN") && !text.contains("eyJ"), "a credential is written down");
        }
    }
    chain.push(&mut log, "b1", 1_790_000_000_001, &AuditRecord::new(Event::Stop, Outcome::Done));
    let summary = verify_text(&log[..], None, || false).expect("what is written passes");
    assert_eq!((summary.lines, summary.head.as_str()), (4, chain.head.as_str()));
    bent(&log, &log.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>(), &summary);
}
