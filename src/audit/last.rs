//! The last grant of each workload, read from the end of a log backwards.
//!
//! The log is what remembers it over a restart: no second record of it is kept, and minting writes none. Reading ends with
//! what was asked for, or at a bound, and says how far back it looked.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::AuditError;

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

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    workload: Option<Cow<'a, str>>,
    #[serde(borrow)]
    audience: Option<Cow<'a, str>>,
    #[serde(borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(borrow)]
    task: Option<Cow<'a, str>>,
    #[serde(borrow)]
    lease: Option<Cow<'a, str>>,
}

const CHUNK: u64 = 1 << 20;

/// The last grants of `wanted`, from the last `most` bytes of the log at `path`. Reads a file: for a blocking thread.
///
/// # Errors
/// [`AuditError::Io`] where the file cannot be read.
pub fn last_grants(path: &Path, wanted: &[&str], most: u64) -> Result<LastGrants, AuditError> {
    let failed = |error: std::io::Error| AuditError::io(path, "it cannot be read", &error);
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let mut search = Search::new(wanted);
    // What was read and belongs to a line that begins further up.
    let mut rest: Vec<u8> = Vec::new();
    let mut start = len;
    while start > 0 && len - start < most && !search.is_over() {
        let size = start.min(CHUNK);
        start -= size;
        let mut chunk = vec![0; size as usize];
        file.read_exact_at(&mut chunk, start).map_err(failed)?;
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
    Ok(search.found)
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
        let Ok(seen) = serde_json::from_slice::<Seen<'_>>(line) else { return };
        let is_grant = seen.outcome == "granted" && matches!(&*seen.event, "mint" | "renew");
        let Some(workload) = seen.workload.filter(|_| is_grant) else { return };
        if !self.wanted.contains(&*workload) || self.found.of.contains_key(&*workload) {
            return;
        }
        let text = |field: Option<Cow<'_, str>>| field.map_or_else(String::new, Cow::into_owned);
        let grant = LastGrant {
            at: seen.time.into_owned(),
            audience: text(seen.audience),
            scope: text(seen.scope),
            task: text(seen.task),
            lease: seen.lease.map(Cow::into_owned),
        };
        self.found.of.insert(workload.into_owned(), grant);
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
            chain.push(&mut out, "b1", 1_790_000_000_000 + n, &record).unwrap();
            let refused = AuditRecord::refused(Event::Mint, Reason::DeniedScope).workload(workload);
            chain.push(&mut out, "b1", 1_790_000_000_000 + n, &refused).unwrap();
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
        fs::write(file.path(), "").unwrap();
        assert_eq!(of(&["even"], u64::MAX), LastGrants::default());
        assert!(last_grants(Path::new("/nonexistent"), &["even"], 1).is_err());
    }
}
