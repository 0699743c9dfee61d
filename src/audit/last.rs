//! The last grant of each workload, read from the end of a log backwards.
//!
//! The log is what remembers it over a restart: no second record of it is kept, and minting writes none. Reading ends with
//! what was asked for, or at a bound, and says how far back it looked.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Serialize;

use super::error::AuditError;
use super::files::LogFiles;
use super::line::{Line, Str};

/// A token that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastGrant {
    /// When, RFC 3339.
    pub at: String,
    /// For which resource server.
    pub audience: String,
    /// For which scopes, a space between them.
    pub scope: String,
    /// For which task.
    pub task: String,
    /// The lease; nothing in a line that names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastGrants {
    /// The last grant of each workload that had one.
    pub of: HashMap<String, LastGrant>,
    /// When the oldest line was written that was looked at; none of an empty log.
    pub since: Option<String>,
}

const CHUNK: u64 = 1 << 20;

/// The last grants of `wanted`, from the last `most` bytes of the log at `path`, over all its files. Reads files: for a blocking
/// thread.
///
/// # Errors
/// [`AuditError::Io`] where a file cannot be read.
pub fn last_grants(path: &Path, wanted: &[&str], most: u64) -> Result<LastGrants, AuditError> {
    let failed = |error: io::Error| AuditError::io(path, "it cannot be read", &error);
    let mut search = Search::new(wanted);
    let mut left = most;
    let files: Vec<_> = LogFiles::of(path).map_err(failed)?.each().collect();
    for (_, file) in files.into_iter().rev() {
        if left == 0 || search.is_over() {
            break;
        }
        left = look_back(&file.map_err(failed)?, &mut search, left).map_err(failed)?;
    }
    Ok(search.found)
}

/// Looks through a file from its end, through `left` bytes at most; gives how many are left.
fn look_back(file: &File, search: &mut Search<'_>, mut left: u64) -> io::Result<u64> {
    // What was read and belongs to a line that begins further up.
    let mut rest: Vec<u8> = Vec::new();
    let mut start = file.metadata()?.len();
    while start > 0 && left > 0 && !search.is_over() {
        let size = start.min(CHUNK);
        start -= size;
        left = left.saturating_sub(size);
        let mut chunk = vec![0; size as usize];
        file.read_exact_at(&mut chunk, start)?;
        chunk.append(&mut rest);
        let mut end = chunk.len();
        // At the top of the file there is no newline in front of the first line.
        while let Some(newline) = memchr::memrchr(b'\n', &chunk[..end]) {
            search.look(&chunk[newline + 1..end]);
            end = newline;
        }
        if start == 0 {
            search.look(&chunk[..end]);
            end = 0;
        }
        chunk.truncate(end);
        rest = chunk;
    }
    Ok(left)
}

struct Search<'a> {
    wanted: HashSet<&'a str>,
    /// What a line about the one that is wanted holds, where it is one.
    marked: Option<Vec<u8>>,
    found: LastGrants,
    /// Whether there was any line.
    looked: bool,
}

impl<'a> Search<'a> {
    fn new(wanted: &[&'a str]) -> Self {
        let marked = match wanted {
            [one] => Some(format!("\"workload\":\"{one}\"").into_bytes()),
            _ => None,
        };
        Self { wanted: wanted.iter().copied().collect(), marked, found: LastGrants::default(), looked: false }
    }

    fn is_over(&self) -> bool {
        self.looked && self.found.of.len() == self.wanted.len()
    }

    fn look(&mut self, line: &[u8]) {
        if line.is_empty() || self.is_over() {
            return;
        }
        self.looked = true;
        if let Some(time) = time_of(line) {
            self.found.since = Some(time);
        }
        let has = |what: &[u8]| memchr::memmem::find(line, what).is_some();
        if self.marked.as_deref().is_some_and(|marked| !has(marked)) || !has(b"\"granted\"") {
            return;
        }
        let Some(seen) = Line::parse(line) else { return };
        // Of a probe there is no token: it used nothing.
        let is_grant = &*seen.outcome == "granted" && !seen.probe && matches!(&*seen.event, "mint" | "renew");
        let Some(workload) = seen.workload.filter(|_| is_grant) else { return };
        if !self.wanted.contains(&*workload) || self.found.of.contains_key(&*workload) {
            return;
        }
        let text = |field: Option<Str<'_>>| field.map_or_else(String::new, |text| text.to_string());
        let grant = LastGrant {
            at: seen.time.to_string(),
            audience: text(seen.audience),
            scope: text(seen.scope),
            task: text(seen.task),
            lease: seen.lease.map(|lease| lease.to_string()),
        };
        self.found.of.insert(workload.to_string(), grant);
    }
}

/// The moment that a line begins with: `{"v":1,"time":"2026-…`.
fn time_of(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"{\"v\":1,\"time\":\"")?;
    let time = rest.get(..memchr::memchr(b'"', rest.get(..32)?)?)?;
    std::str::from_utf8(time).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::chain::Chain;
    use super::super::files::Names;
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::*;
    use crate::model::{AudienceUri, Reason, ScopeSet, TaskId, WorkloadId};

