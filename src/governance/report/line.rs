//! The lines of audit logs, one after the other, as a report looks at them.
//!
//! Owns reading, within bounds. Never says whether a log is intact: `audit::verify` does.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

/// No line of jitney's is longer.
const MAX_LINE: u64 = 64 * 1024;

/// What a report looks at in a line.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    #[serde(borrow)]
    pub broker: Cow<'a, str>,
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    #[serde(borrow)]
    pub outcome: Cow<'a, str>,
    #[serde(borrow)]
    pub workload: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub audience: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub task: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub scope: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub lease: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub kid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub policies: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub refusal: Option<Cow<'a, str>>,
    pub count: Option<u64>,
    pub took_us: Option<u64>,
    #[serde(borrow)]
    pub actor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub detail: Option<Cow<'a, str>>,
}

/// Gives each line of the log at `path` to `take`, and the bytes read so far to `progress`, now and then. Gives the number of
/// lines that are none of jitney's.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(path: &Path, take: &mut dyn FnMut(&Line<'_>), progress: &mut dyn FnMut(u64)) -> io::Result<u64> {
    /// Between two words of how far it is.
    const STEP: u64 = 4 << 20;
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let (mut line, mut strange) = (Vec::with_capacity(1024), 0);
    let mut since = 0;
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            progress(since);
            return Ok(strange);
        }
        since += read;
        if since >= STEP {
            progress(since);
            since = 0;
        }
        // Half a last line is being written just now.
        let Some(text) = line.strip_suffix(b"\n") else {
            strange += u64::from(read == MAX_LINE);
            continue;
        };
        match serde_json::from_slice(text) {
            Ok(line) => take(&line),
            Err(_) => strange += 1,
        }
    }
}
