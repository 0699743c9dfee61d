//! Finds a line by its number without reading what stands before it: where a checkpoint is trusted, the walk begins there.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use serde::Deserialize;

use super::chain::MAX_LINE;
use super::error::Fault;
use super::pieces;
use super::verify::{From, Log, Point, Start, Wanted, walk_on};
use super::walk::{Lines, Place, Walk, Wrong};

/// Within so many bytes a line is looked for one by one.
const NEAR: u64 = 4 * MAX_LINE as u64;

/// Walks from the line `point` on, which must be there with its hash.
pub(super) fn walk_from(log: &Log, point: &Point, wanted: Wanted<'_>) -> Result<Walk, Wrong> {
    let Some((start, text)) = find(log, point.seq)? else {
        let at = Place { file: log.len() - 1, line: 0 };
        let why = format!("there is no line {} to begin at: it was cut off, or its file is not here", point.seq);
        return Err(Wrong::new(at, Fault::Truncated, why));
    };
    let mut walk = Walk::new(wanted);
    let begin = [point.clone()];
    let at = Place { file: start.file, line: 1 };
    let seeded = walk.seed(&text, at, Wanted { points: &begin, ..wanted }).and_then(|()| {
        let behind = Start { offset: start.offset + text.len() as u64 + 1, ..start };
        match pieces::walk(log, behind, &mut walk, wanted)? {
            Some(start) => walk_on(log, start, walk, wanted),
            None => Ok(walk),
        }
    });
    // Lines are counted in the file, also those before that nobody looked at.
    seeded.map_err(|wrong| match wrong.at.file == start.file {
        true => Wrong { at: Place { line: wrong.at.line + lines_before(log, start), ..wrong.at }, ..wrong },
        false => wrong,
    })
}

/// Where the line of this number begins, and its text without the newline.
fn find(log: &Log, seq: u64) -> Result<Option<(Start, Vec<u8>)>, Wrong> {
    for file in 0..log.len() {
        let unreadable = |error: io::Error| Wrong::new(Place { file, line: 1 }, Fault::Unreadable, error.to_string());
        let opened = log.file(file).map_err(unreadable)?;
        if let Some((offset, text)) = find_in(&opened, seq).map_err(unreadable)? {
            return Ok(Some((Start { file, offset }, text)));
        }
    }
    Ok(None)
}

/// What a line says of its place. Nothing of it is believed before its hash is looked at.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

fn number(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Numbered>(line).ok().map(|line| line.seq)
}

fn find_in(file: &File, seq: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    // The line is not before `low`, nor does it begin behind `high`. Lines whose numbers do not grow are found by whoever
    // walks, or not looked at.
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        let Some((begin, line)) = line_behind(file, middle)? else {
            high = middle;
            continue;
        };
        match number(&line) {
            Some(found) if found <= seq => low = begin,
            Some(_) => high = middle,
            None => break,
        }
    }
    let mut lines = Lines::new(From { file, offset: low });
    let (mut at, mut before) = (low, seq);
    while let Ok(Some(line)) = lines.next() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        match number(text) {
            Some(found) if found == seq => return Ok(Some((at, text.to_vec()))),
            Some(found) if found > seq => break,
            // What stands in its place and is no line: whoever walks says so.
            None if before + 1 == seq => return Ok(Some((at, text.to_vec()))),
            found => before = found.unwrap_or(before),
        }
        at += line.len() as u64;
    }
    Ok(None)
}

/// The first whole line that begins behind `at`.
fn line_behind(file: &File, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut bytes = vec![0; 2 * MAX_LINE];
    let read = file.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    let Some(end) = memchr::memchr(b'\n', &bytes) else { return Ok(None) };
    let line = &bytes[end + 1..];
    let whole = memchr::memchr(b'\n', line).map(|len| line[..len].to_vec());
    Ok(whole.map(|line| (at + end as u64 + 1, line)))
}

fn lines_before(log: &Log, start: Start) -> u64 {
    let Ok(file) = log.file(start.file) else { return 0 };
    let mut lines = 0;
    let mut text = From { file: &file, offset: 0 }.take(start.offset);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = text.read(&mut buffer)
        && read > 0
    {
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::chain::{Chain, Hex};
    use super::super::files::Names;
    use super::super::record::{AuditRecord, Event, Outcome};
    use super::super::verify::verify_with;
    use super::*;

    fn log(dir: &std::path::Path, lines: u64) -> (std::path::PathBuf, Vec<Vec<u8>>) {
        let mut chain = Chain::START;
        let all: Vec<Vec<u8>> = (0..lines)
            .map(|n| {
                let mut line = Vec::new();
                let record = AuditRecord::new(Event::Mint, Outcome::Granted).detail(&"x".repeat((n % 900) as usize));
                chain.push(&mut line, "b1", n, &record);
                line
            })
            .collect();
        let path = dir.join("audit.jsonl");
        let half = all.len() / 2;
        std::fs::write(Names::of(&path).closed("2026-11-28", half as u64), all[..half].concat()).unwrap();
        std::fs::write(&path, all[half..].concat()).unwrap();
        (path, all)
    }

    fn point(lines: &[Vec<u8>], seq: u64) -> Point {
        let line = lines[seq as usize - 1].strip_suffix(b"\n").unwrap();
        Point { seq, head: Hex::of(line).as_str().to_owned() }
    }

    #[test]
    fn a_walk_from_a_line_looks_at_what_comes_behind_it_and_at_nothing_before() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut lines) = log(dir.path(), 6000);
        let from = |seq: u64, lines: &[Vec<u8>]| {
            let point = point(lines, seq);
            verify_with(&path, Wanted { from: Some(&point), ..Wanted::default() })
        };
        for seq in [1, 2, 1777, 2999, 3000, 3001, 5999, 6000] {
            let summary = from(seq, &lines).unwrap();
            assert_eq!((summary.lines, summary.first.unwrap().seq, summary.last.unwrap().seq), (6001 - seq, seq, 6000));
        }
        let gone = Point { seq: 6001, head: "0".repeat(64) };
        let wrong = verify_with(&path, Wanted { from: Some(&gone), ..Wanted::default() }).unwrap_err();
        assert_eq!(wrong.fault, Fault::Truncated);
        // A changed line: found from before it, passed over from behind it.
        let whole = lines.clone();
        lines[4000][60] ^= 1;
        std::fs::write(&path, lines[3000..].concat()).unwrap();
        assert!(from(4002, &whole).is_ok());
        let found = from(3500, &whole).unwrap_err();
        assert_eq!((found.line, found.fault, found.file.as_deref()), (1001, Fault::Changed, Some(&*path)));
        let found = from(4001, &whole).unwrap_err();
        assert_eq!((found.line, found.fault), (1001, Fault::Changed), "the very line to begin at");
    }
}