    /// A grant of `even` or `odd` by turns, and behind each a refusal.
    fn log(lines: u64) -> Vec<u8> {
        let (mut chain, mut out) = (Chain::START, Vec::new());
        for n in 0..lines {
            let workload = WorkloadId::parse(["even", "odd"][(n % 2) as usize]).unwrap();
            let record = AuditRecord::new(Event::Mint, Outcome::Granted)
                .workload(workload.clone())
                .audience(AudienceUri::parse("https://api.example.com").unwrap())
                .scopes(ScopeSet::parse("a b").unwrap())
                .task(TaskId::parse(&format!("t-{n}")).unwrap());
            chain.push(&mut out, "b1", 1_790_000_000_000 + n, &record);
            let refused = AuditRecord::refused(Event::Mint, Reason::DeniedScope).workload(workload.clone());
            chain.push(&mut out, "b1", 1_790_000_000_000 + n, &refused);
            let probed = AuditRecord::new(Event::Mint, Outcome::Granted).workload(workload).probe(true);
            chain.push(&mut out, "b1", 1_790_000_000_000 + n, &probed);
        }
        out
    }

    #[test]
    fn the_last_grant_is_found_from_the_end_and_the_bound_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = log(6000);
        assert!(text.len() as u64 > 3 * CHUNK, "several chunks");
        fs::write(file.path(), &text).unwrap();
        let of = |wanted: &[&str], most| last_grants(file.path(), wanted, most).unwrap();
        let found = of(&["even"], u64::MAX);
        let even = &found.of["even"];
        assert_eq!((even.task.as_str(), even.scope.as_str()), ("t-5998", "a b"));
        assert_eq!(even.at, "2026-09-21T14:13:25.998Z");
        assert_eq!(of(&["even", "odd"], u64::MAX).of["odd"].task, "t-5999");
        let nobody = of(&["nobody"], u64::MAX);
        assert_eq!((nobody.of.len(), nobody.since.as_deref()), (0, Some("2026-09-21T14:13:20.000Z")), "to the top");
        let bounded = of(&["nobody"], CHUNK);
        assert!(bounded.since.unwrap().as_str() > "2026-09-21T14:13:23", "one chunk, and no further");
        // Half a last line is no line, and neither hides the one before nor counts itself.
        let cut = memchr::memmem::find(&text, b"t-5999").unwrap();
        fs::write(file.path(), &text[..cut]).unwrap();
        assert_eq!(of(&["odd"], u64::MAX).of["odd"].task, "t-5997");
        // What was closed before is looked through too.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(Names::of(&path).closed("2026-09-21", 12_000), &text).unwrap();
        fs::write(&path, &text[..0]).unwrap();
        assert_eq!(last_grants(&path, &["odd"], u64::MAX).unwrap().of["odd"].task, "t-5999");
        fs::write(file.path(), "").unwrap();
        assert_eq!(of(&["even"], u64::MAX), LastGrants::default());
        assert!(last_grants(Path::new("/nonexistent"), &["even"], 1).is_err());
    }
}
